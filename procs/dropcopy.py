"""Drop copy: one process for one drop-copy session.

Publishes every execution report that the venue copies to it, journalled first, marked `drop_copy`, and knows after a
restart what it told. It owns no order: who wants one view of the desk's fills joins it with the trading sessions'
streams by (venue, order_id, exec_id). Of two for one account each tells everything; who hears both counts each report
once (docs/redundancy.md).
"""

import sys
from functools import partial

from base.upkeep import SYNC_NS, Upkeep
from ipc.events import AnyEvent
from ipc.host import ProcessHost, run_process
from ipc.journal import Journal, journal_settings
from ipc.readiness import Readiness
from ipc.requests import Answer
from ipc.room import RoomWatch
from venues.context import dialect_of, session_context
from venues.copies import Copies
from venues.interface import SessionPhase, VenueSession
from venues.link import Leg, Link
from venues.session_report import SessionReport

SECOND_NS = 1_000_000_000


class DropCopy:
    """The process: wires a drop-copy session to a journal and the bus."""

    def __init__(self, host: ProcessHost, session: str) -> None:
        self.host = host
        self.name = session
        self.topic = f"exec.{session}"
        self.venue = host.desk.config.session[session].venue
        self.dialect = dialect_of(host.desk, self.venue)
        self.report = SessionReport(host, session, self.venue, "dropcopy")
        config = host.desk.config.session[session]
        sync, settings = config.sync, journal_settings(config.journal_mb)
        folder = host.desk.data_dir / session
        self.journal = Journal(folder, host.clock.wall_ns(), settings=settings, sync_each=sync == "every")
        self.upkeep = Upkeep(host.reactor, self.journal, "journal", SYNC_NS if sync == "interval" else 0)
        self.copies = Copies(folder, self.journal, partial(host.publish, self.topic))
        self.room = RoomWatch(self.journal, session, "reports take the place of the oldest kept", host.alert)
        host.open_bus(self.journal, [self.topic])
        host.serve(lambda command, _: Answer(command.command_id, False, f"{session} takes no commands"), self.journal)
        host.on_stop(self._stop)
        self.link = Link(host.reactor, host.desk, session, self, self._make_session)
        self.report.metrics.follow(self.link, self.journal)
        self.copies.carrier.begin()
        self._say()
        host.set(Readiness.RECOVERING, "connecting")
        self.link.start()

    def _make_session(self, leg: Leg, sender_comp_id: str) -> VenueSession:
        context = session_context(self.host.desk, self.name, self.host.publisher.epoch, sender_comp_id)
        return self.dialect.dropcopy(context, leg)

    def event(self, event: AnyEvent) -> None:
        """Journalled and published before the session's expected number advances."""
        self.copies.event(event)

    def phase(self, phase: SessionPhase, reason: str) -> None:
        """The session went into another phase."""
        self.report.note(phase, reason)
        if phase is SessionPhase.DISCONNECTED and self.host.stopping:
            self._finish()
            return
        self._settle()
        self.report.say(self.link, self.copies.counters)

    def _settle(self) -> None:
        """Show in the readiness word where we stand."""
        if self.host.stopping:
            return
        if self.report.phase is SessionPhase.READY:
            full = self.room.reason
            self.host.set(Readiness.DEGRADED if full else Readiness.READY, full)
        else:
            self.host.set(Readiness.RECOVERING, str(self.report))

    def alert(self, severity: str, code: str, text: str) -> None:
        """Tell people."""
        self.host.alert(severity, code, text)

    def _say(self) -> None:
        self.copies.carrier.look()
        if self.room.look():
            self._settle()
        self.report.say(self.link, self.copies.counters)
        self.host.reactor.call_later(SECOND_NS, self._say, "state")

    def _stop(self) -> None:
        self.link.stop("process stops")
        self.host.reactor.call_later(2 * SECOND_NS, self._finish, "logout deadline")

    def _finish(self) -> None:
        self.link.close()
        self.upkeep.stop()
        self.journal.close()
        self.host.finish()


def main() -> int:
    """Run the process."""
    return run_process("dropcopy", "session", DropCopy)


if __name__ == "__main__":
    sys.exit(main())
