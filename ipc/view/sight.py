"""What shared memory alone tells of a desk: nothing is asked of any process, and none need run.

A MemoryReader keeps its mappings between looks, and follows what is replaced.
"""

from collections.abc import Iterable
from contextlib import suppress

import msgspec

from base.config import DeskConfig, Kind
from base.errors import BookBusyError, RegionError
from base.instruments import Instrument
from ipc._words import Words
from ipc.books import BookReader, BookReason, BookRegion, BookState
from ipc.exposure import ExposureRow, read_exposure
from ipc.gate import OPERATOR_KIND, GateWord, account_scope, read_gate, read_scopes
from ipc.gate_names import ScopeNames
from ipc.health import HealthSampler
from ipc.metrics import MetricsReader, metrics_path
from ipc.operator_word import operator_reason
from ipc.readiness import Status, StatusReader
from ipc.roster import roster
from ipc.view.structs import Level, RoundTrip

SILENT_NS = 1_000_000_000
SESSION_KINDS = ("trading", "marketdata", "dropcopy")
METERED = 4  # a process's memory, CPU and latencies are looked at every so many looks
_OWN_LABELS = frozenset({"process", "session", "venue"})
Key = tuple[str, str, int]  # venue, instrument, level


class ProcessSight(msgspec.Struct, frozen=True, kw_only=True):
    """One process. `readiness` is DEAD when nobody writes its page; `unknown_ns`: UTC, since when, 0 while it is known
    or when it never ran.
    """

    name: str
    kind: str
    pid: int = 0
    readiness: str = "DEAD"
    reason: str = "never started"
    since_ns: int = 0
    started_ns: int = 0
    beat_age_ms: int | None = None
    unknown_ns: int = 0
    build: str = ""
    config: str = ""
    memory_mb: int | None = None
    cpu_pct: int | None = None
    latencies: dict[str, RoundTrip] = {}

    @property
    def alive(self) -> bool:
        """Its page is written."""
        return self.readiness != "DEAD"


class BookSight(msgspec.Struct, frozen=True, kw_only=True):
    """One book; prices and quantities are integers at the instrument's scales, to be believed only when LIVE."""

    shard: str
    instrument: Instrument
    level: int
    status: str = "MISSING"
    reason: str = "no region has it"
    since_ns: int = 0
    bid_px: int = 0
    bid_qty: int = 0
    ask_px: int = 0
    ask_qty: int = 0
    recv_ns: int = 0
    messages: int = 0

    @property
    def key(self) -> Key:
        return self.instrument.venue, self.instrument.name, self.level


class GateSight(msgspec.Struct, frozen=True, kw_only=True):
    """The gate. `state` MISSING: it cannot be read, `fault` says why."""

    state: str = "MISSING"
    generation: int = 0
    lease_mono_ns: int = 0  # 0: there never was one
    scopes: dict[str, GateWord] = {}
    operator_word: str = ""
    fault: str = ""


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """One look at everything."""

    mono_ns: int
    wall_ns: int
    gate: GateSight = GateSight()
    processes: tuple[ProcessSight, ...] = ()
    books: tuple[BookSight, ...] = ()
    rows: dict[str, list[ExposureRow]] = {}  # by session; a session without a readable page has none
    faults: tuple[str, ...] = ()


def known_scopes(desk: DeskConfig) -> list[str]:
    """Every scope that the configuration names, in the kill switch's order."""
    config = desk.config
    found = ["desk", *(f"venue:{v}" for v in config.venue)]
    found += [account_scope(n, v.account) for n, v in config.venue.items()]
    found += [f"session:{s}" for s in desk.sessions(Kind.TRADING)]
    return found + sorted({f"instrument:{name}" for _, name in desk.instruments})


