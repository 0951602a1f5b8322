"""A first configuration of a desk, out of its venues' examples: one file, with marks where it is the owner's to decide.

The examples (config/examples; in a wheel quarterdeck/examples) are what the tests hold to the dialects, so venues and
sessions are taken over as they stand, comments and all; what a desk has once is written anew.
"""

import re
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from base.errors import ConfigError
from quarterdeck.paper import derive
from quarterdeck.toml_text import toml_text

CHANGE: Final = "CHANGE"  # marks a line that its owner has to decide
Environment = Literal["production", "test", "sim"]
ENVIRONMENTS: Final = ("production", "test", "sim")
_FOLDERS: Final = (
    Path(__file__).parent / "examples",  # in a wheel
    Path(__file__).resolve().parent.parent / "config" / "examples",
)
_TABLE: Final = re.compile(r"(?m)^(?=\[)")
_NAME: Final = re.compile(r"\[+([\w.-]+)")
_THEIRS: Final = re.compile(r'"[^"]*(YOUR|THEIR|CLIENT_NAME|\.example\b)[^"]*"')
_INSTRUMENT: Final = re.compile(r'^\s*\{ name = "([^"]+)"')
_LIMITS: Final = "an example's figure, no advice"
REFERENCE: Final = re.compile(r'"env:(\w+)"')


class Wanted(msgspec.Struct, frozen=True):
    """What is asked for. `venues`: names of examples; `instruments`: () = all that the examples have."""

    venues: tuple[str, ...]
    environment: Environment = "production"
    instruments: tuple[str, ...] = ()
    name: str = "desk"


class _Example:
    """One venue's example."""

    def __init__(self, stem: str) -> None:
        self.stem = stem
        self.text = examples()[stem].read_text()
        self.document: dict[str, Any] = tomllib.loads(self.text)
        self.head = [line for line in self.text.split("\n\n")[0].splitlines() if "qd check" not in line]

    def instruments(self) -> list[str]:
        return [i["name"] for v in self.document["venue"].values() for i in v["instruments"]]

    def blocks(self) -> Iterator[tuple[str, str]]:
        """(dotted name, text) of each table of its venues and sessions."""
        for block in _TABLE.split(self.text):
            name = _NAME.match(block)
            if name and name[1].partition(".")[0] in ("venue", "session"):
                yield name[1], block.strip("\n")


def examples() -> dict[str, Path]:
    """Each example by its name. ConfigError when none is installed."""
    folder = next((f for f in _FOLDERS if f.is_dir()), None)
    if folder is None:
        raise ConfigError(f"no examples of venues are installed at {' or '.join(map(str, _FOLDERS))}")
    return {p.stem: p for p in sorted(folder.glob("*.toml"))}


def instruments_of(venues: Sequence[str]) -> list[str]:
    """Instruments that the examples of these venues have. ConfigError for a venue that has none."""
    return list(dict.fromkeys(name for e in _read(venues) for name in e.instruments()))


def starter(wanted: Wanted) -> str:
    """The configuration's text. ConfigError names what there is not."""
    found = _read(wanted.venues)
    chosen = set(wanted.instruments)
    if unknown := chosen - {name for e in found for name in e.instruments()}:
        raise ConfigError(
            f"no example has {', '.join(sorted(unknown))}; there are {', '.join(instruments_of(wanted.venues))}. "
            "Add others to the file by hand: scales, tick and lot are the venue's"
        )
    for e in found:
        if chosen and not chosen & set(e.instruments()):
            raise ConfigError(f"{e.stem}: none of the instruments is of it; it has {', '.join(e.instruments())}")
    text = _written(wanted, found, chosen)
    if wanted.environment != "sim":
        return text
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config" / "desk.toml"
        path.parent.mkdir()
        path.write_text(text)
        body = derive(path).split("\n\n", 1)[1].replace("-paper", "")
    return f"# Desk {wanted.name}, written by `qd init`: simulated venues, nothing leaves this host.\n\n{body}"


def marked(text: str) -> int:
    """How many lines are to be decided."""
    return sum(f"# {CHANGE}" in line for line in text.splitlines())


def _read(venues: Sequence[str]) -> list[_Example]:
    there = examples()
    if not venues:
        raise ConfigError(f"no venue is named; there are {', '.join(there)}")
    if unknown := [v for v in venues if v not in there]:
        raise ConfigError(f"no example of {', '.join(unknown)}; there are {', '.join(there)}")
    return [_Example(v) for v in dict.fromkeys(venues)]


def _written(wanted: Wanted, found: list[_Example], chosen: set[str]) -> str:
    kept = [(e, name, _block(e, block, wanted, chosen)) for e in found for name, block in e.blocks()]
    kept = [(e, name, block) for e, name, block in kept if block]
    sessions = {name.split(".")[1] for _, name, _ in kept if name.startswith("session.")}
    parts = [_head(wanted), _kill(wanted, found, sessions), *_limits(found, chosen), _ALARMS, _LEDGER, _MONITOR]
    for e in found:
        parts += [_ruler(e), "\n".join(e.head), *(block for owner, _, block in kept if owner is e)]
    return "\n\n".join([*parts, *_books(found, sessions)]) + "\n"


