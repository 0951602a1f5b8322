"""`qd paper CONFIG`: a desk like this one on simulated venues alone, for strategies to be tried on."""

import argparse
import sys
from pathlib import Path

from base.errors import ConfigError
from quarterdeck.demo import fresh_state
from quarterdeck.paper import paper_path, write_paper


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", help="the production desk's configuration")
    parser.add_argument("--out", default="", metavar="FILE", help="where to write it (beside it, as NAME-paper.toml)")
    parser.add_argument("--replay", default="", help="a recording, or a folder of them, as the market")
    parser.add_argument("--messages-per-s", type=int, default=200, help="actions of the crowd without a recording")
    parser.add_argument("--fresh", action="store_true", help="begin anew: remove what the paper desk remembers")


def run(args: argparse.Namespace) -> int:
    """Exit status 0 once it is written; it is started with `qd up`."""
    production = Path(args.config).resolve()
    replay = Path(args.replay).resolve() if args.replay else None
    if replay is not None and not replay.exists():
        raise ConfigError(f"--replay: {replay} does not exist")
    to = Path(args.out).resolve() if args.out else paper_path(production)
    desk = write_paper(production, to, replay=str(replay or ""), messages_per_s=args.messages_per_s)
    if args.fresh:
        fresh_state(desk)
    sys.stdout.write(
        f"{to}: {len(desk.config.venue)} simulated venues, {len(desk.config.session)} sessions; its state is in\n"
        f"{desk.run_dir}, {desk.data_dir}, {desk.log_dir}, {desk.shm_dir}\n"
        f"start it: qd up {to}    stop it: qd down {to}    in a strategy: qd.connect({args.config!r}, paper=True)\n"
    )
    return 0
