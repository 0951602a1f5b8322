"""`qd run`: the default desk with a live screen, or for some seconds with the whole kill-switch demonstration."""

import argparse
import os
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.live import Live

from base.config import DeskConfig, load
from base.errors import ConfigError
from ipc.view.status import read_desk
from quarterdeck.demo import Demo, timed
from quarterdeck.screen import desk_screen

DEFAULT_S = 20.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", nargs="?", default="config/desk.toml", help="the desk's configuration")
    parser.add_argument("--seconds", type=float, help="run so long, then kill, trip, prove and stop")
    parser.add_argument("--replay", default="", help="recording, or directory of recordings, as the market")


def watch(desk: DeskConfig, demo: Demo) -> int:
    """The live screen until interrupted."""
    try:
        demo.start()
        demo.start_quoter()
        note = "the quoter trades; ^C stops the desk; elsewhere: qd orders, book, kill trip"
        with Live(desk_screen(read_desk(desk), note), auto_refresh=False, screen=True) as live:
            while True:
                live.update(desk_screen(read_desk(desk), note, live.console.height), refresh=True)
                time.sleep(0.25)
    except KeyboardInterrupt:
        Console().print("stopping")
    finally:
        demo.stop()
    return 0


def run(args: argparse.Namespace) -> int:
    """With --seconds, or without a terminal, the demonstration with its exit status; else the screen."""
    desk = load(args.config)
    if args.replay:
        recording = Path(args.replay).resolve()
        if not recording.exists():
            raise ConfigError(f"--replay: {recording} does not exist")
        os.environ["QD_REPLAY"] = str(recording)  # the simulated venues, started below, look for it
    demo = Demo(desk, lambda text: print(text, flush=True))
    if args.seconds is None and sys.stdout.isatty():
        return watch(desk, demo)
    return timed(demo, args.seconds if args.seconds is not None else DEFAULT_S)
