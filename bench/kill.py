"""Trips of the shipped kill switch over three simulated venues, one of which takes and does not answer.

1, 100 and 1,000 working orders, with the books at rest and with all of them flooded. Kill switch and trading processes
are the shipped ones; the venues' edge is a tap whose times are the kernel's (bench/kill_tap.py). After each trip one
byte goes forth and back over a bare socketpair to a process that waits in `recv`, after the same pause: what the fence
stands beside.
"""

import contextlib
import math
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import zmq

from base.clock import SystemClock
from base.config import Kind, load
from base.errors import BusError, QuarterdeckError
from bench.kill_desk import (
    READY_S,
    TRADING,
    VENUES,
    Feed,
    KillSwitchPerson,
    Venues,
    child,
    configuration,
    end,
    ready,
    until,
)
from bench.kill_tap import Heard
from bench.report import Row, at_most, print_rows, within
from bench.soak_desk import wait
from ipc.books import BookRegion
from ipc.command_client import CommandClient
from ipc.readiness import read_all
from ipc.requests import Answer, NewOrder
from ipc.roster import command_endpoint

TRIPS: Final = {1: 200, 100: 200, 1_000: 200}  # orders: trips; the last take seconds each
WARM: Final = 5
SILENT: Final = "peer"  # the venue that is stopped while a trip goes on
PAUSE_S: Final = 0.02
LOOK_S: Final = 0.005
REALTIME: Final = 5
QUIET_S: Final = 0.1
WAIT_S: Final = 60.0
PLACED_S: Final = 5.0
TRIES: Final = 4
MOST_SPOILT: Final = 100
LISTED_S: Final = 1.0  # for the list of orders to be there, which follows the first cancels
BATCH: Final = 100  # orders under way at once
REST, FLOOD = 1, 1_000  # actions of the crowd a second on each of six instruments
PRICES: Final = {"kraken": 300_000, "binance": 3_000_000, "peer": 3_000_000}  # half the market's: they rest
QTYS: Final = {"kraken": 20_000, "binance": 20_000, "peer": 200}
ECHO: Final = "import socket,sys\ns=socket.socket(fileno=int(sys.argv[1]))\nwhile b:=s.recv(1): s.send(b)"
HEAD: Final = """
shm_dir = "{shm}"
[kill]
arm_at_start = true
strategies_arm_again = false
reset_cool_off_s = 0
proof_deadline_s = 600 # the silent venue is never proven: nothing of the last steps belongs in here
watch_after_proof_s = 1
session_loss_grace_s = 300
realtime_priority = {realtime}
sessions = ["binance-kill"]
"""
FEEDS: Final = (
    # The first is fed by bench.kill_flood, the others by their venues.
    Feed("kraken-md", "kraken", "127.0.0.1:{port}", "BENCH", "KRAKEN-MD", 0, ("BTC-USD",)),
    Feed("binance-md", "binance", "run:tap-binance#marketdata", "QDMD1", "SPOT", 1000),
    Feed("peer-md", "peer", "run:tap-peer#marketdata", "QDPEERMD", "VENUE", 0),
)


class Trip(msgspec.Struct, frozen=True):
    """Times of one trip in ms, from its receipt by the kill switch; `first` and `last` from its sending by an operator,
    whose process may have to wait for a core.
    """

    word: float
    fence: float
    received_first: float
    first: float
    last: float
    proven: float
    pair: float


