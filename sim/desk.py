"""A simulated venue from a desk's configuration, and credentials made for it where a simulated desk has none yet."""

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from base.config import DeskConfig, Kind, SessionConfig
from base.errors import ConfigError
from base.instruments import Instrument
from base.secrets import resolve
from sim.recordings import find_recordings, open_recording
from sim.setup import Grant, RestKey, Setup
from sim.tls import write_new_private

Maker = Callable[[str], str]


def module_of(dialect: str) -> Any:
    """The venue's own side of a dialect: a module with `make(setup, clock)` and `new_secret(what)`."""
    if not dialect.isidentifier():
        raise ConfigError(f"{dialect!r} is not the name of a dialect")
    name = f"venues.{dialect}.sim"
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in {name, f"venues.{dialect}"}:
            raise
        raise ConfigError(f"dialect {dialect!r} has no simulated venue") from None


def ensure_secrets(desk: DeskConfig) -> list[Path]:
    """Make the `run:` secrets of simulated venues that are not there yet (0600); gives those made.

    Never touches `env:` and `file:` references, nor anything of a venue without a [sim.X].
    """
    made = []
    for venue in desk.config.sim:
        new_secret: Maker = module_of(desk.config.venue[venue].dialect).new_secret
        for what, reference in _references(desk, venue):
            path = desk.run_dir / reference.removeprefix("run:")
            if reference.startswith("run:") and not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                if write_new_private(path, new_secret(what).encode()):  # all venues of a desk start at once
                    made.append(path)
    return made


def _references(desk: DeskConfig, venue: str) -> Iterator[tuple[str, str]]:
    for session in _sessions(desk, venue).values():
        yield "username", session.username
        yield "password", session.password
        yield "passphrase", session.passphrase
    rest = desk.config.venue[venue].rest
    if rest is not None:
        for references in (rest.references, rest.kill_references):
            yield from zip(("rest_key", "rest_secret", "rest_passphrase"), references, strict=True)


def _sessions(desk: DeskConfig, venue: str) -> dict[str, SessionConfig]:
    return {n: s for n, s in desk.config.session.items() if s.venue == venue}


def setup_of(desk: DeskConfig, venue: str) -> Setup:
    """What the desk's configuration says the simulated venue is. ConfigError or SecretError when it does not fit."""
    config = desk.config.sim.get(venue)
    if config is None:
        raise ConfigError(f"{desk.path}: no [sim.{venue}]; there are {sorted(desk.config.sim)}")
    account = desk.config.venue[venue].account

    def read(reference: str) -> str:
        return resolve(reference, desk.run_dir) if reference else ""

    grants = [
        Grant(
            s.kind.value, sender, s.target_comp_id, account, _level(s), read(s.username), read(s.password), name,
            read(s.passphrase),
        )
        for name, s in _sessions(desk, venue).items()
        for sender in (s.sender_comp_id, s.alternate_sender_comp_id)
        if sender
    ]  # fmt: skip
    rest = desk.config.venue[venue].rest
    given = [rest.references, rest.kill_references] if rest is not None else []
    keys = [RestKey(account, *map(read, references)) for references in given if any(references)]
    return Setup(venue, desk.venue_instruments(venue), grants, keys, config.options, config.seed, config.messages_per_s)


def _level(session: SessionConfig) -> int:
    return session.level if session.kind is Kind.MARKETDATA else 2


def instruments_of(venue: str, dialect: str, replay: Path) -> list[Instrument]:
    """Instruments that a standalone venue needs to replay everything in a file, at the recording's own decimals."""
    symbol_for = module_of(dialect).symbol_for
    found: dict[str, Instrument] = {}
    for recording in find_recordings(replay) if replay.is_dir() else [open_recording(replay)]:
        for m in recording.markets().values():
            known = found.get(m.name)
            px = max(m.px_scale, known.px_scale if known else 0)
            qty = max(m.qty_scale, known.qty_scale if known else 0)
            if m.has_book:
                found[m.name] = Instrument(venue, m.name, symbol_for(m.name), px, qty)
    return list(found.values())


def standalone(venue: str, instruments: list[Instrument], any_logon: bool, seed: int, rate: int) -> Setup:
    """A venue without a desk; its one account's credentials are fresh at each start."""
    module = module_of(venue)
    new_secret: Maker = module.new_secret
    key, secret, phrase = (new_secret(what) for what in ("username", "password", "passphrase"))
    grants = [
        Grant(kind, sender, target, "main", level, key, secret, sender, phrase)
        for kind, sender, target, level in module.STANDALONE
    ]
    return Setup(
        venue,
        instruments or list(module.default_instruments(venue)),
        grants,
        [RestKey("main", *map(new_secret, ("rest_key", "rest_secret", "rest_passphrase")))],
        {},
        seed,
        rate,
        any_logon,
    )
