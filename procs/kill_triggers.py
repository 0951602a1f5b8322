"""The kill switch's triggers: figures out of owners' pages and journals, books, drop copies, processes and host against
their limits; owners that lost their session. docs/limits.md has every figure.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol

from base.errors import ConfigError, CorruptError
from ipc.book_eyes import BookEyes
from ipc.events import CancelReject, ExecutionReport, OrderState, Position
from ipc.gate import GateState, account_scope, session_scopes
from ipc.host import ProcessHost
from ipc.kept_file import KeptFile
from ipc.owners import JournalTail, OwnerWatch, Told
from ipc.readiness import Readiness, Status
from procs.kill_health import HealthTriggers
from procs.kill_redundancy import RedundancyAlarms
from risk.kill import KillSwitch
from risk.kill_plan import Owned, Topology
from risk.kill_triggers import OwnerView, SessionLoss
from risk.limits import LimitBook, OwnerFigures
from risk.triggers.books import BookLook, BookWatch, Working
from risk.triggers.counts import CountBook
from risk.triggers.days import DayClock, Days
from risk.triggers.drop_copy import DropCopyBook
from risk.triggers.kept import Figures, decode, encode
from risk.triggers.losses import LossBook
from risk.triggers.pnl import Mark, ProfitBook
from risk.triggers.rules import day_zone
from risk.triggers.self_trades import SelfTradeBook
from risk.triggers.watch import LimitWatch, Outcome, Reading
from venues.kill_calendar import KillCalendar
from venues.kill_limits import drop_copy_accounts, trigger_problems
from venues.order_checks import contracts_of

MS = 1_000_000
MARKED_NS = 100 * MS  # between two looks at what needs books or sums
KEEP_NS = 1_000 * MS
LOGGED_ON = (Readiness.READY, Readiness.DEGRADED, Readiness.STOPPING)  # DEGRADED, a full disk: cancels still pass
CLOSED = frozenset({GateState.TRIPPING, GateState.TRIPPED, GateState.RESETTING})
HEARD = (ExecutionReport, OrderState, CancelReject, Position)


class TripScope(Protocol):
    """Trip a scope: cause, reason in words, figures for the audit."""

    def __call__(self, scope: str, cause: str, reason: str, figures: Mapping[str, object] | None = None) -> None: ...


class Triggers:
    """All triggers but operators, the death of an owner, and the gate's files."""

    def __init__(
        self, host: ProcessHost, topology: Topology, owners: Mapping[str, OwnerWatch],
        drop_copies: Mapping[str, JournalTail], switch: KillSwitch, trip: TripScope,
    ) -> None:  # fmt: skip
        """ConfigError, naming the key, for a limit that cannot be measured."""
        self._host, self._clock, self._owners, self._copies = host, host.clock, owners, drop_copies
        self._switch, self._trip, self._topology = switch, trip, topology
        desk = host.desk
        config, limits = desk.config.kill, desk.config.kill.limits
        problems = trigger_problems(desk)
        if problems:
            raise ConfigError(f"{desk.path}: {'; '.join(problems)}")
        self._file = KeptFile(desk.data_dir / "kill" / "figures.json")
        kept = self._restore()
        self._days, self._day_clock = Days(day_zone(desk.config)), DayClock()
        self._calendar = KillCalendar(desk)
        self._redundancy = RedundancyAlarms(host, self._calendar)
        self._eyes = BookEyes(desk)
        self._watch = LimitWatch(kept.standing)
        self._rows = LimitBook(limits, topology.owners, contracts_of(desk))
        self._counts = CountBook(limits)
        self._profit = ProfitBook(self._days, kept.holdings, kept.places, contracts_of(desk))
        self._losses = LossBook(limits, kept.peaks)
        self._self_trades = SelfTradeBook(limits, self._days, kept.self_trades)
        self._books = BookWatch(limits, topology.owners, self._eyes)
        self._drop_copy = DropCopyBook(limits, drop_copy_accounts(desk), self._days, kept.mismatches)
        self._health = HealthTriggers(host, topology, owners)
        self._loss = SessionLoss(config.session_loss_grace_s * 1000 * MS, config.session_loss_confirmations)
        self._marks: dict[tuple[str, str], tuple[Mark, int]] = {}
        self._around = {f"session:{o.session}": o.scopes() for o in topology.owners.values()}
        for o in topology.owners.values():
            account = account_scope(o.venue, o.account)
            self._around[account] = ("desk", f"venue:{o.venue}", account)
        self._caught_up = False
        self._marked_ns = self._kept_ns = 0

    # -- what is heard ---------------------------------------------------------------------------------------

    def told(self, session: str, told: Told) -> None:
        """An event of an owner's or a drop copy's journal, new or read again at a start."""
        event = told.event
        if session in self._owners:
            self._health.heard(session, event)
        if not isinstance(event, HEARD):
            return
        mono_ns, wall_ns = self._clock.mono_ns(), self._clock.wall_ns()
        then_ns = _when(event) or wall_ns
        at_ns = mono_ns - max(wall_ns - then_ns, 0)
        if session in self._owners:
            self._profit.event(session, told.epoch, told.seq, event)
            self._counts.event(event, at_ns, mono_ns, self._is_closed)
            self._self_trades.event(event, then_ns)
        self._drop_copy.event(event, at_ns, then_ns, mono_ns, self._is_ours)

    def _is_closed(self, order: Owned) -> bool:
        """Whether the gate is shut for such an order, by its words: at a start they stand before any record does."""
        gate = self._switch.gate
        known = gate.scopes()
        scopes = (
            "desk", *session_scopes(order.venue, order.account, order.session),
            f"instrument:{order.instrument}", f"strategy:{order.strategy}",
        )  # fmt: skip
        return any(s in known and gate.get(s).state in CLOSED for s in scopes)

    def _is_ours(self, report: ExecutionReport) -> bool:
        """Whether an order that a drop copy, or another session of the account, tells of was placed by this desk."""
        find, ids = self._switch.ledger.find, (report.cl_ord_id, report.order_id, report.instrument)
        return any(find(o.session, *ids) for o in self._topology.owners.values() if o.venue == report.venue)

    # -- looking ---------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Every 20 ms, after the owners' pages and journals were read."""
        mono_ns = self._clock.mono_ns()
        figures = {
            s: OwnerFigures(o.rows, o.status.sent, o.status.started_ns)
            for s, o in self._owners.items()
            if o.status is not None
        }
        self._judge("limit", [*self._rows.readings(figures, mono_ns), *self._counts.readings(mono_ns)], mono_ns)
        self._check_sessions(mono_ns)
        self._judge("health", self._health.journals(mono_ns), mono_ns)
        if mono_ns >= self._marked_ns:
            self._marked_ns = mono_ns + MARKED_NS
            self._judge("limit", self._marked(mono_ns), mono_ns)
        if mono_ns >= self._kept_ns:
            self._keep(mono_ns)

    def slow(self, found: Mapping[str, Status], files_fault: str) -> None:
        """Every 100 ms: processes (`found`: every readable status page) and the host."""
        mono_ns = self._clock.mono_ns()
        self._judge("health", self._health.stuck(found, mono_ns), mono_ns)
        self._redundancy.look(found)
        self._switch.owners_still(self._health.still())
        self._judge("health", self._health.others(files_fault, mono_ns), mono_ns)

    def faults(self) -> dict[str, str]:
        """What is wrong at this moment, by name; "" where it is well again."""
        return {**self._health.faults(), "figures": self._file.fault(), "day_clock": self._day_clock.fault()}

    def _marked(self, mono_ns: int) -> list[Reading]:
        """Losses, books behind working orders, self-trades, drop copies."""
        wall_ns, day_ns = self._clock.wall_ns(), self._day_ns()
        day = self._days.day(day_ns)
        if not self._caught_up and all(t.at_end for t in self._copies.values()):
            self._caught_up = True
            self._drop_copy.caught_up(mono_ns)
        self._profit.roll(day_ns, lambda venue, instrument: self._mark(venue, instrument, mono_ns))
        out = self._losses.readings(self._profit.holdings.values(), lambda v, i: self._mark(v, i, mono_ns), day)
        out += self._self_trades.readings(day)
        out += self._books.readings(
            self._working(),
            lambda venue, instrument: self._book(venue, instrument, mono_ns),
            lambda session: self._calendar.excuses(session, wall_ns),
            mono_ns,
        )
        if self._caught_up:
            out += self._drop_copy.readings(lambda v: self._calendar.no_drop_copy(v, wall_ns), mono_ns, day)
        return out

    def _day_ns(self) -> int:
        """UTC by which the day goes: a wall clock that jumps ends none, and begins none."""
        now_ns = self._day_clock.now(self._clock.wall_ns(), self._clock.mono_ns())
        self._days.trust(now_ns)
        return now_ns

    def _working(self) -> list[Working]:
        wall_ns, found = self._clock.wall_ns(), []
        for session, watch in self._owners.items():
            owner = self._topology.owners[session]
            for row in watch.rows:
                feed = self._eyes.session(row.venue, row.instrument)
                if row.open_orders and not (feed and self._calendar.excuses(feed, wall_ns)):
                    found.append(Working(session, row.venue, owner.account, row.instrument, row.open_orders))
        return found

    def _book(self, venue: str, instrument: str, mono_ns: int) -> BookLook:
        view = self._eyes.look(venue, instrument, mono_ns)
        return BookLook(view.state, f"{view.state} {view.reason}".strip())

    def _mark(self, venue: str, instrument: str, mono_ns: int) -> Mark | None:
        """Best bid and offer of the book; while it is not LIVE, those that it had last; None: there never was one."""
        view = self._eyes.look(venue, instrument, mono_ns)
        if view.bid is not None and view.ask is not None:
            mark = Mark(view.bid, view.ask, "book")
            self._marks[venue, instrument] = (mark, mono_ns)
            return mark
        known = self._marks.get((venue, instrument))
        if known is None:
            return None
        return Mark(known[0].bid, known[0].ask, f"book {(mono_ns - known[1]) // 1_000_000_000} s ago")

    # -- judging ---------------------------------------------------------------------------------------------

    def _judge(self, cause: str, readings: Iterable[Reading], mono_ns: int) -> None:
        closed = self._closed()
        for outcome in self._watch.look(readings, mono_ns, lambda scope: closed.isdisjoint(self._within(scope))):
            self._act(cause, outcome)

    def _act(self, cause: str, outcome: Outcome) -> None:
        if outcome.kind == "trip":
            self._trip(outcome.reading.scope, cause, str(outcome), outcome.facts())
            self._kept_ns = 0
        else:
            severity = {"alarm": "critical", "warning": "warning"}.get(outcome.kind, "info")
            subject = f"{outcome.reading.scope} {outcome.reading.figure}"
            self._host.alert(severity, cause, str(outcome), subject, outcome.percent if severity != "info" else 0)

    def _closed(self) -> set[str]:
        """Scopes of which no orders may leave: what is closed already is not tripped again by a figure."""
        return {s for s, r in self._switch.records.items() if r.state in CLOSED}

    def _within(self, scope: str) -> Iterable[str]:
        """The scopes that a scope lies wholly within, itself among them."""
        return self._around.get(scope) or ("desk", scope)

    def _check_sessions(self, mono_ns: int) -> None:
        for name, owner in self._owners.items():
            status = owner.status
            if status is None:
                continue
            left = sum(r.open_orders for r in owner.rows)
            excused = status.readiness in LOGGED_ON or not left or self._expects_loss(name, status.reason)
            why = self._loss.look(OwnerView(name, excused, left, status.reason), mono_ns)
            if why and self._closed().isdisjoint(self._within(f"session:{name}")):
                figures = {"scope": f"session:{name}", "figure": "session lost", "working_orders": left,
                           "reason": status.reason}  # fmt: skip
                self._trip(f"session:{name}", "session", why, figures)

    def _expects_loss(self, session: str, reason: str) -> bool:
        """Whether the session keeps away from a closed venue, or its calendar calls a disconnect now no surprise."""
        return self._calendar.excuses(session, self._clock.wall_ns(), reason)

    # -- what is said and kept -------------------------------------------------------------------------------

    def standing(self) -> list[dict[str, object]]:
        """Every limit with its value and standing."""
        return [*self._watch.table(), *self._loss.table(self._clock.mono_ns())]

    def limits(self) -> dict[str, object]:
        """Every limit with its value and standing, and the day's result by holding: for `qd kill limits`."""
        return {
            "day": self._days.day(self._day_ns()),
            "day_zone": str(self._days.zone),
            "limits": self.standing(),
            "holdings": [
                {
                    "session": h.session, "instrument": h.instrument, "position": f"{h.position:f}",
                    "opening": f"{h.opening:f}", "cost": None if h.cost is None else f"{h.cost:.8f}",
                    "realised": f"{h.realised:.8f}", "fees": f"{h.fees:.8f}", "quote": h.quote, "fills": h.fills,
                    "unpriced": h.unpriced, "since": self._days.clock(h.since_ns),
                }
                for h in self._profit.holdings.values()
                if h.position or h.fills
            ],
        }  # fmt: skip

    def close(self) -> None:
        """Write down what is to be kept, and stop measuring."""
        self._health.close()
        self._keep(self._clock.mono_ns())
        self._file.close()

    def _keep(self, mono_ns: int) -> None:
        self._kept_ns = mono_ns + KEEP_NS
        figures = Figures(
            holdings=list(self._profit.holdings.values()), places=self._profit.places, peaks=self._losses.peaks,
            self_trades=list(self._self_trades.found.values()), mismatches=list(self._drop_copy.found.values()),
            standing=self._watch.kept(),
        )  # fmt: skip
        self._file.write(encode(figures))

    def _restore(self) -> Figures:
        """What the life before kept. What cannot be read is made out of the journals, as far as these reach back."""
        try:
            return decode(self._file.read())
        except CorruptError as e:
            self._host.alert("critical", "figures", f"{e}: the day's figures begin with what the journals still hold")
            return Figures()


def _when(event: object) -> int:
    """UTC ns at which an event happened, 0 where it does not say."""
    if isinstance(event, ExecutionReport | CancelReject):
        return event.recv_ns
    if isinstance(event, OrderState):
        return event.since_ns
    return event.ts_ns if isinstance(event, Position) else 0
