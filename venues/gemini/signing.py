"""Gemini's one signature: REST. FIX sessions carry none, they are known by source address, 49 and 56."""

import hmac
import json
from base64 import b64encode


def rest_headers(key: str, secret: str, payload: dict[str, object]) -> tuple[tuple[str, str], ...]:
    """Headers of a private call, whose body is empty: the payload is JSON in base64, signed by HMAC-SHA384 in hex."""
    said = b64encode(json.dumps(payload).encode())
    return (
        ("Content-Type", "text/plain"),
        ("Cache-Control", "no-cache"),
        ("X-GEMINI-APIKEY", key),
        ("X-GEMINI-PAYLOAD", said.decode()),
        ("X-GEMINI-SIGNATURE", hmac.digest(secret.encode(), said, "sha384").hex()),
    )
