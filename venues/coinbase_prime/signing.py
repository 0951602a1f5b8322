"""Coinbase Prime's signatures: FIX logon (96) and REST. The key is the signing key as displayed, never decoded."""

import hmac
from base64 import b64encode


def _sign(secret: str, text: bytes) -> str:
    return b64encode(hmac.digest(secret.encode(), text, "sha256")).decode()


def logon_signature(
    secret: str, sending_time: bytes, seq_num: int, access_key: str, target: str, passphrase: str
) -> bytes:
    """RawData(96): HMAC-SHA256 over 52, "A", 34, access key, 56 and passphrase, nothing between them."""
    text = b"%sA%d%s" % (sending_time, seq_num, f"{access_key}{target}{passphrase}".encode())
    return _sign(secret, text).encode()


def rest_signature(secret: str, timestamp: str, method: str, path: str, body: bytes) -> str:
    """X-CB-ACCESS-SIGNATURE: HMAC-SHA256 over epoch seconds, method, path without query, and body."""
    return _sign(secret, f"{timestamp}{method}{path}".encode() + body)
