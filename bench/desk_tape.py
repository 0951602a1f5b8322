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

from bench.desk_messages import SOH, Framer, Pieces, fields, frames, is_fill, many_fills, pieces_of, prepared, value
from sim.tls import authority, server_context

SERVICES: Final = ("trading", "marketdata", "dropcopy")
# What a request is called by, so that its answer can say it: ClOrdID, MDReqID, SecurityReqID, MassStatusReqID, ...
IDS: Final = frozenset((b"11", b"262", b"320", b"335", b"568", b"584", b"909", b"710", b"112"))
QUIET: Final = frozenset((b"0", b"1", b"2", b"4"))  # session messages from the desk that no tape answers
TURN_S: Final = 0.01  # between two batches
UNSENT: Final = 65_536  # bytes that may wait for the desk to read them: no more is sent to one that does not


class Line(msgspec.Struct, array_like=True):
    """One message; `desk`: from the desk."""

    desk: bool
    data: bytes


class Tape(msgspec.Struct):
    """One connection from its beginning; `settled`: how many lines there were when the desk was ready."""

    lines: list[Line] = []
    settled: int = 0


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
        self.rendered: list[Pieces] = []
        self.sent = 0  # of what is rendered
        self._told = 0  # of the stream, or of the fills, in the rounds before

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
        """Render what comes next on the tape; how much there is."""
        self._told, self.sent = self._told + self.sent, 0
        fills = [m.data for m in (*self._script, *self._stream) if not m.desk and is_fill(m.data)]
        if fills:
            self.rendered = many_fills(self._renamed(fills[0]), messages, self._told)
        else:
            rest = [m.data for m in self._stream if value(m.data, b"35") not in QUIET]
            self.rendered = [prepared(self._renamed(m)) for m in rest[self._told : self._told + messages]]
        return len(self.rendered)

    def send(self, due: int, now_ns: int) -> bool:
        """Send on, up to so many of what was rendered, while the desk reads; whether more is rendered."""
        if self._writer is None or self._writer.is_closing():
            return False
        due = min(due, len(self.rendered))
        if due > self.sent and self._writer.transport.get_write_buffer_size() <= UNSENT:
            frame = self._framer
            self._writer.write(b"".join([frame(m, now_ns) for m in self.rendered[self.sent : due]]))
            self.sent = due
        return self.sent < len(self.rendered)

    def _plain(self, kind: bytes, body: bytes) -> None:
        first = next(m.data for m in self._script if not m.desk)
        begin, head, _, digits, _, _ = prepared(first)
        self._write(pieces_of(begin, re.sub(rb"35=[^\x01]*", b"35=" + kind, head), body, digits))

    def _write(self, pieces: Pieces) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(self._framer(pieces))


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
            wanted = said["messages"]
            return {f"{v}.{s}": p.prepare(wanted[f"{v}.{s}"]) for (v, s), p in players.items()}
        elif what == "go":
            rates = said["rates"]
            return await self._play({p: rates[f"{v}.{s}"] for (v, s), p in players.items()}, said["at_most_s"])
        elif what == "ends":
            return {f"{v}.{s}": 0 for v, s in players}
        return {"unanswered": {f"{v}.{s}": p.unanswered for (v, s), p in players.items() if p.unanswered}}

    async def _play(self, rates: dict[Player, float], at_most_s: float) -> dict[str, int]:
        """Send what was rendered, each at its rate a second; how much of it was sent when the time was over."""
        begin = time.monotonic()
        going = list(rates)
        while going and (passed := time.monotonic() - begin) < at_most_s:
            now_ns = time.time_ns()
            going = [p for p in going if p.send(int(passed * rates[p]) + 1, now_ns)]
            await asyncio.sleep(TURN_S)
        return {f"{v}.{s}": e.sent for (v, s), e in self._ends.items() if isinstance(e, Player)}

    def _answer(self, what: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(Deck(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:]).run())
