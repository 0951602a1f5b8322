"""Bybit's signatures: the FIX logon by an RSA key, REST by an RSA key or an HMAC secret (bybit.md, 4.2 and 4.4)."""

import binascii
import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable
from functools import cache

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

from base.errors import SecretError

_BITS = (2048, 4096)
_LONGEST_SECRET = 200
"""Texts beyond this are private keys: the shortest RSA key has over a thousand characters."""


@cache
def private_key(text: str, what: str) -> RSAPrivateKey:
    """An RSA key of 2048 or 4096 bits out of PEM or base64 of its DER. SecretError, without the key, otherwise.

    Kept once read: to find out that its numbers belong together takes longer than a hundred signatures.
    """
    try:
        key = _read(text.strip())
    except (ValueError, TypeError, binascii.Error):
        raise SecretError(f"{what}: not an RSA private key (PEM, or base64 of its DER)") from None
    if not isinstance(key, RSAPrivateKey):
        raise SecretError(f"{what}: the private key is not of type RSA")
    if key.key_size not in _BITS:
        raise SecretError(f"{what}: the RSA key has {key.key_size} bits, the venue takes 2048 or 4096")
    return key


def _read(text: str) -> object:
    if text.startswith("-----"):
        return load_pem_private_key(text.encode(), None)
    return load_der_private_key(b64decode(text, validate=True), None)


def rsa_signature(key: RSAPrivateKey, text: bytes) -> bytes:
    """base64 of the PKCS#1 v1.5 signature over SHA-256."""
    return b64encode(key.sign(text, PKCS1v15(), SHA256()))


def logon_signature(key: RSAPrivateKey, expires_ms: int) -> bytes:
    """RawData(96): of "GET/realtime" and Expires(30023), nothing between them."""
    return rsa_signature(key, b"GET/realtime%d" % expires_ms)


def rest_signer(secret: str, what: str) -> Callable[[bytes], str]:
    """What signs REST requests: an RSA key when the secret is one, else HMAC-SHA256 in hex."""
    if secret.startswith("-----") or len(secret) > _LONGEST_SECRET:
        key = private_key(secret, what)
        return lambda text: rsa_signature(key, text).decode()
    return lambda text: hmac.digest(secret.encode(), text, "sha256").hex()
