"""The kill switch's dead man's timers: whose health they stand for, and their requests over REST.

Run by the kill switch: docs/decisions/dead-man.md says why. Which venues have one is their dialect's business.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import msgspec

from base.config import DeskConfig
from base.errors import CorruptError
from base.reactor import Reactor
from ipc.gate import GateState, account_scope
from ipc.kept_file import KeptFile
from ipc.owners import OwnerWatch
from ipc.readiness import Readiness
from ipc.requests import StatusOrder
from risk.dead_man import DeadMan, Health, Look, SetTimer, TimerAction
from risk.kill import KillSwitch
from risk.kill_actions import Tell
from risk.kill_proof import ListedId
from venues.calendar import VenueCalendar
from venues.kill_paths import OwnerCommands
from venues.kill_rest import RestPath

MS = 1_000_000
SECOND_NS = 1_000_000_000
LEAD_NS = 5 * SECOND_NS  # beyond a renewal: a timer is disabled so long before a window of the calendar
STOP_NS = 2 * SECOND_NS  # for the venue to take a disable at a stop
LIVE_NS = 2 * SECOND_NS  # a heartbeat older than that is none
ASKED = 20  # orders asked about after a timer fired

Audit = Callable[[str, dict[str, object]], object]
Alert = Callable[[str, str, str], object]


class DeadMen:
    """One timer for each venue that is configured to have one."""

    def __init__(
        self,
        reactor: Reactor,
        desk: DeskConfig,
        rest: Mapping[str, RestPath],
        switch: KillSwitch,
        owners: Mapping[str, OwnerWatch],
        commands: Mapping[str, OwnerCommands],
        calendars: Mapping[str, VenueCalendar],
        alert: Alert,
        audit: Audit,
        kept: KeptFile,
    ) -> None:
        """`calendars`: by trading session. `kept`: when each timer fires, for the next life of this process."""
        self._reactor, self._clock, self._desk = reactor, reactor.clock, desk
        self._rest, self._switch, self._owners, self._commands = rest, switch, owners, commands
        self._calendars, self._alert, self._audit = calendars, alert, audit
        self._men = {
            name: DeadMan(name, config.dead_man_s)
            for name, config in desk.config.venue.items()
            if config.dead_man_s and name in rest
        }
        self._kept = kept
        self._before = self._read()
        self._return_ns = desk.config.kill.window_return_s * SECOND_NS
        self._stopping = False

    def tick(self) -> None:
        """Look at the health of each; several times a second."""
        if self._stopping:
            return
        self._mind_before()
        for name, man in self._men.items():
            self._do(man.tick(self._health(name, man), self._clock.mono_ns()))

    def _read(self) -> dict[str, int]:
        """By venue: when its timer was to fire as the life before knew it (UTC ns)."""
        try:
            body = self._kept.read()
            return msgspec.json.decode(body, type=dict[str, int]) if body is not None else {}
        except (CorruptError, msgspec.DecodeError) as e:
            self._alert("warning", "dead_man", f"what became of dead man's timers is not known: {e}")
            return {}

    def _mind_before(self) -> None:
        """A timer that ran out while no kill switch ran cancelled everything, and nobody was told."""
        for venue, fires_ns in list(self._before.items()):
            del self._before[venue]
            if venue in self._men and fires_ns <= self._clock.wall_ns():
                at = datetime.fromtimestamp(fires_ns // SECOND_NS, UTC).isoformat()
                text = f"{venue}: dead man's timer ran out at {at} while no kill switch ran: every order was cancelled"
                self._alert("critical", "dead_man", text)
                self._audit("dead man", {"severity": "critical", "text": text})
                self._look(venue)

    def _keep(self) -> None:
        """When each timer fires at the earliest, as known now."""
        ahead_ns = self._clock.wall_ns() - self._clock.mono_ns()
        fires = {n: m.fires_ns + ahead_ns for n, m in self._men.items() if m.fires_ns}
        self._kept.write(msgspec.json.encode(fires))

    def status(self) -> dict[str, dict[str, object]]:
        """For people: state, why, seconds until it fires, and how often it fired."""
        now = self._clock.mono_ns()
        return {
            n: {
                "state": m.state.value,
                "why": m.why,
                "fires_in_s": round((m.fires_ns - now) / SECOND_NS, 1) if m.fires_ns else None,
                "fired": m.fired,
            }
            for n, m in self._men.items()
        }

    def stop(self, then: Callable[[], object]) -> None:
        """An orderly stop: timers of accounts that keep orders are disabled; the others run out unless renewed again.

        `then` is called once, when the venues have taken that, or after two seconds.
        """
        self._stopping = True
        keeping = {o.venue for o in self._switch.topology.owners.values() if o.keeps}
        left = {n for n in keeping & self._men.keys() if self._men[n].runs}

        def done() -> None:
            self._kept.close()
            then()

        if not left:
            done()
            return
        end_ns = self._clock.mono_ns() + STOP_NS

        def look() -> None:
            now = self._clock.mono_ns()
            for name in sorted(left):
                self._do(self._men[name].disable('an orderly stop with on_stop = "keep"', now))
            runs = [n for n in left if self._men[n].runs]
            if runs and now < end_ns:
                self._reactor.call_later(20 * MS, look, "dead man")
                return
            for name in runs:
                self._alert("critical", "dead_man", f"{name}: could not be disabled at the stop: it fires later")
            done()

        look()

    # -- health --------------------------------------------------------------------------------------------------

    def _health(self, venue: str, man: DeadMan) -> Health:
        topology = self._switch.topology
        mine = [s for s, o in topology.owners.items() if o.venue == venue]
        excuse = self._away(mine, man.renew_ns + LEAD_NS)
        if excuse:
            return Health(excuse=excuse)
        why = self._gate(venue)
        if why:
            return Health(why=why)
        trading = 0
        for session in mine:
            why, excuse = self._owner(session)
            if why or excuse:
                return Health(why, excuse)
            trading += self._ready(session)
        return Health() if trading else Health(excuse="nothing works there and no trading process is ready")

    def _away(self, sessions: list[str], ahead_ns: int) -> str:
        wall_ns = self._clock.wall_ns()
        found = [self._calendars[s].away(wall_ns, ahead_ns) for s in sessions]
        return found[0] if found and all(found) else ""

    def _gate(self, venue: str) -> str:
        account = account_scope(venue, self._desk.config.venue[venue].account)
        for scope in ("desk", f"venue:{venue}", account):
            record = self._switch.records.get(scope)
            if record is not None and record.state != GateState.ARMED:
                return f"{scope} is {record.state.name}"
        return "" if "desk" in self._switch.records else "the desk has no state yet"

    def _owner(self, session: str) -> tuple[str, str]:
        """(why it did not pass, excuse): of an owner with orders at the venue; one without has no say."""
        if self._ready(session) or not self._switch.ledger.open_of(session):
            return "", ""
        status = self._owners[session].status
        reason = status.reason if status is not None else "it has no status page"
        readiness = status.readiness if status is not None else Readiness.STARTING
        if readiness is Readiness.STOPPING and self._switch.topology.owners[session].keeps:
            return "", f'{session} stopped in order and keeps its orders (on_stop = "keep")'
        excused = self._calendars[session].excuses(reason, self._clock.wall_ns(), self._return_ns)
        if excused:
            return "", f"{session} is away: {excused}"
        if not self._owners[session].alive:
            return f"{session} does not run, and has working orders", ""
        if readiness in (Readiness.READY, Readiness.DEGRADED):
            return f"{session} shows no heartbeat, and has working orders", ""
        return f"{session} is {readiness.value} with working orders: {reason}", ""

    def _ready(self, session: str) -> bool:
        owner = self._owners[session]
        status = owner.status
        if not owner.alive or status is None or status.pid != owner.pid:
            return False
        fresh = self._clock.mono_ns() - status.beat_mono_ns < LIVE_NS
        return fresh and status.readiness in (Readiness.READY, Readiness.DEGRADED)

    # -- what a timer asks ---------------------------------------------------------------------------------------

    def _do(self, actions: list[TimerAction]) -> None:
        for action in actions:
            if isinstance(action, SetTimer):
                self._set(action)
            elif isinstance(action, Look):
                self._look(action.venue)
            elif isinstance(action, Tell):
                self._alert(action.severity, action.code, action.text)
                self._audit("dead man", {"severity": action.severity, "text": action.text})

    def _set(self, action: SetTimer) -> None:
        man = self._men[action.venue]

        def answered(why: str) -> None:
            self._do(man.answered(why, self._clock.mono_ns()))
            self._keep()

        self._rest[action.venue].set_timer(action.seconds, answered)

    def _look(self, venue: str) -> None:
        """It has run out: what the venue still lists is said, and owners ask about orders that it does not list."""
        lag_ns = self._switch.topology.venues[venue].lag_ns

        def listed(lines: list[ListedId], _started_ns: int, _done_ns: int) -> None:
            names = {n for line in lines for n in line.ids}
            mine = [o for o in self._switch.ledger.open() if o.venue == venue]
            gone = [o for o in mine if names.isdisjoint((o.order_id, *o.ids))]
            text = f"{venue}: after the dead man's timer {len(lines)} orders are listed, {len(gone)} are not any more"
            self._alert("critical" if lines else "warning", "dead_man", text)
            self._audit("dead man fired", {"venue": venue, "listed": len(lines), "gone": [o.cl_ord_id for o in gone]})
            for order in gone[:ASKED]:
                link = self._commands[order.session]
                link.send(StatusOrder("killswitch", link.next_id(), 0, order.cl_ord_id))

        def failed(why: str) -> None:
            self._alert("critical", "dead_man", f"{venue}: what the dead man's timer left open is not known: {why}")

        rest = self._rest[venue]
        self._reactor.call_later(SECOND_NS + lag_ns, lambda: rest.list_orders(listed, failed), "dead man")
