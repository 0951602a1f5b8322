"""The ledger: orders, fills and positions of record, out of every trading and drop-copy session's journal.

It follows the journals and stores what they say with the place up to which it read. What comes on the bus only wakes
it. Nobody waits for it: while it is down, or its disk is full, the journals keep what it has to read.
"""

import logging
import sys

from base.config import DeskConfig, Kind, LedgerConfig
from base.errors import StoreError
from base.reactor import Priority
from ipc.bus import Subscriber
from ipc.events import Break
from ipc.host import ProcessHost, run_process
from ipc.ledger_records import COPY, ENTRY, BreakRecord
from ipc.readiness import Readiness
from ipc.requests import Answer, AnyCommand, Ops
from ipc.roster import publisher_endpoint
from risk.ledger_parts import Source
from risk.ledger_save import Keeper, Progress
from venues.context import dialect_of

MS = 1_000_000
DAY_NS = 86_400_000 * MS
GATHER_NS = 20 * MS  # what arrives meanwhile shares a transaction
LOOK_NS = 100 * MS  # without a word from the bus
RETRY_NS = 1_000 * MS  # after a write failed
HEARD_NS = 300 * MS  # for subscribers to connect, so that they hear what the last life could not say any more
PRUNE_NS = 60_000 * MS

log = logging.getLogger("ledger")


def sources(desk: DeskConfig) -> list[Source]:
    """Every session whose journal counts. An account has two views where it has both kinds of session."""
    found = []
    kinds = {kind: desk.sessions(kind) for kind in (Kind.TRADING, Kind.DROPCOPY)}
    venues = {kind: {desk.config.session[s].venue for s in names} for kind, names in kinds.items()}
    for kind, view in ((Kind.TRADING, ENTRY), (Kind.DROPCOPY, COPY)):
        for session in kinds[kind]:
            venue = desk.config.session[session].venue
            config = desk.config.venue[venue]
            claims = dialect_of(desk, venue).capabilities(config)
            two = venue in venues[Kind.TRADING] and venue in venues[Kind.DROPCOPY]
            own_ids = claims.exec_ids == "session"
            found.append(Source(session, venue, config.account, view, two, not claims.shared_trade_ids, own_ids))
    return found


