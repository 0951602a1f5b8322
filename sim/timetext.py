"""Times as venues print them, from UTC nanoseconds."""

from datetime import UTC, datetime

SECOND_NS = 1_000_000_000


def date_time(ns: int, digits: int = 3) -> str:
    """YYYYMMDD-HH:MM:SS with 0, 3, 6 or 9 decimals."""
    seconds, rest = divmod(ns, SECOND_NS)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%d-%H:%M:%S")
    return f"{text}.{str(rest).zfill(9)[:digits]}" if digits else text


def time_of_day(ns: int) -> str:
    """HH:MM:SS.sss"""
    return date_time(ns)[9:]


def iso_nanos(ns: int) -> str:
    """2026-02-03T10:24:34.650069468Z"""
    seconds, rest = divmod(ns, SECOND_NS)
    return f"{datetime.fromtimestamp(seconds, UTC).strftime('%Y-%m-%dT%H:%M:%S')}.{rest:09d}Z"


def parse(text: str) -> int | None:
    """UTC ns of YYYYMMDD-HH:MM:SS[.fraction]; None when it is not such a text."""
    whole, _, fraction = text.partition(".")
    try:
        moment = datetime.strptime(whole, "%Y%m%d-%H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    if fraction and not (fraction.isdigit() and len(fraction) <= 9):
        return None
    return int(moment.timestamp()) * SECOND_NS + int(fraction.ljust(9, "0") or "0")
