"""What a forwarder tells a client of the desk: venues, instruments, sessions and books, without addresses or secrets.

It has the form of a configuration, so that what a client does with a desk on its own host works with it as it is.
"""

from pathlib import Path
from typing import Any

import msgspec

from base.config import Config, DeskConfig
from base.errors import BusError, ConfigError
from ipc.events import SCHEMA_VERSION
from ipc.readiness import Status
from ipc.remote_keys import Allowed


class DeskDescription(msgspec.Struct, frozen=True):
    """Of one forwarder, for one key. `desk`: tables and keys of docs/configuration.md."""

    schema: int
    build: str
    events_port: int
    max_ttl_ms: int
    key: str
    role: str
    strategies: tuple[str, ...]
    desk: dict[str, Any]


def describe(desk: DeskConfig, build: str, key: Allowed, events_port: int, max_ttl_ms: int) -> DeskDescription:
    """What the holder of this key is told."""
    config = desk.config
    public: dict[str, Any] = {
        "desk": {"name": config.desk.name, "environment": config.desk.environment},
        "kill": {"sessions": config.kill.sessions},
        "venue": {
            name: {
                "dialect": v.dialect, "account": v.account, "options": v.options,
                "instruments": [_without_defaults(i) for i in v.instruments],
            }
            for name, v in config.venue.items()
        },
        "session": {
            name: {
                "venue": s.venue, "kind": s.kind, "level": s.level, "instruments": s.instruments,
                "redundant_with": s.redundant_with, "address": "", "sender_comp_id": "-", "target_comp_id": "-",
            }
            for name, s in config.session.items()
        },
        "sim": {name: {} for name in config.sim},
        "book": {name: _without_defaults(b) for name, b in config.book.items()},
        **({"ledger": {}} if config.ledger is not None else {}),
        **({"alarms": {}} if config.alarms is not None else {}),
        **({"monitor": {}} if config.monitor is not None else {}),
        "remote": {"host": "-"},
    }  # fmt: skip
    return DeskDescription(
        SCHEMA_VERSION, build, events_port, max_ttl_ms, key.name, str(key.role), key.strategies, public
    )


def _without_defaults(item: msgspec.Struct) -> dict[str, Any]:
    """What is said of it: an older client knows no key that was added since, unless it is used."""
    found = {f.name: (getattr(item, f.name), f) for f in msgspec.structs.fields(item)}
    return {
        name: value
        for name, (value, f) in found.items()
        if f.required or value != (f.default if f.default_factory is msgspec.NODEFAULT else f.default_factory())
    }


def desk_of(address: str, data: bytes) -> tuple[DeskDescription, DeskConfig]:
    """The desk that a forwarder described. BusError when it cannot be understood."""
    try:
        found = msgspec.json.decode(data, type=DeskDescription)
        if found.schema != SCHEMA_VERSION:
            raise BusError(f"{address}: speaks schema {found.schema}, this build schema {SCHEMA_VERSION}")
        text = msgspec.json.encode(found.desk)
        config = msgspec.json.decode(text, type=Config)
        return found, DeskConfig(config, Path(address), text)
    except (msgspec.DecodeError, UnicodeDecodeError, ConfigError) as e:
        raise BusError(f"{address}: its description of the desk cannot be read (another version?): {e}") from None


class StatusCopy(msgspec.Struct, frozen=True):
    """A process's status page as of `age_ns` after its last heartbeat: clocks of two hosts cannot be compared."""

    status: Status
    age_ns: int


def copies(pages: dict[str, Status], mono_ns: int) -> list[StatusCopy]:
    """Pages to be sent to another host."""
    return [StatusCopy(page, mono_ns - page.beat_mono_ns) for page in pages.values()]


def pages_of(data: bytes, mono_ns: int) -> dict[str, Status]:
    """Pages from another host, heartbeats by this host's clock."""
    found = msgspec.json.decode(data, type=list[StatusCopy])
    return {c.status.process: msgspec.structs.replace(c.status, beat_mono_ns=mono_ns - c.age_ns) for c in found}
