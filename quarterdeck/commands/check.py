"""`qd check CONFIG`: everything about a configuration that can be known before the desk starts."""

import argparse
import re
import sys
from pathlib import Path

from base.config import DeskConfig, Kind, load
from base.errors import ConfigError, QuarterdeckError, SecretError
from base.secrets import resolve
from quarterdeck.logon_preview import preview
from venues.context import dialect_of

_SYMBOLIC = re.compile(r"^run:[\w.-]+#\w+$")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", nargs="?", default="config/desk.toml")


def problems(desk: DeskConfig) -> list[str]:
    """What is wrong, each with its path in the file."""
    found: list[str] = []
    config = desk.config
    for name, venue in config.venue.items():
        try:
            sessions = {n: s for n, s in config.session.items() if s.venue == name}
            dialect_of(desk, name).check(venue, sessions, f"{desk.path}: venue.{name}")
        except ConfigError as e:
            found.append(str(e))
        if venue.rest is not None:
            found += _secrets(desk, f"venue.{name}.rest", {"key": venue.rest.key, "secret": venue.rest.secret})
    for name, session in config.session.items():
        if not _SYMBOLIC.match(session.address) and not re.match(r"^[^:/\s]+:\d+$", session.address):
            found.append(
                f"{desk.path}: session.{name}.address: {session.address!r} is neither host:port nor run:NAME#KEY"
            )
        found += _secrets(desk, f"session.{name}", {"username": session.username, "password": session.password})
        if session.kind == Kind.MARKETDATA and not any(name in b.sessions for b in config.book.values()):
            found.append(f"{desk.path}: session.{name}: no [book.*] lists it: nobody would keep its books")
    if config.desk.environment == "production" and not config.kill.limits:
        found.append(f"{desk.path}: kill.limits: none is set; a production desk does not run without limits")
    return found


def _secrets(desk: DeskConfig, path: str, references: dict[str, str]) -> list[str]:
    found = []
    for key, reference in references.items():
        simulated = desk.config.desk.environment == "sim" and reference.startswith("run:")
        if not reference or (simulated and not (desk.run_dir / reference.removeprefix("run:")).exists()):
            continue  # a simulated venue makes its own when it starts
        try:
            resolve(reference, desk.run_dir)
        except SecretError as e:
            found.append(f"{desk.path}: {path}.{key}: {e}")
    return found


def run(args: argparse.Namespace) -> int:
    """Exit status 0 when nothing is wrong, 1 otherwise. Prints what each session's logon will look like, masked."""
    desk = load(Path(args.config))
    found = problems(desk)
    for name in desk.config.session:
        try:
            sys.stdout.write(f"{name}: {preview(desk, name)}\n")
        except QuarterdeckError as e:
            sys.stdout.write(f"{name}: no logon to show: {e}\n")
    for line in found:
        sys.stderr.write(f"{line}\n")
    sys.stdout.write("nothing wrong\n" if not found else f"{len(found)} problem(s)\n")
    return 1 if found else 0
