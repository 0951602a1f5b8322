"""What simulated venues said, put down once and said again: bytes rendered beforehand, at any pace.

    python -m bench.desk_tape record RUN_DIR FOLDER VENUE...
    python -m bench.desk_tape play   RUN_DIR FOLDER VENUE...

Stands between a desk and its venues on every FIX endpoint, over TLS on both sides; `tape-VENUE.json` in RUN_DIR tells
the desk where to connect. A recorder passes everything on and puts each message down. A player needs no venue: it
answers a message of the desk as that was answered on the tape, with the desk's new ids in it, and then sends on command
(a line of JSON on standard input, answered by one) what is left of the tape, framed anew: MsgSeqNum(34),
SendingTime(52), CheckSum(10). Reports are of one fill of the tape, over and over, with ids and sums that go on.
"""

import asyncio
import json
import re
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from base.decimals import format_scaled, to_scaled
from sim.tls import authority, server_context

SERVICES: Final = ("trading", "marketdata", "dropcopy")
SOH: Final = b"\x01"
HEAD: Final = re.compile(rb"8=FIX[^\x01]*\x019=(\d+)\x01")
TRAILER: Final = 7  # 10=nnn and SOH
# What a request is called by, so that its answer can say it: ClOrdID, MDReqID, SecurityReqID, MassStatusReqID, ...
IDS: Final = frozenset((b"11", b"262", b"320", b"335", b"568", b"584", b"909", b"710", b"112"))
EXEC_IDS: Final = frozenset((b"17", b"527", b"571", b"880", b"1003"))
"""Of a fill: ExecID, SecondaryExecID, TradeReportID, TrdMatchID, TradeID."""
QUIET: Final = frozenset((b"0", b"1", b"2", b"4"))  # session messages from the desk that no tape answers
TURN_S: Final = 0.01
QTY_SCALE: Final = 8


class Line(msgspec.Struct, array_like=True):
    """One message; `desk`: from the desk."""

    desk: bool
    data: bytes


class Tape(msgspec.Struct):
    """One connection from its beginning; `settled`: how many lines there were when the desk was ready."""

    lines: list[Line] = []
    settled: int = 0


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


