"""Health of the desk's processes and of the host (psutil), measured by a thread of its own: a disk may not answer.

Each process is looked at once in `every_ms`, spread over it, so that no look costs the process around it more than
some tens of microseconds.
"""

import os
import threading
import time
from collections.abc import Mapping, Sequence

import msgspec
import psutil

from base.config import DeskConfig
from base.locks import RoleLock
from ipc.owners import role_held

MB = 1 << 20


class ProcessHealth(msgspec.Struct, frozen=True):
    """One process of the desk at one moment; None: not measured yet."""

    process: str
    pid: int
    memory_mb: int | None = None  # resident
    cpu_pct: int | None = None  # of one core, since the look before


class HostHealth(msgspec.Struct, frozen=True):
    """The host: what is left, by place; None: not known any more."""

    free_mb: Mapping[str, int | None]  # data, log, shared memory
    memory_free_mb: int | None = None


class _Known:
    """A process that was looked at before."""

    def __init__(self, pid: int) -> None:
        self.process = psutil.Process(pid)
        self.cpu_s = 0.0
        self.at_s = 0.0


class HealthSampler:
    """The thread. `processes` and `host` are the newest figures; a process that does not run is not among them.

    `unseen`: by process, why it cannot be looked at. `looked_ns`: monotonic time of the last look at anything.
    """

    def __init__(self, desk: DeskConfig, names: Sequence[str], every_ms: int) -> None:
        self.processes: dict[str, ProcessHealth] = {}
        self.host = HostHealth({})
        self.unseen: dict[str, str] = {}
        self.looked_ns = time.monotonic_ns()
        self._locks = {n: RoleLock(desk.run_dir / "lock" / n) for n in names}
        self._places = {"data": desk.data_dir, "log": desk.log_dir, "shared memory": desk.shm_dir}
        self._every_s = every_ms / 1000
        self._known: dict[str, _Known] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)

    def start(self) -> None:
        """Begin to measure."""
        self._thread.start()

    def close(self) -> None:
        """Measure no more; does not wait for a disk that hangs."""
        self._end.set()
        self._thread.join(0.2)

    def _run(self) -> None:
        pause_s = self._every_s / (len(self._locks) + 1)
        while not self._end.is_set():
            for name in self._locks:
                self.sample(name)
                if self._end.wait(pause_s):
                    return
            self.sample_host()
            self._end.wait(pause_s)

    def sample(self, name: str) -> None:
        """Look at one process."""
        lock, why = self._locks[name], ""
        try:
            pid = lock.holder().pid if role_held(lock.path) else 0
            found = self._measure(name, pid) if pid else None
        except psutil.NoSuchProcess:  # it ended while it was looked at
            found = None
        except psutil.Error as e:
            found, why = None, str(e)
        except OSError as e:  # another user's, or no descriptor is left
            found, why = None, f"{e.filename or lock.path}: {e.strerror} (as uid {os.geteuid()})"
        self.looked_ns = time.monotonic_ns()
        if why:
            self.unseen[name] = why
        else:
            self.unseen.pop(name, None)
        if found is None:
            self._known.pop(name, None)
            self.processes.pop(name, None)
        else:
            self.processes[name] = found

    def _measure(self, name: str, pid: int) -> ProcessHealth:
        known = self._known.get(name)
        if known is None or known.process.pid != pid:
            known = self._known[name] = _Known(pid)
        with known.process.oneshot():
            times, memory = known.process.cpu_times(), known.process.memory_info()
        now_s, cpu_s = time.monotonic(), times.user + times.system
        pct = int((cpu_s - known.cpu_s) * 100 / (now_s - known.at_s)) if known.at_s else None
        known.cpu_s, known.at_s = cpu_s, now_s
        return ProcessHealth(name, pid, memory.rss // MB, pct)

    def blind(self, mono_ns: int, most_ns: int) -> str:
        """Why what was measured says nothing any more, "" as long as it does: a disk, say, does not answer."""
        since_ns = mono_ns - self.looked_ns
        return "" if since_ns < most_ns else f"processes and host were last looked at {since_ns // 10**9} s ago"

    def sample_host(self) -> None:
        """Look at disks and memory."""
        free: dict[str, int | None] = {}
        for place, path in self._places.items():
            try:
                free[place] = psutil.disk_usage(str(path)).free // MB
            except OSError:
                continue  # not there yet: no figure, rather than a wrong one
        self.host = HostHealth(free, psutil.virtual_memory().available // MB)
        self.looked_ns = time.monotonic_ns()
