"""Paper mode: from a production configuration, one whose venues are all simulated. Same instruments, limits,
accounts and session names, so that a strategy runs on it unchanged; no host but this one, no secret, no folder of
the production desk.

What is kept is listed here; what is not known to be harmless is left out and named.
"""

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from base.config import DeskConfig, load
from base.errors import ConfigError
from quarterdeck.toml_text import toml_text

MARK: Final = "# A paper desk, derived by `qd paper` from "
SUFFIX: Final = "-paper"
_KEPT: Final = ("desk", "kill", "alarms", "monitor", "ledger", "venue", "session", "book")
_DIRECTORIES: Final = {"run_dir": "run", "data_dir": "data", "log_dir": "log"}
_LOG: Final = {"name": "log", "kind": "command", "command": ["cat"]}  # to the log of the alarms process, to no person


def paper_path(production: Path) -> Path:
    """Where the paper desk of a configuration stands, unless it is told otherwise."""
    return production.with_name(f"{production.stem}{SUFFIX}.toml")


def derive(production: Path, *, replay: str = "", messages_per_s: int = 200) -> str:
    """The paper desk's configuration. `replay`: a recording, or a folder of them, as the market of every venue that
    it has something for; the others, and all without it, have a seeded crowd of `messages_per_s` actions a second.

    ConfigError when the file is none, or when a venue's dialect has no simulated venue.
    """
    desk = load(production)
    if all(venue in desk.config.sim for venue in desk.config.venue):
        raise ConfigError(f"{production}: every venue of this desk is simulated already")
    document: dict[str, Any] = tomllib.loads(production.read_text())
    dropped = [name for name in document if name not in (*_KEPT, "sim")]
    document = {name: document[name] for name in _KEPT if name in document}
    document["desk"] = _desk(document["desk"], desk)
    document["kill"] = _kill(document.get("kill", {}))
    if "alarms" in document:
        document["alarms"] = {**document["alarms"], "notifiers": [_LOG]}
    if "monitor" in document:
        document["monitor"] = _monitor(document["monitor"])
    secrets = _Secrets()
    document["venue"] = {name: _venue(name, table, secrets) for name, table in document["venue"].items()}
    document["session"] = {name: _session(table, secrets) for name, table in document["session"].items()}
    _tell_apart(document["session"].values())
    document["sim"] = _sims(desk, replay, messages_per_s)
    head = [f"{MARK}{production.name} {desk.fingerprint}: edit that one, and derive anew."]
    head += [f"# Left out: [{name}]." for name in dropped]
    return "\n".join(head) + "\n\n" + toml_text(document)


def _tell_apart(sessions: Iterable[dict[str, Any]]) -> None:
    """One CompID may stand at several addresses of a venue; its simulated one has one address for all."""
    count = Counter[tuple[str, str]]()
    for session in sessions:
        name = session["venue"], session["sender_comp_id"]
        count[name] += 1
        if count[name] > 1:
            session["sender_comp_id"] += str(count[name])


def write_paper(production: Path, to: Path, *, replay: str = "", messages_per_s: int = 200) -> DeskConfig:
    """Write it, over an earlier one only, and load it back. ConfigError when anything of it could touch the
    production desk.
    """
    if to.exists() and not to.read_text().startswith(MARK):
        raise ConfigError(f"{to}: is there, and was not written by `qd paper`")
    text = derive(production, replay=replay, messages_per_s=messages_per_s)
    new = to.with_name(to.name + ".new")
    new.write_text(text)
    try:
        desk = load(new)
        wrong = [*dangers(desk), *overlaps(load(production), desk)]
        if wrong:
            raise ConfigError(f"{to}: not written: {'; '.join(wrong)}")
        new.rename(to)
    finally:
        new.unlink(missing_ok=True)
    return load(to)


def load_paper(production: Path) -> DeskConfig:
    """The paper desk that was derived from a configuration. ConfigError when there is none, when it is not of the
    configuration as it stands now, or when it is not harmless.
    """
    path = paper_path(production)
    if not path.exists():
        raise ConfigError(f"{path}: not there; `qd paper {production}` derives it")
    marked = f"{MARK}{production.name} {load(production).fingerprint}:"
    if not path.read_text().startswith(marked):
        raise ConfigError(f"{path}: not of {production.name} as it is now; `qd paper {production}` derives it anew")
    desk = load(path)
    if wrong := dangers(desk):
        raise ConfigError(f"{path}: {'; '.join(wrong)}")
    return desk


def dangers(desk: DeskConfig) -> list[str]:
    """Whatever in a configuration could reach another host, a person or a secret: nothing, of a paper desk."""
    return list(_dangers(desk))


