"""Ed25519 signatures of Binance: FIX logon (96) and REST query strings."""

from base64 import b64encode
from urllib.parse import quote, urlencode

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def logon_signature(key: Ed25519PrivateKey, sender: str, target: str, seq_num: int, sending_time: bytes) -> bytes:
    """RawData(96): base64 of the signature over five values joined by SOH."""
    payload = b"\x01".join((b"A", sender.encode(), target.encode(), b"%d" % seq_num, sending_time))
    return b64encode(key.sign(payload))


def signed_query(key: Ed25519PrivateKey, fields: dict[str, str]) -> str:
    """The percent-encoded query with its signature, itself percent-encoded, at the end."""
    query = urlencode(fields, quote_via=quote, safe="")
    signature = b64encode(key.sign(query.encode())).decode()
    return f"{query}&signature={quote(signature, safe='')}"