class MemoryReader:
    """Reads again and again. One thread."""

    def __init__(self, desk: DeskConfig, *, metered: bool = True) -> None:
        """`metered`: memory, CPU and latencies of each process, too."""
        self.desk = desk
        self.scopes = known_scopes(desk)
        self._roles = roster(desk)
        self._pages = {r.name: StatusReader(desk.shm_dir / "proc" / r.name) for r in self._roles}
        self._shards = {shard: _Shard(desk, shard) for shard in desk.config.book}
        self._meter = HealthSampler(desk, [r.name for r in self._roles], 0) if metered else None
        self._metrics = {r.name: MetricsReader(metrics_path(desk.shm_dir, r.name)) for r in self._roles}
        self._latencies: dict[str, dict[str, RoundTrip]] = {}
        self._looks = 0

    def look(self, mono_ns: int, wall_ns: int) -> Sight:
        """Everything as it is now."""
        faults: list[str] = []
        processes = [self._process(r.name, r.kind, i, mono_ns, wall_ns) for i, r in enumerate(self._roles)]
        processes += self._twins(mono_ns, wall_ns)
        self._looks += 1
        return Sight(
            mono_ns=mono_ns,
            wall_ns=wall_ns,
            gate=self._gate(),
            processes=tuple(processes),
            books=tuple(b for shard in self._shards.values() for b in shard.look()),
            rows=dict(self._rows(faults)),
            faults=tuple(faults),
        )

    def depth(self, key: Key, levels: int) -> tuple[list[Level], list[Level], str]:
        """Bids and asks, best first, and "" or why there are none: the book is then not to be believed."""
        for shard in self._shards.values():
            found = shard.readers.get(key)
            if found is not None:
                return _depth(found, shard.expected[key], levels)
        return [], [], "no region has it"

    def _process(self, name: str, kind: str, index: int, mono_ns: int, wall_ns: int) -> ProcessSight:
        try:
            status = self._pages[name].status()
        except RegionError as e:
            missing = not self._pages[name].path.exists()
            return ProcessSight(name=name, kind=kind, reason="never started" if missing else str(e))
        found = sighted(name, kind, status, mono_ns, wall_ns)
        if self._meter is None or not found.alive:
            return found
        if self._looks % METERED == index % METERED:
            self._meter.sample(name)
            self._latencies[name] = _latencies(self._metrics[name])
        health = self._meter.processes.get(name)
        memory_mb, cpu_pct = (None, None) if health is None else (health.memory_mb, health.cpu_pct)
        return msgspec.structs.replace(
            found, memory_mb=memory_mb, cpu_pct=cpu_pct, latencies=self._latencies.get(name, {})
        )

    def _twins(self, mono_ns: int, wall_ns: int) -> Iterable[ProcessSight]:
        """A second process of a role that is taken: it waits, and says for whom."""
        kinds = {r.name: r.kind for r in self._roles}
        for path in sorted((self.desk.shm_dir / "proc").glob("*.twin")):
            with suppress(RegionError):
                status = StatusReader(path).status()
                yield sighted(path.name, kinds.get(path.stem, status.kind), status, mono_ns, wall_ns)

    def _gate(self) -> GateSight:
        path = self.desk.shm_dir / "gate"
        try:
            word, generation, lease_ns = read_gate(path)
            names = dict.fromkeys([*self.scopes, *ScopeNames(path.with_name("gate.scopes")).known])
            scopes = read_scopes(path, names)
        except RegionError as e:
            return GateSight(operator_word=self._operator_word(), fault=str(e))
        return GateSight(
            state=word.state.name, generation=generation, lease_mono_ns=lease_ns, scopes=scopes,
            operator_word=self._operator_word(),
        )  # fmt: skip

    def _operator_word(self) -> str:
        try:
            words = Words.open(self.desk.shm_dir / "operator", OPERATOR_KIND)
        except RegionError:
            return ""
        return operator_reason(words) if words.load(0) else ""

    def _rows(self, faults: list[str]) -> Iterable[tuple[str, list[ExposureRow]]]:
        for role in self._roles:
            if role.kind != "trading":
                continue
            try:
                words = self._pages[role.name].words()
            except RegionError:
                continue  # its process says so: never started
            try:
                yield role.name, read_exposure(words)
            except RegionError as e:
                faults.append(str(e))


