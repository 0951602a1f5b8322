"""Sockets of a simulated venue, on asyncio: an endpoint per service, one that takes them all and HTTP, and the clock.

The first bytes of a connection tell FIX (`8=`) from HTTP. A client that does not read is disconnected when its backlog
passes `MAX_BACKLOG`, as venues do.
"""

import asyncio
import json
import os
import ssl
from pathlib import Path
from typing import Any

from base.clock import Clock
from base.errors import ConfigError
from base.http import HttpError, Request, Response, ServerConnection
from sim.control import Control
from sim.flow import Crowd
from sim.gateway import Link, Venue
from sim.tls import authority, server_context, write_private

MAX_BACKLOG = 32 * 1024 * 1024
TICK_S = 0.005
METHODS = (b"GET ", b"POST ", b"PUT ", b"DELETE ", b"HEAD ")


class Peer(asyncio.Protocol):
    """One connection."""

    def __init__(self, server: "SimServer", service: str) -> None:
        self._server = server
        self._service = service
        self._transport: asyncio.Transport | None = None
        self._link: Link | None = None
        self._http: ServerConnection | None = None
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=MAX_BACKLOG)
        self._server.peers.add(self)

    def data_received(self, data: bytes) -> None:
        if self._link is None and self._http is None:
            self._head += data
            if len(self._head) < 2:
                return
            data = self._head
            self._begin(data)
        if self._link is not None:
            self._link.received(data)
        elif self._http is not None:
            self._take_http(data)

    def _begin(self, data: bytes) -> None:
        takes_fix = self._service not in {"rest", "control"}
        if data.startswith(b"8=") and takes_fix:
            self._link = self._server.venue.open_link(self._service, self._write, self.close)
        elif any(m.startswith(data[:8]) or data.startswith(m) for m in METHODS):
            self._http = ServerConnection()
        else:
            self.close()

    def _take_http(self, data: bytes) -> None:
        assert self._http is not None
        try:
            request = self._http.received(data)
            while request is not None:
                self._server.answer(self._service, request, self._respond)
                request = self._http.following() if self._transport and not self._transport.is_closing() else None
        except HttpError:
            self.close()

    def _respond(self, response: Response) -> None:
        if self._http is None or self._transport is None or self._transport.is_closing():
            return
        data, close = self._http.respond(response)
        self._write(data)
        if close:
            self.close()

    def _write(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(data)
        if transport.get_write_buffer_size() > MAX_BACKLOG:
            transport.abort()

    def pause(self, on: bool) -> None:
        """Stop or go on reading (a stalled venue)."""
        transport = self._transport
        if transport is None or transport.is_closing() or transport.is_reading() is not on:
            return
        if on:
            transport.pause_reading()
        else:
            transport.resume_reading()

    @property
    def link(self) -> Link | None:
        return self._link

    def close(self) -> None:
        """Close once what was written has left."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close now, whatever is unwritten."""
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.peers.discard(self)
        if self._link is not None:
            self._server.venue.lost(self._link)


class SimServer:
    """A venue with its sockets."""

    def __init__(self, venue: Venue, clock: Clock, run_dir: Path, plain: bool = False, port: int = 0) -> None:
        self.venue = venue
        self.clock = clock
        self.peers: set[Peer] = set()
        self.source: Any = None  # Crowd or Replay: has tick()
        self._name = f"sim-{venue.setup.venue}"
        self._run_dir = run_dir
        self._port = port
        self._plain = plain
        self._servers: list[asyncio.Server] = []
        self._control = Control(venue)
        self.address_file = run_dir / f"{self._name}.json"
        self.address: dict[str, Any] = {}

    async def start(self, endpoints: bool = True) -> dict[str, Any]:
        """Listen, write the address file (whole or not at all), give what it says."""
        ca, ca_file = authority(self._run_dir, self._name)
        context = None if self._plain else server_context(ca, self.venue.tls13_only)
        main = await self._listen("any", context, self._port)
        ports = {"any": main} if endpoints else {}
        if endpoints:
            for service in (*self.venue.services, "rest"):
                ports[service] = await self._listen(service, context)
        ports["control"] = await self._listen("control", None)
        self.address = {
            "venue": self.venue.setup.venue,
            "pid": os.getpid(),
            "address": f"127.0.0.1:{main}",
            "tls": not self._plain,
            "ca_file": "" if self._plain else str(ca_file),
            "endpoints": {name: f"127.0.0.1:{port}" for name, port in ports.items()},
        }
        write_private(self.address_file, json.dumps(self.address).encode())
        return self.address

    async def _listen(self, service: str, context: ssl.SSLContext | None, port: int = 0) -> int:
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(lambda: Peer(self, service), "127.0.0.1", port, ssl=context, backlog=256)
        except OSError as error:
            raise ConfigError(f"port {port} of 127.0.0.1 cannot be listened on: {error.strerror}") from None
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def begin(self, source: Any) -> None:
        """Where the market comes from: a `Crowd`, a replay."""
        self.source = source

    async def run(self, stop: asyncio.Event) -> None:
        """Turn the venue's clock until told to stop."""
        while not stop.is_set():
            self.turn()
            await asyncio.sleep(TICK_S)

    def turn(self) -> None:
        """One turn: timers, flow, stalls."""
        if self.source is not None:
            self.source.tick()
            if isinstance(self.source, Crowd):
                self.venue.counters["flow_steps"] = self.source.steps
        self.venue.tick()
        for peer in list(self.peers):
            link = peer.link
            if link is not None:
                peer.pause(link.stalled)

    def answer(self, service: str, request: Request, respond: Any) -> None:
        """Answer an HTTP request: control, or the venue's REST side, late or wrong where a fault says so."""
        if service in {"any", "control"} and (response := self._control.answer(request)) is not None:
            respond(response)
            return
        if service == "control":
            respond(Response(404, b'{"error":"no such control call"}'))
            return
        venue, now = self.venue, self.clock.mono_ns()
        venue.counters["rest_requests"] += 1
        fault = venue.faults.strike("rest_fail", now, path=request.path)
        if fault is not None:
            respond(Response(fault.number("status"), b'{"error":["EService:Unavailable"]}'))
            return
        slow = venue.faults.strike("rest_lag", now, path=request.path)
        response = venue.rest(request)
        if slow is not None:
            asyncio.get_running_loop().call_later(slow.number("ms") / 1000, respond, response)
        else:
            respond(response)

    async def stop(self) -> None:
        """Close everything and take the address away."""
        for server in self._servers:
            server.close()
        for peer in list(self.peers):
            peer.close()
        await self._emptied(0.5)
        for peer in list(self.peers):
            peer.abort()
        await self._emptied(1.0)
        for server in self._servers:
            await server.wait_closed()
        self.address_file.unlink(missing_ok=True)

    async def _emptied(self, seconds: float) -> None:
        end = asyncio.get_running_loop().time() + seconds
        while self.peers and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.01)
