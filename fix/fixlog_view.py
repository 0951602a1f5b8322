"""A message of a log in words: fields and values by their names, in lines that fit the screen."""

import re
from collections.abc import Iterable
from datetime import date

from fix._fixlog import SECRET_TAGS
from fix.dictionary import Dictionary
from fix.fixlog_reader import Line

Fields = list[tuple[int, str]]

_DATA = {90: 91, 93: 89, 95: 96, 212: 213, 348: 349, 350: 351, 352: 353, 354: 355, 356: 357, 358: 359, 360: 361,
         362: 363, 364: 365, 445: 446, 618: 619, 621: 622}  # fmt: skip
"""Lengths, and the data that follows them."""
_DATA_LENGTH = re.compile(rb"\x01(?:%s)=" % b"|".join(b"%d" % tag for tag in _DATA))
_LEFT_OUT = frozenset({8, 9, 10, 34, 35, 49, 52, 56})
"""Said in the heading, or by the log's name."""
_MOST_LINES = 12
_INDENT = "      "
_EPOCH_DAY = date(1970, 1, 1).toordinal()
IN, OUT = "←", "→"


def fields_of(raw: bytes) -> Fields:
    """Tags and values; data by its length where that holds. What has no number is left out."""
    if _DATA_LENGTH.search(raw):
        return _with_data(raw)
    parts = [field.partition("=") for field in raw.decode("utf-8", "backslashreplace").split("\1")]
    return [(int(tag), value) for tag, equals, value in parts if equals and tag.isdecimal() and tag.isascii()]


def _with_data(raw: bytes) -> Fields:
    found: Fields = []
    at, size, data_tag, data_size = 0, len(raw), 0, 0
    while at < size:
        equals = raw.find(b"=", at)
        end = raw.find(b"\1", at)
        end = size if end < 0 else end
        if 0 < equals < end and raw[at:equals].isdigit():
            tag = int(raw[at:equals])
            if tag == data_tag and raw[equals + 1 + data_size : equals + 2 + data_size] == b"\1":
                end = equals + 1 + data_size
            value = raw[equals + 1 : end].decode("utf-8", "backslashreplace")
            found.append((tag, value))
            data_tag = _DATA.get(tag, 0)
            data_size = int(value) if data_tag and value.isdigit() and len(value) < 9 else 0
        at = end + 1
    return found


class Namer:
    """Names of a dictionary's messages, fields and values, each looked up once."""

    def __init__(self, dictionary: Dictionary | None, secret_tags: Iterable[int] = ()) -> None:
        self._dictionary = dictionary
        self._secret = frozenset(secret_tags) | set(SECRET_TAGS)
        self._fields: dict[int, str] = {}
        self._heads: dict[int, str] = {}
        self._values: dict[tuple[int, str], str] = {}
        self._messages: dict[str, str] = {}

    def message(self, msg_type: str) -> str:
        """ "NewOrderSingle"; the type itself when it has no name."""
        name = self._messages.get(msg_type)
        if name is None:
            known = self._dictionary.message_name(msg_type) if self._dictionary else ""
            name = self._messages[msg_type] = known or f"35={printable(msg_type)}"
        return name

    def field(self, tag: int) -> str:
        """ "ClOrdID"; "" when it has no name."""
        name = self._fields.get(tag)
        if name is None:
            name = self._fields[tag] = self._dictionary.field_name(tag) if self._dictionary else ""
        return name

    def value(self, tag: int, value: str) -> str:
        """ "FILL"; "" when it has no name."""
        key = (tag, value)
        name = self._values.get(key)
        if name is None:
            name = self._dictionary.value_name(tag, value) if self._dictionary else ""
            if len(self._values) < 10_000:  # free text has no names, and no end
                self._values[key] = name
        return name

    def shown(self, tag: int, value: str) -> str:
        """The value by its name where it has one; a secret never, whatever the log holds."""
        if tag in self._secret:
            return "***"
        return self.value(tag, value) or printable(value)

    def field_text(self, tag: int, value: str) -> str:
        """ "Side(54)=1 BUY"."""
        head = self._heads.get(tag)
        if head is None:
            name = self.field(tag)
            head = self._heads[tag] = f"{name}({tag})=" if name else f"{tag}="
        if tag in self._secret:
            return f"{head}***"
        name = self.value(tag, value)
        return f"{head}{printable(value)} {name}" if name else f"{head}{printable(value)}"


def printable(value: str) -> str:
    """Without what would move the cursor."""
    return value if value.isprintable() else "".join(c if c.isprintable() else "\N{MIDDLE DOT}" for c in value)


def elapsed_text(ns: int) -> str:
    """Nanoseconds in the unit that fits."""
    size = abs(ns)
    if size < 1_000_000:
        return f"{ns / 1000:.1f} us"
    if size < 1_000_000_000:
        return f"{ns / 1_000_000:.3f} ms"
    if size < 600_000_000_000:
        return f"{ns / 1_000_000_000:.3f} s"
    minutes, seconds = divmod(ns // 1_000_000_000, 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min {seconds:02} s"


def stamp_ns(stamp: bytes) -> int:
    """A line's time in UTC ns."""
    day = date(int(stamp[:4]), int(stamp[4:6]), int(stamp[6:8])).toordinal() - _EPOCH_DAY
    seconds = ((day * 24 + int(stamp[9:11])) * 60 + int(stamp[12:14])) * 60 + int(stamp[15:17])
    return seconds * 1_000_000_000 + int(stamp[18:27])


def value_of(fields: Fields, tag: int) -> str:
    """The first of a tag; "" when absent."""
    return next((value for t, value in fields if t == tag), "")


def shown_of(fields: Fields, tag: int) -> str:
    """The same for the screen, without what would move the cursor: a venue may send anything in any field."""
    return printable(value_of(fields, tag))


def arrow(line: Line) -> str:
    """To the venue or from it."""
    return IN if line.incoming else OUT


def heading(line: Line, fields: Fields, namer: Namer, width: int) -> str:
    """Time, direction, log, message and number, to one line."""
    time, name = line.stamp[9:24].decode(), namer.message(value_of(fields, 35))
    return f"{time} {arrow(line)} {line.log:<{width}}  {name} ({shown_of(fields, 35)}) #{shown_of(fields, 34)}"


def body(fields: Fields, namer: Namer, width: int, full: bool = False) -> list[str]:
    """The other fields, wrapped; long messages are cut with a word about it unless `full`."""
    texts = [namer.field_text(tag, value) for tag, value in fields if tag not in _LEFT_OUT]
    lines, line = [], ""
    for n, text in enumerate(texts):
        if line and len(line) + 2 + len(text) > width:
            lines.append(line)
            line = ""
            if len(lines) == _MOST_LINES and not full:
                return [*lines, f"{_INDENT}... {len(texts) - n} more fields; --full shows them"]
        line = f"{line}  {text}" if line else f"{_INDENT}{text}"
    return [*lines, line] if line else lines
