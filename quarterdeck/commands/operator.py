"""`qd operator`: who may sign in at the page and trip or reset there; the file that [monitor] operators names.

The page reads the file anew at each sign-in and each act: a change needs no restart, and who is removed is signed out.
"""

import argparse
import getpass
import os
import sys
from pathlib import Path

from base.config import DeskConfig, load
from base.errors import CommandError, SecretError
from base.operators import MIN_PASSWORD, RIGHTS, OperatorEntry, new_operator, read_operators, write_operators
from base.secrets import resolve

ACTIONS = {
    "add": "a new operator, or another password or other rights for one; asks for the password, without echo",
    "list": "names and rights",
    "remove": "NAME signs in no more",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=ACTIONS, help="; ".join(f"{k}: {v}" for k, v in ACTIONS.items()))
    parser.add_argument("name", nargs="?", default="", help="add, remove: which operator")
    parser.add_argument("--config", default="config/desk.toml", help="the desk's configuration")
    parser.add_argument("--may", default=",".join(RIGHTS), metavar="RIGHTS", help=f"add: default {','.join(RIGHTS)}")


def run(args: argparse.Namespace) -> int:
    """Exit status 0 when it was done."""
    desk = load(args.config)
    path = operators_file(desk)
    entries = _read(desk, path)
    if args.action == "list":
        sys.stdout.write("".join(f"{e.name}: {', '.join(e.rights)}\n" for e in entries.values()) or "no operators\n")
        return 0
    if not args.name:
        raise CommandError(f"{args.action}: which operator?")
    if args.action == "add":
        entries[args.name] = new_operator(args.name, _password(), args.may.split(","))
    elif entries.pop(args.name, None) is None:
        raise CommandError(f"no operator {args.name!r}; there are {', '.join(entries) or 'none'}")
    write_file(path, entries)
    sys.stdout.write(f"{args.name} {'may sign in' if args.action == 'add' else 'signs in no more'}: {path}\n")
    return 0


def operators_file(desk: DeskConfig) -> Path:
    """The file to write. CommandError when the configuration names none, or a place that is not a file."""
    reference = desk.config.monitor.operators if desk.config.monitor is not None else ""
    kind, _, rest = reference.partition(":")
    if kind not in ("file", "run") or not rest:
        raise CommandError(f'{desk.path}: monitor.operators: expected file:PATH or run:PATH, such as "run:operators"')
    return desk.run_dir / rest if kind == "run" else Path(rest)


def write_file(path: Path, entries: dict[str, OperatorEntry]) -> None:
    """Replace it as a whole, for its owner's eyes alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
        file.write("# Operators of the page, written by `qd operator`. Hashes of passwords: keep it 0600.\n")
        file.write(write_operators(entries))
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _read(desk: DeskConfig, path: Path) -> dict[str, OperatorEntry]:
    return read_operators(resolve(f"file:{path}", desk.run_dir)) if path.exists() else {}


def _password() -> str:
    """Asked twice at a terminal; one line of standard input where there is none."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    first = getpass.getpass(f"Password (at least {MIN_PASSWORD} characters): ")
    if getpass.getpass("Again: ") != first:
        raise SecretError("the two are not the same")
    return first