class LedgerProcess:
    """The process: wires the journals to the store and what is found out to the bus."""

    def __init__(self, host: ProcessHost, _: str) -> None:
        self.host = host
        self.desk = desk = host.desk
        self.config = desk.config.ledger or LedgerConfig()
        self.sources = sources(desk)
        journals = {s: desk.data_dir / s.session for s in self.sources}
        self.keeper = Keeper(desk.data_dir / self.config.path, journals, self.config.break_after_ms * MS)
        self.trouble = ""  # why nothing is stored
        self.faults: dict[str, str] = {}
        self._waiting = False
        self._closed = False
        host.open_bus()
        host.publisher.declare("ledger")
        host.serve(lambda command, _: self._command(command))
        self.subscriber = Subscriber(host.context)
        host.metrics.listen(self.subscriber)
        for source in self.sources:
            self.subscriber.connect(publisher_endpoint(desk, source.session))
            self.subscriber.subscribe(f"exec.{source.session}", exact=True)
        host.reactor.add_zmq_drained(self.subscriber.socket, self._woken, "sessions", Priority.NORMAL)
        host.on_stop(self._stop)
        host.set(Readiness.RECOVERING, "reading the journals")
        host.reactor.call_later(HEARD_NS, self._look, "look")
        self._prune()

    # -- reading and storing -----------------------------------------------------------------------------------

    def _woken(self) -> bool:
        for _ in range(256):
            if self.subscriber.receive_raw() is None:
                return False
            if not self._waiting:
                self._waiting = True
                self.host.reactor.call_later(GATHER_NS, self._gathered, "gather")
        return True

    def _gathered(self) -> None:
        self._waiting = False
        self._step()

    def _look(self) -> None:
        if not self._waiting:
            self._step()
        self.host.reactor.call_later(RETRY_NS if self.trouble else LOOK_NS, self._look, "look")

    def _step(self) -> None:
        if self._closed:
            return
        try:
            if self.trouble:
                self.keeper.reopen()
            progress = self.keeper.step(self.host.clock.wall_ns())
        except StoreError as e:
            self._stuck(str(e))
            return
        if self.trouble:
            self.host.alert("info", "ledger_store", f"stores again; it had not: {self.trouble}")
            self.trouble = ""
        self._tell(progress)
        self._settle(progress)
        if progress.more and not self._waiting:
            self._waiting = True
            self.host.reactor.call_soon(self._gathered, "more")

    def _stuck(self, why: str) -> None:
        """A full disk, say: nothing counts that is not stored. What was read will be read again."""
        if why != self.trouble:
            self.host.alert("critical", "ledger_store", f"nothing can be stored: {why}")
        self.trouble = why
        self.host.set(Readiness.DEGRADED, f"nothing can be stored: {why}")

    def _tell(self, progress: Progress) -> None:
        for session, why in progress.faults.items():
            if self.faults.get(session) != why:
                self.host.alert("critical", "ledger_journal", f"{session}: its journal cannot be read: {why}")
        self.faults = progress.faults
        for gap in progress.gaps:
            self.host.alert("critical", "ledger_gap", gap.text)
        opened = []
        for found in self.keeper.unsaid():
            opened += [] if found.closed_ns or found.kind == "gap" else [found]
            self.host.publish("ledger", _event(found))
            self.keeper.said(found)
            state = f"closed ({found.closed_by})" if found.closed_ns else "open"
            log.warning("break %d %s %s: %s", found.id, found.kind, state, found.text)
        if opened:
            first, count = opened[0], self.keeper.ledger.watch.open_count
            text = (
                f"{len(opened)} opened, {count} are open (`qd ledger breaks`); {first.id}: {first.kind}: {first.text}"
            )
            self.host.alert("warning", "ledger_break", text)

    def _settle(self, progress: Progress) -> None:
        ledger = self.keeper.ledger
        self.host.counters.update(ledger.counters, events=self.host.counters.get("events", 0) + progress.events)
        self.host.counters["breaks"] = ledger.watch.open_count
        if self.host.stopping:
            return
        if progress.more:
            self.host.set(Readiness.RECOVERING, "reading the journals")
        elif self.faults:
            self.host.set(Readiness.DEGRADED, f"journals that cannot be read: {', '.join(sorted(self.faults))}")
        else:
            self.host.set(Readiness.READY)

    def _prune(self) -> None:
        days = self.config.keep_orders_days
        if days and not self.trouble:
            try:
                gone = self.keeper.prune(self.host.clock.wall_ns() - days * DAY_NS)
            except StoreError as e:
                self._stuck(str(e))
                gone = 0
            if gone:
                log.info("dropped %d orders that ended without a fill", gone)
        self.host.reactor.call_later(PRUNE_NS, self._prune, "prune")

    # -- a person's word ---------------------------------------------------------------------------------------

    def _command(self, command: AnyCommand) -> Answer:
        if not isinstance(command, Ops) or command.verb != "accept":
            return Answer(command.command_id, False, "the ledger takes one command: accept")
        number, reason = command.args.get("break", ""), command.args.get("reason", "")
        if not number.isdecimal() or not reason:
            return Answer(command.command_id, False, "accept: expected break=NUMBER and reason=TEXT")
        try:
            done = self.keeper.accept(int(number), reason, self.host.clock.wall_ns())
        except StoreError as e:
            self._stuck(str(e))
            return Answer(command.command_id, False, str(e))
        return Answer(command.command_id, done, "" if done else f"no open break {number}")

    def _stop(self) -> None:
        self.host.reactor.remove_zmq(self.subscriber.socket)
        self.subscriber.close()
        if not self.trouble:
            self._step()
        self._closed = True
        self.keeper.close()
        self.host.finish()


def _event(found: BreakRecord) -> Break:
    return Break(
        found.id, found.kind, found.lacks, found.venue, found.account, found.instrument, found.order_id,
        found.cl_ord_id, found.trade_id, found.strategy, found.order_entry, found.drop_copy, found.text,
        found.opened_ns, found.closed_ns, found.closed_by,
    )  # fmt: skip


def main() -> int:
    """Run the process."""
    return run_process("ledger", "", LedgerProcess)


if __name__ == "__main__":
    sys.exit(main())
