"""The desk's web page: everything that `qd top` shows, live in a browser, and the kill switch for who signs in.

Two threads: the poll loop looks at the desk, an asyncio loop serves browsers (docs/decisions/monitor-server.md).
Nothing depends on this process, and its end trips nothing.
"""

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import TypeVar

import msgspec
from starlette.types import ASGIApp

from base.errors import CommandError, TransportError
from base.monitor_config import MonitorConfig
from ipc.host import ProcessHost, run_process
from ipc.metrics_text import MetricsText
from ipc.readiness import Readiness
from ipc.view.eyes import Eyes
from procs.monitor_web.app import MonitorApp
from procs.monitor_web.errands import Errands
from procs.monitor_web.hub import Hub
from procs.monitor_web.kill_desk import KillDesk
from procs.monitor_web.latencies import Latencies
from procs.monitor_web.operators import FrontDesk
from procs.monitor_web.sections import Sections
from procs.monitor_web.server import WebServer, check_tls, listen, port_of, url_of

MS = 1_000_000
LOOK_NS = 250 * MS  # while somebody looks
IDLE_NS = 1_000 * MS
SILENT_NS = 3_000 * MS
DEPTH_NS = 200 * MS  # a book's depth is read once for all who ask within so long
LATENCIES_NS = 2_000 * MS
LEVELS = 200  # of a side
ERRAND_S = 5.0
URL = "monitor.url"

T = TypeVar("T")
log = logging.getLogger("monitor")


class MonitorProcess:
    """The process: wires the eyes on the desk to the server."""

    def __init__(self, host: ProcessHost, _: str) -> None:
        self.host, self.desk, self.clock = host, host.desk, host.clock
        config = host.desk.config.monitor or MonitorConfig()
        check_tls(config)
        self._url_file = host.desk.run_dir / URL
        sock = listen(config, port_of(self._url_file))
        host.open_bus()
        self.eyes = Eyes(host.desk, clock=host.clock)
        self.sections = Sections()
        self.latencies = Latencies(host.desk)
        self.metrics_text = MetricsText(host.desk, host.clock)
        self.hub = Hub(config.max_viewers, self._wanted)
        self.errands = Errands(host.reactor)
        self.operators = FrontDesk(config, host.desk.run_dir, host.clock)
        self.server = WebServer(config, sock, lambda: self._build(config))
        self._depths: dict[tuple[str, str, int], tuple[int, bytes]] = {}
        self._looked_ns = host.clock.mono_ns()
        self._latencies_ns = 0  # not before
        self._fed = True  # what was handed over last has been taken
        self._beat, self._beat_ns = 0, self._looked_ns
        host.on_stop(self._stop)
        self.server.start()
        self.url = url_of(config, sock)
        self._url_file.write_text(f"{self.url}\n")
        log.info("the page is at %s", self.url)
        self._turn()

    def _build(self, config: MonitorConfig) -> ASGIApp:
        desk = self.host.desk
        return MonitorApp(config, desk.config.desk.name, self.hub, self.operators, self, KillDesk(desk)).asgi()

    # -- looking ------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        self._look()
        self._settle()
        self.host.reactor.call_later(LOOK_NS if self.hub.viewers else IDLE_NS, self._turn, "look")

    def _look(self) -> None:
        if self.host.stopping:
            return
        self.eyes.turn()
        self._looked_ns = self.clock.mono_ns()
        if not self.hub.viewers or not self._fed:
            return
        view = self.eyes.view()
        sections, lines = self.sections.changed(view), self.sections.lines(view.events)
        if self._looked_ns >= self._latencies_ns:
            self._latencies_ns = self._looked_ns + LATENCIES_NS
            if data := self.sections.encoded("latency", self.latencies.read()):
                sections["latency"] = data
        mark = b'{"ns":%d}' % view.taken_ns
        self._fed = False

        def feed() -> None:
            self._fed = True
            self.hub.feed(sections, lines, mark)

        self.server.call(feed)

    def _wanted(self) -> None:
        """Somebody began to look, and must not wait for the next turn."""
        self.errands.ask(self._look)

    def _settle(self) -> None:
        if self.host.stopping:
            return
        mono_ns = self.clock.mono_ns()
        if not self.server.alive:
            raise TransportError(f"the page's server has ended: {self.server.failed or 'without a word'}")
        if self.server.beat != self._beat:
            self._beat, self._beat_ns = self.server.beat, mono_ns
        self.host.counters.update(viewers=self.hub.viewers, encoded=self.hub.encoded, sent=self.hub.sent)
        if mono_ns - self._beat_ns > SILENT_NS:
            self.host.set(Readiness.DEGRADED, "the page's server stands still")
        else:
            self.host.set(Readiness.READY)

    # -- what the server asks for; it has a thread of its own ---------------------------------------------------

    async def depth(self, venue: str, instrument: str, level: int) -> bytes:
        """A book's depth as JSON. CommandError when there is no such book."""
        return await self._asked(lambda: self._depth(venue, instrument, level))

    async def life(self, venue: str, cl_ord_id: str) -> bytes:
        """An order's life as JSON. CommandError when nothing is known of it."""
        return await self._asked(lambda: self._life(venue, cl_ord_id))

    async def metrics(self, *, openmetrics: bool) -> bytes:
        """The metrics of the whole desk."""
        return await self._asked(lambda: self.metrics_text.render(openmetrics=openmetrics))

    def health(self) -> str:
        """What is wrong with looking, "" when nothing is."""
        silent_ns = self.clock.mono_ns() - self._looked_ns
        return f"the desk was last looked at {silent_ns // MS} ms ago" if silent_ns > SILENT_NS else ""

    async def _asked(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.wait_for(asyncio.wrap_future(self.errands.ask(work)), ERRAND_S)
        except TimeoutError:
            raise CommandError(f"not answered within {ERRAND_S:g} s: {self.health() or 'busy'}") from None

    def _depth(self, venue: str, instrument: str, level: int) -> bytes:
        key, mono_ns = (venue, instrument, level), self.clock.mono_ns()
        at_ns, data = self._depths.get(key, (0, b""))
        if not data or mono_ns - at_ns > DEPTH_NS:
            found = self.eyes.depth(venue, instrument, level, LEVELS)
            if found is None:
                raise CommandError(f"no book of {venue} {instrument} at level {level}")
            data = msgspec.json.encode(found)
            self._depths[key] = mono_ns, data
        return data

    def _life(self, venue: str, cl_ord_id: str) -> bytes:
        found = self.eyes.life(venue, cl_ord_id)
        if found is None:
            raise CommandError(f"nothing is kept of order {cl_ord_id!r} at {venue!r}")
        return msgspec.json.encode(found)

    # -- stopping -----------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        self.server.call(self.hub.close)
        self.server.stop()
        self.operators.close()
        self.errands.close()
        self.eyes.close()
        self.host.finish()


def main() -> int:
    """Run the process."""
    return run_process("monitor", "", MonitorProcess)


if __name__ == "__main__":
    sys.exit(main())
