"""The metrics of a whole desk in Prometheus's text formats, read from shared memory alone: nothing is asked of anyone.

Of a process that does not beat nothing is shown but `quarterdeck_up 0`: what its files still say is of the past.
"""

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from base.clock import Clock, SystemClock
from base.config import DeskConfig
from base.errors import RegionError
from ipc.books import BookReason, BookRegion, BookState
from ipc.exposure import NOTIONAL_SCALE, ExposureRow, read_exposure
from ipc.gate import GateReader, GateState, account_scope, read_gate, read_scopes
from ipc.gate_names import ScopeNames
from ipc.metrics import MetricsReader, Reading, Sample, metrics_path
from ipc.metrics_catalog import CATALOG, Kind, Metric
from ipc.readiness import Readiness, Status, StatusReader
from ipc.roster import Role, roster

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
SILENT_NS: Final = 2_000_000_000
UNCOUNTED: Final = frozenset({"simvenue"})  # venues of tests and demonstrations: they have no metrics
SECOND: Final = 1e9
MOST_SCOPES: Final = 500
# Edges of the buckets that are exported: one an octave, from 1 us to 69 s. The files have four an octave.
EDGES_NS: Final = tuple((1 << octave) - 1 for octave in range(10, 37))

Labels = Mapping[str, str]
Found = tuple[str, Labels, float | Reading]


def wanted(accept: str) -> bool:
    """Whether an Accept header asks for OpenMetrics."""
    return "application/openmetrics-text" in accept


def render(desk: DeskConfig, *, openmetrics: bool = False) -> bytes:
    """Every metric of the desk as it is now; content types are TEXT and OPENMETRICS."""
    return MetricsText(desk).render(openmetrics=openmetrics)


class MetricsText:
    """Renders again and again: the mappings of the files are kept."""

    def __init__(self, desk: DeskConfig, clock: Clock | None = None) -> None:
        self._desk, self._clock = desk, clock or SystemClock()
        self._roles = roster(desk)
        self._pages = {r.name: StatusReader(desk.shm_dir / "proc" / r.name) for r in self._roles}
        self._files = {r.name: MetricsReader(metrics_path(desk.shm_dir, r.name)) for r in self._roles}
        self._regions: dict[str, BookRegion] = {}

    def render(self, *, openmetrics: bool = False) -> bytes:
        """As the function of that name."""
        found: dict[str, list[tuple[Labels, float | Reading]]] = {}
        for name, labels, value in self._all():
            found.setdefault(name, []).append((labels, value))
        lines: list[str] = []
        for known in CATALOG:
            samples = found.get(known.name)
            if samples:
                lines += _family(known, samples, openmetrics=openmetrics)
        if openmetrics:
            lines.append("# EOF")
        return ("\n".join(lines) + "\n").encode()

    def _all(self) -> Iterator[Found]:
        unreadable = 0
        for role in self._roles:
            status, rows = self._page(role)
            yield from self._process(role, status)
            if status is None:
                continue
            yield from self._rows(role, rows)
            try:
                yield from ((s.name, s.labels, _value(s)) for s in self._samples(role, status))
            except RegionError:
                unreadable += role.kind not in UNCOUNTED  # the number of them is a metric of its own
        yield "quarterdeck_metrics_unreadable", {}, unreadable
        for shard in self._desk.config.book:
            yield from self._books(shard)
        yield from self._gate()
        yield from self._disks()

    # -- processes -------------------------------------------------------------------------------------------

    def _page(self, role: Role) -> tuple[Status | None, list[ExposureRow]]:
        """None while nobody writes the page."""
        reader = self._pages[role.name]
        try:
            status = reader.status()
            if self._clock.mono_ns() - status.beat_mono_ns > SILENT_NS:
                return None, []
            return status, read_exposure(reader.words())
        except RegionError:
            return None, []

    def _process(self, role: Role, status: Status | None) -> Iterator[Found]:
        of = {"process": role.name, "kind": role.kind}
        yield "quarterdeck_up", of, status is not None
        yield "quarterdeck_ready", of, status is not None and status.readiness is Readiness.READY
        if status is None:
            return
        for state in Readiness:
            yield "quarterdeck_readiness", {**of, "state": state.value}, status.readiness is state
        age_ns = max(0, self._clock.mono_ns() - status.beat_mono_ns)
        yield "quarterdeck_heartbeat_age_seconds", of, age_ns / SECOND
        yield "quarterdeck_start_time_seconds", of, status.started_ns / SECOND
        build = {"process": role.name, "build": status.build, "config": status.config}
        yield "quarterdeck_build_info", build, 1

    def _samples(self, role: Role, status: Status) -> list[Sample]:
        """RegionError as well when the file is that of the process before."""
        reader = self._files[role.name]
        samples = reader.samples()
        if reader.pid != status.pid:
            raise RegionError(f"{reader.path}: written by process {reader.pid}, not {status.pid}")
        return samples

    def _rows(self, role: Role, rows: list[ExposureRow]) -> Iterator[Found]:
        for row in rows:
            of = {"session": role.name, "venue": row.venue, "instrument": row.instrument}
            yield "quarterdeck_instrument_open_orders", of, row.open_orders
            yield "quarterdeck_instrument_uncertain_orders", of, row.uncertain
            yield "quarterdeck_instrument_position", of, row.position / 10**row.qty_scale
            for side, notional in (
                ("buy", row.buy_notional), ("sell", row.sell_notional), ("position", row.position_notional),
            ):  # fmt: skip
                yield "quarterdeck_instrument_notional", {**of, "side": side}, notional / 10**NOTIONAL_SCALE

    # -- books, gate, disks ----------------------------------------------------------------------------------

    def _books(self, shard: str) -> Iterator[Found]:
        try:
            if shard not in self._regions:
                self._regions[shard] = BookRegion.open(self._desk.shm_dir / f"book-{shard}")
            region = self._regions[shard]
            region.follow()
        except RegionError:
            region = None
        for _, instrument, level in self._desk.shard_books(shard):
            of = {"venue": instrument.venue, "instrument": instrument.name, "level": str(level)}
            try:
                book = region.book(instrument.venue, instrument.name, level) if region is not None else None
                state, reason, since_ns = book.status() if book else (BookState.STALE, BookReason.WRITER_DEAD, 0)
                times = book.times() if book else (0, 0, 0, 0)
            except RegionError:  # of another configuration than this one
                state, reason, since_ns, times = BookState.STALE, BookReason.WRITER_DEAD, 0, (0, 0, 0, 0)
            now_ns = self._clock.wall_ns()
            yield "quarterdeck_book_up", of, state == BookState.LIVE
            words = {"state": BookState(state).name, "reason": BookReason(reason).name}
            yield "quarterdeck_book_state", {**of, **words}, 1
            if since_ns:
                yield "quarterdeck_book_state_age_seconds", of, max(0, now_ns - since_ns) / SECOND
            if times[2]:
                yield "quarterdeck_book_age_seconds", of, max(0, now_ns - times[2]) / SECOND
            yield "quarterdeck_book_messages_total", of, times[3]

    def _gate(self) -> Iterator[Found]:
        path = self._desk.shm_dir / "gate"
        try:
            _, generation, lease_ns = read_gate(path)
            words = read_scopes(path, self._scopes())
        except RegionError:
            return
        mono_ns = self._clock.mono_ns()
        fresh = lease_ns >= mono_ns
        operator = GateReader(path, self._desk.shm_dir / "operator").operator_set()
        yield "quarterdeck_kill_lease_left_seconds", {}, (lease_ns - mono_ns) / SECOND if lease_ns else -math.inf
        yield "quarterdeck_kill_generation", {}, generation
        yield "quarterdeck_kill_operator_word", {}, operator
        desk_armed = fresh and not operator and words["desk"].state is GateState.ARMED
        for scope, word in words.items():
            yield "quarterdeck_kill_armed", {"scope": scope}, desk_armed and word.state is GateState.ARMED
            for state in GateState:
                yield "quarterdeck_kill_state", {"scope": scope, "state": state.name}, word.state is state

    def _scopes(self) -> list[str]:
        """The desk's, those of the configuration, and strategies that traded; at most MOST_SCOPES."""
        config = self._desk.config
        found = dict.fromkeys(
            ["desk", *(f"venue:{v}" for v in config.venue), *(f"session:{s}" for s in config.session)]
        )
        found |= dict.fromkeys(account_scope(v, c.account) for v, c in config.venue.items())
        found |= dict.fromkeys(s for s in ScopeNames(self._desk.shm_dir / "gate.scopes").known if ":." not in s)
        return list(found)[:MOST_SCOPES]

    def _disks(self) -> Iterator[Found]:
        for place, folder in (("data", self._desk.data_dir), ("log", self._desk.log_dir), ("shm", self._desk.shm_dir)):
            try:
                found = os.statvfs(_standing(folder))
            except OSError:
                continue
            yield "quarterdeck_disk_free_bytes", {"place": place}, found.f_bavail * found.f_frsize
            yield "quarterdeck_disk_size_bytes", {"place": place}, found.f_blocks * found.f_frsize


