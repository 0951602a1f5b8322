"""Fields of received messages, read liberally: what cannot be read is listed, and never a wrong number."""

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation

from base.errors import CodecError
from fix.codec import GroupEntry, Message
from fix.session_events import FieldDefect


class FieldReader:
    """Fields of one message or entry; what cannot be read is listed in `defects` and answered as if absent."""

    def __init__(self, message: Message | GroupEntry, defects: Iterable[FieldDefect] = ()) -> None:
        self._message = message
        self.defects = [f"{d.tag}: {d.text}" for d in defects]

    def text(self, tag: int) -> str:
        """Text, "" when absent."""
        return self._message.get_str(tag) or ""

    def first(self, tags: tuple[int, ...]) -> str:
        """Text of the first of `tags` that is there."""
        for tag in tags:
            value = self._message.get_str(tag)
            if value is not None:
                return value
        return ""

    def scaled(self, tag: int, scale: int) -> int | None:
        """Decimal at `scale`; None when absent or when it does not fit."""
        try:
            return self._message.get_scaled(tag, scale)
        except CodecError as e:
            self.defects.append(f"{tag}: {e}")
            return None

    def utc(self, tag: int) -> int:
        """UTC nanoseconds, 0 when absent or unreadable."""
        try:
            return self._message.get_utc_ns(tag) or 0
        except CodecError as e:
            self.defects.append(f"{tag}: {e}")
            return 0

    def integer(self, tag: int) -> int | None:
        """Whole number; None when absent or unreadable."""
        try:
            return self._message.get_int(tag)
        except CodecError as e:
            self.defects.append(f"{tag}: {e}")
            return None

    def decimals(self, tags: tuple[int, ...]) -> int:
        """Most decimals that any of these fields is written with: a scale for an instrument nobody configured."""
        written = [self.text(tag).partition(".")[2] for tag in tags]
        return min(max(len(fraction) for fraction in written), 18)


def fee_amount(message: Message, entry: GroupEntry, base: str, alone: str = "") -> str:
    """MiscFeeAmt(137) by its basis (891): as it stands, for each unit, or the part of the value that 2 says.

    The value is LastQty in the base currency, LastQty x LastPx in any other. `alone`: the basis where it stands outside
    the one entry. What cannot be reckoned stands as it is.
    """
    said, basis = entry.get_str(137) or "", entry.get_str(891) or alone
    if basis not in ("1", "2"):
        return said
    try:
        amount, qty, px = (Decimal(text or "") for text in (said, message.get_str(32), message.get_str(31)))
        value = qty if basis == "1" or entry.get_str(138) == base else qty * px
        return f"{amount * value:f}"
    except InvalidOperation:
        return said
