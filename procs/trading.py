"""Order entry: one process for one order-entry session.

Owns the session, its message store, its working orders and their journal. Takes commands, publishes reports, obeys the
gate, cancels what is working when the gate closes, reconciles with the venue before it lets new orders through.
"""

import random
import sys

from base.backoff import Backoff
from base.config import DeskConfig
from base.errors import StoreError
from base.reactor import Priority
from base.upkeep import SYNC_NS, Upkeep
from ipc.bell import Bell, Ringer, bell_path
from ipc.events import OPEN_STATES, AnyEvent
from ipc.exposure import ExposureWriter
from ipc.fence import FenceKeeper, lease_duty
from ipc.gate import GateReader, session_scopes
from ipc.host import ProcessHost, run_process
from ipc.journal import Journal, OrderId, journal_settings
from ipc.readiness import VENUE_CLOSED, Readiness
from ipc.requests import NewOrder
from ipc.room import FULL, RoomWatch
from ipc.told import Told
from risk.exposure import ExposureBook
from risk.order import Order
from risk.orders import Applied, OrderTable
from venues.at_risk import AtRisk
from venues.balances import Balances
from venues.carry_over import Carrier, never_sent, restore
from venues.context import dialect_of, session_context
from venues.in_flight import InFlight
from venues.interface import RestRequest, SessionPhase, TradingSession
from venues.link import Leg, Link
from venues.means import Answered
from venues.opening_positions import OpeningPositions, opener_of, rule_of
from venues.order_checks import OrderChecks, trading_accounts
from venues.order_entry import OrderEntry
from venues.order_meter import OpenOrders
from venues.rate_share import DeskRates
from venues.recovery import Recovery
from venues.rest_client import RestClient, open_rest
from venues.rest_rates import RestRates
from venues.session_report import SessionReport
from venues.sweep import Sweep
from venues.watch import Act, Watch

MS = 1_000_000
LOOK_NS = 20 * MS
DUTY_NS = 100 * MS
SWEPT = "the lease of the kill switch was lost: own orders are still being cancelled"
STOP_DEADLINE_NS = 10_000 * MS
GRACE_SHARE = 4  # of the fence's deadline
ONLY_CANCELS = "no new orders; receiving and cancelling go on"
ROWS_MIN = 64
ROWS_SPARE = 8  # for instruments that were taken out of the configuration with something still at risk