def _standing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there: a desk that never ran has none of its own."""
    return next((p for p in (folder, *folder.parents) if p.exists()), folder)


def _value(sample: Sample) -> float | Reading:
    return sample.value if sample.histogram is None else sample.histogram


def _family(known: Metric, samples: list[tuple[Labels, float | Reading]], *, openmetrics: bool) -> Iterator[str]:
    name = known.name.removesuffix("_total") if openmetrics else known.name
    help_text = known.help.replace("\\", "\\\\").replace("\n", "\\n")
    yield f"# HELP {name} {help_text}"
    yield f"# TYPE {name} {known.kind}"
    if openmetrics and known.unit:
        yield f"# UNIT {name} {known.unit}"
    for labels, value in samples:
        if isinstance(value, Reading):
            yield from _histogram(known.name, labels, value)
        else:
            yield f"{known.name}{_labels(labels)} {number(value)}"


def _histogram(name: str, labels: Labels, reading: Reading) -> Iterator[str]:
    seen, edges = 0, list(reading.up_to())
    for edge in EDGES_NS:
        while edges and edges[0][0] <= edge:
            seen = edges.pop(0)[1]
        yield f"{name}_bucket{_labels({**labels, 'le': repr(edge / SECOND)})} {seen}"
    yield f"{name}_bucket{_labels({**labels, 'le': '+Inf'})} {reading.count}"
    yield f"{name}_sum{_labels(labels)} {number(reading.sum_ns / SECOND)}"
    yield f"{name}_count{_labels(labels)} {reading.count}"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{k}="{_escaped(v)}"' for k, v in labels.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def number(value: float) -> str:
    """As Prometheus reads it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(value)


def names_of(known: Metric) -> list[str]:
    """The names of its series: a histogram has three."""
    if known.kind is Kind.HISTOGRAM:
        return [f"{known.name}_{part}" for part in ("bucket", "sum", "count")]
    return [known.name]


def every_series() -> dict[str, Metric]:
    """Every name that a series of this desk can have."""
    return {name: m for m in CATALOG for name in names_of(m)}