def sighted(name: str, kind: str, status: Status, mono_ns: int, wall_ns: int) -> ProcessSight:
    """A status page as it is to be believed now."""
    age_ns = max(0, mono_ns - status.beat_mono_ns)  # the page may have been written since the clock was read
    silent = age_ns > SILENT_NS
    reason = f"silent; last said {status.readiness} {status.reason}".rstrip() if silent else status.reason
    unknown_ns = (wall_ns - age_ns if status.beat_mono_ns else status.since_ns) if silent else 0
    return ProcessSight(
        name=name, kind=kind, pid=status.pid, readiness="DEAD" if silent else str(status.readiness), reason=reason,
        since_ns=status.since_ns, started_ns=status.started_ns, beat_age_ms=age_ns // 1_000_000,
        unknown_ns=max(0, unknown_ns), build=status.build, config=status.config,
    )  # fmt: skip


def _latencies(reader: MetricsReader) -> dict[str, RoundTrip]:
    """Each histogram that holds anything; none where the process writes no metrics."""
    try:
        samples = reader.samples()
    except RegionError:
        return {}
    found = {}
    for sample in samples:
        reading = sample.histogram
        if reading is None or not reading.count:
            continue
        labels = [v for k, v in sample.labels.items() if k not in _OWN_LABELS]
        name = " ".join([sample.name.removeprefix("quarterdeck_").removesuffix("_seconds"), *labels])
        p50, p99 = reading.percentile(50) // 1000, reading.percentile(99) // 1000
        found[name] = RoundTrip(count=reading.count, p50_us=p50, p99_us=p99)
    return found


class _Shard:
    """The books of one region."""

    def __init__(self, desk: DeskConfig, shard: str) -> None:
        self.shard = shard
        self._path = desk.shm_dir / f"book-{shard}"
        self.expected: dict[Key, Instrument] = {(i.venue, i.name, n): i for _, i, n in desk.shard_books(shard)}
        self.readers: dict[Key, BookReader] = {}
        self._region: BookRegion | None = None

    def look(self) -> list[BookSight]:
        if self._region is None:
            try:
                self._region = BookRegion.open(self._path)
            except RegionError as e:
                why = str(e) if self._path.exists() else "no region: its book process never ran"
                return [self._missing(key, why) for key in self.expected]
        return [self._book(key) for key in self.expected]

    def _missing(self, key: Key, why: str) -> BookSight:
        return BookSight(shard=self.shard, instrument=self.expected[key], level=key[2], reason=why)

    def _book(self, key: Key) -> BookSight:
        try:
            reader = self._reader(key)
            state, reason, since_ns = reader.status()
            _, bid_px, bid_qty, ask_px, ask_qty = reader.bbo_any()
            _, _, recv_ns, messages = reader.times()
        except RegionError as e:
            self.readers.pop(key, None)
            return self._missing(key, str(e))
        except BookBusyError as e:  # its writer died inside, or writes without a pause
            return self._missing(key, str(e))
        return BookSight(
            shard=self.shard, instrument=self.expected[key], level=key[2], status=BookState(state).name,
            reason=BookReason(reason).name, since_ns=since_ns, bid_px=bid_px, bid_qty=bid_qty, ask_px=ask_px,
            ask_qty=ask_qty, recv_ns=recv_ns, messages=messages,
        )  # fmt: skip

    def _reader(self, key: Key) -> BookReader:
        found = self.readers.get(key)
        if found is None:
            assert self._region is not None
            found = self.readers[key] = self._region.book(*key)
        return found


def _depth(reader: BookReader, instrument: Instrument, levels: int) -> tuple[list[Level], list[Level], str]:
    try:
        state, bids, asks = reader.depth_any(levels)
    except (RegionError, BookBusyError) as e:
        return [], [], str(e)
    if BookState(state) is not BookState.LIVE:
        return [], [], f"it is {BookState(state).name}"
    return _levels(bids, instrument), _levels(asks, instrument), ""


def _levels(side: Iterable[tuple[int, int, int]], instrument: Instrument) -> list[Level]:
    out, total = [], 0
    for px, qty, orders in side:
        total += qty
        text = instrument.qty_text(qty)
        out.append(Level(px=instrument.px_text(px), qty=text, orders=orders, sum_qty=instrument.qty_text(total)))
    return out
