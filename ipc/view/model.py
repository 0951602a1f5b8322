"""The model of a desk: hears events, is shown what shared memory holds and what was answered; says how things stand.

Pure: no clock, no socket, no file. `eyes.py` feeds it.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from base.config import DeskConfig
from base.instruments import Instrument
from ipc import events as e
from ipc.alarm_files import Alarm
from ipc.bus import Delivery, Gap
from ipc.exposure import NOTIONAL_SCALE, UNOPENED, UNPRICED, ExposureRow
from ipc.gate import GateState
from ipc.roster import roster
from ipc.view import state as desk_state
from ipc.view.books import BooksSeen
from ipc.view.happened import Happened
from ipc.view.kill import KillSeen
from ipc.view.orders import OrdersSeen
from ipc.view.sessions import SessionsSeen
from ipc.view.sight import ProcessSight, Sight, known_scopes
from ipc.view.structs import (
    AlarmPart,
    BalancePart,
    BookPart,
    LimitPart,
    OrderLife,
    PositionPart,
    ProcessPart,
    View,
)
from ipc.view.words import number

ORDERS_SHOWN: Final = 500
NEAR: Final = 75  # percent of a limit
_ALERTS_KEPT: Final = 500
_LIMIT_FIELDS: Final = (
    "scope", "figure", "unit", "value", "limit", "limit_is", "distance", "state", "does", "when", "detail",
)  # fmt: skip


class DeskModel:
    """See the module."""

    def __init__(self, desk: DeskConfig) -> None:
        self.desk = desk
        self.orders = OrdersSeen()
        self.happened = Happened()
        self._sessions = SessionsSeen(desk)
        self._kill = KillSeen(known_scopes(desk))
        self._books = BooksSeen(desk)
        self._processes = len(roster(desk))
        self._sight = Sight(mono_ns=0, wall_ns=0)
        self._positions: dict[tuple[str, str], e.Position] = {}  # session, instrument
        self._balances: dict[tuple[str, str, str], e.Balance] = {}  # session, account, currency
        self._alarms: Sequence[Alarm] | None = None  # None: no alarms process told any
        self._alarms_fault = ""
        self._alerts: OrderedDict[tuple[str, str, str], AlarmPart] = OrderedDict()  # where nobody keeps alarms
        self._limits: Mapping[str, Any] = {}
        self._limits_ns, self._limits_fault = 0, "the kill switch was not asked yet"
        self._lost = 0  # events of the bus
        self._readings: tuple[str, ...] = ()

    # -- what comes in ---------------------------------------------------------------------------------------

    def hear(self, delivery: Delivery, mono_ns: int, wall_ns: int = 0) -> None:
        """An event or a gap of the bus, or of a journal."""
        event = delivery.event
        match event:
            case e.SessionState() | e.ProcessState():
                self._sessions.hear(event, mono_ns)
            case e.KillState() | e.KillProgress():
                self._kill.hear(event)
            case e.BookSource():
                self._books.source(event)
            case e.Position():
                self._positions[event.session, event.instrument] = event
            case e.Balance():
                self._balances[event.session, event.account, event.currency] = event
            case e.Alert():
                self._alert(event)
            case Gap():
                if event.kind in ("hole", "malformed"):
                    self._lost += event.next - event.first
            case _:
                self.orders.hear(event)
        self.happened.hear(delivery.topic, event, wall_ns or self._sight.wall_ns)

    def see(self, sight: Sight) -> None:
        """What shared memory holds now."""
        self._notice(sight)
        self._sight = sight
        self._books.see(sight)

    def kill_status(self, status: Mapping[str, Any] | str) -> None:
        """The kill switch's answer to `status`; a text: why there is none."""
        if isinstance(status, str):
            self._kill.failed(status)
        else:
            self._kill.answered(status)

    def kill_latch(self, latch: Mapping[str, Any]) -> None:
        """What the kill switch wrote down last: why a scope is shut, when it cannot be asked."""
        self._kill.latched(latch)

    def limits(self, found: Mapping[str, Any] | str, wall_ns: int) -> None:
        """The kill switch's answer to `limits`; a text: why there is none. What it said last stays, with its time."""
        if isinstance(found, str):
            self._limits_fault = found
        else:
            self._limits, self._limits_ns, self._limits_fault = found, wall_ns, ""

    def alarms(self, standing: Sequence[Alarm] | str) -> None:
        """What the alarms process wrote down; a text: why that is not known."""
        if isinstance(standing, str):
            self._alarms_fault = standing
        else:
            self._alarms, self._alarms_fault = standing, ""

    def reading(self, notes: Sequence[str]) -> None:
        """What cannot be read, or is not read to its end."""
        self._readings = tuple(notes)

    # -- what is seen ----------------------------------------------------------------------------------------

    def view(self, mono_ns: int, wall_ns: int, orders: int = ORDERS_SHOWN) -> View:
        """The desk as it stands; at most so many open orders, and as many that ended."""
        sight = self._sight
        processes = {p.name: p for p in sight.processes}

        def known(session: str) -> bool:
            return session in processes and processes[session].alive

        parts = [_process(p, sight.processes, self._sessions.counters.get(p.name, {})) for p in sight.processes]
        sessions = self._sessions.parts(processes, self.orders, mono_ns)
        books = self._books.parts(mono_ns, wall_ns)
        kill = self._kill.part(sight.gate)
        alarms = self._alarm_parts()
        limits = tuple(sorted(map(_limit, self._limits.get("limits", ())), key=_nearness))
        desk = desk_state.desk_part(
            self.desk.config.desk.name, mono_ns, sight, parts, sessions, books, kill, alarms, limits,
            (self.orders.open_count(), self.orders.uncertain()), expected=self._processes,
        )  # fmt: skip
        return View(
            taken_ns=wall_ns, desk=desk, kill=kill, sessions=tuple(sessions), processes=tuple(parts),
            books=tuple(books), open_orders=tuple(self.orders.open(wall_ns, known, orders)),
            finished_orders=tuple(self.orders.finished(wall_ns, known, orders)),
            positions=tuple(self._position_parts(processes)),
            balances=tuple(map(_balance, self._balances.values())), limits=limits, limits_ns=self._limits_ns,
            limits_fault=self._limits_fault, alarms=tuple(alarms), alarms_fault=self._alarms_fault,
            events=self.happened.newest(), reading=tuple(self._notes()),
        )  # fmt: skip

    def life(self, venue: str, cl_ord_id: str, wall_ns: int) -> OrderLife | None:
        """One order with its events; None when it is not kept."""
        alive = {p.name for p in self._sight.processes if p.alive}
        return self.orders.life(venue, cl_ord_id, wall_ns, alive.__contains__)

    def book(self, venue: str, instrument: str, level: int, mono_ns: int, wall_ns: int) -> BookPart | None:
        """One book as it stands; None when the desk has none such."""
        return self._books.part((venue, instrument, level), mono_ns, wall_ns)

    @property
    def tripping(self) -> bool:
        """Whether some scope is shut and not proven dead yet."""
        return any(w.state is GateState.TRIPPING for w in self._sight.gate.scopes.values())

    def heard_all(self) -> bool:
        """Whether every session whose process runs was heard of."""
        return all(
            self._sessions.heard(p.name)
            for p in self._sight.processes
            if p.alive and p.name in self.desk.config.session
        )

    # -- inside ----------------------------------------------------------------------------------------------

    def _notice(self, sight: Sight) -> None:
        """What only memory shows is an event, too: a process that fell silent, a book that changed its state."""
        was = {p.name: p for p in self._sight.processes}
        for p in sight.processes:
            before = was.get(p.name)
            if before is not None and before.alive and not p.alive:
                self.happened.add(p.unknown_ns, "critical", "Process", p.name, "", f"DEAD: {p.reason}")
            elif before is not None and p.alive and not before.alive:
                self.happened.add(p.started_ns, "info", "Process", p.name, "", f"runs: pid {p.pid}")
        books = {b.key: b for b in self._sight.books}
        for b in sight.books:
            old = books.get(b.key)
            if old is not None and (old.status, old.reason) != (b.status, b.reason):
                severity = "info" if b.status == "LIVE" else "warning"
                subject = f"{b.instrument.venue} {b.instrument.name} L{b.level}"
                text = b.status if b.reason == "OK" else f"{b.status} {b.reason}"
                self.happened.add(b.since_ns or sight.wall_ns, severity, "Book", f"book-{b.shard}", subject, text)

    def _alert(self, alert: e.Alert) -> None:
        key = (alert.source, alert.code, e.alert_subject(alert))
        if alert.severity == "info":
            self._alerts.pop(key, None)
            return
        before = self._alerts.pop(key, None)
        self._alerts[key] = AlarmPart(
            number=0, source=key[0], code=key[1], subject=key[2], severity=alert.severity, text=alert.text,
            first_ns=before.first_ns if before else alert.ts_ns, last_ns=alert.ts_ns,
            count=before.count + 1 if before else 1, level=0, told=(), acked_by="", ack_note="", acked_ns=0,
            over_ns=0, over_text="",
        )  # fmt: skip
        if len(self._alerts) > _ALERTS_KEPT:
            self._alerts.popitem(last=False)

    def _alarm_parts(self) -> list[AlarmPart]:
        parts = list(self._alerts.values()) if self._alarms is None else [_alarm(a) for a in self._alarms]
        return sorted(parts, key=lambda a: (bool(a.acked_ns), bool(a.over_ns), a.severity != "critical", a.number))

    def _position_parts(self, processes: Mapping[str, ProcessSight]) -> list[PositionPart]:
        """What stands on the status pages; of a page that is gone, what was said last."""
        holdings = {(h["session"], h["instrument"]): h for h in self._limits.get("holdings", ())}
        rows = {(s, r.instrument): r for s, found in self._sight.rows.items() for r in found}
        parts = []
        for key in dict.fromkeys([*rows, *self._positions]):
            process = processes.get(key[0])
            config = self.desk.config.session.get(key[0])
            if config is None:  # of a session that the configuration no longer has
                continue
            account = self.desk.config.venue[config.venue].account
            instrument = self.desk.instruments.get((config.venue, key[1]))
            parts.append(
                _position(key[0], account, rows.get(key), self._positions.get(key), holdings.get(key) or {}, process,
                          instrument, config.venue)
            )  # fmt: skip
        return parts

    def _notes(self) -> list[str]:
        notes = [*self._readings, *self._sight.faults]
        if self._lost:
            notes.append(f"{self._lost} events of the bus were lost here")
        if self.orders.lost:
            notes.append(f"{self.orders.lost} open orders are not shown: no room")
        return notes


