"""Pieces of signatures that venues share."""

import binascii
from base64 import b64decode

from base.errors import SecretError


def secret_bytes(secret: str, what: str) -> bytes:
    """The decoded API secret; SecretError (without it) when it is not base64."""
    try:
        return b64decode(secret, validate=True)
    except (binascii.Error, ValueError):
        raise SecretError(f"{what}: the API secret is not base64") from None
