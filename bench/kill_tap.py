"""A tap on the lines between a desk and its simulated venues: the edge of a venue, where bytes are beyond recall.

    python -m bench.kill_tap RUN_DIR VENUES_RUN_DIR LOG VENUE...

Plain TCP. Each message from the desk is read by itself, with the time at which the kernel received it (SO_TIMESTAMPNS),
so that neither this process's nor the venue's own delays move that time. What the kernel here has acknowledged is what
"the venue's kernel has taken" means. Where the venue listens is read from its address file at each connection;
`tap-VENUE.json` in RUN_DIR tells the desk where to connect. A line of JSON on standard input makes something go wrong.
"""

import json
import os
import re
import selectors
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

TIMESTAMPNS: Final = 35  # SO_TIMESTAMPNS and SCM_TIMESTAMPNS
TIMESPEC: Final = struct.Struct("qq")
RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER 0: the end is a RST
SERVICES: Final = ("trading", "rest")
PEEK: Final = 262_144
END: Final = re.compile(rb"\x0110=\d{3}\x01")
FIELD: Final = re.compile(rb"\x01(35|49|11|41|37|55|43)=([^\x01]*)")
HTTP: Final = re.compile(rb"(GET|POST|PUT|DELETE) ([^ ?]*)")


class Heard(msgspec.Struct, frozen=True, array_like=True):
    """One message of the desk as it reached the venue's edge. `exact`: the kernel's time is this message's own; else
    others lay behind it in the buffer, the time may be theirs, and the message was there at the latest then.
    """

    mono_ns: int
    venue: str
    kind: str  # MsgType(35), or "rest"
    sender: str  # SenderCompID(49); method and path of a REST request
    cl_ord_id: str
    orig: str  # OrigClOrdID(41)
    order_id: str  # OrderID(37)
    symbol: str
    exact: bool
    resent: bool  # PossDupFlag(43)


_encode: Final = msgspec.json.Encoder().encode


class Pipe:
    """One connection; `desk` and `venue` are its two ends here."""

    def __init__(self, desk: socket.socket, venue: socket.socket, name: str, service: str) -> None:
        self.desk, self.venue, self.name, self.service = desk, venue, name, service
        self.to: dict[socket.socket, socket.socket] = {desk: venue, venue: desk}
        self.waiting: dict[socket.socket, deque[bytes]] = {e: deque() for e in self.to}
        self.part = b""  # the beginning of a message whose end has not come
        self.deaf = False
        self.closed = False


class Stall(NamedTuple):
    """Nothing is read from these lines until then."""

    until: float
    venue: str
    service: str


