"""Crypto.com's signatures: FIX logon (554) and REST (sig). Both HMAC-SHA-256 in hexadecimal; the secret is the key.

That the letters are small is inferred from the venue's REST examples.
"""

import hmac
from collections.abc import Mapping

_METHOD, _LABEL = "public/auth", "system_labelONEEX"


def logon_signature(secret: str, seq_num: int, api_key: str, nonce: str, *, market_data: bool) -> str:
    """Password(554): over the words `public/auth`, 34, the key, a label (not on market data) and RawData(96)."""
    label = "" if market_data else _LABEL
    return _sign(secret, f"{_METHOD}{seq_num}{api_key}{label}{nonce}")


def rest_signature(secret: str, method: str, number: int, api_key: str, params: Mapping[str, str], nonce: int) -> str:
    """`sig`: over method, id, key, the parameters sorted by name with nothing between them, and the nonce."""
    said = "".join(name + params[name] for name in sorted(params))
    return _sign(secret, f"{method}{number}{api_key}{said}{nonce}")


def _sign(secret: str, text: str) -> str:
    return hmac.new(secret.encode(), text.encode(), "sha256").hexdigest()