class Trading:
    """The process: wires a session to order entry, journal, gate and bus."""

    def __init__(self, host: ProcessHost, session: str) -> None:
        self.host = host
        host.wake_early()
        self.name = session
        self.desk = desk = host.desk
        self.config = desk.config.session[session]
        self.venue = self.config.venue
        venue_config = desk.config.venue[self.venue]
        self.account = venue_config.account
        self.topic = f"exec.{session}"
        self.dialect = dialect_of(desk, self.venue)
        self.capabilities = self.dialect.capabilities(venue_config)
        self.plan = self.dialect.cancel_plan(venue_config)
        instruments = desk.session_instruments(session)
        exposure = ExposureBook({i.name: i.contract for i in instruments})
        self.checks = OrderChecks(desk, session, exposure, host.clock)
        names = (session, self.venue, self.account)
        rows = ExposureWriter(host.page)
        self.at_risk = AtRisk(names, exposure, rows, self.checks, self.record, host.clock)
        self.ringer = Ringer()
        self.report = SessionReport(host, session, self.venue, "trading")
        self.watch = Watch()
        self._ready_ns = 0  # monotonic time of the last logon; 0 while not logged on
        self._lease_sweep = False
        self._stop_by_ns = 0
        self._closed_told = ""

        folder = desk.data_dir / session
        sync = self.config.sync
        settings = journal_settings(self.config.journal_mb)
        self.journal = Journal(folder, host.clock.wall_ns(), settings=settings, sync_each=sync == "every")
        self.upkeep = Upkeep(host.reactor, self.journal, "journal", SYNC_NS if sync == "interval" else 0)
        self.room = RoomWatch(self.journal, session, ONLY_CANCELS, host.alert)
        told = Told()
        self.carrier = Carrier(self.journal, self._write_again, told)
        self.table = OrderTable(shared_trade_ids=self.capabilities.shared_trade_ids)
        positions: dict[str, tuple[int, int]] = {}
        scales: dict[str, tuple[int, int]] = {}
        openings: dict[str, int] = {}
        unsaid = restore(folder, self.table, positions, scales, openings, told=told)
        self.checks.restored(self.table)
        host.open_bus(self.journal, [self.topic])

        scopes = session_scopes(self.venue, self.account, session)
        self.gate_words = GateReader(desk.shm_dir / "gate", desk.shm_dir / "operator", scopes)
        # What a mass cancel may touch that is not ours, only a trip of venue, account or desk may touch.
        self.wide_words = GateReader(desk.shm_dir / "gate", desk.shm_dir / "operator", scopes[:-1])
        mass = [s for s in self.plan.steps if s.action == "owner_mass_cancel"]
        self.mass_is_wide = any(s.reaches == "account" for s in mass)
        rates = DeskRates(desk, self.venue, self.dialect)
        self.entry = OrderEntry(
            session,
            self.account,
            self.capabilities,
            instruments,
            self.table,
            self,
            host.clock,
            per_instrument=any(s.per_instrument for s in mass),
            mass_is_wide=self.mass_is_wide,
            throttle=rates.orders(session),
            checks=self.checks,
            told=told,
        )
        self.sweep = Sweep(self.entry)
        self.entry.on_open_report = self.sweep.seen_open
        self.entry.is_swept = self.sweep.sweeps
        self.rest_rates = RestRates(rates.rest(session), host.clock)
        self.rest = RestClient(host.reactor, desk, self.venue, rates=self.rest_rates) if venue_config.rest else None
        rest_api = open_rest(desk, self.venue, self.dialect)
        self.recovery = Recovery(self.entry, rest_api, self, Backoff(random.random), self.plan.list_lag_ms * MS)
        clock = host.clock
        every_ns = venue_config.rest.balances_every_s * 1_000 * MS if venue_config.rest else 0
        now = lambda: (clock.mono_ns(), clock.wall_ns())  # noqa: E731
        self.balances = Balances(self, rest_api, names, now, every_ns, desk.session_instruments(session))
        accounts = trading_accounts(desk)
        to_open = [i for i in instruments if i.name not in openings]
        self.openings = OpeningPositions(
            session, self, rest_api, self.at_risk, self.checks,
            [i for i in to_open if opener_of(accounts, self.venue, i.name) == session], rule_of(desk, self.venue),
            now, self.plan.list_lag_ms * MS,
            may_shrug=not venue_config.opening_positions and desk.config.desk.environment != "production",
        )  # fmt: skip
        self._reconciled = False
        self.link = Link(host.reactor, desk, session, self, self._make_session)
        self.report.metrics.follow(self.link, self.journal)
        self.in_flight = InFlight(self.link, host.clock, desk.config.kill.fence_deadline_ms * MS // GRACE_SHARE)
        self.link.holds_orders = self.in_flight.look
        self.link.presses = lambda: self.sweep.left > 0
        self._kill_bell = bell_path(desk.run_dir, "killswitch")
        self.fence = FenceKeeper(
            self.gate_words,
            host.page,
            drop_unsent=self._drop_unsent,
            cancel_working=self._gate_moved,
            ring_back=self._ring_back,
        )
        self.bell = Bell(bell_path(desk.run_dir, session))
        host.reactor.add_reader(self.bell.fd, self._rung, "bell", Priority.URGENT)
        server = host.serve(lambda command, _identity: self.entry.handle(command), self.journal)
        self.entry.meter.show(host.metrics.file, session, self.venue, server.read)
        open_orders = OpenOrders(host.metrics.file, session, self.venue, self.table, OPEN_STATES)
        host.metrics.each_second(open_orders.look)
        host.on_stop(self._stop)
        self._show_restored(positions, scales, openings, unsaid)
        self._look()
        self._duty()
        host.set(Readiness.RECOVERING, "connecting")
        self.link.start()

    def _make_session(self, leg: Leg, sender_comp_id: str) -> TradingSession:
        return self.dialect.trading(
            session_context(self.desk, self.name, self.host.publisher.epoch, sender_comp_id), leg
        )

    def _show_restored(
        self, positions: dict[str, tuple[int, int]], scales: dict[str, tuple[int, int]], openings: dict[str, int],
        unsaid: list[OrderId],
    ) -> None:  # fmt: skip
        """Nothing is assumed of what was open: it is UNCERTAIN until the venue has been asked."""
        present = {i.name: (i.px_scale, i.qty_scale) for i in self.entry.instruments.values()}
        awaited = self.openings.awaited
        held = self.at_risk.begin(present, positions, scales, self.table.open(), openings, awaited)
        for name in held:
            self.alert("warning", "orphan", f"{self.name}: a position in {name} is held, which is not configured")
        self.entry.lost_session("process restarted")
        for order_id in unsaid:
            wall_ns = self.host.clock.wall_ns()
            self.record(never_sent(order_id, self.name, self.venue, self.account, wall_ns))
        self.carrier.begin()

    def _write_again(self) -> None:
        """Open orders, those with fills that no trade accounts for, and positions."""
        orders = {order.ids[0]: order for order in self.table.open()} | self.table.untold
        for order in orders.values():
            self.record(order.snapshot(whole=True))
            self.moved(order)
        self.at_risk.say_all()

    # -- what order entry asks of the process ----------------------------------------------------------------

    def record(self, *events: AnyEvent) -> None:
        """Journal, then publish."""
        self.host.publish(self.topic, *events)
        self.carrier.recorded()

    def remember(self, command: NewOrder, cl_ord_id: str) -> None:
        """Which order a command becomes, before anything is sent. StoreError while the disk is full."""
        full = self.may_send_new()
        if full:
            raise StoreError(full)
        self.journal.order_id(command.client_id, command.command_id, cl_ord_id, self.host.clock.wall_ns())

    def may_send_new(self) -> str:
        """Why the journal lets nothing out that adds risk; empty when it does."""
        return f"{FULL}: {ONLY_CANCELS}" if self.journal.full else ""

    def gate(self, strategy: str, instrument: str) -> str:
        """Why no new order may leave; empty when it may."""
        closed = self.gate_words.closed_reason(self.host.clock.mono_ns(), strategy, instrument)
        if not closed and self._lease_sweep:
            closed = SWEPT  # the lease is back; until `_duty` has seen it, what leaves would be cancelled at once
        if not closed:
            self.in_flight.passed()
        return closed

    def filled(self, order: Order, applied: Applied) -> tuple[AnyEvent, ...]:
        """A fill moves the position."""
        self.openings.filled()
        return (self.at_risk.filled(order, applied),)

    def moved(self, order: Order) -> None:
        """An order changed: so does what it puts at risk."""
        self.at_risk.moved(order)
        self.host.page.count_sent(self.entry.counters["orders"])

    # -- what recovery asks ----------------------------------------------------------------------------------

    def ask(self, request: RestRequest, answered: Answered) -> None:
        """Send a REST request to the venue."""
        if self.rest is None:
            answered(0, b"", "no REST side is configured")
        else:
            self.rest.ask(request, self._then_settle(answered))

    def _then_settle(self, answered: Answered) -> Answered:
        def wrapped(status: int, body: bytes, error: str) -> None:
            answered(status, body, error)
            self._settle()

        return wrapped

    def publish(self, event: AnyEvent) -> None:
        """Publish under the session's topic."""
        self.record(event)

    # -- what the link says ----------------------------------------------------------------------------------

    def event(self, event: AnyEvent) -> None:
        """An event of the session, journalled before its number advances."""
        self.entry.event(event)

    def alert(self, severity: str, code: str, text: str) -> None:
        """Tell people."""
        self.host.alert(severity, code, text)

    def phase(self, phase: SessionPhase, reason: str) -> None:
        """The session went into another phase."""
        was = self.report.note(phase, reason)
        mono_ns = self.host.clock.mono_ns()
        self._ready_ns = (self._ready_ns or mono_ns) if phase is SessionPhase.READY else 0
        if phase is SessionPhase.READY:
            self.entry.session = self._session()
            if self.sweep.active:
                self.sweep.start(self.sweep.reason, self._covered, mono_ns, mass=self._may_mass_cancel())
            self.recovery.logged_on(mono_ns)
        elif phase is SessionPhase.DISCONNECTED and was is not SessionPhase.DISCONNECTED:
            self.recovery.lost(reason)
        self._mind_closing(reason)
        self._settle()
        self._say_session()
        if phase is SessionPhase.DISCONNECTED and self.host.stopping:
            self._finish()

    def _mind_closing(self, reason: str) -> None:
        """`on_stop` is for stops: what works when the venue closes stays there, and people hear of it once a window."""
        left = len(self.table.open())
        if left and reason.startswith(VENUE_CLOSED) and reason != self._closed_told:
            self._closed_told = reason
            self.alert("warning", "closed_with_orders", f"{self.name}: {left} orders were left working: {reason}")

    def _session(self) -> TradingSession:
        session: TradingSession = self.link.session  # type: ignore[assignment]
        return session

    def _settle(self) -> None:
        """Show in the readiness word where we stand."""
        done = self.report.phase is SessionPhase.READY and self.recovery.done
        if done != self._reconciled:
            self._reconciled = done
            for asks in (self.balances, self.openings):
                (asks.logged_on if done else asks.lost)()
        if self.host.stopping:
            return
        if done:
            full = self.room.reason or self.openings.reason
            self.host.set(Readiness.DEGRADED if full else Readiness.READY, full)
        elif self.report.phase is SessionPhase.READY:
            self.host.set(Readiness.RECOVERING, self.entry.ready_reason)
        else:
            self.host.set(Readiness.RECOVERING, str(self.report))

    def _say_session(self) -> None:
        left = self.entry.throttle.left(self.host.clock.mono_ns(), self.host.clock.wall_ns())
        rest = {f"rest_{name}": figure for name, figure in self.rest_rates.left().items()} if self.rest else {}
        self.report.say(self.link, {**self.entry.counters, **self.checks.counters(), **left, **rest})

    # -- gate, lease, timers ---------------------------------------------------------------------------------

    def _rung(self) -> bool:
        self.fence.look()  # before anything else: a trip waits for it
        self.bell.drain()
        self.fence.look()  # for a ring that was drained with the one that was answered
        return False

    def _ring_back(self) -> None:
        self.ringer.ring(self._kill_bell)
        self.host.let_equals_run()

    def _look(self) -> None:
        self.fence.look()
        self.in_flight.look()
        self.checks.look()
        mono_ns = self.host.clock.mono_ns()
        if mono_ns >= self.recovery.deadline_ns:
            self.recovery.tick(mono_ns)
            self._settle()
        if mono_ns >= self.balances.deadline_ns:
            self.balances.tick(mono_ns)
        if mono_ns >= self.openings.deadline_ns:
            self.openings.tick(mono_ns)
            self._settle()
        if mono_ns >= self.sweep.deadline_ns:
            self.sweep.tick(mono_ns)
        self.host.reactor.call_later(LOOK_NS, self._look, "look")

    def _drop_unsent(self) -> None:
        """Bytes of ours that could leave after the fence go with the connection, whatever scope was closed.

        Commands that wait in the socket meet the gate when they are read.
        """
        if self.in_flight.drop("a gate closed while orders were on their way"):
            self.alert("warning", "fence", f"{self.name}: connection cut: orders waited to be delivered")

    def _covers_all(self) -> bool:
        return self._lease_sweep or self.host.stopping or self.gate_words.must_cancel()

    def _may_mass_cancel(self) -> bool:
        """Whether the venue's mass cancel reaches nothing but what is to be cancelled."""
        return self._covers_all() and (not self.mass_is_wide or self.wide_words.must_cancel())

    def _covered(self, order: Order) -> bool:
        return self._covers_all() or self.gate_words.must_cancel(order.strategy, order.instrument)

    def _gate_moved(self) -> None:
        """A new generation: cancel what its scopes cover, or stop doing so."""
        reason = self.gate("", "") or "gate"
        covers_some = self._covers_all() or any(map(self._covered, self.table.open()))
        if covers_some:
            self.sweep.start(reason, self._covered, self.host.clock.mono_ns(), mass=self._may_mass_cancel())
            self.link.press()
        elif self.sweep.active:
            self.sweep.stop()

    def _duty(self) -> None:
        """Slow work: lease, figures for people."""
        mono_ns = self.host.clock.mono_ns()
        lost = lease_duty(self.gate_words, mono_ns, self.desk.config.kill.lease_lost_cancel_s) == "cancel"
        if lost and not self._lease_sweep and self.table.open():
            self.alert("critical", "lease", f"{self.name}: no kill switch: cancelling all own orders")
        if lost != self._lease_sweep:
            self._lease_sweep = lost
            self._gate_moved()
        self.carrier.look()
        self.at_risk.price(self.checks.dearest)
        if self.room.look():
            self._settle()
        self._mind_progress(mono_ns)
        self._say_session()
        if self.host.stopping and (not self.sweep.left or mono_ns >= self._stop_by_ns):
            self._log_out()
        self.host.reactor.call_later(DUTY_NS, self._duty, "duty")

    def _mind_progress(self, mono_ns: int) -> None:
        """Heartbeats are not enough: reconciliation ends, and orders are answered."""
        self.watch.hold("reconciling", 0 if self.recovery.done else self._ready_ns)
        for state in ("unanswered", "silent"):
            self.watch.hold(state, self.entry.asked_ns)
        for late in self.watch.late(mono_ns):
            self.alert("warning", "late", f"{self.name}: {late.text}")
            if late.act is Act.CUT:
                self.link.leg.disconnect(late.text)

    # -- stopping --------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        """`on_stop = "cancel"`: cancel what is working, wait for it, then log out; "keep": log out at once."""
        mono_ns = self.host.clock.mono_ns()
        self._stop_by_ns = mono_ns + STOP_DEADLINE_NS
        self.entry.ready_reason = "stopping"
        if self.config.on_stop == "cancel" and self.report.phase is SessionPhase.READY and self.table.open():
            self.sweep.start("stopping", self._covered, mono_ns, mass=self._may_mass_cancel())
        else:
            self._stop_by_ns = mono_ns
            self._log_out()

    def _log_out(self) -> None:
        if self._stop_by_ns < 0:
            return
        self._stop_by_ns = -1
        left = len(self.table.open())
        if left and self.config.on_stop == "cancel":
            self.alert("critical", "stop", f"{self.name}: stopping with {left} orders not known to be cancelled")
        self.link.stop("process stops")
        self.host.reactor.call_later(3_000 * MS, self._finish, "logout deadline")

    def _finish(self) -> None:
        self.link.close()
        self.upkeep.stop()
        self.journal.close()
        self.bell.close()
        self.host.finish()


def rows_of(desk: DeskConfig, session: str) -> int:
    """Exposure rows of a session's status page: one for each instrument, and some to spare."""
    return max(ROWS_MIN, len(desk.session_instruments(session)) + ROWS_SPARE)


def main() -> int:
    """Run the process."""
    return run_process("trading", "session", Trading, rows=rows_of)


if __name__ == "__main__":
    sys.exit(main())