class Tap:
    """The loop."""

    def __init__(self, run_dir: Path, venues_dir: Path, log: Path, venues: list[str]) -> None:
        self._venues_dir = venues_dir
        self._log = log.open("ab", buffering=0)
        self._selector = selectors.DefaultSelector()
        self._pipes: set[Pipe] = set()
        self._stalls: list[Stall] = []
        self._refused: list[Stall] = []
        self._lines: list[bytes] = []
        self._going = True
        for venue in venues:
            ends = dict(self._endpoints(venue))
            for service in SERVICES:
                server = socket.create_server(("127.0.0.1", 0), backlog=64)
                server.setblocking(False)
                ends[service] = f"127.0.0.1:{server.getsockname()[1]}"
                self._selector.register(server, selectors.EVENT_READ, (self._accept, server, venue, service))
            path = run_dir / f"tap-{venue}.json"
            path.write_text(json.dumps({"endpoints": ends}))
        os.set_blocking(sys.stdin.fileno(), False)
        self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ, (self._told,))

    def _endpoints(self, venue: str) -> dict[str, str]:
        found: dict[str, str] = json.loads((self._venues_dir / f"sim-{venue}.json").read_text())["endpoints"]
        return found

    def run(self) -> None:
        """Serve until standard input ends."""
        sys.stdout.write('{"ready": true}\n')
        sys.stdout.flush()
        while self._going:
            for key, mask in self._selector.select(self._patience()):
                call, *arguments = key.data
                call(*arguments, mask)
            self._expire()
            if self._lines:
                self._log.write(b"".join(self._lines))
                self._lines.clear()

    # -- lines -----------------------------------------------------------------------------------------------

    def _accept(self, server: socket.socket, venue: str, service: str, _mask: int) -> None:
        desk, _ = server.accept()
        if self._stalled(self._refused, venue, service):
            _reset(desk)
            return
        desk.setsockopt(socket.SOL_SOCKET, TIMESTAMPNS, 1)
        host, _, port = self._endpoints(venue)[service].rpartition(":")
        try:
            there = socket.create_connection((host, int(port)), 1.0)
        except OSError:
            _reset(desk)
            return
        pipe = Pipe(desk, there, venue, service)
        for end in (desk, there):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.setblocking(False)
            self._selector.register(end, selectors.EVENT_READ, (self._move, pipe, end))
        self._pipes.add(pipe)
        self._listen_all([pipe])

    def _move(self, pipe: Pipe, end: socket.socket, mask: int) -> None:
        if pipe.closed:
            return
        try:
            if mask & selectors.EVENT_WRITE:
                self._flush(pipe, end)
            if mask & selectors.EVENT_READ:
                alive = self._from_desk(pipe) if end is pipe.desk else self._pass(pipe, end, end.recv(65536))
                if not alive:
                    self._end(pipe)
        except BlockingIOError:
            return
        except OSError:
            self._end(pipe)

    def _pass(self, pipe: Pipe, end: socket.socket, data: bytes) -> bool:
        if data and not pipe.deaf:
            to = pipe.to[end]
            pipe.waiting[to].append(data)
            self._flush(pipe, to)
        return bool(data)

    def _flush(self, pipe: Pipe, to: socket.socket) -> None:
        waiting = pipe.waiting[to]
        while waiting:
            try:
                sent = to.send(waiting[0])
            except BlockingIOError:
                break
            if sent < len(waiting[0]):
                waiting[0] = waiting[0][sent:]
                break
            waiting.popleft()
        self._listen(pipe, to)

    def _from_desk(self, pipe: Pipe) -> bool:
        """Message by message, so that each has the kernel's own time."""
        peeked = pipe.desk.recv(PEEK, socket.MSG_PEEK)
        if not peeked:
            return False
        at = 0
        sizes = _sizes(peeked, pipe)
        for n, size in enumerate(sizes):
            data, extra, _, _ = pipe.desk.recvmsg(size, 64)
            at += len(data)
            self._note(pipe, data, _stamp(extra), exact=n == len(sizes) - 1)
            self._pass(pipe, pipe.desk, data)
        return True

    def _note(self, pipe: Pipe, data: bytes, wall_ns: int, *, exact: bool) -> None:
        mono_ns = wall_ns + time.monotonic_ns() - time.time_ns()
        if pipe.service == "rest":
            found = HTTP.match(data)
            if found:
                said = f"{found[1].decode()} {found[2].decode()}"
                self._lines.append(
                    _encode(Heard(mono_ns, pipe.name, "rest", said, "", "", "", "", exact, False)) + b"\n"
                )
            return
        whole = pipe.part + data
        if END.search(whole[-8:]) is None:
            pipe.part = whole
            return
        pipe.part = b""
        fields = {tag: value.decode(errors="replace") for tag, value in FIELD.findall(whole)}
        heard = Heard(
            mono_ns, pipe.name, fields.get(b"35", ""), fields.get(b"49", ""), fields.get(b"11", ""),
            fields.get(b"41", ""), fields.get(b"37", ""), fields.get(b"55", ""), exact, fields.get(b"43") == "Y",
        )  # fmt: skip
        self._lines.append(_encode(heard) + b"\n")

    def _listen(self, pipe: Pipe, end: socket.socket) -> None:
        """What is waited for at one end."""
        if pipe.closed:
            return
        reads = not self._stalled(self._stalls, pipe.name, pipe.service)
        events = (selectors.EVENT_READ if reads else 0) | (selectors.EVENT_WRITE if pipe.waiting[end] else 0)
        known = end in self._selector.get_map()
        if events and known:
            self._selector.modify(end, events, (self._move, pipe, end))
        elif events:
            self._selector.register(end, events, (self._move, pipe, end))
        elif known:
            self._selector.unregister(end)

    def _end(self, pipe: Pipe, *, reset: bool = False) -> None:
        if pipe.closed:
            return
        pipe.closed = True
        self._pipes.discard(pipe)
        for end in (pipe.desk, pipe.venue):
            if end in self._selector.get_map():
                self._selector.unregister(end)
            (_reset if reset else socket.socket.close)(end)

    # -- what goes wrong -------------------------------------------------------------------------------------

    def _told(self, _mask: int) -> None:
        data = os.read(sys.stdin.fileno(), 65536)
        if not data:
            self._going = False
        for line in data.splitlines():
            said: dict[str, Any] = json.loads(line)
            until = time.monotonic() + float(said.get("seconds", 0))
            stall = Stall(until, said["venue"], said["service"])
            mine = [p for p in self._pipes if (p.name, p.service) == stall[1:]]
            if said["do"] == "stall":
                self._stalls.append(stall)
                self._listen_all(mine)
            elif said["do"] == "cut":
                for pipe in mine:
                    self._end(pipe, reset=True)
            elif said["do"] == "deaf":
                for pipe in mine:
                    pipe.deaf = True
            elif said["do"] == "refuse":
                self._refused.append(stall)
                for pipe in mine:
                    self._end(pipe, reset=True)
            elif said["do"] == "heal":
                self._refused.clear()
                self._stalls = [s._replace(until=0.0) for s in self._stalls]
                for pipe in [p for p in self._pipes if p.deaf]:
                    self._end(pipe, reset=True)

    def _listen_all(self, pipes: Iterable[Pipe]) -> None:
        for pipe in pipes:
            for end in (pipe.desk, pipe.venue):
                self._listen(pipe, end)

    def _expire(self) -> None:
        now = time.monotonic()
        over = [s for s in self._stalls if s.until <= now]
        self._refused = [s for s in self._refused if s.until > now]
        if not over:
            return
        self._stalls = [s for s in self._stalls if s.until > now]
        self._listen_all(self._pipes)

    def _patience(self) -> float | None:
        ends = [s.until for s in self._stalls]
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    @staticmethod
    def _stalled(stalls: list[Stall], venue: str, service: str) -> bool:
        now = time.monotonic()
        return any(s.until > now and s.venue == venue and s.service == service for s in stalls)


def _sizes(data: bytes, pipe: Pipe) -> list[int]:
    """Lengths of the messages in what waits; what has no end yet is the last."""
    if pipe.service == "rest":
        return [len(data)]
    ends = [m.end() for m in END.finditer(data)]
    if not ends or ends[-1] < len(data):
        ends.append(len(data))
    return [b - a for a, b in zip([0, *ends], ends, strict=False)]


def _stamp(extra: list[tuple[int, int, bytes]]) -> int:
    for level, kind, data in extra:
        if (level, kind) == (socket.SOL_SOCKET, TIMESTAMPNS):
            seconds, ns = TIMESPEC.unpack(data)
            return int(seconds) * 1_000_000_000 + int(ns)
    return time.time_ns()


def _reset(end: socket.socket) -> None:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    end.close()


if __name__ == "__main__":
    Tap(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:]).run()
