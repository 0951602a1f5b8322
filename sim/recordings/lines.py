"""Lines of recorded files: gzip or xz, JSON after a time stamp; everything that does not fit names file and line."""

import gzip
import json
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from base.errors import RecordingError

_DECODER = json.JSONDecoder(parse_float=str)  # floats keep the digits they were recorded with
MAX_LINE = 64 << 20


class Frame(NamedTuple):
    """One recorded message."""

    line: int
    time_ns: int
    content: Any
    source: str = ""  # address a REST body came from


def fail(path: Path, line: int, text: str) -> RecordingError:
    """The error for a line that cannot be used."""
    return RecordingError(f"{path}:{line}: {text}")


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number, text) of every line; RecordingError when the file cannot be read."""
    opener = lzma.open if path.suffix == ".xz" else gzip.open
    number = 0
    try:
        with opener(path, "rt", encoding="utf-8") as file:
            for number, text in enumerate(file, 1):
                yield number, text.rstrip("\n")
    except (OSError, EOFError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise fail(path, number + 1, f"cannot be read: {error}") from None


def content(path: Path, line: int, text: str) -> Any:
    """JSON of a line."""
    try:
        return _DECODER.decode(text)
    except ValueError as error:
        raise fail(path, line, f"not JSON: {error}") from None


def seconds_ns(path: Path, line: int, text: str) -> int:
    """Nanoseconds of a Unix time in (fractional) seconds."""
    whole, _, fraction = text.partition(".")
    if not whole.isdigit() or (fraction and not fraction.isdigit()):
        raise fail(path, line, f"{text!r} is no time")
    return int(whole) * 1_000_000_000 + int(fraction[:9].ljust(9, "0") or "0")


def captured(path: Path) -> Iterator[Frame]:
    """Frames that a venue sent, out of a capture: `<time>: <text>` and `<url> -> <time>: <body>`."""
    for number, text in lines(path):
        if not text:
            continue
        if text[0].isdigit():
            stamp, colon, body = text.partition(": ")
            if not colon:
                raise fail(path, number, "expected `<time>: <text>`")
            yield Frame(number, seconds_ns(path, number, stamp), content(path, number, body))
            continue
        url, arrow, rest = _split(text)
        if not arrow:
            raise fail(path, number, "expected `<url> <->`, `<url> <-` or `<url> ->` and a time")
        if arrow == " -> ":
            stamp, _, body = rest.partition(": ")
            yield Frame(number, seconds_ns(path, number, stamp), content(path, number, body), url)


def _split(text: str) -> tuple[str, str, str]:
    for arrow in (" <-> ", " <- ", " -> "):
        url, found, rest = text.partition(arrow)
        if found:
            return url, arrow, rest
    return text, "", ""
