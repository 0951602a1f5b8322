"""A proxy before every endpoint of the simulated venues, which cuts, delays, garbles and swallows on demand.

It runs on a thread of its own with asyncio. Where the venue listens is read from its address file at each connection.
"""

import asyncio
import json
import random
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.soak_desk import write_address

RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER 0: the end is a RST
CHUNK: Final = 65_536


class Pipe:
    """One proxied connection: two directions, and what is wrong with it now."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client, self.server = client, server
        self.deaf = False  # half open: whatever comes is swallowed, nothing is closed
        self.delay_s = 0.0
        self.bytes_a_turn = 0  # 0: as they come
        self.cut_after = 0  # the next so many bytes pass, then the connection breaks
        self.garble: tuple[str, random.Random] | None = None  # direction ("in", "out") of the next chunk to break

    def reset(self) -> None:
        """A RST to both sides."""
        for writer in (self.client, self.server):
            if not writer.transport.is_closing():
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                writer.transport.abort()

    def close(self) -> None:
        """An orderly end to both sides."""
        for writer in (self.client, self.server):
            writer.close()

    def pass_on(self, data: bytes, direction: str) -> bytes:
        """What is left of a chunk."""
        if self.garble is not None and self.garble[0] == direction:
            _, dice = self.garble
            self.garble = None
            broken = bytearray(data)
            for _ in range(1 + dice.randrange(4)):
                broken[dice.randrange(len(broken))] ^= 1 << dice.randrange(8)
            data = bytes(broken)
        return data


class Proxy:
    """Every endpoint's proxy; public calls are made from other threads."""

    def __init__(self, run_dir: Path, venues: dict[str, tuple[str, ...]]) -> None:
        """`venues`: the services of each venue."""
        self._run_dir = run_dir
        self._venues = venues
        self._pipes: dict[tuple[str, str], list[Pipe]] = {}
        self._refusing: set[tuple[str, str]] = set()
        self._loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self.connections = 0
        self.bytes = 0

    def start(self) -> None:
        """Listen, and write `proxy-VENUE.json` for each venue."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    def stop(self) -> None:
        """End every connection."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    # -- faults ----------------------------------------------------------------------------------------------

    def on_pipes(self, venue: str, service: str, act: Callable[[Pipe], object]) -> int:
        """Do something to the connections of an endpoint; how many there were."""

        async def run() -> int:
            pipes = list(self._pipes.get((venue, service), ()))
            for pipe in pipes:
                act(pipe)
            return len(pipes)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    def refuse(self, venue: str, service: str, on: bool) -> None:
        """New connections are reset at once, until told otherwise."""
        key = (venue, service)
        self._loop.call_soon_threadsafe(self._refusing.add if on else self._refusing.discard, key)

    def heal(self) -> None:
        """No more faults: half-open connections end, everything passes."""

        def mend(pipe: Pipe) -> None:
            if pipe.deaf:
                pipe.reset()
            pipe.delay_s, pipe.bytes_a_turn, pipe.cut_after, pipe.garble = 0.0, 0, 0, None

        self._loop.call_soon_threadsafe(self._refusing.clear)
        for venue, services in self._venues.items():
            for service in services:
                self.on_pipes(venue, service, mend)

    # -- inside ----------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        for venue, services in self._venues.items():
            ports = {}
            for service in services:
                server = await asyncio.start_server(self._taker(venue, service), "127.0.0.1", 0)
                self._servers.append(server)
                ports[service] = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            write_address(self._run_dir / f"proxy-{venue}.json", ports)

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
        for pipes in list(self._pipes.values()):
            for pipe in list(pipes):
                pipe.reset()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    def _taker(
        self, venue: str, service: str
    ) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], "asyncio.Future[None]"]:
        def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> "asyncio.Future[None]":
            task = self._loop.create_task(self._carry((venue, service), reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return task

        return take

    async def _carry(self, key: tuple[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            if key in self._refusing:
                raise ConnectionRefusedError
            address = json.loads((self._run_dir / f"sim-{key[0]}.json").read_text())["endpoints"][key[1]]
            host, _, port = address.rpartition(":")
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
        except (OSError, ValueError, KeyError):
            writer.transport.abort()
            return
        pipe = Pipe(writer, far_writer)
        pipes = self._pipes.setdefault(key, [])
        pipes.append(pipe)
        try:
            await asyncio.gather(
                self._one_way(pipe, reader, far_writer, "out"), self._one_way(pipe, far_reader, writer, "in")
            )
        finally:
            pipes.remove(pipe)
            pipe.close()

    async def _one_way(
        self, pipe: Pipe, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str
    ) -> None:
        """Until this side ends; the other is ended with it."""
        try:
            while data := await reader.read(pipe.bytes_a_turn or CHUNK):
                self.bytes += len(data)
                if pipe.delay_s:
                    await asyncio.sleep(pipe.delay_s)
                if pipe.bytes_a_turn:
                    await asyncio.sleep(0.005)
                if pipe.deaf:
                    continue
                if pipe.cut_after:
                    writer.write(data[: pipe.cut_after])
                    await writer.drain()
                    break
                writer.write(pipe.pass_on(data, direction))
                await writer.drain()
        except OSError:
            pipe.reset()
            return
        while pipe.deaf and not writer.is_closing():
            await asyncio.sleep(0.1)  # nobody is told that the other side has gone
        pipe.close()