class Framer:
    """Messages of a session as they leave: body rendered, number and time new."""

    def __init__(self) -> None:
        self.seq = 1

    def __call__(self, pieces: tuple[bytes, bytes, bytes, int]) -> bytes:
        """`pieces` as of `prepared`."""
        begin, before, after, digits = pieces
        now = time.time_ns()
        clock = time.strftime("%Y%m%d-%H:%M:%S", time.gmtime(now // 10**9))
        clock += f".{now % 10**9:09d}"[: digits + 1] if digits else ""
        body = b"%b\x0134=%d\x0152=%b\x01%b" % (before, self.seq, clock.encode(), after)
        self.seq += 1
        text = b"%b\x019=%d\x01%b" % (begin, len(body), body)
        return text + b"10=%03d\x01" % (sum(text) & 255)


def prepared(data: bytes) -> tuple[bytes, bytes, bytes, int]:
    """(BeginString, MsgType and comp ids, the rest, digits of a second's fraction): what `Framer` sends."""
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
    return b"8=" + found[0][1], SOH.join(head), b"".join(rest), digits


class Recorder:
    """Passes on and puts down."""

    def __init__(self, upstream: Callable[[], tuple[str, int]], context: ssl.SSLContext) -> None:
        self._upstream, self._context = upstream, context
        self.tape = Tape()

    async def serve(self, desk: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """One connection; the newest is the tape."""
        tape = self.tape = Tape()
        host, port = self._upstream()
        venue, forth = await asyncio.open_connection(host, port, ssl=self._context, server_hostname="localhost")
        try:
            await asyncio.gather(self._pump(desk, forth, tape, True), self._pump(venue, back, tape, False))
        except OSError:
            pass  # the desk or the venue is ended: the tape is what there was
        finally:
            forth.close()
            back.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, tape: Tape, desk: bool) -> None:
        buffer = bytearray()
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
            buffer += data
            tape.lines += [Line(desk, m) for m in frames(buffer)]
        sink.close()


class Player:
    """One session's venue."""

    def __init__(self, tape: Tape, on_order: Callable[[bytes, bytes], None]) -> None:
        self._script, self._stream = tape.lines[: tape.settled], [m for m in tape.lines[tape.settled :] if not m.desk]
        self._orders = [n for n, m in enumerate(tape.lines) if m.desk and value(m.data, b"35") in (b"D", b"E")]
        if self._orders:  # an order is part of the script, up to its first fill
            self._script = tape.lines
        self._on_order = on_order
        self._ids: dict[bytes, bytes] = {}
        self._at = 0
        self._framer = Framer()
        self._writer: asyncio.StreamWriter | None = None
        self.unanswered: list[str] = []
        self.rendered: list[tuple[bytes, bytes, bytes, int]] = []
        self.sent = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the desk, from its Logon on."""
        self._writer, self._at, self._framer = writer, 0, Framer()
        buffer, last = bytearray(), time.monotonic()
        while True:
            try:
                data = await asyncio.wait_for(reader.read(65_536), 1.0)
            except asyncio.CancelledError:
                return  # standard input has ended
            except TimeoutError:
                if time.monotonic() - last > 4.0:  # idle: a Heartbeat
                    self._plain(b"0", b"")
                    last = time.monotonic()
                continue
            except OSError:
                return
            if not data:
                return
            buffer += data
            for message in frames(buffer):
                if not self._answer(message):
                    writer.close()
                    return

    def _answer(self, data: bytes) -> bool:
        """False after a Logout."""
        kind = value(data, b"35")
        if kind == b"1":
            self._plain(b"0", b"112=" + value(data, b"112") + SOH)
        elif kind == b"5":
            self._plain(b"5", b"")
            return False
        if kind in QUIET:
            return True
        for n in [*range(self._at, len(self._script)), *range(self._at)]:
            if self._script[n].desk and value(self._script[n].data, b"35") == kind:
                self._at = n + 1
                self._say(data, self._script[n].data)
                return True
        self.unanswered.append(kind.decode())
        return True

    def _say(self, now: bytes, then: bytes) -> None:
        """What followed on the tape, up to the desk's next message or the first fill."""
        new = dict(fields(now))
        self._ids |= {text: new[tag] for tag, text in fields(then) if tag in IDS and tag in new}
        while self._at < len(self._script):
            line = self._script[self._at]
            if line.desk and value(line.data, b"35") not in QUIET:
                break
            self._at += 1
            if line.desk or value(line.data, b"35") in QUIET:
                continue
            if is_fill(line.data):
                break
            self._write(prepared(self._renamed(line.data)))
        if value(now, b"35") in (b"D", b"E"):
            self._on_order(value(then, b"11"), value(now, b"11"))

    def _renamed(self, data: bytes) -> bytes:
        return SOH.join(tag + b"=" + self._ids.get(text, text) for tag, text in fields(data)) + SOH

    def rename(self, then: bytes, now: bytes) -> None:
        """From now on an order of the tape is called so."""
        self._ids[then] = now

    def report_first(self) -> None:
        """A drop copy's reports of the order, up to its first fill."""
        for line in self._stream:
            if value(line.data, b"35") not in QUIET:
                if is_fill(line.data):
                    break
                self._write(prepared(self._renamed(line.data)))

    def prepare(self, messages: int) -> int:
        """Render what `go` will send; how much there is."""
        fills = [m.data for m in (*self._script, *self._stream) if not m.desk and is_fill(m.data)]
        if fills:
            self.rendered = many_fills(self._renamed(fills[-1]), messages)
        else:
            rest = [m.data for m in self._stream if value(m.data, b"35") not in QUIET]
            self.rendered = [prepared(self._renamed(m)) for m in rest[:messages]]
        return len(self.rendered)

    async def go(self, rate: int) -> None:
        """Send what was rendered at `rate` a second."""
        begin, total = time.monotonic(), len(self.rendered)
        while self.sent < total and self._writer is not None and not self._writer.is_closing():
            due = min(total, int((time.monotonic() - begin) * rate) + 1)
            self._writer.write(b"".join(map(self._framer, self.rendered[self.sent : due])))
            self.sent = due
            await asyncio.sleep(TURN_S)

    def _plain(self, kind: bytes, body: bytes) -> None:
        first = next(m.data for m in self._script if not m.desk)
        begin, head, _, digits = prepared(first)
        self._write((begin, re.sub(rb"35=[^\x01]*", b"35=" + kind, head), body, digits))

    def _write(self, pieces: tuple[bytes, bytes, bytes, int]) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(self._framer(pieces))


def is_fill(data: bytes) -> bool:
    """Whether it is an ExecutionReport or a trade capture report of a fill: LastQty(32) above zero."""
    return value(data, b"35") in (b"8", b"AE") and float(value(data, b"32") or 0) > 0


def many_fills(template: bytes, messages: int) -> list[tuple[bytes, bytes, bytes, int]]:
    """The fill, over and over: each of the same quantity, with ids and sums that go on from the template's."""

    def number(tag: bytes) -> int:
        return to_scaled(value(template, tag).decode(), QTY_SCALE)

    def text_of(qty: int) -> bytes:
        return format_scaled(qty, QTY_SCALE).encode()

    last = number(b"32")
    sums = {tag: (number(tag), sign) for tag, sign in ((b"14", 1), (b"151", -1)) if value(template, tag)}
    found = []
    for n in range(messages):
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


class Deck:
    """Every endpoint of the venues."""

    def __init__(self, mode: str, run_dir: Path, folder: Path, venues: list[str]) -> None:
        self._mode, self._run_dir, self._folder, self._venues = mode, run_dir, folder, venues
        self._ends: dict[tuple[str, str], Recorder | Player] = {}

    def _venue_ends(self, venue: str) -> dict[str, str]:
        ends: dict[str, str] = json.loads((self._run_dir / f"sim-{venue}.json").read_text())["endpoints"]
        return ends

    def _upstream(self, venue: str, service: str) -> Callable[[], tuple[str, int]]:
        def where() -> tuple[str, int]:
            host, _, port = self._venue_ends(venue)[service].rpartition(":")
            return host, int(port)

        return where

    def _end(self, venue: str, service: str) -> Recorder | Player | None:
        if self._mode == "record":
            trust = ssl.create_default_context(cafile=str(self._run_dir / f"sim-{venue}.ca.pem"))
            return Recorder(self._upstream(venue, service), trust)
        path = self._folder / f"{venue}.{service}.tape"
        if not path.exists():
            return None

        def ordered(then: bytes, now: bytes) -> None:
            for (v, s), player in self._ends.items():
                if v == venue and isinstance(player, Player):
                    player.rename(then, now)
                    if s == "dropcopy":
                        player.report_first()

        return Player(msgspec.msgpack.decode(path.read_bytes(), type=Tape), ordered)

    async def run(self) -> None:
        """Listen, then do as standard input says until it ends."""
        ca, _ = authority(self._run_dir, "tape")
        context = server_context(ca, False)
        for venue in self._venues:
            while not (self._run_dir / f"sim-{venue}.json").exists():
                await asyncio.sleep(TURN_S)  # supervisord starts it meanwhile
            ends = self._venue_ends(venue)
            for service in SERVICES:
                end = self._end(venue, service) if service in ends else None
                if end is not None:
                    server = await asyncio.start_server(end.serve, "127.0.0.1", 0, ssl=context)
                    ends[service] = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
                    self._ends[venue, service] = end
            (self._run_dir / f"tape-{venue}.json").write_text(json.dumps({"endpoints": ends}))
        self._answer({"ready": len(self._ends)})
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            self._answer(await self._told(json.loads(line)))

    async def _told(self, said: dict[str, Any]) -> dict[str, Any]:
        what = said["do"]
        recorders = {k: e for k, e in self._ends.items() if isinstance(e, Recorder)}
        players = {k: e for k, e in self._ends.items() if isinstance(e, Player)}
        if what == "settled":
            for recorder in recorders.values():
                recorder.tape.settled = len(recorder.tape.lines)
        elif what == "length":
            return {f"{v}.{s}": len(e.tape.lines) for (v, s), e in recorders.items()}
        elif what == "save":
            for (v, s), recorder in recorders.items():
                if recorder.tape.lines:
                    (self._folder / f"{v}.{s}.tape").write_bytes(msgspec.msgpack.encode(recorder.tape))
        elif what == "prepare":
            return {f"{v}.{s}": p.prepare(said["messages"]) for (v, s), p in players.items()}
        elif what == "go":
            await asyncio.gather(*(p.go(said["rate"]) for p in players.values()))
            return {f"{v}.{s}": p.sent for (v, s), p in players.items()}
        return {"unanswered": {f"{v}.{s}": p.unanswered for (v, s), p in players.items() if p.unanswered}}

    def _answer(self, what: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(Deck(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:]).run())
