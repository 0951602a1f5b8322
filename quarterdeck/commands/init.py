"""`qd init`: a first configuration, by asking or by flags, out of the examples of its venues."""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from base.config import load
from base.errors import ConfigError
from quarterdeck.starter import ENVIRONMENTS, REFERENCE, Wanted, examples, instruments_of, marked, starter

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--venue", action="append", default=[], metavar="NAME", help="an example's name; may be repeated"
    )
    parser.add_argument("--environment", choices=ENVIRONMENTS, default="", help="default: production")
    parser.add_argument("--instrument", action="append", default=[], metavar="NAME", help="only these; may be repeated")
    parser.add_argument("--name", default="", help="of the desk (default: its venues' names)")
    parser.add_argument("--out", default="", metavar="FILE", help="default: config/NAME.toml; never one that is there")
    parser.add_argument("--yes", action="store_true", help="ask nothing: what is not said takes its default")


def run(args: argparse.Namespace) -> int:
    """Exit status 0 once the file is written and loads."""
    wanted, out = _wanted(args, _ask if sys.stdin.isatty() and not args.yes else _default)
    text = starter(wanted)
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with out.open("x") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{out}: is there already; nothing was written") from None
    desk = load(out)
    sys.stdout.write(f"{out}: {len(desk.config.venue)} venues, {len(desk.config.session)} sessions\n{_next(out, text)}")
    return 0


def _wanted(args: argparse.Namespace, ask: Callable[[str, str], str]) -> tuple[Wanted, Path]:
    there = ", ".join(examples())
    venues = args.venue or _words(ask(f"Venues ({there})", ""))
    environment = args.environment or ask(f"Environment ({', '.join(ENVIRONMENTS)})", "production")
    all_ = ", ".join(instruments_of(venues))
    instruments = args.instrument or _words(ask(f"Instruments ({all_}; nothing: all)", ""))
    name = args.name or ask("Name of the desk", "-".join(venues).replace("_", "-")[:32].strip("-"))
    if not _NAME.fullmatch(name):
        raise ConfigError(f"--name: {name!r}: 1 to 32 small letters, digits and hyphens, a letter or digit first")
    out = Path(args.out or ask("File", f"config/{name}.toml"))
    if out.exists():
        raise ConfigError(f"{out}: is there already; nothing was written")
    if environment not in ENVIRONMENTS:
        raise ConfigError(f"--environment: {environment!r} is none of {', '.join(ENVIRONMENTS)}")
    given = {"venues": venues, "environment": environment, "instruments": instruments, "name": name}
    return msgspec.convert(given, Wanted), out


def _ask(question: str, default: str) -> str:
    return input(f"{question}{f' [{default}]' if default else ''}: ").strip() or default


def _default(question: str, default: str) -> str:
    return default


def _words(text: str) -> list[str]:
    return [w for w in re.split(r"[,\s]+", text) if w]


def _next(out: Path, text: str) -> str:
    names = list(dict.fromkeys(REFERENCE.findall(text)))
    decide = f"decide the {marked(text)} lines marked CHANGE in {out}" if marked(text) else f"read {out}"
    secrets = f"provide {', '.join(names)}: environment, or file:PATH of mode 0600" if names else "no secret is needed"
    return f"next:\n  1. {decide}\n  2. {secrets}\n  3. qd check {out}, then qd up {out}\n"
