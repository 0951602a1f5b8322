"""Every venue at once: a desk with one trading, one market-data and one drop-copy session at each, at rest and busy.

The desk is config/all_simulated.toml, as supervisord runs it. What its venues say was put down in a run before and is
played back (bench/desk_tape.py): book changes on each market-data session, fills of one order on each trading session,
and the same fills on the drop copy beside it. Twice: 1,000 messages a second at each venue, shared by its sessions, and
1,000 a second on each session.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil

import quarterdeck as qd
from base.config import DeskConfig, Kind, load
from base.decimals import from_scaled, to_scaled
from base.errors import QuarterdeckError
from base.instruments import Instrument
from bench.pipeline import counters
from bench.report import Row, at_most, print_rows
from bench.soak_desk import wait
from ipc.ledger_read import LedgerReader
from ipc.requests import Ops
from ipc.view.sight import SESSION_KINDS
from ipc.view.status import read_desk
from quarterdeck import supervisord
from quarterdeck.demo import fresh_state
from quarterdeck.orders import Operator
from sim.client import call, control_of

ROOT: Final = Path(__file__).resolve().parent.parent
DESK: Final = ROOT / "config" / "all_simulated.toml"
RATE: Final = 1_000  # messages a second
SECONDS: Final = 8  # of each round
SLOW: Final = 1.5  # a round that takes so many times as long is ended, and counts for what was sent
RECORD_RATE: Final = 400  # actions of the crowd a second while tapes are made
RECORD_S: Final = 200.0  # then a tape is as long as it is
SPARE: Final = 1_000  # messages on a tape beyond those to be sent: some answer the desk's requests
READY_S: Final = 120.0
REST_S: Final = 8.0
DONE_S: Final = 30.0
CORES: Final = 2
MEMORY_MB: Final = 24 * 1024
LOTS: Final = 1_000_000  # of the order whose fills are sent, each of one lot
BESIDE: Final = ("simvenue", "tapes")  # processes that are no part of a desk


def adapted(text: str, rate: int) -> str:
    """The configuration with a tape before every FIX endpoint."""
    head, *sessions = re.split(r"(?=^\[session\.)", text, flags=re.MULTILINE)
    taped = [_taped(s) for s in sessions]
    text = re.sub(r"(^\[sim\.[\w-]+\]\n)", rf"\1messages_per_s = {rate}\n", head + "".join(taped), flags=re.MULTILINE)
    return text.replace("[sim.binance]\n", "[sim.binance]\noptions = { update_ms = 1 }\n")  # or a tape takes minutes


def _taped(session: str) -> str:
    own, mark, rest = session.partition("\n\n")
    if re.search(r"run:sim-[\w-]+#(trading|marketdata|dropcopy)\"", own):
        own = re.sub(r"run:sim-([\w-]+)#", r"run:tape-\1#", own)
        own = re.sub(r"run:sim-[\w-]+\.ca\.pem", "run:tape.ca.pem", own)
    return own + mark + rest


class Deck:
    """The process with the tapes."""

    def __init__(self, mode: str, desk: DeskConfig, folder: Path) -> None:
        desk.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        command = [sys.executable, "-m", "bench.desk_tape", mode, str(desk.run_dir), str(folder), *desk.config.sim]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=supervisord.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def answer(self) -> dict[str, Any]:
        """Its next line. QuarterdeckError: it has ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise QuarterdeckError(f"the tapes' process ended, status {self.process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found

    def tell(self, do: str, **more: Any) -> None:
        """Have it do something; it answers when that is done."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self.process.stdin.flush()

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """Have it done."""
        self.tell(do, **more)
        return self.answer()

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.terminate()
        self.process.wait(10)


@contextmanager
def running(desk: DeskConfig, mode: str, folder: Path) -> Iterator[Deck]:
    """The desk and its tapes, all READY, books LIVE; nothing of them runs afterwards."""
    fresh_state(desk)
    shutil.rmtree(desk.run_dir, ignore_errors=True)
    deck = Deck(mode, desk, folder)
    try:
        supervisord.start(desk)
        deck.answer()
        if not supervisord.wait_until(lambda: read_desk(desk).ready, READY_S):
            view = read_desk(desk)
            missing = [f"{p.name}: {p.readiness} {p.reason}" for p in view.processes if p.readiness != "READY"]
            missing += [f"book {b.venue}: {b.status} {b.reason}" for b in view.books if b.status != "LIVE"]
            raise QuarterdeckError(f"not ready within {READY_S:g} s: {'; '.join(missing)}")
        yield deck
    finally:
        with suppress(QuarterdeckError):  # no tape cancels the orders, so the kill switch starts their owners anew
            if supervisord.running(desk):
                supervisord.stop(desk)
        supervisord.end_all(desk)
        deck.close()


def best_bid(client: qd.Desk, instrument: Instrument) -> int:
    """Of the venue's own book, or where it has no market data of the first book of the same base currency elsewhere."""
    base = instrument.name.partition("-")[0]
    same = [i for i in client.instruments() if i.name.partition("-")[0] == base]
    for other in sorted(same, key=lambda i: i.venue != instrument.venue):
        try:
            bid: int = client.book(other.venue, other.name).bbo()[0]
        except qd.ConfigError:
            continue
        return int(to_scaled(from_scaled(bid, other.px_scale).to_integral_value(), instrument.px_scale))
    raise QuarterdeckError(f"no book of {base} anywhere")


def place(desk: DeskConfig) -> dict[str, str]:
    """One order a venue, at half of the market; ClOrdID by venue."""
    placed = {}
    with qd.connect(desk.path, strategy="bench", timeout=5.0) as client:
        for session in desk.sessions(Kind.TRADING):
            instrument = desk.session_instruments(session)[0]
            lot = max(instrument.lot_size, instrument.min_qty)
            bid = best_bid(client, instrument)
            price = bid // 2 // instrument.tick_size * instrument.tick_size
            placed[instrument.venue] = client.new_order(
                instrument.venue, instrument.name, qd.BUY, instrument.qty_text(LOTS * lot), instrument.px_text(price),
                session=session,
            )  # fmt: skip
    return placed


def working(control: str, cl_ord_id: str) -> str:
    """The venue's id of an order, once it works there. QuarterdeckError when it does not."""
    found: list[str] = []

    def there() -> bool:
        orders = call(control, "GET", "/working")["orders"]
        found.extend(o["order_id"] for o in orders if o["cl_ord_id"] == cl_ord_id)
        return bool(found)

    if not wait(there, READY_S):
        raise QuarterdeckError(f"{control}: the order {cl_ord_id} does not work there")
    return found[0]


def record(desk: DeskConfig, folder: Path, messages: int) -> None:
    """Tapes of every session, with so many messages of market data."""
    with running(desk, "record", folder) as deck:
        deck.ask("settled")
        for venue, cl_ord_id in place(desk).items():
            control = control_of(desk, venue)
            instrument = desk.venue_instruments(venue)[0]
            lot = instrument.qty_text(max(instrument.lot_size, instrument.min_qty))

            order_id = working(control, cl_ord_id)
            for _ in range(2):
                call(control, "POST", "/fill", {"order_id": order_id, "qty": lot})

        def enough() -> bool:
            return all(n >= messages for s, n in deck.ask("length").items() if s.endswith(".marketdata"))

        wait(enough, RECORD_S, 1.0)  # a tape that is too short shows in the rows of what was sent
        deck.ask("save")


class Load:
    """Processor time of the desk's processes from here on."""

    def __init__(self, desk: DeskConfig, extra: dict[str, int]) -> None:
        self._kind = {p.pid: p.kind for p in read_desk(desk).processes} | {pid: kind for kind, pid in extra.items()}
        self._begin = {pid: self._used(pid) for pid in self._kind}
        self._at = time.monotonic()
        self.ended = 0

    @staticmethod
    def _used(pid: int) -> float:
        times = psutil.Process(pid).cpu_times()
        return times.user + times.system

    def cores(self) -> Counter[str]:
        """Cores in use by kind of process since; what one used that has ended is not known (`ended`)."""
        seconds = time.monotonic() - self._at
        found = Counter[str]()
        for pid, kind in self._kind.items():
            try:
                found[kind] += (self._used(pid) - self._begin[pid]) / seconds  # type: ignore[assignment]
            except psutil.NoSuchProcess:
                self.ended += 1
        return found


def memory(desk: DeskConfig) -> tuple[float, float]:
    """MB: what the desk's processes hold (what they share is divided among them), and its shared memory, once."""
    held = 0
    for p in read_desk(desk).processes:
        if p.kind != "simvenue":
            maps = psutil.Process(p.pid).memory_maps(grouped=True)
            held += sum(m.pss for m in maps if not m.path.startswith("/dev/shm"))
    shared = sum(f.stat().st_blocks * 512 for f in desk.shm_dir.rglob("*") if f.is_file())
    return held / 1e6, shared / 1e6


def ledger_counts(desk: DeskConfig) -> dict[str, int]:
    """Counts of the ledger."""
    assert desk.config.ledger is not None
    with LedgerReader(desk.data_dir / desk.config.ledger.path) as reader:
        return reader.counts()


def parts(cores: Counter[str]) -> str:
    """Cores by kind, the busiest first."""
    return ", ".join(f"{kind} {used:.2f}" for kind, used in cores.most_common() if used >= 0.005)


class Round(msgspec.Struct):
    """One rate: what was asked for, what came of it."""

    name: str
    rate: float  # messages a second, all sessions, as asked for
    asked: int  # messages
    sent: dict[str, int]
    sent_s: float
    cores: Counter[str]
    ended: int  # processes, before it was over
    changed: int  # book messages in shared memory
    filled: int  # fills in the ledger
    counted: int  # fills that the kill switch has read
    ledger_s: float  # after the last was sent, until it had all of them
    done_s: float  # the same of the kill switch, which is asked when the ledger has them


def counted_fills(operator: Operator) -> int:
    """Fills that the kill switch has read in the owners' journals."""
    answer = operator.ask("killswitch", Ops(*operator.head("killswitch"), "limits"))
    return sum(h["fills"] for h in json.loads(answer.data)["holdings"])


def of_kind(sent: dict[str, int], kind: Kind) -> int:
    """Messages of sessions of one kind."""
    return sum(n for s, n in sent.items() if s.endswith(f".{kind}"))


def play(
    desk: DeskConfig, deck: Deck, rates: tuple[str, dict[str, float]], seconds: float, pids: dict[str, int]
) -> Round:
    """A round; `rates`: what it is called, and messages a second by VENUE.KIND."""
    name, by_end = rates
    wanted = {end: int(rate * seconds) for end, rate in by_end.items()}
    with Operator(desk) as operator:
        deck.ask("prepare", messages=wanted)
        changed = sum(b.messages for b in read_desk(desk).books)
        filled, counted = ledger_counts(desk)["fills"], counted_fills(operator)
        busy, begin = Load(desk, pids), time.monotonic()
        sent = deck.ask("go", rates=by_end, at_most_s=SLOW * seconds)
        sent_s, fills = time.monotonic() - begin, of_kind(sent, Kind.TRADING)
        wait(lambda: ledger_counts(desk)["fills"] >= filled + fills, DONE_S, 0.05)
        ledger_s = time.monotonic() - begin - sent_s
        wait(lambda: counted_fills(operator) >= counted + fills, DONE_S, 0.05)
        done_s = time.monotonic() - begin - sent_s
        cores = busy.cores()
        return Round(
            name, sum(by_end.values()), sum(wanted.values()), sent, sent_s, cores, busy.ended,
            sum(b.messages for b in read_desk(desk).books) - changed, ledger_counts(desk)["fills"] - filled,
            counted_fills(operator) - counted, ledger_s, done_s,
        )  # fmt: skip


def rows_of(r: Round) -> list[Row]:
    """Of one round. Processor time is that until all was taken in, over as long as that took."""
    own = Counter({k: v for k, v in r.cores.items() if k not in BESIDE})
    total, fills, changes = sum(r.sent.values()), of_kind(r.sent, Kind.TRADING), of_kind(r.sent, Kind.MARKETDATA)
    taken = total / (r.sent_s + r.done_s)
    beside = sum(r.cores[k] for k in BESIDE)
    rows = [
        Row("messages sent", total, "", "asked for", r.asked, total / r.asked, 1, total >= r.asked),
        Row("messages a second taken in", taken, "", "asked for", r.rate, taken / r.rate),
        at_most(f"CPU ({parts(own)})", sum(own.values()), "cores", CORES),
        Row("CPU of simulated venues and players, which are no part of it", beside, "cores"),
        Row("fills in the ledger", r.filled, "", "sent", fills, r.filled / fills, 1, r.filled == fills),
        Row("fills the kill switch counted", r.counted, "", "sent", fills, r.counted / fills, 1, r.counted == fills),
        Row("book messages; the rest are trades", r.changed, "", "sent", changes, r.changed / changes),
        Row("the ledger had all after the last was sent", r.ledger_s, "s"),
        Row("the kill switch had all after the last was sent", r.done_s, "s"),
        at_most("processes that ended meanwhile", r.ended, "", 0),
    ]  # fmt: skip
    return [msgspec.structs.replace(row, name=f"{r.name}: {row.name}") for row in rows]


def measure(desk: DeskConfig, folder: Path, seconds: float) -> list[Row]:
    """At rest, then 1,000 messages a second at each venue, then on each session."""
    with running(desk, "play", folder) as deck:
        view = read_desk(desk)
        extra = {"tapes": deck.process.pid, "supervisord": int((desk.run_dir / "supervisord.pid").read_text())}
        rest = Load(desk, extra)
        wait(lambda: False, REST_S)
        at_rest = rest.cores()
        held_at_rest, _ = memory(desk)
        place(desk)
        ends = list(deck.ask("ends"))
        at_venue = Counter(e.partition(".")[0] for e in ends)
        each_venue = {e: RATE / at_venue[e.partition(".")[0]] for e in ends}
        each_session = {e: float(RATE) for e in ends}
        named = ((f"{RATE:,} a second at each venue", each_venue), (f"{RATE:,} a second on each session", each_session))
        rounds = [play(desk, deck, rates, seconds, extra) for rates in named]
        kept, after = ledger_counts(desk), read_desk(desk)
        lost = sum(
            counters(desk, f"book-{shard}")[n] for shard in desk.config.book for n in ("gaps", "refused_changes")
        )
        held, shared = memory(desk)
        said = deck.ask("")
    own = [p for p in view.processes if p.kind != "simvenue"]
    rest_cores = Counter({k: v for k, v in at_rest.items() if k not in BESIDE})
    sessions = sum(p.kind in SESSION_KINDS for p in own)
    live, books = after.books_live, after.books_total
    return [
        Row(f"processes: {sessions} sessions at {len(desk.config.sim)} venues, and what serves them", len(own), ""),
        at_most("at rest: memory, proportional", held_at_rest, "MB", MEMORY_MB / 2),
        at_most(f"at rest: CPU ({parts(rest_cores)})", sum(rest_cores.values()), "cores", CORES / 2),
        *(row for r in rounds for row in rows_of(r)),
        at_most("memory afterwards, proportional", held, "MB", MEMORY_MB / 2),
        at_most("shared memory", shared, "MB", MEMORY_MB / 2),
        at_most("gaps and refused changes", lost, "", 0),
        Row("books LIVE at the end", live, "", "of", books, live / books, 1, live == books),
        at_most("breaks between order entry and drop copy in the ledger", kept["breaks"], "", 0),
        at_most("requests of the desk that no tape answers", sum(map(len, said["unanswered"].values())), "", 0),
    ]


def run(as_json: bool, seconds: int = SECONDS) -> int:
    """Record, play, print."""
    folder = Path(tempfile.mkdtemp(prefix="qd-", dir="/dev/shm"))  # a slow disk would be measured along with it
    path = folder / "config" / "desk.toml"
    path.parent.mkdir()

    def configured(rate: int) -> DeskConfig:
        path.write_text(adapted(DESK.read_text(), rate))
        return load(path)

    try:
        record(configured(RECORD_RATE), folder, 2 * RATE * seconds + SPARE)  # both rounds
        rows = measure(configured(1), folder, seconds)
    finally:
        shutil.rmtree(load(path).shm_dir, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
    print_rows(rows, as_json)
    return 0 if all(r.ok for r in rows) else 4
