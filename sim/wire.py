"""FIX bytes at the venue's end: framing by BodyLength with CheckSum verified, fields by simplefix.

The desk's own codec is not used here: two ends of a simulated session never share one. simplefix checks neither length
nor sum and would cut a message at any `10=`, so frames are found and verified here and only whole ones reach it.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from simplefix import FixMessage, FixParser
from simplefix.errors import ParsingError

SOH = b"\x01"
MAX_BODY = 1 << 20  # a client's message is small; anything longer is garbage

_HEAD = re.compile(rb"8=(FIX\.4\.4|FIX\.4\.2|FIXT\.1\.1)\x019=(\d{1,9})\x01")
_START = b"8=FIX"

Field = tuple[int, str]


class Message:
    """A received message: fields in the order of the wire."""

    __slots__ = ("fields", "raw")

    def __init__(self, fields: list[Field], raw: bytes = b"") -> None:
        self.fields = fields
        self.raw = raw

    @property
    def msg_type(self) -> str:
        return self.get(35)

    @property
    def seq(self) -> int:
        """MsgSeqNum(34); -1 when it is missing or no number."""
        return number(self.get(34), -1)

    def get(self, tag: int, default: str = "") -> str:
        """First value of `tag`."""
        for t, v in self.fields:
            if t == tag:
                return v
        return default

    def has(self, tag: int) -> bool:
        return any(t == tag for t, _ in self.fields)

    def all(self, tag: int) -> list[str]:
        """Every value of `tag`, in order."""
        return [v for t, v in self.fields if t == tag]

    def group(self, count_tag: int, delimiter: int) -> list["Message"]:
        """Entries of the repeating group after `count_tag`; each begins with `delimiter` and runs to the next one."""
        entries: list[Message] = []
        inside = False
        for tag, value in self.fields:
            if tag == count_tag:
                inside = True
            elif inside and tag == delimiter:
                entries.append(Message([(tag, value)]))
            elif inside and entries and tag != 10:
                entries[-1].fields.append((tag, value))
        return entries


@dataclass(frozen=True, slots=True)
class Garbled:
    """Bytes that were skipped, and why."""

    reason: str
    size: int


def number(text: str, default: int) -> int:
    """A non-negative decimal integer of at most 20 digits, or `default`."""
    return int(text) if text.isdigit() and len(text) <= 20 else default


class Framer:
    """Cuts a byte stream into verified messages. Garbled input is skipped to the next `8=FIX`."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview) -> list[Message | Garbled]:
        """What became complete with these bytes."""
        self._buffer += data
        out: list[Message | Garbled] = []
        while (item := self._next()) is not None:
            out.append(item)
        return out

    def _next(self) -> Message | Garbled | None:
        buffer = self._buffer
        start = buffer.find(_START)
        if start < 0:
            keep = len(_START) - 1
            return self._skip(len(buffer) - keep, "no message begins here") if len(buffer) > 64 else None
        if start:
            return self._skip(start, "bytes between messages")
        head = _HEAD.match(buffer)
        if head is None:
            return self._resync("no BeginString and BodyLength") if len(buffer) >= 32 else None
        length = int(head[2])
        if length > MAX_BODY:
            return self._resync(f"BodyLength {length} is over {MAX_BODY}")
        end = head.end() + length + 7
        if len(buffer) < end:
            return None
        frame = bytes(buffer[:end])
        problem = _problem(frame, head.end() + length)
        if problem:
            return self._resync(problem)
        del buffer[:end]
        return Message(_fields(frame), frame)

    def _resync(self, reason: str) -> Garbled:
        nxt = self._buffer.find(_START, 1)
        return self._skip(nxt if nxt > 0 else len(self._buffer), reason)

    def _skip(self, size: int, reason: str) -> Garbled:
        del self._buffer[:size]
        return Garbled(reason, size)


def _problem(frame: bytes, trailer: int) -> str:
    if frame[trailer - 1 : trailer] != SOH or frame[trailer : trailer + 3] != b"10=" or frame[-1:] != SOH:
        return "BodyLength does not end at CheckSum"
    want = b"%03d" % (sum(frame[:trailer]) & 255)
    got = frame[trailer + 3 : -1]
    return "" if got == want else f"CheckSum is {got!r}, computed {want!r}"


def _fields(frame: bytes) -> list[Field]:
    parser = FixParser(allow_empty_values=True)
    parser.append_buffer(frame)
    try:
        message = parser.get_message()
    except (ParsingError, ValueError):
        message = None
    if message is None:  # a wrong data length, an empty tag: what simplefix cannot cut is taken apart plainly
        return [_plain(part) for part in frame.split(SOH) if part]
    return [(_tag(tag), value.decode("utf-8", "replace")) for tag, value in message.pairs]


def _plain(part: bytes) -> Field:
    tag, _, value = part.partition(b"=")
    return _tag(tag), value.decode("utf-8", "replace")


def _tag(tag: bytes) -> int:
    return int(tag) if tag.isdigit() else 0


def encode(begin: str, head: Iterable[Field], body: Iterable[Field], length_digits: int = 0) -> bytes:
    """A message from header fields (35 first) and body; 8, 9 and 10 are added. `length_digits` pads 9 with zeros."""
    message = FixMessage()
    for tag, value in head:
        message.append_pair(tag, value)
    for tag, value in body:
        message.append_pair(tag, value)
    return wrap(begin, message.encode(raw=True), length_digits)


def wrap(begin: str, rest: bytes, length_digits: int = 0) -> bytes:
    """`rest` (35= to the SOH before 10=) with 8, 9 and 10 around it."""
    frame = b"8=%s\x019=%s\x01%s" % (begin.encode(), str(len(rest)).zfill(length_digits).encode(), rest)
    return b"%s10=%03d\x01" % (frame, sum(frame) & 255)


def render(fields: Sequence[Field]) -> bytes:
    """Fields as bytes without header and trailer; for market data that is rendered once and sent to many."""
    return "".join(f"{tag}={value}\x01" for tag, value in fields).encode()
