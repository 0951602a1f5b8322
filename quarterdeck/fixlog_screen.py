"""What `qd fixlog` prints: which logs there are, messages in words, an order's life."""

import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from base.config import DeskConfig
from base.errors import CommandError, ConfigError
from fix.dictionary import Dictionary
from fix.fixlog import Masker
from fix.fixlog_life import Life, in_words
from fix.fixlog_reader import Filter, Line, Log, Tally, logs_in, merged
from fix.fixlog_view import (
    Namer,
    arrow,
    body,
    elapsed_text,
    fields_of,
    heading,
    printable,
    shown_of,
    stamp_ns,
    value_of,
)
from venues.dictionaries import venue_dictionary

WIDTH = 120
_SPANS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_COLOURS = {"→": "36", "←": "32", "dim": "2", "bad": "31", "bold": "1"}
_UNDER = " " * 19
_BAD_TYPES = frozenset({"3", "j", "9"})


class Source(msgspec.Struct, frozen=True):
    """One log, and what the configuration says of it."""

    path: Path
    session: str
    venue: str
    dialect: str

    @property
    def name(self) -> str:
        """Name of the log: session and SenderCompID."""
        return self.path.name.removesuffix(".fix.log")


def sources(desk: DeskConfig | None, folder: Path | None, wanted: list[str]) -> list[Source]:
    """The logs of a desk, or of a folder; of some sessions when `wanted` names any. CommandError for unknown ones."""
    place = folder if folder is not None else (desk.log_dir / "fix" if desk is not None else Path())
    found = [_source(desk, path) for path in logs_in(place)]
    known = {s.session for s in found} | {s.name for s in found} | (set(desk.config.session) if desk else set())
    for name in wanted:
        if name not in known:
            raise CommandError(f"--session {name!r}: no such session; there are {sorted(s.session for s in found)}")
    kept = [s for s in found if not wanted or s.session in wanted or s.name in wanted]
    if not kept:
        raise CommandError(f"{place}: no FIX log there{' of ' + ', '.join(wanted) if wanted else ''}")
    return kept


def _source(desk: DeskConfig | None, path: Path) -> Source:
    name = path.name.removesuffix(".fix.log")
    for session, config in desk.config.session.items() if desk is not None else ():
        ids = {config.sender_comp_id, config.alternate_sender_comp_id} - {""}
        if name.removesuffix(".md") in {f"{session}-{own}" for own in ids}:
            return Source(path, session, config.venue, desk.config.venue[config.venue].dialect if desk else "")
    return Source(path, name, name, "")


class Names:
    """The dictionary of each log, by its venue and BeginString, read when first needed."""

    def __init__(self, desk: DeskConfig | None, logs: list[Source]) -> None:
        self._desk = desk
        self._sources = {source.name: source for source in logs}
        self._known: dict[tuple[str, bytes], Namer] = {}

    def add(self, source: Source) -> None:
        """A log that was not there before."""
        self._sources[source.name] = source

    def of(self, line: Line) -> Namer:
        """Names for a line."""
        key = line.log, line.raw[2 : line.raw.find(b"\1", 2, 20)]
        namer = self._known.get(key)
        if namer is None:
            namer = self._known[key] = Namer(self._dictionary(*key))
        return namer

    def _dictionary(self, log: str, begin: bytes) -> Dictionary | None:
        source = self._sources[log]
        config = self._desk.config.session.get(source.session) if self._desk else None
        if config is not None and config.dictionary:
            return Dictionary.load(config.dictionary, config.transport_dictionary or None)
        try:
            return venue_dictionary(source.dialect, begin.decode("ascii", "replace"))
        except ConfigError:  # a version that has none: numbers have to do
            return None


