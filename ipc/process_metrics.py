"""What every process counts of itself: loop, memory, bus, commands, and the figures of its state under their names."""

import logging
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

from base.config import DeskConfig
from base.errors import RegionError
from base.reactor import Reactor
from ipc.bus import Subscriber
from ipc.commands import CommandServer
from ipc.metrics import SPARE, Counter, MetricsFile, metrics_path
from ipc.metrics_catalog import Kind
from ipc.metrics_figures import place

LIMITS_SPARE = 2_048
DAY_S = 86_400
PAGE = os.sysconf("SC_PAGE_SIZE")
REFUSED = ("malformed", "expired", "duplicates", "undelivered")  # of ipc.commands.ServerCounters

log = logging.getLogger("metrics")


class ProcessMetrics:
    """Belongs to a ProcessHost. Nothing here may stop the process: what has no room is said once and left out."""

    def __init__(self, desk: DeskConfig, name: str, kind: str, reactor: Reactor) -> None:
        spare = LIMITS_SPARE if kind == "killswitch" else SPARE  # its limits come with scopes that trade
        self.file = file = MetricsFile(metrics_path(desk.shm_dir, name), spare=spare)
        self._kind, self._reactor = kind, reactor
        self._session = (
            {"session": name, "venue": desk.config.session[name].venue} if name in desk.config.session else {}
        )
        self._process = {"process": name}
        of = self._process
        self._lag = file.histogram("loop_lag_seconds", **of)
        self._waiting = file.gauge("loop_waiting", **of)
        self._memory = file.gauge("process_resident_memory_bytes", **of)
        self._cpu = file.counter("process_cpu_seconds_total", **of)
        self._fds = file.gauge("process_open_fds", **of)
        self._most_fds = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        file.gauge("process_max_fds", **of).set(self._most_fds)
        self._published = file.counter("bus_published_total", **of)
        reactor.on_turn = file.histogram("loop_turn_seconds", **of).record
        self._due_ns = 0
        self._subscribers: list[Subscriber] = []
        self._servers: list[CommandServer] = []
        self._each_second: list[Callable[[], object]] = []
        self._figures: dict[str, Callable[[int], object]] = {}
        self._told = False

    def listen(self, subscriber: Subscriber) -> None:
        """Count what it receives, and how long that took."""
        of = self._process
        subscriber.measure(self.file.histogram("bus_queue_seconds", **of))
        for name in ("bus_frames_total", "bus_gaps_total", "bus_missed_total"):
            self.file.counter(name, **of)
        self._subscribers.append(subscriber)

    def serve(self, server: CommandServer) -> None:
        """Count its commands."""
        self.file.counter("commands_total", **self._process)
        for cause in REFUSED:
            self.file.counter("commands_refused_total", cause=cause, **self._process)
        self._servers.append(server)

    def each_second(self, look: Callable[[], object]) -> None:
        """Call `look` before the figures of each second are shown."""
        self._each_second.append(look)

    def begin(self, wall_ns: int) -> None:
        """Make the file: the process is set up."""
        try:
            self.file.seal(wall_ns)
        except RegionError as e:  # a full tmpfs, say: it works without being counted
            log.warning("no metrics: %s", e)

    def close(self) -> None:
        """The process ends in order."""
        self._reactor.on_turn = None
        self.file.close()

    def beat(self, mono_ns: int, every_ns: int) -> None:
        """The heartbeat's timer ran: by how much too late?"""
        if self._due_ns:
            self._lag.record(mono_ns - self._due_ns)
        self._due_ns = mono_ns + every_ns

    def look(self, counters: dict[str, int], published: int) -> None:
        """Once a second: what is counted elsewhere."""
        for look in self._each_second:
            look()
        self._waiting.set(self._reactor.waiting)
        self._cpu.set(time.process_time_ns())
        self._look_at_memory()
        self._published.set(published)
        self._look_at_sockets()
        for name, value in counters.items():
            show = self._figures.get(name)
            if show is None:
                show = self._figures[name] = self._place(name)
            show(value)

    def _look_at_memory(self) -> None:
        try:
            self._memory.set(int(Path("/proc/self/statm").read_bytes().split()[1]) * PAGE)
            self._fds.set(len(os.listdir("/proc/self/fd")))
        except OSError as e:  # there is none left to look with
            self._fds.set(self._most_fds)
            log.debug("%s", e)

    def _look_at_sockets(self) -> None:
        of, file = self._process, self.file
        for name, total in (
            ("bus_frames_total", sum(s.counters.frames for s in self._subscribers)),
            ("bus_gaps_total", sum(s.counters.gaps for s in self._subscribers)),
            ("bus_missed_total", sum(s.counters.missed for s in self._subscribers)),
        ):
            if self._subscribers:
                file.counter(name, **of).set(total)
        if self._servers:
            file.counter("commands_total", **of).set(sum(s.counters.commands for s in self._servers))
            for cause in REFUSED:
                total = sum(getattr(s.counters, cause) for s in self._servers)
                file.counter("commands_refused_total", cause=cause, **of).set(total)

    def _place(self, name: str) -> Callable[[int], object]:
        """Where a figure of the process's state is shown."""
        metric, labels = place(self._kind, name)
        of = {label: text for label, text in (self._process | self._session).items() if label in metric.labels}
        try:
            if metric.kind is Kind.GAUGE:
                gauge = self.file.gauge(metric.name, **labels, **of)
                return (lambda days: gauge.set(days * DAY_S)) if name == "cert_days" else gauge.set
            return _Total(self.file.counter(metric.name, **labels, **of))
        except RegionError as e:
            if not self._told:
                log.warning("%s is not shown: %s", name, e)
            self._told = True
            return lambda _: None


class _Total:
    """Takes over a total that may begin anew, as that of a session that was made anew."""

    def __init__(self, counter: Counter) -> None:
        self._counter, self._last = counter, 0

    def __call__(self, total: int) -> None:
        self._counter.add(total - self._last if total >= self._last else total)
        self._last = total
