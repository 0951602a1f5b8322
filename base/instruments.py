"""Instruments: the desk's symbology beside the venue's own symbol, with scales and limits."""

import re
from typing import Final

import msgspec

from base.decimals import format_scaled, to_scaled
from base.errors import ConfigError, NumberError

_NAME = re.compile(r"[A-Z0-9]{1,20}-[A-Z0-9]{1,10}(-PERP|-\d{8})?")


class Contract(msgspec.Struct, frozen=True):
    """What a quantity of one stands for: `value` / 10**`scale` of the base currency, of an inverse one of the quote."""

    value: int = 1
    scale: int = 0
    inverse: bool = False


ONE: Final = Contract()
"""Spot: a quantity of one is one of the base currency."""


class Instrument(msgspec.Struct, frozen=True):
    """One tradable thing at one venue. Quantities are integers at the scales; value = integer / 10**scale."""

    venue: str
    name: str  # BTC-USD, BTC-USD-PERP, BTC-USD-20261225
    symbol: str  # the venue's own
    px_scale: int
    qty_scale: int
    tick_size: int = 1
    lot_size: int = 1
    min_qty: int = 0
    max_qty: int = 0  # 0: no limit
    min_notional: str = ""
    contract: Contract | None = ONE  # None: a derivative, and nobody said what a contract of it is worth

    @property
    def is_derivative(self) -> bool:
        """A perpetual or a future by its name."""
        return self.name.count("-") > 1

    def px(self, text: str) -> int:
        """Scaled price of decimal text; NumberError when it does not fit the scale."""
        return to_scaled(text, self.px_scale)

    def qty(self, text: str) -> int:
        """Scaled quantity of decimal text; NumberError when it does not fit the scale."""
        return to_scaled(text, self.qty_scale)

    def px_text(self, px: int) -> str:
        """Decimal text of a scaled price."""
        return format_scaled(px, self.px_scale)

    def qty_text(self, qty: int) -> str:
        """Decimal text of a scaled quantity."""
        return format_scaled(qty, self.qty_scale)


def check_name(name: str, path: str) -> str:
    """`name` when it follows the symbology; ConfigError naming `path` otherwise."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{path}: {name!r} is not an instrument name; expected BASE-QUOTE, BASE-QUOTE-PERP or BASE-QUOTE-YYYYMMDD"
        )
    return name


def scaled_setting(text: str, scale: int, path: str) -> int:
    """A positive decimal setting at `scale`; ConfigError naming `path` otherwise."""
    try:
        value = to_scaled(text, scale)
    except NumberError as e:
        raise ConfigError(f"{path}: {e}") from None
    if value < 0:
        raise ConfigError(f"{path}: {text} is negative")
    return value
