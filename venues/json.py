"""JSON answers of venues' REST sides: numbers exact, errors that name the field."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, TypeAlias, TypeVar

import msgspec

from base.errors import VenueError

T = TypeVar("T")
_SHOWN = 200
_DIGITS = 40
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Instant: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with its zone, as answers have it in ISO 8601."""


def decode(body: bytes, kind: type[T], what: str) -> T:
    """The body as `kind`; VenueError naming the field that is missing or of another type."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise VenueError(f"{what}: {e}; the answer begins {body[:_SHOWN]!r}") from None


def answer(status: int, body: bytes, kind: type[T], what: str) -> T:
    """As `decode`, for a success; VenueError with the venue's own words for any other status."""
    if status != 200:
        raise VenueError(f"{what}: HTTP status {status}: {body[:_SHOWN]!r}")
    return decode(body, kind, what)


def plain(number: Decimal, path: str) -> str:
    """Decimal text without exponent; VenueError naming `path` when it is negative, not finite, or absurd."""
    if not number.is_finite() or number < 0 or abs(number.adjusted()) > _DIGITS:
        raise VenueError(f"{path}: {number} is not a price or quantity")
    return f"{number:f}"


def signed(number: Decimal, path: str) -> str:
    """As `plain`, and negative numbers too: balances, fees."""
    return f"-{plain(-number, path)}" if number < 0 else plain(number + 0, path)


def signed_text(text: str, path: str) -> str:
    """Decimal text as `signed`."""
    try:
        return signed(Decimal(text), path)
    except InvalidOperation:
        raise VenueError(f"{path}: {text!r} is not a number") from None


def amount(text: str, path: str) -> str:
    """Decimal text of a price or quantity, as `plain`; VenueError naming `path` otherwise."""
    try:
        return plain(Decimal(text), path)
    except InvalidOperation:
        raise VenueError(f"{path}: {text!r} is not a number") from None


def instant_ns(at: datetime) -> int:
    """A time as nanoseconds since the epoch, exactly."""
    return (at - _EPOCH) // timedelta(microseconds=1) * 1_000


def seconds_ns(number: Decimal, path: str) -> int:
    """Seconds since the epoch as nanoseconds."""
    if not number.is_finite() or not 0 <= number < 10**11:
        raise VenueError(f"{path}: {number} is not a time")
    return int(number * 1_000_000_000)
