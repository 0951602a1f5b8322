"""Ed25519 signatures of Binance: FIX logon (96) and REST query strings."""

import binascii
import re
from base64 import b64decode, b64encode
from urllib.parse import quote, urlencode

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

from base.errors import SecretError

_SEED_BYTES = 32
_HEX_SEED = re.compile(r"[0-9a-fA-F]{64}")


def private_key(text: str, what: str) -> Ed25519PrivateKey:
    """An Ed25519 key out of PEM, base64 of PKCS#8 DER, or base64 or hex of the 32-byte seed. SecretError otherwise."""
    try:
        key = _read(text.strip())
    except (ValueError, TypeError, binascii.Error):
        raise SecretError(f"{what}: not an Ed25519 private key (PEM, base64 DER, or a 32-byte seed)") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise SecretError(f"{what}: the private key is not of type Ed25519")
    return key


def _read(text: str) -> object:
    if text.startswith("-----"):
        return load_pem_private_key(text.encode(), None)
    if _HEX_SEED.fullmatch(text):
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text))
    raw = b64decode(text, validate=True)
    if len(raw) == _SEED_BYTES:
        return Ed25519PrivateKey.from_private_bytes(raw)
    return load_der_private_key(raw, None)


def logon_signature(key: Ed25519PrivateKey, sender: str, target: str, seq_num: int, sending_time: bytes) -> bytes:
    """RawData(96): base64 of the signature over five values joined by SOH."""
    payload = b"\x01".join((b"A", sender.encode(), target.encode(), b"%d" % seq_num, sending_time))
    return b64encode(key.sign(payload))


def signed_query(key: Ed25519PrivateKey, fields: dict[str, str]) -> str:
    """The percent-encoded query with its signature, itself percent-encoded, at the end."""
    query = urlencode(fields, quote_via=quote, safe="")
    signature = b64encode(key.sign(query.encode())).decode()
    return f"{query}&signature={quote(signature, safe='')}"
