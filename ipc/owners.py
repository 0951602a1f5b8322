"""The kill switch's eyes and hands on the processes that own orders: status pages, pidfds, journals, revival."""

import fcntl
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from base.config import DeskConfig
from base.errors import CorruptError, QuarterdeckError, RegionError, StoreError
from base.locks import RoleLock
from base.reactor import Priority, Reactor
from base.segments import SegmentReader
from ipc.events import AnyEvent
from ipc.exposure import ExposureRow, read_exposure
from ipc.journal import FRAME, NAME
from ipc.readiness import Readiness, Status, StatusReader
from ipc.sequence import Gap, Tracker

REVIVE_ALONE_NS = 1_000_000_000  # without a supervisord
REVIVE_SUPERVISED_NS = 10_000_000_000  # with one, which has its own turn first

log = logging.getLogger("kill.owners")


class Told(NamedTuple):
    """An event of a journal and its place there: (epoch, seq) rises."""

    epoch: int
    seq: int
    event: AnyEvent


class JournalTail:
    """Follows one journal on the disk, its owner alive, stuck or dead. The bus is not needed for it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._reader = SegmentReader(folder, NAME)
        self._tracker = Tracker()
        self.at_end = False  # all that there was at the last read was read

    def read(self, limit: int) -> tuple[list[Told], bool]:
        """Events since the last call, and whether more wait. QuarterdeckError when the journal cannot be read."""
        out: list[Told] = []
        self.at_end = False
        for _ in range(limit):
            try:
                record = self._reader.next()
            except CorruptError:
                raise
            except StoreError:  # the owner took the segment back: go on with the oldest there is
                self._reader.seek(0)
                return out, True
            if record is None:
                self.at_end = True
                return out, False
            if record.type == FRAME:
                out += [
                    Told(d.epoch, d.seq, d.event)
                    for d in self._tracker.deliveries(record.payload)
                    if not isinstance(d.event, Gap)
                ]
        return out, True


class OwnerWatch:
    """One owner of orders: its process, page and journal."""

    def __init__(self, reactor: Reactor, desk: DeskConfig, session: str, died: Callable[[str, bool], object]) -> None:
        self.session = session
        self.page = StatusReader(desk.shm_dir / "proc" / session)
        self.tail = JournalTail(desk.data_dir / session)
        self.status: Status | None = None
        self.rows: list[ExposureRow] = []
        self.fault = ""
        self._reactor, self._died = reactor, died
        self._lock = RoleLock(desk.run_dir / "lock" / session)
        self._pidfd = -1
        self.pid = 0

    @property
    def alive(self) -> bool:
        """A process holds the role, and its pidfd is held here."""
        return self._pidfd >= 0

    @property
    def starting(self) -> bool:
        """It runs, but has not come as far as connecting: it has no page of its own yet, or one that shows no fence
        and nothing sent. Whatever it sends later, it reads the gate first.
        """
        status = self.status
        if not self.alive or status is None:
            return self.alive and not self.page.path.exists()
        if self.fault or status.pid != self.pid:
            return not self.fault
        return status.readiness == Readiness.STARTING and not status.fence and not status.sent

    def look(self) -> None:
        """Read the page, and take hold of a process that is new."""
        try:
            self.status = self.page.status()
            self.rows = read_exposure(self.page.words())
            self.fault = ""
        except RegionError as e:
            self.fault = str(e)
        if not self.alive:
            self._take_hold()

    def fence(self) -> tuple[int, int]:
        """The fence word as it stands now, and when it was stored."""
        return self.page.fence(), self.page.fence_at_ns()

    def kill(self) -> str:
        """SIGKILL through the pidfd; why it could not be done, "" when it was."""
        if self._pidfd < 0:
            return "its process is gone"
        try:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        except ProcessLookupError:
            return "its process is gone"
        except PermissionError as e:
            return f"not permitted: {e.strerror}"
        return ""

    def close(self) -> None:
        """Let go of the process."""
        if self._pidfd >= 0:
            self._reactor.remove(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _take_hold(self) -> None:
        """The role lock says who is alive: a pid alone may be another process's by now."""
        if not role_held(self._lock.path):
            return
        pid = self._lock.holder().pid
        try:
            pidfd = os.pidfd_open(pid) if pid else -1
        except OSError:
            return
        if pidfd < 0 or not role_held(self._lock.path) or self._lock.holder().pid != pid:
            if pidfd >= 0:
                os.close(pidfd)
            return
        self._pidfd, self.pid = pidfd, pid
        self._reactor.add_reader(pidfd, self._gone, f"pidfd {self.session}", Priority.URGENT)

    def _gone(self) -> bool:
        self.close()
        try:
            self.status = self.page.status()
        except RegionError as e:
            self.fault = str(e)
        mine = self.status is not None and self.status.pid == self.pid
        orderly = mine and self.status is not None and self.status.readiness == Readiness.STOPPING
        self._died(self.session, orderly)
        return False


def role_held(path: Path) -> bool:
    """Whether some process holds the role's lock."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


class Reviver:
    """Sees to it that dead owners run again. supervisord does that by itself; this is for when it is gone."""

    def __init__(self, desk: DeskConfig, tell: Callable[[str, str, str], object]) -> None:
        self._desk, self._tell = desk, tell
        self._due: dict[str, int] = {}
        self._children: list[subprocess.Popen[bytes]] = []
        self._parent = os.getppid() if "SUPERVISOR_PROCESS_NAME" in os.environ else 0

    @property
    def supervised(self) -> bool:
        """Whether the supervisord that started this process still runs."""
        return self._parent > 1 and os.getppid() == self._parent

    def want(self, session: str, mono_ns: int) -> None:
        """This owner should run."""
        self._due.setdefault(session, mono_ns + (REVIVE_SUPERVISED_NS if self.supervised else REVIVE_ALONE_NS))

    def look(self, alive: Iterable[str], mono_ns: int) -> None:
        """Start what is due and nobody runs."""
        for session in alive:
            self._due.pop(session, None)
        for session, due_ns in list(self._due.items()):
            if mono_ns >= due_ns and not role_held(self._desk.run_dir / "lock" / session):
                self._due[session] = mono_ns + REVIVE_SUPERVISED_NS
                self._start(session)
        self._children = [c for c in self._children if c.poll() is None]

    def _start(self, session: str) -> None:
        command = [sys.executable, "-m", "procs.trading", "--config", str(self._desk.path), "--session", session]
        root = Path(__file__).resolve().parent.parent
        try:
            child = subprocess.Popen(
                command, cwd=root, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except OSError as e:
            self._tell("critical", "revive", f"{session} cannot be started: {e.strerror}")
            return
        self._children.append(child)
        self._tell(
            "warning", "revive", f"{session} was dead: started as pid {child.pid}, cancel-only behind the closed gate"
        )


def drain(tail: JournalTail, feed: Callable[[Told], object], limit: int) -> str:
    """Feed what a journal holds; "more", "" when at its end, or what is wrong with it."""
    try:
        events, more = tail.read(limit)
    except QuarterdeckError as e:
        return str(e)
    for told in events:
        feed(told)
    return "more" if more else ""
