"""The pre-trade checks of one order with every check on, beside the question that the gate is asked before each send.

A desk of four trading sessions, twenty instruments each. One is ours; a process of its own stands for the other three
and for the market data: it changes a row of each of the three pages and the book a thousand times a second. An order
is judged, and once it left it is noted; both together are what the order path pays. CPU time of this
thread, so that what else the machine does counts for nothing; what reading the clock takes is taken off.
"""

import gc
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from base.clock import SystemClock
from base.config import DeskConfig, Kind, load
from bench.report import Row, print_rows
from ipc.books import BookSpec, create_region
from ipc.exposure import ExposureRow, ExposureWriter
from ipc.gate import GateReader, GateState, GateWriter, session_scopes
from ipc.readiness import Readiness, StatusPage
from ipc.requests import NewOrder
from risk.exposure import ExposureBook
from risk.order import Order, order_of
from venues.order_checks import OrderChecks

ORDERS: Final = 20_000  # a round
ROUNDS: Final = 15
BUDGET_US: Final = 5.0
NAMES: Final = [f"{base}-USD" for base in ("BTC", "ETH", *(f"A{n}" for n in range(18)))]
PACE_S: Final = 0.001
FAR: Final = 1 << 60
BEAT_NS: Final = 100_000_000

CONFIG = """
[desk]
name = "bench"
environment = "sim"
shm_dir = "{folder}/shm"
[venue.v]
dialect = "fix44"
instruments = [
{instruments}
]
{sessions}
[session.md]
venue = "v"
kind = "marketdata"
address = "127.0.0.1:1"
sender_comp_id = "MD"
target_comp_id = "V"
[book.one]
sessions = ["md"]
levels = 100
[[kill.limits]]
scope = "desk"
max_open_orders = 1000000
max_orders_per_s = 1000000
max_notional = {{ USD = "1e15" }}
max_order_notional = {{ USD = "1e9" }}
duplicate_window_ms = 1
[[kill.limits]]
scope = "venue:v"
max_position = {{ {positions} }}
[[kill.limits]]
scope = "session:ours"
max_order_qty = {{ {positions} }}
price_collar_pct = {{ {collars} }}
[[kill.limits]]
scope = "strategy:mm"
max_open_orders = 1000000
max_orders_per_s = 1000000
"""
SESSION = """
[session.{name}]
venue = "v"
kind = "trading"
address = "127.0.0.1:1"
sender_comp_id = "{name}"
target_comp_id = "V"
"""


def _config(folder: Path) -> DeskConfig:
    text = CONFIG.format(
        folder=folder,
        instruments=",\n".join(f'{{ name = "{n}", symbol = "{n}", px_scale = 1, qty_scale = 8 }}' for n in NAMES),
        sessions="\n".join(SESSION.format(name=name) for name in ("ours", "b", "c", "d")),
        positions=", ".join(f'"{n}" = "1e9"' for n in NAMES),
        collars=", ".join(f'"{n}" = "5"' for n in NAMES),
    )
    (folder / "config").mkdir(exist_ok=True)
    path = folder / "config" / "desk.toml"
    path.write_text(text)
    return load(path)


def others(folder: Path) -> None:
    """The other three processes and the book, until standard input ends."""
    desk = load(folder / "config" / "desk.toml")
    (desk.shm_dir / "proc").mkdir(parents=True)
    writers = []
    for session in desk.sessions(Kind.TRADING):
        if session != "ours":
            page = StatusPage(desk.shm_dir / "proc" / session, session, kind="trading")
            writers.append(ExposureWriter(page))
            writers[-1].begin(_row(n, 0) for n in NAMES)
            page.set(Readiness.READY)
    region = create_region(desk.shm_dir / "book-one", [BookSpec("v", n, 1, 8, 2, 100) for n in NAMES])
    region.heartbeat(time.monotonic_ns())
    books = [region.book("v", n) for n in NAMES]
    for book in books:
        book.apply(0, 599_999, 10**9)
        book.replace(_side(599_999, -1), _side(600_001, 1))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    step = 0
    while True:
        time.sleep(PACE_S)
        step += 1
        for writer in writers:
            writer.set(_row(NAMES[step % 2], step % 7))
        books[step % 2].apply(0 | 1 << 8, 599_999, 10**8 + step)
        region.heartbeat(time.monotonic_ns())


def _side(best: int, step: int) -> bytes:
    return b"".join((best + step * i).to_bytes(8, "little") + (10**9).to_bytes(8, "little") for i in range(60))


def _row(name: str, open_orders: int) -> ExposureRow:
    return ExposureRow(
        venue="v", instrument=name, px_scale=1, qty_scale=8, open_orders=open_orders, position=5_000_000,
        working_buy_qty=open_orders * 1000, buy_notional=open_orders * 60_000, position_notional=3_000_000_000,
    )  # fmt: skip


@contextmanager
def _peers(folder: Path) -> Iterator[None]:
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-m", "bench.pretrade", "--others", str(folder)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root)
    try:
        assert child.stdout is not None
        if child.stdout.readline() != b"ready\n":
            raise ChildProcessError(f"{command!r} ended before it was ready")
        yield
    finally:
        child.kill()
        child.wait()