def _process(p: ProcessSight, everybody: Sequence[ProcessSight], counters: Mapping[str, int]) -> ProcessPart:
    alive = [x for x in everybody if x.alive]
    differs = [
        name
        for name, mine, all_ in (
            ("build", p.build, [x.build for x in alive]),
            ("config", p.config, [x.config for x in alive]),
        )
        if p.alive and mine != max(all_, key=all_.count)
    ]
    return ProcessPart(
        name=p.name, kind=p.kind, pid=p.pid, readiness=p.readiness, reason=p.reason, since_ns=p.since_ns,
        known=p.alive, unknown_ns=p.unknown_ns, started_ns=p.started_ns, beat_ms=p.beat_age_ms,
        memory_mb=p.memory_mb, cpu_pct=p.cpu_pct, build=p.build, config=p.config, disagrees=" and ".join(differs),
        counters=dict(counters), latencies=p.latencies,
    )  # fmt: skip


def _position(
    session: str, account: str, row: ExposureRow | None, said: e.Position | None, holding: Mapping[str, Any],
    process: ProcessSight | None, instrument: Instrument | None, venue: str,
) -> PositionPart:  # fmt: skip
    name, qty_scale, held = "", 0, 0
    if row is not None:
        name, qty_scale, held = row.instrument, row.qty_scale, row.position
    elif said is not None:
        name, qty_scale, held = said.instrument, said.qty_scale, said.position
    flags = row.flags if row is not None else 0
    opening = said.opening if said is not None else None
    incomplete = [w for w, on in (("opening not known", flags & UNOPENED), ("not priced", flags & UNPRICED)) if on]
    alive = process is not None and process.alive

    def text(field: str) -> str:
        value = holding.get(field)
        return "" if value is None else str(value)

    return PositionPart(
        session=session, venue=venue, account=account, instrument=name, position=number(held, qty_scale),
        opening=number(opening, qty_scale),
        mark_px=number(said.mark_px, said.px_scale) if said is not None and said.mark_px else "",
        notional=number(row.position_notional, NOTIONAL_SCALE) if row is not None else "",
        open_orders=row.open_orders if row is not None else 0, uncertain=row.uncertain if row is not None else 0,
        working_buy_qty=number(row.working_buy_qty, qty_scale) if row is not None else "",
        working_sell_qty=number(row.working_sell_qty, qty_scale) if row is not None else "",
        cost=text("cost"), realised=text("realised"), fees=text("fees"), quote=text("quote"),
        incomplete=", ".join(incomplete), known=alive and row is not None,
        unknown_ns=process.unknown_ns if process is not None else 0,
    )  # fmt: skip


def _balance(b: e.Balance) -> BalancePart:
    return BalancePart(
        session=b.session, venue=b.venue, account=b.account, currency=b.currency, total=b.total,
        available=b.available, held=b.held, buying_power=b.buying_power, ts_ns=b.ts_ns,
    )  # fmt: skip


def _limit(row: Mapping[str, Any]) -> LimitPart:
    return LimitPart(**{f: str(row.get(f) or "") for f in _LIMIT_FIELDS}, percent=int(row.get("percent") or 0))


def _nearness(limit: LimitPart) -> tuple[bool, int]:
    """What trips, and what is near, before the figures of processes and host, of which something is always highest."""
    return limit.does != "trips" and limit.percent < NEAR, -limit.percent


def _alarm(a: Alarm) -> AlarmPart:
    return AlarmPart(
        number=a.number, source=a.source, code=a.code, subject=a.subject, severity=a.severity, text=a.text,
        first_ns=a.first_ns, last_ns=a.last_ns, count=a.count, level=a.level, told=tuple(a.told),
        acked_by=a.acked_by, ack_note=a.ack_note, acked_ns=a.acked_ns, over_ns=a.over_ns, over_text=a.over_text,
    )  # fmt: skip
