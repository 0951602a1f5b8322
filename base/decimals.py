"""Exact numbers: 64-bit integers at a decimal scale, Decimal at the edges, floats nowhere.

A value v at scale s stands for v / 10**s.
"""

from decimal import Decimal, InvalidOperation

from base.errors import NumberError

INT64_MAX = (1 << 63) - 1
MAX_SCALE = 18


def to_scaled(value: str | Decimal | int, scale: int) -> int:
    """The integer that stands for `value` at `scale`.

    Raises NumberError when it is not a finite number, has more decimals than the scale, or overflows 64 bits.
    """
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise NumberError(f"not a decimal number: {value!r}") from None
    if not number.is_finite():
        raise NumberError(f"not a finite number: {value!r}")
    if number and abs(number.adjusted()) > 40:
        raise NumberError(f"{value} does not fit 64 bits at scale {scale}")
    scaled = number.scaleb(scale)
    result = int(scaled)
    if result != scaled:
        raise NumberError(f"{value} has more than {scale} decimals")
    if not -INT64_MAX <= result <= INT64_MAX:
        raise NumberError(f"{value} does not fit 64 bits at scale {scale}")
    return result


def from_scaled(value: int, scale: int) -> Decimal:
    """The exact Decimal of a scaled integer."""
    return Decimal(value).scaleb(-scale)


def format_scaled(value: int, scale: int) -> str:
    """Decimal text without exponent or superfluous zeros: (15000, 3) -> '15'; (-5, 2) -> '-0.05'."""
    if scale == 0:
        return str(value)
    sign = "-" if value < 0 else ""
    digits = str(abs(value)).rjust(scale + 1, "0")
    whole, fraction = digits[:-scale], digits[-scale:].rstrip("0")
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"
