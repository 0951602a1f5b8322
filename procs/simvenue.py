"""A simulated venue of a desk: `python -m procs.simvenue --config FILE --venue NAME`.

Makes the credentials that the desk refers to below its run directory, then listens. Not a hot process: asyncio.
"""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

from base.clock import SystemClock
from base.config import DeskConfig, load
from base.errors import ConfigError, QuarterdeckError
from base.locks import RoleLock
from base.log import open_log
from ipc.host import build_fingerprint
from ipc.readiness import Readiness, StatusPage
from sim.desk import ensure_secrets, setup_of
from sim.gateway import Venue
from sim.replay import NothingFitsError
from sim.run import build, serve, source_of
from sim.server import SimServer

log = logging.getLogger("simvenue")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 after an orderly stop, 2 for a wrong configuration or recording."""
    parser = argparse.ArgumentParser(prog="python -m procs.simvenue")
    parser.add_argument("--config", required=True)
    parser.add_argument("--venue", required=True)
    args = parser.parse_args(argv)
    try:
        return run(load(args.config), args.venue)
    except QuarterdeckError as error:
        sys.stderr.write(f"procs.simvenue: {error}\n")
        return 2


def run(desk: DeskConfig, venue: str) -> int:
    """Take the role, then serve until told to stop."""
    if venue not in desk.config.sim:
        raise ConfigError(f"{desk.path}: no [sim.{venue}]; there are {sorted(desk.config.sim)}")
    clock = SystemClock()
    name = f"sim-{venue}"
    desk.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = RoleLock(desk.run_dir / "lock" / name)
    lock.acquire(clock.wall_ns())
    desk.log_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
    open_log(desk.log_dir, name, budget=desk.process_log_bytes)
    (desk.shm_dir / "proc").mkdir(parents=True, exist_ok=True)
    page = StatusPage(
        desk.shm_dir / "proc" / name,
        name,
        kind="simvenue",
        build=build_fingerprint(),
        config=desk.fingerprint,
        wall_ns=clock.wall_ns(),
    )
    ensure_secrets(desk)
    world = build(desk.config.venue[venue].dialect, setup_of(desk, venue), clock)
    config = desk.config.sim[venue]
    # `qd run --replay` hands a recording to every simulated venue of the desk without touching its configuration.
    source = _source(world, config.replay or os.environ.get("QD_REPLAY", ""))
    server = SimServer(world, clock, desk.run_dir, config.plain)

    def announce(address: dict[str, object]) -> None:
        log.info("%s listens at %s", name, address["address"])
        page.set(Readiness.READY, "", clock.wall_ns())

    try:
        asyncio.run(serve(server, source, announce=announce, beat=lambda: page.beat(clock.mono_ns())))
    finally:
        page.set(Readiness.STOPPING, "stopped", clock.wall_ns())
        lock.release()
    return 0


def _source(world: Venue, replay: str) -> Any:
    """The recording that the desk names; seeded flow where it holds nothing for this venue."""
    try:
        return source_of(world, replay, "1")
    except NothingFitsError as error:
        log.warning("seeded flow instead of a replay: %s", error)
        return source_of(world, "", "1")


if __name__ == "__main__":
    sys.exit(main())
