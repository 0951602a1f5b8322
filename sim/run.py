"""Starting a simulated venue: shared by the desk's process and `qd sim`."""

import asyncio
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from base.clock import Clock
from sim.desk import module_of
from sim.flow import Crowd
from sim.gateway import Venue
from sim.server import SimServer
from sim.setup import Setup
from sim.tls import write_private

Beat = Callable[[], object]


def build(dialect: str, setup: Setup, clock: Clock) -> Venue:
    """The venue of a dialect."""
    venue: Venue = module_of(dialect).make(setup, clock)
    return venue


def source_of(venue: Venue, replay: str, speed: str) -> Any:
    """What moves the market: a recording, or seeded flow."""
    if replay:
        from sim.replay import Replay

        return Replay.open(venue, Path(replay), speed)
    setup = venue.setup
    openings = {n.removeprefix("open."): str(v) for n, v in setup.options.items() if n.startswith("open.")}
    return Crowd(venue.exchange, setup.seed, setup.messages_per_s, openings)


def credentials_file(setup: Setup, run_dir: Path) -> Path:
    """Write a standalone venue's credentials (0600) and give the path."""
    path = run_dir / f"sim-{setup.venue}.credentials.json"
    said = {
        "sessions": [
            {
                "kind": g.kind,
                "level": g.level,
                "sender_comp_id": g.sender,
                "target_comp_id": g.target,
                "username": g.username,
                "password": g.password,
                "passphrase": g.passphrase,
            }
            for g in setup.grants
        ],
        "rest": [{"key": k.key, "secret": k.secret, "passphrase": k.passphrase} for k in setup.rest_keys],
    }
    write_private(path, json.dumps(said, indent=1).encode())
    return path


async def serve(
    server: SimServer, source: Any, *, announce: Callable[[dict[str, Any]], object], beat: Beat | None = None
) -> None:
    """Run until SIGTERM or SIGINT (or until the source says that it is over and wants to end)."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server.begin(source)
    address = await server.start()
    announce(address)
    if beat is not None:
        loop.create_task(_beat(beat, stop)).set_name("beat")
    try:
        await server.run(stop)
    finally:
        await server.stop()


async def _beat(beat: Beat, stop: asyncio.Event) -> None:
    while not stop.is_set():
        beat()
        await asyncio.sleep(0.05)


def print_line(said: dict[str, Any]) -> None:
    """One line of JSON on standard output."""
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()
