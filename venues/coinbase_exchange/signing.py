"""Coinbase Exchange's signatures: FIX logon (RawData 96) and REST (CB-ACCESS-SIGN). Both HMAC-SHA-256, base64."""

import hmac
from base64 import b64encode

SOH = b"\x01"


def logon_signature(
    secret: bytes, sending_time: bytes, seq_num: int, sender: str, target: str, passphrase: str
) -> bytes:
    """RawData(96): over 52, MsgType, 34, 49, 56 and the passphrase with SOH between them and none behind.

    `secret` is decoded. 52 has three decimals and 34 no leading zeros, or the venue reckons another signature.
    """
    fields = (sending_time, b"A", b"%d" % seq_num, sender.encode(), target.encode(), passphrase.encode())
    return b64encode(hmac.digest(secret, SOH.join(fields), "sha256"))


def rest_signature(secret: bytes, timestamp: str, method: str, target: str, body: bytes) -> str:
    """CB-ACCESS-SIGN: over time, method, path with its query, and body, one right behind the other."""
    return b64encode(hmac.digest(secret, f"{timestamp}{method}{target}".encode() + body, "sha256")).decode()