def _dangers(desk: DeskConfig) -> Iterator[str]:
    c = desk.config
    if c.desk.environment != "sim":
        yield f"desk.environment: {c.desk.environment}"
    for name, venue in c.venue.items():
        if name not in c.sim:
            yield f"venue.{name}: not simulated"
        rest = venue.rest
        if rest is not None:
            yield from _foreign(f"venue.{name}.rest.address", rest.address)
            for reference in (*rest.references, *rest.kill_references):
                yield from _foreign(f"venue.{name}.rest", reference)
    for name, session in c.session.items():
        yield from _foreign(f"session.{name}.address", session.address)
        for reference in (session.username, session.password, session.passphrase):
            yield from _foreign(f"session.{name}", reference)
    for i, notifier in enumerate(c.alarms.notifiers if c.alarms is not None else []):
        if notifier.command != _LOG["command"]:
            yield f"alarms.notifiers[{i}]: {notifier.kind} {notifier.name}"


def _foreign(path: str, value: str) -> Iterator[str]:
    """An address or reference that is not below the desk's own run directory."""
    if value and not value.startswith("run:"):
        yield f"{path}: {value.partition(':')[0]}:... is not of a simulated venue"


def overlaps(one: DeskConfig, other: DeskConfig) -> list[str]:
    """Folders of two desks that are, or hold, one another."""
    places = {d: (d.run_dir, d.data_dir, d.log_dir, d.shm_dir) for d in (one, other)}
    return [
        f"{a} and {b} are of both desks"
        for a in places[one]
        for b in places[other]
        if a == b or a in b.parents or b in a.parents
    ]


def _desk(table: dict[str, Any], desk: DeskConfig) -> dict[str, Any]:
    """Folders of its own, under this user; what is set for a production host stays there."""
    out = {"name": f"{desk.config.desk.name[:35]}{SUFFIX}", "environment": "sim"}
    out |= {key: f"{table.get(key, default)}{SUFFIX}" for key, default in _DIRECTORIES.items()}
    if table.get("shm_dir"):
        out["shm_dir"] = f"{table['shm_dir']}{SUFFIX}"
    return out | {key: table[key] for key in ("log_budget_mb",) if key in table}


def _kill(table: dict[str, Any]) -> dict[str, Any]:
    """The same limits; armed at start, as this user, and without a claim to the processor."""
    kept = {key: value for key, value in table.items() if key not in ("user", "realtime_priority")}
    return {**kept, "arm_at_start": True}


def _monitor(table: dict[str, Any]) -> dict[str, Any]:
    gone = ("operators", "tls_cert", "tls_key", "allowed_hosts", "readers")
    return {**{k: v for k, v in table.items() if k not in gone}, "host": "127.0.0.1", "port": 0}


class _Secrets:
    """Names of made-up secrets: one for each that the venue's tables refer to, so that what is shared stays shared."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, str], str] = {}

    def of(self, venue: str, table: dict[str, Any], keys: tuple[str, ...]) -> dict[str, str]:
        """References that take the place of those in a table."""
        named = {key: (venue, table[key]) for key in keys if table.get(key)}
        return {key: self._names.setdefault(at, f"run:secrets/{venue}-{len(self._names)}") for key, at in named.items()}


def _venue(name: str, table: dict[str, Any], secrets: _Secrets) -> dict[str, Any]:
    rest = table.get("rest")
    if rest is None:
        return table
    there = {"address": f"run:sim-{name}#rest", "ca_file": f"run:sim-{name}.ca.pem"}
    return {**table, "rest": {**rest, **secrets.of(name, rest, _REST_SECRETS), **there}}


def _session(table: dict[str, Any], secrets: _Secrets) -> dict[str, Any]:
    venue = table["venue"]
    there = {"address": f"run:sim-{venue}#any", "ca_file": f"run:sim-{venue}.ca.pem", "server_name": "localhost"}
    return {**table, **secrets.of(venue, table, _SESSION_SECRETS), **there, "tls": True}


_SESSION_SECRETS: Final = ("username", "password", "passphrase")
_REST_SECRETS: Final = ("key", "secret", "passphrase", "kill_key", "kill_secret", "kill_passphrase")


def _sims(desk: DeskConfig, replay: str, messages_per_s: int) -> dict[str, Any]:
    from sim.desk import module_of

    sims: dict[str, Any] = {}
    for seed, (name, venue) in enumerate(desk.config.venue.items(), 1):
        module_of(venue.dialect)
        sims[name] = {"seed": seed, "messages_per_s": messages_per_s}
        if replay:
            sims[name]["replay"] = replay
    return sims
