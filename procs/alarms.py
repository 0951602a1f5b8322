"""Alarms: what people have to know of, delivered until somebody acknowledges it.

Alerts come by the bus and by files in memory (ipc/alert_spool.py), so that neither a dead bus nor a full disk nor a
restart loses one. What nobody can say of himself any more, a process that is gone or stuck, is seen on its status page.
"""

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Mapping
from functools import partial

import msgspec

from base.alarm_config import AlarmsConfig
from base.blocking import Helpers
from base.errors import CommandError, QuarterdeckError, RegionError, SchemaError
from base.notify import Message, deliver, one_line
from base.reactor import Priority
from ipc.alarm_files import HISTORY, STATE, Stored, alarm_folder, decode_stored
from ipc.alert_spool import SpoolReader
from ipc.audit import trail_files
from ipc.bus import Subscriber
from ipc.drills import too_old
from ipc.events import Alert
from ipc.gate import GateReader
from ipc.host import ProcessHost, run_process
from ipc.kill_files import KillFiles, read_latch
from ipc.readiness import Readiness, StatusReader
from ipc.requests import Answer, AnyCommand, Ops
from ipc.roster import publisher_endpoint, roster
from risk.alarm_lines import Batch
from risk.alarm_text import batch_message
from risk.alarm_watch import PageView, ProcessWatch
from risk.alarms import SOURCE, AlarmBook

MS = 1_000_000
LOOK_NS = 100 * MS
WATCH_NS = 250 * MS
DRILL_LOOK_NS = 30_000 * MS
SLOW_NS = 5_000 * MS  # nobody waits for it
KEY = (SOURCE, "storage", "")

log = logging.getLogger("alarms")


