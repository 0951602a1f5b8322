"""Kraken's three signatures: FIX logon (554), Spot REST (API-Sign), Derivatives REST (Authent)."""

import hashlib
import hmac
from base64 import b64encode

SOH = b"\x01"


def logon_password(secret: bytes, seq_num: int, sender: str, target: str, api_key: str, nonce: str) -> str:
    """Password(554): HMAC-SHA512 over SHA-256 of five header fields, each with its SOH, and the nonce."""
    fields = (b"35=A", b"34=%d" % seq_num, f"49={sender}".encode(), f"56={target}".encode(), f"553={api_key}".encode())
    inner = hashlib.sha256(b"".join(f + SOH for f in fields) + nonce.encode()).digest()
    return b64encode(hmac.digest(secret, inner, "sha512")).decode()


def spot_sign(secret: bytes, path: str, nonce: str, body: bytes) -> str:
    """API-Sign: HMAC-SHA512 over the path and SHA-256 of nonce and POST body."""
    inner = path.encode() + hashlib.sha256(nonce.encode() + body).digest()
    return b64encode(hmac.digest(secret, inner, "sha512")).decode()


def derivatives_sign(secret: bytes, endpoint: str, nonce: str, data: bytes) -> str:
    """Authent: HMAC-SHA512 over SHA-256 of post data, nonce and the endpoint's path without /derivatives.

    Not in our venue reference: taken from the venue's public Derivatives REST guide, never tried against it.
    """
    inner = hashlib.sha256(data + nonce.encode() + endpoint.encode()).digest()
    return b64encode(hmac.digest(secret, inner, "sha512")).decode()