class Screen:
    """Prints messages one after another; the day when it changes, and the time since the one before."""

    def __init__(self, names: Names, logs: list[Source], raw: bool, full: bool, colour: bool) -> None:
        self._names = names
        self._width = max((len(s.name) for s in logs), default=0)
        self._raw, self._full, self._colour = raw, full, colour
        self._mask = Masker()
        self._day = b""
        self._before_ns = 0

    def message(self, line: Line) -> str:
        """One message, with line feeds."""
        if self._raw:
            raw = escaped(self._mask(line.raw).decode("utf-8", "backslashreplace").replace("\1", "|"))
            return f"{line.stamp.decode()} {arrow(line)} {line.log} {raw}\n"
        fields, namer = fields_of(line.raw), self._names.of(line)
        at_ns = stamp_ns(line.stamp)
        head = heading(line, fields, namer, self._width)
        if self._before_ns:
            step = f"+{elapsed_text(at_ns - self._before_ns)}".replace("+-", "-")
            head = f"{head}{self._paint('dim', step.rjust(max(WIDTH - len(head), len(step) + 2)))}"
        self._before_ns = at_ns
        colour = "bad" if value_of(fields, 35) in _BAD_TYPES else arrow(line)
        text = "\n".join([self._paint(colour, head), *body(fields, namer, WIDTH, self._full)])
        return f"{self._new_day(line.stamp[:8])}{text}\n"

    def life(self, life: Life, order: str, place: str) -> Iterator[str]:
        """A heading, then one message a line or two."""
        first_ns = before_ns = stamp_ns(life.lines[0][0].stamp)
        last_ns = stamp_ns(life.lines[-1][0].stamp)
        span = elapsed_text(last_ns - first_ns)
        yield self._paint("bold", f"order {order} {place}: {len(life.lines)} messages in {span}") + "\n"
        cl_ord_ids, order_ids = (printable(", ".join(ids)) or "-" for ids in (life.cl_ord_ids, life.order_ids))
        yield f"  ClOrdID {cl_ord_ids}   OrderID {order_ids}\n"
        yield self._new_day(life.lines[0][0].stamp[:8])
        yield self._paint("dim", f"  {'time':<15} {'elapsed':>12} {'step':>12}    log and message") + "\n"
        only_id = life.cl_ord_ids[0] if len(life.cl_ord_ids) == 1 else ""
        for line, fields in life.lines:
            at_ns, namer = stamp_ns(line.stamp), self._names.of(line)
            times = f"{elapsed_text(at_ns - first_ns):>12} {elapsed_text(at_ns - before_ns):>12}"
            before_ns = at_ns
            name = namer.message(value_of(fields, 35))
            number = shown_of(fields, 34)
            head = f"  {line.stamp[9:24].decode()} {times}  {arrow(line)} {line.log:<{self._width}}  {name} #{number}"
            colour = "bad" if value_of(fields, 35) in _BAD_TYPES or value_of(fields, 39) == "8" else arrow(line)
            yield self._new_day(line.stamp[:8]) + self._paint(colour, head) + "\n"
            yield "".join(
                f"{_UNDER}{part}\n" for part in wrapped(in_words(fields, namer, only_id), WIDTH - len(_UNDER))
            )

    def _new_day(self, day: bytes) -> str:
        if day == self._day:
            return ""
        self._day = day
        text = day.decode()
        return self._paint("dim", f"-- {text[:4]}-{text[4:6]}-{text[6:]} UTC") + "\n"

    def _paint(self, colour: str, text: str) -> str:
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self._colour else text


def escaped(text: str) -> str:
    """What would move the cursor, as \\x1b or \\u202e: a terminal obeys whatever a venue sent."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def wrapped(text: str, width: int) -> list[str]:
    """Cut between words where there are any."""
    lines, line = [], ""
    for word in text.split(" "):
        if line and len(line) + 1 + len(word) > width:
            lines.append(line.rstrip())
            line = ""
        line = f"{line} {word}" if line else word
    return [*lines, line]


def reader(logs: list[Source], tally: Tally, span: Filter) -> Callable[[Filter], Iterator[Line]]:
    """Lines of these logs within a span of time, by time."""

    def read(wanted: Filter) -> Iterator[Line]:
        both = Filter(span.since, span.until, wanted.msg_types, wanted.ids, wanted.numbers)
        return merged(Log(source.path, tally, both) for source in logs)

    return read


def moment(text: str, now: datetime, option: str) -> bytes:
    """A time as a stamp: 15m (ago), 08:00 (today, UTC), 2026-11-22, 2026-11-22T08:00:05.25. b"" for ""."""
    if not text:
        return b""
    if match := re.fullmatch(r"(\d{1,6})([smhd])", text):
        at = now - timedelta(**{_SPANS[match[2]]: int(match[1])})
        return at.strftime("%Y%m%d-%H:%M:%S.%f").encode()
    if re.fullmatch(r"\d\d:\d\d(:\d\d(\.\d{1,9})?)?", text):
        return f"{now:%Y%m%d}-{text}".encode()
    match = re.fullmatch(r"(\d{4})-?(\d\d)-?(\d\d)([T -](\d\d:\d\d(:\d\d(\.\d{1,9})?)?)Z?)?", text)
    if match is None:
        raise CommandError(f"{option} {text!r}: expected 15m, 08:00, 2026-11-22 or 2026-11-22T08:00:05.25 (UTC)")
    return f"{match[1]}{match[2]}{match[3]}-{match[5] or ''}".encode()


def tell(text: str) -> None:
    """One line of what could not be read."""
    sys.stderr.write(f"{text}\n")


def now_utc() -> datetime:
    """The present, for spans that are counted back from it."""
    return datetime.now(UTC)