class AlarmsProcess:
    """The process: wires alerts, clocks, notifiers and files to the book of alarms."""

    def __init__(self, host: ProcessHost, _: str) -> None:
        self.host, self.desk = host, host.desk
        self.config = host.desk.config.alarms or AlarmsConfig()
        self.clock, self.reactor = host.clock, host.reactor
        self.folder = alarm_folder(host.desk.data_dir)
        self.files = KillFiles(self.folder, self.clock, latch=STATE, trail=HISTORY, slow_ns=SLOW_NS)
        self.book = AlarmBook(self.config, self.files.audit)
        stored = self._stored()
        self.spool = SpoolReader(self.desk.shm_dir, stored.places)
        self.subscriber = Subscriber(host.context)
        host.metrics.listen(self.subscriber)
        self.threads = {n.name: self._thread(n.name) for n in self.config.notifiers}
        self.pages = {r.name: StatusReader(self.desk.shm_dir / "proc" / r.name) for r in roster(self.desk)}
        self.watch = ProcessWatch(self.config.silent_after_ms * MS, self.clock.mono_ns())
        self.gate = GateReader(self.desk.shm_dir / "gate", self.desk.shm_dir / "operator")
        self._said: dict[tuple[str, str, str], str] = {}
        host.open_bus()
        self._subscribe()
        host.serve(lambda command, _: self._command(command))
        host.on_stop(self._stop)
        self._keep()  # before the history's first line: a history without a store would read as a store that is gone
        self.files.audit("started", {"pid": os.getpid()})
        self._look()
        self._watch()
        self._drill_age()

    def _stored(self) -> Stored:
        """What the process before left; what cannot be read is an alarm, not an empty list."""
        data, wall_ns, mono_ns = read_latch(self.folder, STATE), self.clock.wall_ns(), self.clock.mono_ns()
        found: Stored | str = Stored(1, 1, [], {})
        if data is not None:
            found = decode_stored(data)
        elif trail_files(self.folder, HISTORY):
            found = "it is gone"
        if isinstance(found, Stored):
            self.book.restore(found, wall_ns, mono_ns)
            return found
        with contextlib.suppress(OSError):
            (self.folder / STATE).rename(self.folder / f"{STATE}.damaged")
        text = f"which alarms stood is unknown ({STATE}: {found}); look at qd alarms history"
        self.book.raised((SOURCE, "state", ""), "critical", text, wall_ns, mono_ns)
        return Stored(1, 1, [], {})

    def _subscribe(self) -> None:
        for name in (*self.pages, "informer"):
            if name != self.host.name:
                self.subscriber.connect(publisher_endpoint(self.desk, name))
        self.subscriber.subscribe("alert.")
        self.reactor.add_zmq_drained(self.subscriber.socket, self._heard, "alerts", Priority.NORMAL)

    def _thread(self, name: str) -> Helpers:
        """One of its own for each notifier: who hangs holds up nobody else."""
        thread = Helpers(1)

        def collect() -> None:
            for done, result, error, _ in thread.finished():
                done(result, error)

        self.reactor.add_reader(thread.fd, collect, f"notifier {name}")
        return thread

    # -- what comes in ------------------------------------------------------------------------------------------

    def _heard(self) -> bool:
        try:
            deliveries = self.subscriber.receive()
        except SchemaError as e:
            self._raise((SOURCE, "bus", ""), "warning", f"alerts of another build cannot be read: {e}")
            return True
        for delivery in deliveries:
            if isinstance(delivery.event, Alert):
                self._alert(delivery.event)
        self._turn()
        return False

    def _alert(self, alert: Alert) -> None:
        self.book.alert(alert, self.clock.wall_ns(), self.clock.mono_ns())

    def _look(self) -> None:
        for alert in self.spool.read():
            self._alert(alert)
        self._turn()
        self.reactor.call_later(LOOK_NS, self._look, "look")

    def _watch(self) -> None:
        """Processes that do not turn, files that cannot be written."""
        mono_ns = self.clock.mono_ns()
        for name, text in self.watch.look(self._pages(), mono_ns).items():
            kill = name == "killswitch"
            if kill and text:
                reason = self.gate.closed_reason(mono_ns)
                text = f"{text}; new orders: {'refused' if reason else 'STILL TAKEN'}"  # noqa: PLW2901
            self._state((SOURCE, "process", name), "critical" if kill else "warning", text)
        fault = self.files.fault() or self.files.damage
        self._state(KEY, "critical", f"alarms cannot be stored, and go out all the same: {fault}" if fault else "")
        self._turn()
        self.reactor.call_later(WATCH_NS, self._watch, "watch")

    def _pages(self) -> Mapping[str, PageView | None]:
        found: dict[str, PageView | None] = {}
        for name, reader in self.pages.items():
            if name == self.host.name:
                continue
            try:
                status = reader.status()
                found[name] = PageView(status.pid, str(status.readiness), status.reason, status.beat_mono_ns)
            except RegionError:
                found[name] = None
        return found

    def _drill_age(self) -> None:
        days = self.desk.config.kill.drill_max_age_days
        text = too_old(self.desk.data_dir / "kill", self.clock.wall_ns(), days)
        self._state((SOURCE, "drill", ""), "warning", text)
        self.reactor.call_later(DRILL_LOOK_NS, self._drill_age, "drills")

    def _state(self, key: tuple[str, str, str], severity: str, text: str) -> None:
        """Something that is so or not: an alarm when it begins or becomes another, over when it ends."""
        before = self._said.get(key, "")
        if text and text.partition(";")[0] != before.partition(";")[0]:
            self._raise(key, severity, text)
        elif not text and before:
            self.book.over(key, "no more", self.clock.wall_ns())
        self._said[key] = text

    def _raise(self, key: tuple[str, str, str], severity: str, text: str) -> None:
        log.warning("%s %s: %s", severity, " ".join(key), text)
        self.book.raised(key, severity, text, self.clock.wall_ns(), self.clock.mono_ns())

    # -- what goes out ------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        for name, batch in self.book.tick(self.clock.wall_ns(), self.clock.mono_ns()):
            self._deliver(name, batch)
        if self.book.changed:
            self._keep()
        self._settle()

    def _keep(self) -> None:
        """Have the store written. What stands and how far the alerts were read are one file, replaced as a whole: who
        dies before reads those alerts again.
        """
        self.book.changed = False
        self.files.latch(self.book.encode(self.spool.places))

    def _kept(self) -> bool:
        """Whether all that is shown is on the disk. It is shown without, too: a disk that hangs hides nothing."""
        return not self.book.changed and self.files.idle

    def _deliver(self, name: str, batch: Batch) -> None:
        config = self.book.lines[name].config
        message = self._message(batch)
        began_ns = self.clock.mono_ns()

        def done(said: str | None, error: Exception | None) -> None:
            mono_ns = self.clock.mono_ns()
            why = "" if error is None else str(error) or type(error).__name__
            took_ms = round((mono_ns - began_ns) / 1e6, 1)
            log.log(
                logging.INFO if error is None else logging.WARNING, "%s: %s (%.0f ms): %s", name,
                "delivered" if error is None else "NOT DELIVERED", took_ms, why or f"{message.subject}: {said}",
            )  # fmt: skip
            self.book.delivered(name, why, took_ms, self.clock.wall_ns(), mono_ns)
            self._turn()

        self.threads[name].submit(partial(deliver, config, message, self.desk.run_dir), done, name)

    def _message(self, batch: Batch) -> Message:
        alarms = [self.book.alarms[n] for n in batch.alarms]
        found = batch_message(
            self.desk.config.desk.name, socket.gethostname(), batch, alarms, self.book.standing(), self.clock.wall_ns()
        )
        facts = {k: str(found[k]) for k in ("desk", "host", "kind", "severity", "headline", "at", "unacknowledged")}
        facts |= {"text": str(found["text"]), "log_dir": str(self.desk.log_dir)}
        return Message(
            severity=str(found["severity"]), subject=one_line(f"[quarterdeck] {found['headline']}"),
            text=str(found["text"]) + "\n", body=msgspec.json.encode(found), facts=facts,
        )  # fmt: skip

    def _settle(self) -> None:
        if self.host.stopping:
            return
        counts = self.book.standing()
        self.host.counters.update(counts)
        text = standing_text(counts)
        failing = [n for n, x in self.book.lines.items() if x.failing]
        if failing:
            self.host.set(Readiness.DEGRADED, f"{', '.join(failing)} delivers nothing; {text}")
        else:
            self.host.set(Readiness.READY, text)

    # -- commands -----------------------------------------------------------------------------------------------

    def _command(self, command: AnyCommand) -> Answer:
        if not isinstance(command, Ops):
            return Answer(command.command_id, False, f"alarms takes no {type(command).__name__}")
        try:
            data = self._ops(command)
        except QuarterdeckError as e:
            return Answer(command.command_id, False, str(e))
        return Answer(command.command_id, True, data=msgspec.json.encode(data))

    def _ops(self, command: Ops) -> object:
        args = command.args
        match command.verb:
            case "list":
                return self._list()
            case "ack":
                numbers = None if args.get("alarms") == "all" else _numbers(args.get("alarms", ""))
                done = self.book.acknowledge(
                    numbers, args.get("by", ""), args.get("note", ""), self.clock.wall_ns(), self.clock.mono_ns()
                )
                self.reactor.call_soon(self._turn, "acknowledged")
                return {"acknowledged": [a.number for a in done], **self.book.standing()}
            case "test":
                kind = "drill" if args.get("kind") == "drill" else "test"
                ident = f"{kind}-{self.clock.wall_ns()}"
                self.book.test(ident, kind, args.get("text") or f"by {args.get('by', command.client_id)}")
                self.reactor.call_soon(self._turn, "test")
                return {"test": ident}
            case "outcome":
                return {"outcomes": self.book.tests.get(args.get("test", ""), {})}
            case _:
                raise CommandError(f"no verb {command.verb!r}; there are list, ack, test, outcome")

    def _list(self) -> dict[str, object]:
        mono_ns = self.clock.mono_ns()
        return {
            **self.book.standing(),
            "standing": [msgspec.structs.asdict(a) for a in self.book.alarms.values()],
            "notifiers": [
                {"name": n, "kind": x.config.kind, "level": x.config.level, "min_severity": x.config.min_severity,
                 "delivered": x.delivered, "failed": x.failed, "failing": x.failing or x.hung(mono_ns),
                 "error": x.error, "waiting": len(x.pending) + len(x.extras),
                 "under_way_ms": (mono_ns - x.since_ns) // MS if x.under_way is not None else 0}
                for n, x in self.book.lines.items()
            ],
            "stored": self._kept(),
            "faults": [f for f in (self.files.fault(), self.files.damage) if f],
        }  # fmt: skip

    def _stop(self) -> None:
        """What nobody acknowledged is said again by the next life."""
        self.reactor.remove_zmq(self.subscriber.socket)
        self.subscriber.close()
        self._keep()
        self.files.audit("stopped", {})
        self.files.close()
        for thread in self.threads.values():
            self.reactor.remove(thread.fd)
            thread.close()
        self.host.finish()


def standing_text(counts: Mapping[str, int]) -> str:
    """The counts of AlarmBook.standing in words; "" when nothing stands."""
    if not counts["alarms"]:
        return ""
    return (
        f"{counts['alarms']} alarms stand, {counts['unacknowledged']} not acknowledged, {counts['critical']} critical"
    )


def _numbers(text: str) -> list[int]:
    words = text.split()
    wrong = [w for w in words if not w.isdecimal()]
    if wrong or not words:
        raise CommandError(f"{' '.join(wrong) or 'nothing'} is no alarm; expected numbers, or all")
    return list(dict.fromkeys(map(int, words)))


def main() -> int:
    """Run the process."""
    return run_process("alarms", "", AlarmsProcess)


if __name__ == "__main__":
    sys.exit(main())
