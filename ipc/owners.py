"""The kill switch's eyes and hands on the processes that own orders: status pages, pidfds, journals, revival."""

import fcntl
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
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
from ipc.journal_restart import newest_writing
from ipc.readiness import Readiness, Status, StatusReader
from ipc.sequence import Tracker

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
        self._held: QuarterdeckError | OSError | None = None  # met behind events that had to be handed out first

    def begin_at_restart(self) -> None:
        """Before the first read: leave out what a restart of the owner leaves out, since it is all told again later
        (ipc/journal_restart.py). QuarterdeckError when the journal cannot be read.
        """
        try:
            began = newest_writing(self._folder, NAME)
            if began:
                self._reader.seek_segment(max(began - 1, self._reader.first_number()))
        except OSError as e:
            raise StoreError(f"{e.filename or self._folder}: {e.strerror} (as uid {os.geteuid()})") from None

    def read(self, limit: int) -> tuple[list[Told], bool]:
        """Events since the last call, and whether more wait. QuarterdeckError when the journal cannot be read."""
        self.at_end = False
        try:
            if not self._reader.number:  # nothing found yet: a folder that may not be looked into is not an empty one
                self._may_look()
            return self._read(limit)
        except OSError as e:
            raise StoreError(f"{e.filename or self._folder}: {e.strerror} (as uid {os.geteuid()})") from None

    def _may_look(self) -> None:
        with suppress(FileNotFoundError):
            os.scandir(self._folder).close()

    def _read(self, limit: int) -> tuple[list[Told], bool]:
        held, self._held = self._held, None
        if held is not None:
            raise held
        out: list[Told] = []
        for _ in range(limit):
            try:
                if not self._next(out):
                    self.at_end = True
                    return out, False
            except (QuarterdeckError, OSError) as e:
                if isinstance(e, StoreError) and not isinstance(e, CorruptError):
                    self._reader.seek(0)  # the owner took the segment back: go on with the oldest there is
                elif out:
                    self._held = e
                else:
                    raise
                return out, True
        return out, True

    def _next(self, out: list[Told]) -> bool:
        """Read one record; False at the end."""
        record = self._reader.next()
        if record is not None and record.type == FRAME:
            out.extend(map(Told._make, self._tracker.numbered(record.payload)))
        return record is not None


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
        self._unseen = ""  # why it is not known whether somebody holds the role
        self._doubts = 0  # looks since that is so
        self.pid = 0

    @property
    def alive(self) -> bool:
        """A process holds the role, or may: only of one that certainly is not there does nobody wait for the fence."""
        return self._pidfd >= 0 or bool(self._unseen)

    def out_of_reach(self) -> str:
        """Why this process could not be killed if it had to be, "" when it could or does not run."""
        if self._pidfd >= 0:
            return self._signal(0)
        return self._unseen if self._doubts > 2 else ""  # a process that takes its role has not signed for an instant

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
        if self._pidfd < 0:
            was = self._unseen
            self._take_hold()
            self._doubts = self._doubts + 1 if self._unseen else 0
            if was and not self.alive:  # it was not known whether anybody is there, and now it is: nobody
                self._died(self.session, False)

    def fence(self) -> tuple[int, int]:
        """The fence word as it stands now, and when it was stored."""
        return self.page.fence(), self.page.fence_at_ns()

    def kill(self) -> str:
        """SIGKILL through the pidfd; why it could not be done, "" when it was."""
        if self._pidfd < 0:
            return self._unseen or "its process is gone"
        return self._signal(signal.SIGKILL)

    def _signal(self, signum: int) -> str:
        try:
            signal.pidfd_send_signal(self._pidfd, signum)
        except ProcessLookupError:
            return "its process is gone" if signum else ""
        except PermissionError as e:
            return f"pid {self.pid}: {e.strerror} (as uid {os.geteuid()}): the kill switch needs CAP_KILL, or its user"
        return ""

    def close(self) -> None:
        """Let go of the process."""
        if self._pidfd >= 0:
            self._reactor.remove(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _take_hold(self) -> None:
        """The role lock says who is alive: a pid alone may be another process's by now."""
        self._unseen = ""
        try:
            if not role_held(self._lock.path):
                return
        except OSError as e:
            self._unseen = f"{self._lock.path}: {e.strerror} (as uid {os.geteuid()})"
            return
        pid, pidfd = self._lock.holder().pid, -1
        try:
            pidfd = os.pidfd_open(pid) if pid else -1
            if pidfd >= 0 and role_held(self._lock.path) and self._lock.holder().pid == pid:
                self._pidfd, self.pid = pidfd, pid
                self._reactor.add_reader(pidfd, self._gone, f"pidfd {self.session}", Priority.URGENT)
                return
            said = "it does not say who holds it"
        except OSError as e:
            said = str(e)
        if pidfd >= 0:
            os.close(pidfd)
        if role_held(self._lock.path):  # it has just been taken, or its holder lives in another pid namespace
            self._unseen = f"{self._lock.path} is held by pid {pid}: {said}"

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
    """Whether some process holds the role's lock. OSError when that cannot be seen."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
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
        self._wanted: dict[str, int] = {}  # owner: monotonic time since which it should run, or was started last
        self._again: set[str] = set()  # started once already: the next start has time
        self._children: list[subprocess.Popen[bytes]] = []
        self._parent = os.getppid() if "SUPERVISOR_PROCESS_NAME" in os.environ else 0

    @property
    def supervised(self) -> bool:
        """Whether the supervisord that started this process still runs. One that is stopped starts nobody."""
        return self._parent > 1 and os.getppid() == self._parent and not stopped(self._parent)

    def want(self, session: str, mono_ns: int) -> None:
        """This owner should run."""
        self._wanted.setdefault(session, mono_ns)

    def look(self, alive: Iterable[str], mono_ns: int) -> None:
        """Start what is due and nobody runs."""
        for session in alive:
            self._wanted.pop(session, None)
            self._again.discard(session)
        alone = bool(self._wanted) and not self.supervised
        for session, since_ns in list(self._wanted.items()):
            wait_ns = REVIVE_ALONE_NS if alone and session not in self._again else REVIVE_SUPERVISED_NS
            if mono_ns >= since_ns + wait_ns and not self._may_run(session):
                self._wanted[session] = mono_ns
                self._again.add(session)
                self._start(session)
        self._children = [c for c in self._children if c.poll() is None]

    def _may_run(self, session: str) -> bool:
        try:
            return role_held(self._desk.run_dir / "lock" / session)
        except OSError:  # said by its OwnerWatch; two writers would be worse than none
            return True

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


def stopped(pid: int) -> bool:
    """Whether a process is stopped by a signal or a debugger: it runs, and does nothing."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] in (b"T", b"t")
    except (OSError, IndexError):
        return False


def drain(tail: JournalTail, feed: Callable[[Told], object], limit: int) -> str:
    """Feed what a journal holds; "more", "" when at its end, or what is wrong with it."""
    try:
        events, more = tail.read(limit)
    except QuarterdeckError as e:
        return str(e)
    for told in events:
        feed(told)
    return "more" if more else ""