def _head(wanted: Wanted) -> str:
    production = wanted.environment == "production"
    users = 'user = "quarterdeck" # whom supervisord, started by root, runs the processes as: docs/hardening.md\n'
    return (
        f"# Desk {wanted.name}, written by `qd init`. Lines with {CHANGE} are yours to decide; every key is\n"
        "# explained in docs/configuration.md. Secrets are references, never values: env:NAME, file:PATH, run:PATH.\n\n"
        f'[desk]\nname = "{wanted.name}"\nenvironment = "{wanted.environment if production else "test"}"\n'
        + (users if production else "")
        + f'run_dir = "run-{wanted.name}"\ndata_dir = "data-{wanted.name}" # stores, journals, latch: what survives\n'
        f'log_dir = "log-{wanted.name}"'
    )


def _kill(wanted: Wanted, found: list[_Example], sessions: set[str]) -> str:
    kills = [e.document["kill"] for e in found]
    own = [s for k in kills for s in k.get("sessions", []) if s in sessions]
    lines = ["[kill] # docs/kill-switch.md"]
    if wanted.environment == "production":
        lines.append('user = "quarterdeck-kill" # a user of its own, in the group of the other')
    if own:
        lines.append(f"sessions = {_list(own)} # owned by the kill switch itself")
    lines.append(f"proof_deadline_s = {max(k.get('proof_deadline_s', 30) for k in kills)}")
    lines.append("drill_max_age_days = 30 # qd kill drill: an alarm when the last one is older")
    return "\n".join(lines)


def _limits(found: list[_Example], chosen: set[str]) -> Iterator[str]:
    """Of the desk the smallest figure that any example has; of each venue its own."""
    desk: dict[str, Any] = {}
    others = []
    for limit in (x for e in found for x in e.document["kill"]["limits"]):
        if limit["scope"] != "desk":
            others.append(limit)
            continue
        for key, value in limit.items():
            desk[key] = _least(desk[key], value) if key in desk else value
    for limit in [desk, *others]:
        lines = [
            f"{key} = {_value(shown)}{'' if key == 'scope' else f' # {CHANGE}: {_LIMITS}'}"
            for key, value in limit.items()
            if (shown := _of_chosen(key, value, chosen)) != {}
        ]
        yield "\n".join(["[[kill.limits]] # docs/limits.md", *lines])


def _least(one: Any, other: Any) -> Any:
    if isinstance(one, dict):
        both = {k: min((one[k], other[k]), key=Decimal) for k in one.keys() & other.keys()}
        return {**one, **other, **both}
    return min(one, other)


def _of_chosen(key: str, value: Any, chosen: set[str]) -> Any:
    """A figure by instrument without the instruments that were not chosen; figures by currency stay."""
    if not chosen or not isinstance(value, dict) or "notional" in key:
        return value
    return {name: figure for name, figure in value.items() if name in chosen or "-" not in name}


def _block(example: _Example, block: str, wanted: Wanted, chosen: set[str]) -> str:
    """A table of a venue or session, marked and without what was not chosen; "" when nothing of it is left."""
    name = _NAME.match(block)
    assert name is not None
    table, _, entry = name[1].partition(".")
    only = example.document[table].get(entry, {}).get("instruments", []) if table == "session" else []
    left = [i for i in only if not chosen or i in chosen]
    if only and not left:
        return ""
    lines = []
    for line in block.splitlines():
        found = _INSTRUMENT.match(line)
        if found and chosen and found[1] not in chosen:
            continue
        if only and line.startswith("instruments ="):
            lines.append(f"instruments = {_list(left)}")
            continue
        elsewhere = wanted.environment == "test" and line.startswith("address =")
        lines.append(
            _marked(line, "the test network's") if elsewhere else _marked(line, "") if _THEIRS.search(line) else line
        )
    return "\n".join(lines)


def _marked(line: str, text: str) -> str:
    code, _, comment = line.partition(" # ")
    said = "; ".join(t for t in (text, comment) if t)
    return f"{code} # {CHANGE}{f': {said}' if said else ''}"


def _books(found: list[_Example], sessions: set[str]) -> Iterator[str]:
    shards: dict[str, dict[str, Any]] = {}
    for name, book in ((n, b) for e in found for n, b in e.document.get("book", {}).items()):
        shard = shards.setdefault(name, {"sessions": []})
        shard["sessions"] += [s for s in book["sessions"] if s in sessions]
        for key in book.keys() - {"sessions"}:
            shard[key] = max(shard.get(key, 0), book[key])
    for name, shard in shards.items():
        if shard["sessions"]:
            lines = [f"{key} = {_value(value)}" for key, value in shard.items()]
            yield "\n".join([f"[book.{name}] # a process that keeps books in shared memory", *lines])


def _ruler(example: _Example) -> str:
    return f"# {'-' * (117 - len(example.stem))} {example.stem}"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    return toml_text({"x": value}).partition("=")[2].strip()


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_]+", name) else f'"{name}"'


def _list(names: list[str]) -> str:
    return "[" + ", ".join(f'"{n}"' for n in names) + "]"


_ALARMS: Final = f"""[alarms] # who is called, and until when: docs/alarms.md. Try it: qd alarms test

[[alarms.notifiers]]
name = "pager"
kind = "webhook"
url = "https://pager.example.net/quarterdeck" # {CHANGE}
secret = "env:PAGER_HMAC_SECRET" # {CHANGE}: what the receiver checks the signature with

[[alarms.notifiers]]
name = "head-of-desk" # when nobody acknowledged, or the other fails
kind = "command"
level = 1
command = ["true"] # {CHANGE}: your own program: argv, the alarm as JSON on stdin"""
_LEDGER: Final = "[ledger] # orders, fills and positions of record: docs/ledger.md"
_MONITOR: Final = """[monitor] # the desk's page, on this host alone: docs/monitor.md
port = 8700
operators = "run:operators" # who may trip and reset there: qd operator add NAME"""
