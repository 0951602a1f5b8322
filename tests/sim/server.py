"""Simulated venues on a thread of the test process, over real sockets; and their control endpoint."""

import asyncio
import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from base.clock import SystemClock
from sim.gateway import Venue
from sim.run import build
from sim.server import SimServer
from sim.setup import Setup


class Running:
    """A venue that serves until `stop`."""

    def __init__(self, dialect: str, setup: Setup, run_dir: Path, *, plain: bool = False, source: Any = None) -> None:
        self.clock = SystemClock()
        self.venue: Venue = build(dialect, setup, self.clock)
        self.server = SimServer(self.venue, self.clock, run_dir, plain)
        self.server.source = source(self.venue) if source else None
        self.failure: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._up.wait(60), self.failure
        assert self.failure is None, self.failure

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # noqa: BLE001 - shown by the test
            self.failure = error
        finally:
            self._up.set()
            self._loop.close()

    async def _serve(self) -> None:
        await self.server.start()
        self._up.set()
        await self.server.run(self._stop)
        await self.server.stop()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)
        assert self.failure is None, self.failure

    def soon(self, call: Callable[[], object]) -> None:
        """Run it on the venue's own loop."""
        self._loop.call_soon_threadsafe(call)

    @property
    def address(self) -> dict[str, Any]:
        return self.server.address

    @property
    def ca(self) -> str:
        return str(self.address["ca_file"])

    def endpoint(self, service: str) -> str:
        return str(self.address["endpoints"][service]) if service != "any" else str(self.address["address"])

    def control(self, method: str, path: str, body: Any = None) -> Any:
        host, _, port = self.endpoint("control").rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        connection.request(method, path, json.dumps(body) if body is not None else None)
        answer = connection.getresponse()
        said = json.loads(answer.read())
        connection.close()
        assert answer.status == 200, said
        return said

    def fault(self, kind: str, **arguments: object) -> Any:
        return self.control("POST", "/fault", {"kind": kind, "arguments": arguments})

    def working(self) -> list[dict[str, Any]]:
        orders: list[dict[str, Any]] = self.control("GET", "/working")["orders"]
        return orders

    def until(self, condition: Callable[[], object], timeout: float = 60.0) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, "condition not met in time"
            time.sleep(0.01)


def call(
    address: str, method: str, target: str, body: str = "", headers: dict[str, str] | None = None, ca_file: str = ""
) -> tuple[int, Any]:
    """One HTTP request; (status, JSON)."""
    host, _, port = address.rpartition(":")
    if ca_file:
        context = ssl.create_default_context(cafile=ca_file)
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            "localhost", int(port), context=context, timeout=30
        )
    else:
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
    try:
        connection.request(method, target, body or None, headers or {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()
