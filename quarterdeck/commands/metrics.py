"""`qd metrics`: the metrics of a desk as Prometheus reads them, from shared memory alone."""

import argparse
import os
import sys
from pathlib import Path

from base.config import load
from base.errors import QuarterdeckError
from ipc.metrics_text import render


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", default="config/desk.toml", help="the desk's configuration")
    parser.add_argument("--openmetrics", action="store_true", help="in OpenMetrics text")
    parser.add_argument("--textfile", metavar="FILE", help="write FILE at once, for node_exporter's textfile collector")


def run(args: argparse.Namespace) -> int:
    """Exit status 0; a desk that does not run shows `quarterdeck_up 0`."""
    text = render(load(args.config), openmetrics=args.openmetrics)
    if args.textfile:
        write_whole(Path(args.textfile), text)
    else:
        sys.stdout.write(text.decode())
    return 0


def write_whole(path: Path, data: bytes) -> None:
    """Replace the file: a reader finds the old contents or the new ones. QuarterdeckError when it cannot be."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_bytes(data)
        aside.chmod(0o644)
        aside.replace(path)
    except OSError as e:
        aside.unlink(missing_ok=True)
        raise QuarterdeckError(f"{path}: cannot be written: {e.strerror}") from None