class Bench:
    """A desk at work, and who trips it."""

    def __init__(self, folder: Path, shm: Path, *, flood: bool, realtime: int) -> None:
        (folder / "d" / "config").mkdir(parents=True)
        path = folder / "d" / "config" / "desk.toml"
        made: dict[str, Any] = {"seed": 1, "rate": FLOOD if flood else REST, "heartbeat_s": 60, "lag_ms": 50}
        self._children: list[subprocess.Popen[bytes]] = []
        feeds = self._feeds(folder) if flood else ()
        self.venues = Venues(folder / "v", folder / "d" / "run", feeds=feeds, **made)
        head = HEAD.format(shm=shm, realtime=realtime)
        path.write_text(configuration("bench-kill", head, self.venues.secrets, sims=False, feeds=feeds, **made))
        self.desk = load(path)
        self._zmq: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._quiet_at = 0.0
        self.spoilt = 0
        self.pair, other = socket.socketpair()
        self._children.append(
            subprocess.Popen([sys.executable, "-c", ECHO, str(other.fileno())], pass_fds=[other.fileno()])
        )
        other.close()
        self.owners: dict[str, CommandClient] = {}
        self.person = KillSwitchPerson(self.desk)

    def start(self) -> None:
        """Every process READY, the desk ARMED. QuarterdeckError: not in time."""
        self.venues.start()
        config = ("--config", str(self.desk.path))
        feeds = tuple(self.desk.sessions(Kind.MARKETDATA))
        self._children.append(child("procs.killswitch", *config))
        for kind, sessions in (("trading", tuple(TRADING.values())), ("marketdata", feeds)):
            self._children += [child(f"procs.{kind}", *config, "--session", s) for s in sessions]
        shards = tuple(self.desk.config.book)
        self._children += [child("procs.book", *config, "--shard", shard) for shard in shards]
        self.owners = {
            v: CommandClient(self._zmq, command_endpoint(self.desk, s), "bench", SystemClock())
            for v, s in TRADING.items()
        }
        roles = ("killswitch", *TRADING.values(), *feeds, *(f"book-{s}" for s in shards))
        until(lambda: ready(self.desk, roles), READY_S, lambda: f"every process READY: {roles}")
        until(self._armed, READY_S, "the desk ARMED")

    def _feeds(self, folder: Path) -> tuple[Feed, ...]:
        port = folder / "flood.port"
        self._children.append(child("bench.kill_flood", str(port)))
        until(lambda: port.exists() and port.read_text(), 30, "the feed to listen")
        return tuple(msgspec.structs.replace(f, address=f.address.format(port=port.read_text())) for f in FEEDS)

    def applied(self) -> int:
        """Messages that the shared-memory books have taken in."""
        region = BookRegion.open(self.desk.shm_dir / "book-l2")
        books = [region.book(s.venue, s.instrument, s.level) for s in region.instruments()]
        return sum(book.times()[3] for book in books)

    def _status(self) -> dict[str, Any]:
        try:
            return self.person.ask("status")
        except BusError:
            return {"desk": "", "venues": {}, "sessions": {}}

    def _armed(self) -> bool:
        return bool(self._status()["desk"] == "ARMED")

    # -- orders ----------------------------------------------------------------------------------------------

    def place(self, orders: int) -> dict[str, int]:
        """Have so many orders work, spread over the venues, the first of them where it is answered."""
        shares = {v: orders // len(VENUES) + (n < orders % len(VENUES)) for n, v in enumerate(VENUES)}
        missing = dict(shares)
        for _ in range(TRIES):
            for venue, share in missing.items():
                self._place(venue, share)
            if wait(lambda: self._known(shares), PLACED_S, 0.02):
                return shares
            # A cancel of the trip before was slow on its way and met the next orders: cool-offs are for that.
            found = self._status()["venues"]
            missing = {v: n - found[v]["working"] - found[v]["uncertain"] for v, n in shares.items()}
        raise QuarterdeckError(f"bench kill: {orders} orders do not come to work: {self._status()['venues']}")

    def _known(self, shares: dict[str, int]) -> bool:
        found = self._status()["venues"]
        return all(found.get(v) == {"working": n, "proven": 0, "uncertain": 0} for v, n in shares.items())

    def _place(self, venue: str, orders: int) -> None:
        client = self.owners[venue]
        instrument = self.desk.venue_instruments(venue)[0].name
        left, open_ids = orders, set[str]()
        give_up = time.monotonic() + WAIT_S
        while left or open_ids:
            while left and len(open_ids) < BATCH and client.socket.poll(100, zmq.POLLOUT):
                command_id = client.next_command_id()
                client.send(
                    NewOrder(
                        client_id="bench", command_id=command_id, deadline_ns=0, venue=venue, instrument=instrument,
                        side="1", ord_type="2", order_qty=QTYS[venue], price=PRICES[venue], time_in_force="1",
                        strategy="bench",
                    )
                )  # fmt: skip
                open_ids.add(command_id)
                left -= 1
            client.socket.poll(100)
            for answer in client.receive():
                self._accepted(venue, answer)
                open_ids.discard(answer.command_id)
            if time.monotonic() > give_up:
                raise QuarterdeckError(f"{venue}: {len(open_ids)} orders were not answered within {WAIT_S:g} s")

    @staticmethod
    def _accepted(venue: str, answer: Answer) -> None:
        if not answer.accepted:
            raise QuarterdeckError(f"{venue}: an order was refused: {answer.reason}")

    # -- trips -----------------------------------------------------------------------------------------------

    def trip(self, orders: int) -> Trip:
        """A trip that found all its orders; others are counted and made again."""
        while True:
            found = self._trip(orders)
            if found is not None:
                return found
            self.spoilt += 1
            if self.spoilt > MOST_SPOILT:
                raise QuarterdeckError(f"bench kill: {self.spoilt} trips did not find the orders that had been placed")

    def _trip(self, orders: int) -> Trip | None:
        """Place, trip, wait for the answering venues, open again by force. None: orders were gone before the trip."""
        shares = self.place(orders)
        self.venues.signal(SILENT, signal.SIGSTOP)
        self.venues.heard()
        time.sleep(PAUSE_S)
        began_ns = time.monotonic_ns()
        self.person.ask("trip", reason="bench")
        last = self._proven(shares)
        times = self._on_the_wire(began_ns, shares) if last else None
        self.person.force("desk", "bench")
        self.venues.signal(SILENT, signal.SIGCONT)
        self._quiet_at = time.monotonic() + QUIET_S
        until(self._over, WAIT_S, lambda: f"armed again with nothing open: {self._status()}")
        if last is None or times is None:
            return None
        on_its_way_ms = (last["received_mono_ns"] - began_ns) / 1e6
        return Trip(
            last["gate_closed_ms"], last["fence_ms"], times[0] - on_its_way_ms, *times, last["proven_ms"],
            self._round_trip(),
        )  # fmt: skip

    def _proven(self, shares: dict[str, int]) -> dict[str, Any] | None:
        """The trip once its fence is complete and the answering venues are proven; the silent one must not be."""
        give_up = time.monotonic() + WAIT_S
        while True:
            time.sleep(LOOK_S)
            last: dict[str, Any] = self.person.ask("status")["last_trip"]
            by_venue = last["venues"]
            answered = [by_venue.get(v, {}) for v, n in shares.items() if n and v != SILENT]
            fenced = last["fence_ms"] is not None
            listed = {v: by_venue.get(v, {}).get("orders", 0) for v in shares} == shares
            if fenced and not listed and time.monotonic() > give_up - WAIT_S + LISTED_S:
                return None  # a cancel of the trip before met them
            if fenced and listed and all(v.get("all_proven_ms") for v in answered):
                break
            if time.monotonic() > give_up:
                raise QuarterdeckError(f"bench kill: not proven within {WAIT_S:g} s: {last['open_questions'][:3]}")
        silent = by_venue.get(SILENT, {"orders": 0, "proven": 0})
        if (silent["orders"], silent["proven"]) != (shares[SILENT], 0):
            raise QuarterdeckError(f"bench kill: the silent venue is proven: {silent}")
        return {**last, "proven_ms": max(v["all_proven_ms"] for v in answered)}

    def _on_the_wire(self, began_ns: int, shares: dict[str, int]) -> tuple[float, float]:
        """(first cancel, the cancel of the last order) at the venues' edge, in ms after the trip was sent."""
        heard = [h for h in self.venues.heard() if h.mono_ns >= began_ns and is_cancel(h)]
        reached: list[int] = []
        for venue, orders in shares.items():
            here = sorted((h for h in heard if h.venue == venue), key=lambda h: h.mono_ns)
            named: dict[str, int] = {}
            for h in here:
                if h.kind == "F":
                    named.setdefault(h.orig or h.order_id, h.mono_ns)
            reached += named.values()
            mass = [h.mono_ns for h in here if h.kind != "F"]
            if len(named) < orders:  # the others were over before their own turn came: a mass cancel had them
                reached += mass[:1]
            if len(named) < orders and not mass:
                raise QuarterdeckError(f"bench kill: no cancel of {orders - len(named)} orders reached {venue}")
        first_ns = min(h.mono_ns for h in heard)
        return (first_ns - began_ns) / 1e6, (max(reached) - began_ns) / 1e6

    def _over(self) -> bool:
        """Open, nothing works, and no cancel is on its way any more that could meet the next orders."""
        if any(map(is_cancel, self.venues.heard())):
            self._quiet_at = time.monotonic() + QUIET_S
        if time.monotonic() < self._quiet_at:
            return False
        status = self._status()
        return status["desk"] == "ARMED" and all(not v["working"] + v["uncertain"] for v in status["venues"].values())

    def _round_trip(self) -> float:
        time.sleep(PAUSE_S)
        began_ns = time.perf_counter_ns()
        self.pair.send(b"x")
        self.pair.recv(1)
        return (time.perf_counter_ns() - began_ns) / 1e6

    def priority(self) -> int:
        """Real-time priority that every process which answers the gate runs at; 0 when one could not have it."""
        pages = read_all(self.desk.shm_dir / "proc")
        pids = [pages[name].pid for name in ("killswitch", *TRADING.values())]
        return min(os.sched_getparam(pid).sched_priority for pid in pids)

    def close(self) -> None:
        """Nothing of it runs afterwards."""
        for client in self.owners.values():
            client.close()
        self.person.close()
        self.pair.close()
        end(self._children)
        self.venues.stop()
        self._zmq.destroy(linger=0)


def is_cancel(heard: Heard) -> bool:
    """Whether this is a way to cancel: 35=F, 35=q, or a cancel-all over REST."""
    rest = heard.kind == "rest" and (heard.sender.startswith("DELETE") or "ancel" in heard.sender)
    return heard.kind in ("F", "q") or rest


@contextlib.contextmanager
def running(*, flood: bool, realtime: int = REALTIME) -> Iterator[Bench]:
    """A run with its processes and directories, all of it gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="qdk"))
    shm = Path(tempfile.mkdtemp(prefix="qdk", dir="/dev/shm"))
    bench: Bench | None = None
    try:
        bench = Bench(folder, shm, flood=flood, realtime=realtime)
        bench.start()
        yield bench
    finally:
        if bench is not None:
            bench.close()
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(shm, ignore_errors=True)


def p99(times: list[float]) -> float:
    """The 99th percentile."""
    return statistics.quantiles(times, n=100, method="inclusive")[98]


def growth(times: dict[int, float]) -> tuple[float, float]:
    """(exponent of a power law through all points, the last step as a multiple of what linear growth would make it)."""
    xs, ys = [math.log(n) for n in times], [math.log(t) for t in times.values()]
    (n0, t0), (n1, t1) = sorted(times.items())[-2:]
    return statistics.linear_regression(xs, ys).slope, t1 / t0 / (n1 / n0)


def measure(cells: dict[int, int], *, flood: bool) -> list[Row]:
    """Every cell with or without the flood."""
    found: dict[int, list[Trip]] = {}
    with running(flood=flood) as bench:
        scheduled, before, began = bench.priority(), bench.applied() if flood else 0, time.monotonic()
        for orders, trips in cells.items():
            for _ in range(min(WARM, trips)):
                bench.trip(orders)
            found[orders] = [bench.trip(orders) for _ in range(trips)]
        took = time.monotonic() - began
        spoilt = bench.spoilt
        rate = (bench.applied() - before) / took if flood else 0.0
    books = "books flooded" if flood else "books at rest"
    pairs = [t.pair for cell in found.values() for t in cell]
    rows = [row for n, cell in found.items() for row in _cell(f"{n} orders, {books}", cell)]
    for name, of in (("cancel of the last order", _last), ("all proven at those that answer", _proven)):
        exponent, ratio = growth({n: statistics.median(map(of, cell)) for n, cell in found.items()})
        rows.append(at_most(f"{books}: {name}, 1,000 orders by 10 times 100 orders", ratio, "times", 1.0))
        rows.append(Row(f"{books}: {name}, exponent of growth over 1, 100, 1,000", exponent, ""))
    rows += [Row(f"{books}: messages applied to them all the while", rate, "messages/s")] if flood else []
    rows.append(Row(f"{books}: trips made again, their orders being gone before", spoilt, ""))
    rows.append(Row(f"{books}: minutes that it took", took / 60, "min"))
    rows.append(Row(f"{books}: priority of kill switch and trading processes (SCHED_RR; 0: ordinary)", scheduled, ""))
    rows.append(Row(f"{books}: bare socketpair, p50 / p99 as peer", statistics.median(pairs), "ms", "p99", p99(pairs)))
    return rows


def _last(trip: Trip) -> float:
    return trip.last


def _proven(trip: Trip) -> float:
    return trip.proven


def _cell(where: str, cell: list[Trip]) -> list[Row]:
    pair = [t.pair for t in cell]
    names = ("fence", "word", "received_first", "first")
    fence, word, heeded, first = ([getattr(t, name) for t in cell] for name in names)
    rows = [
        at_most(f"{where}: received to gate word, p99", p99(word), "ms", 0.1),
        within(f"{where}: received to fence, p99", p99(fence), "ms", "bare socketpair p99", p99(pair), 3),
        at_most(f"{where}: received to first cancel on the wire, p99", p99(heeded), "ms", 5),
        at_most(f"{where}: sent to first cancel on the wire, p99", p99(first), "ms", 5),
    ]
    for name, text in (
        ("word", "received to gate word"), ("fence", "received to fence"),
        ("received_first", "received to first cancel"), ("first", "sent to first cancel"),
        ("last", "sent to the cancel of the last order"), ("proven", f"all proven but {SILENT}, which never is"),
    ):  # fmt: skip
        times = [getattr(t, name) for t in cell]
        rows.append(Row(f"{where}: {text}, p50", statistics.median(times), "ms"))
        if name in ("last", "proven"):
            rows.append(Row(f"{where}: {text}, p99", p99(times), "ms"))
        rows.append(Row(f"{where}: {text}, max of {len(times)}", max(times), "ms"))
    return rows


def run(json: bool, trips: int = 0) -> int:
    """Print the rows; 0 when every figure was reached, else 4. `trips` of each cell in place of TRIPS."""
    cells = dict.fromkeys(TRIPS, trips) if trips else TRIPS
    rows: list[Row] = []
    for flood in (False, True):
        found = measure(cells, flood=flood)
        print_rows(found, json)
        rows += found
    return 0 if all(r.ok for r in rows) else 4


if __name__ == "__main__":
    sys.exit(run("--json" in sys.argv))
