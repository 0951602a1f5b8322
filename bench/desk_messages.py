"""Messages of FIX that were put down, taken apart and rendered anew, each with a number and a time of its own."""

import re
import time
from typing import Final, NamedTuple

from base.decimals import format_scaled, to_scaled

SOH: Final = b"\x01"
HEAD: Final = re.compile(rb"8=FIX[^\x01]*\x019=(\d+)\x01")
TRAILER: Final = 7  # 10=nnn and SOH
EXEC_IDS: Final = frozenset((b"17", b"527", b"571", b"880", b"1003"))
"""Of a fill: ExecID, SecondaryExecID, TradeReportID, TrdMatchID, TradeID."""
QTY_SCALE: Final = 8


def frames(buffer: bytearray) -> list[bytes]:
    """The whole messages at the beginning of `buffer`, which they leave."""
    found = []
    while (head := HEAD.match(buffer)) and len(buffer) >= (end := head.end() + int(head[1]) + TRAILER):
        found.append(bytes(buffer[:end]))
        del buffer[:end]
    return found


def fields(data: bytes) -> list[tuple[bytes, bytes]]:
    """(tag, value) of a message in their order."""
    return [(tag, value) for tag, _, value in (f.partition(b"=") for f in data.split(SOH)[:-1])]


def value(data: bytes, tag: bytes) -> bytes:
    """The first value of a tag; b"" when there is none."""
    found = re.search(rb"\x01" + tag + rb"=([^\x01]*)", data)
    return found[1] if found else b""


class Pieces(NamedTuple):
    """A message rendered beforehand but for MsgSeqNum(34) and SendingTime(52), its bytes summed for CheckSum(10)."""

    begin: bytes  # with its SOH
    before: bytes  # MsgType and comp ids
    after: bytes
    digits: int  # of a second's fraction
    length: int  # of the body, but for the two values that are new
    weight: int  # sum of these bytes and of the tags around them, but for BodyLength(9)'s value


class Framer:
    """Messages of a session as they leave: body rendered, number and time new."""

    def __init__(self) -> None:
        self.seq = 1
        self._clock: tuple[int, int, bytes, int] = (0, -1, b"", 0)  # when, digits, text, sum of it

    def __call__(self, pieces: Pieces, now_ns: int = 0) -> bytes:
        """`now_ns`: UTC, of messages that leave together; 0 takes the clock's."""
        at_ns = now_ns or time.time_ns()
        if self._clock[0] != at_ns or self._clock[1] != pieces.digits:
            text = clock_text(at_ns, pieces.digits)
            self._clock = at_ns, pieces.digits, text, sum(text)
        _, _, clock, clock_sum = self._clock
        seq = b"%d" % self.seq
        self.seq += 1
        length = b"%d" % (pieces.length + len(seq) + len(clock))
        total = (pieces.weight + clock_sum + sum(seq) + sum(length)) & 255
        return b"%b9=%b\x01%b\x0134=%b\x0152=%b\x01%b10=%03d\x01" % (
            pieces.begin, length, pieces.before, seq, clock, pieces.after, total,
        )  # fmt: skip


def clock_text(now_ns: int, digits: int) -> bytes:
    """UTC as FIX writes it, with so many digits of a second's fraction."""
    text = time.strftime("%Y%m%d-%H:%M:%S", time.gmtime(now_ns // 10**9))
    return (text + (f".{now_ns % 10**9:09d}"[: digits + 1] if digits else "")).encode()


def prepared(data: bytes) -> Pieces:
    """What `Framer` sends of a message."""
    head, rest = [], []
    digits = 3
    found = fields(data)
    for tag, text in found[2:-1]:
        if tag == b"52":
            digits = len(text.partition(b".")[2])
        elif tag in (b"35", b"49", b"56", b"50", b"57", b"1128"):
            head.append(tag + b"=" + text)
        elif tag not in (b"34", b"43", b"122"):
            rest.append(tag + b"=" + text + SOH)
    return pieces_of(b"8=" + found[0][1] + SOH, SOH.join(head), b"".join(rest), digits)


def pieces_of(begin: bytes, before: bytes, after: bytes, digits: int) -> Pieces:
    """With their length and sum."""
    between = b"\x0134=\x0152=\x01"
    length = len(before) + len(between) + len(after)
    return Pieces(begin, before, after, digits, length, sum(begin + b"9=\x01" + before + between + after))


def is_fill(data: bytes) -> bool:
    """Whether it is an ExecutionReport or a trade capture report of a fill: LastQty(32) above zero."""
    return value(data, b"35") in (b"8", b"AE") and float(value(data, b"32") or 0) > 0


def many_fills(template: bytes, messages: int, told: int = 0) -> list[Pieces]:
    """The fill, over and over: each of the same quantity, with ids and sums that go on from the template's.

    `told`: how many of them there were before.
    """

    def number(tag: bytes) -> int:
        return to_scaled(value(template, tag).decode(), QTY_SCALE)

    def text_of(qty: int) -> bytes:
        return format_scaled(qty, QTY_SCALE).encode()

    last = number(b"32")
    sums = {tag: (number(tag), sign) for tag, sign in ((b"14", 1), (b"151", -1)) if value(template, tag)}
    found = []
    for n in range(told, told + messages):
        new = {tag: text_of(begin + sign * n * last) for tag, (begin, sign) in sums.items()}
        new |= {tag: later(text, n) for tag, text in fields(template) if tag in EXEC_IDS}
        found.append(prepared(SOH.join(tag + b"=" + new.get(tag, text) for tag, text in fields(template)) + SOH))
    return found


def later(text: bytes, n: int) -> bytes:
    """An id that is `n` after this one: its last digits count on."""
    tail = re.search(rb"\d*$", text)
    assert tail is not None
    digits = tail[0][-12:]
    return text[: len(text) - len(digits)] + b"%0*d" % (len(digits) or 9, int(digits or b"0") + n)