def _gate(desk: DeskConfig) -> GateReader:
    writer = GateWriter(desk.shm_dir / "gate", desk.shm_dir / "operator")
    writer.set("desk", GateState.ARMED)
    writer.renew(0, FAR)
    return GateReader(desk.shm_dir / "gate", desk.shm_dir / "operator", session_scopes("v", "main", "ours"))


class _Path:
    """What the order path of one process does about limits."""

    def __init__(self, desk: DeskConfig) -> None:
        clock = SystemClock()
        self.checks = OrderChecks(desk, "ours", ExposureBook(), clock)
        self.instruments = {i.name: i for i in desk.session_instruments("ours")}
        self.commands = [
            NewOrder("c", str(i), 0, "v", NAMES[i % 2], "12"[i % 2], "2", 1_000, 600_000 + i % 50, strategy="mm")
            for i in range(ORDERS)
        ]
        self.orders: list[Order] = [
            order_of(c, "ours", "main", f"o{i % 100}", (1, 8), 0) for i, c in enumerate(self.commands)
        ]
        self.mono_ns = clock.mono_ns()

    def judge(self) -> list[int]:
        """ns of each order: judged, and noted as sent."""
        checks, instruments = self.checks, self.instruments
        rows = {n: _row(n, 3) for n in NAMES}
        times = []
        for i, command in enumerate(self.commands):
            if not i % 200:
                checks.look()
            self.mono_ns += 2_000_000  # apart from each other, as far as the windows see
            began = time.thread_time_ns()
            reason = checks.new(command, instruments[command.instrument], self.mono_ns)
            checks.sent(command, self.mono_ns)
            checks.moved(self.orders[i], rows[command.instrument])
            times.append(time.thread_time_ns() - began)
            if reason:
                raise RuntimeError(f"an order that is within all limits was refused: {reason}")
        return times


def _gate_times(gate: GateReader) -> list[int]:
    mono_ns, times = time.monotonic_ns(), []
    for _ in range(ORDERS):
        began = time.thread_time_ns()
        gate.closed_reason(mono_ns, "mm", "BTC-USD")
        times.append(time.thread_time_ns() - began)
    return times


def _spin_times(steps: int) -> list[int]:
    """ns of as much plain work again and again: what the machine makes of it is what it makes of ours."""
    times = []
    for _ in range(ORDERS):
        began = time.thread_time_ns()
        total = 0
        for i in range(steps):
            total += i
        times.append(time.thread_time_ns() - began)
    return times


def _us(times: list[int], share: float, clock_ns: int) -> float:
    ordered = sorted(times)
    return (ordered[min(len(ordered) - 1, int(len(ordered) * share))] - clock_ns) / 1000


def _steps(wanted_us: float, clock_ns: int) -> int:
    """So many steps of `_spin_times` take as long as that."""
    return max(1, round(1000 * wanted_us / _us(_spin_times(1000), 0.5, clock_ns)))


def measure(rounds: int = ROUNDS) -> list[Row]:
    """All rows: of all rounds together, and of the one that the machine disturbed least."""
    ours: list[list[int]] = []
    asked: list[list[int]] = []
    spun: list[list[int]] = []
    with tempfile.TemporaryDirectory(prefix="quarterdeck-bench-", dir="/dev/shm") as name:
        desk = _config(Path(name))
        with _peers(Path(name)):
            gate, path = _gate(desk), _Path(desk)
            clock_ns = round(1000 * _us(_spin_times(0), 0.5, 0))
            path.judge()
            steps = _steps(_us(path.judge(), 0.5, clock_ns), clock_ns)
            gc.collect()
            gc.freeze()  # as a process of the desk does once it stands
            for _ in range(rounds):
                ours.append(path.judge())
                asked.append(_gate_times(gate))
                spun.append(_spin_times(steps))
    found = []
    for label, share, peer, theirs in (
        ("p50", 0.5, "the gate's question", asked), ("p99", 0.99, "a plain loop as long as the p50", spun),
    ):  # fmt: skip
        for which, of in (("", _together), (", quietest round", _quietest)):
            mine, other = of(ours, share, clock_ns), of(theirs, share, clock_ns)
            name = f"pre-trade checks, an order, all on, {label}{which}"
            found.append(Row(name, mine, "us", peer, other, mine / other, BUDGET_US, mine <= BUDGET_US))
    return found


def _together(rounds: list[list[int]], share: float, clock_ns: int) -> float:
    return _us([ns for times in rounds for ns in times], share, clock_ns)


def _quietest(rounds: list[list[int]], share: float, clock_ns: int) -> float:
    return min(_us(times, share, clock_ns) for times in rounds)


def run(as_json: bool) -> int:
    """Print the rows; 0 when every figure was reached, else 4. `reach` is in us, whatever the peer took."""
    rows = measure()
    print_rows(rows, as_json)
    return 0 if all(row.ok for row in rows) else 4


if __name__ == "__main__":
    others(Path(sys.argv[sys.argv.index("--others") + 1]))
