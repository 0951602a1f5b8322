"""Deribit's signatures: FIX logon (RawData 96, Password 554) and REST (deri-hmac-sha256)."""

import hashlib
import hmac
import secrets
from base64 import b64encode
from collections.abc import Callable

NONCE_BYTES = 32


def logon_password(raw_data: bytes, secret: str) -> str:
    """Password(554): SHA-256 over all of RawData with the client secret right behind it, in base64."""
    return b64encode(hashlib.sha256(raw_data + secret.encode()).digest()).decode()


class RawData:
    """RawData(96): `<milliseconds>.<nonce>`; the time always rises, the nonce is random and in base64."""

    def __init__(self, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._random_bytes = random_bytes
        self._last_ms = 0

    def next(self, wall_ns: int) -> bytes:
        """For one logon."""
        self._last_ms = max(wall_ns // 1_000_000, self._last_ms + 1)
        return b"%d.%s" % (self._last_ms, b64encode(self._random_bytes(NONCE_BYTES)))


def rest_authorization(key: str, secret: str, timestamp_ms: int, nonce: str, method: str, target: str) -> str:
    """Authorization of a request without a body: HMAC-SHA256 over time, nonce, method, path with query, and body."""
    text = f"{timestamp_ms}\n{nonce}\n{method}\n{target}\n\n"
    signature = hmac.digest(secret.encode(), text.encode(), "sha256").hex()
    return f"deri-hmac-sha256 id={key},ts={timestamp_ms},sig={signature},nonce={nonce}"
