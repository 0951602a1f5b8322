"""`qd check CONFIG`: everything about a configuration, and about this host, that can be known before it starts."""

import argparse
import sys
from pathlib import Path

import msgspec

from base.config import DeskConfig, load
from base.errors import QuarterdeckError
from quarterdeck.config_problems import problems
from quarterdeck.host_problems import HostFinding, look_at_host
from quarterdeck.logon_preview import preview
from quarterdeck.redundancy_words import redundancy_words


class Checked(msgspec.Struct, frozen=True):
    """What was found. `wrong`: how many of it keep the exit status from being 0."""

    config: str
    environment: str
    logons: dict[str, str]  # by session: its Logon, masked, or why there is none to show
    redundancy: tuple[str, ...]
    problems: tuple[str, ...]
    host: tuple[HostFinding, ...]
    wrong: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", nargs="?", default="config/desk.toml", help="the desk's configuration")
    parser.add_argument("--no-host", action="store_true", help="leave this host out: the desk will run on another")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Exit status 0 when nothing is wrong, 1 otherwise. Prints what each session's logon will look like, masked."""
    checked = look(load(Path(args.config)), host=not args.no_host)
    if args.json:
        sys.stdout.write(msgspec.json.encode(checked).decode() + "\n")
    else:
        _show(checked)
    return 1 if checked.wrong else 0


def look(desk: DeskConfig, *, host: bool) -> Checked:
    """Everything that `qd check` looks at. ConfigError."""
    found = tuple(problems(desk))
    on_host = tuple(look_at_host(desk)) if host else ()
    return Checked(
        config=str(desk.path),
        environment=desk.config.desk.environment,
        logons={name: _logon(desk, name) for name in desk.config.session},
        redundancy=tuple(redundancy_words(desk)),
        problems=found,
        host=on_host,
        wrong=len(found) + sum(f.level == "PROBLEM" for f in on_host),
    )


def _logon(desk: DeskConfig, session: str) -> str:
    try:
        return preview(desk, session)
    except QuarterdeckError as e:
        return f"no logon to show: {e}"


def _show(checked: Checked) -> None:
    lines = [f"{name}: {logon}" for name, logon in checked.logons.items()] + list(checked.redundancy)
    lines += ["this host:", *(f"  {f}" for f in reversed(checked.host))] if checked.host else []
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()  # what is wrong comes after it, wherever both go
    for line in checked.problems:
        sys.stderr.write(f"{line}\n")
    sys.stdout.write(f"{checked.wrong} problem(s)\n" if checked.wrong else "nothing wrong\n")
