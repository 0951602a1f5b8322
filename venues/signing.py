"""Pieces of signatures that venues share."""

import binascii
import re
from base64 import b64decode

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

from base.errors import SecretError

_SEED_BYTES = 32
_HEX_SEED = re.compile(r"[0-9a-fA-F]{64}")


def secret_bytes(secret: str, what: str) -> bytes:
    """The decoded API secret; SecretError (without it) when it is not base64."""
    try:
        return b64decode(secret, validate=True)
    except (binascii.Error, ValueError):
        raise SecretError(f"{what}: the API secret is not base64") from None


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


class Nonce:
    """Milliseconds or microseconds since the epoch that always rise."""

    def __init__(self, unit_ns: int) -> None:
        self._unit_ns = unit_ns
        self._last = 0

    def next(self, wall_ns: int) -> str:
        """A fresh nonce as decimal text."""
        self._last = max(wall_ns // self._unit_ns, self._last + 1)
        return str(self._last)
