"""Checks of a configuration's values that the types cannot express; each error names the key's path."""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import PurePath
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from base.alarm_config import check_alarms
from base.calendar_config import rule_of
from base.errors import ConfigError
from base.monitor_config import check_monitor
from base.remote_config import check_remote
from base.trigger_check import check_health, check_trigger_limits

if TYPE_CHECKING:
    from base.config import BookConfig, Config, InstrumentConfig, LedgerConfig, SessionConfig
    from base.kill_config import KillConfig

# Names become file names, topics, scopes and supervisord's programs.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)")
_COMP_ID = re.compile(r"[\x21-\x7e]+")
_RESERVED = frozenset({"killswitch", "informer", "ledger", "alarms", "monitor", "forwarder"})


def check_values(config: "Config", at: str) -> None:
    """ConfigError for a value that no desk can have: names, numbers out of range, two of what must be one."""
    _names(config, at)
    for name, session in config.session.items():
        _session(session, f"{at}: session.{name}")
    for name, venue in config.venue.items():
        _instruments(venue.instruments, f"{at}: venue.{name}.instruments")
        for entry in venue.calendar.entry:
            rule_of(entry, f"{at}: venue.{name}.calendar.entry")
        if not 1 <= venue.limit_share_pct <= 100:
            raise ConfigError(f"{at}: venue.{name}.limit_share_pct: {venue.limit_share_pct} is not within 1 to 100")
        _at_least(f"{at}: venue.{name}", {"dead_man_s": venue.dead_man_s}, 0)
        if venue.dead_man_s and venue.rest is None:
            raise ConfigError(f"{at}: venue.{name}.dead_man_s: it is set over REST, and [venue.{name}.rest] is missing")
        if venue.rest is not None:
            rest = {"lag_ms": venue.rest.lag_ms, "balances_every_s": venue.rest.balances_every_s}
            _at_least(f"{at}: venue.{name}.rest", rest, 0)
    for name, book in config.book.items():
        _at_least(
            f"{at}: book.{name}",
            {"max_instruments": book.max_instruments, "levels": book.levels, "orders": book.orders}, 1,
        )  # fmt: skip
    _shards(config.book, at)
    for name, sim in config.sim.items():
        _at_least(f"{at}: sim.{name}", {"messages_per_s": sim.messages_per_s}, 1)
    _at_least(f"{at}: desk", {"log_budget_mb": config.desk.log_budget_mb}, 1)
    _at_least(f"{at}: desk", {"cert_warn_days": config.desk.cert_warn_days}, 0)
    _kill(config.kill, f"{at}: kill")
    if config.ledger is not None:
        _ledger(config.ledger, f"{at}: ledger")
    if config.alarms is not None:
        check_alarms(config.alarms, f"{at}: alarms")
    if config.monitor is not None:
        check_monitor(config.monitor, f"{at}: monitor")
    if config.remote is not None:
        check_remote(config.remote, f"{at}: remote")


def _names(config: "Config", at: str) -> None:
    _name(config.desk.name, f"{at}: desk.name")
    tables: dict[str, Iterable[str]] = {
        "venue": config.venue, "session": config.session, "book": config.book, "sim": config.sim,
    }  # fmt: skip
    for table, names in tables.items():
        for name in names:
            _name(name, f"{at}: {table}.{name}")
    others = _RESERVED | {f"book-{b}" for b in config.book} | {f"sim-{s}" for s in config.sim}
    for name in config.session:
        if name in others:
            raise ConfigError(
                f"{at}: session.{name}: another process of the desk has this name; expected one of its own"
            )


def _name(name: str, path: str) -> None:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{path}: {name!r} is not a name; expected letters, digits, - and _, at most 41")


def _at_least(path: str, values: Mapping[str, int], least: int) -> None:
    for key, value in values.items():
        if value < least:
            raise ConfigError(f"{path}.{key}: {value} is below {least}")


def _session(session: "SessionConfig", path: str) -> None:
    for key in ("sender_comp_id", "target_comp_id", "alternate_sender_comp_id"):
        value = getattr(session, key)
        if (value or not key.startswith("alternate")) and not _COMP_ID.fullmatch(value):
            raise ConfigError(f"{path}.{key}: {value!r} is not printable ASCII without spaces, at least one character")
    _at_least(path, {"journal_mb": session.journal_mb}, 32)
    _at_least(path, {"stale_after_s": session.stale_after_s, "depth": session.depth}, 0)
    again = session.reconnect
    _at_least(f"{path}.reconnect", {"stable_s": again.stable_s, "cap_s": again.cap_s, "refused_s": again.refused_s}, 1)
    _at_least(f"{path}.reconnect", {"refused_cap_s": again.refused_cap_s}, again.refused_s)


def _instruments(instruments: "list[InstrumentConfig]", path: str) -> None:
    seen: dict[tuple[str, str], int] = {}
    for i, item in enumerate(instruments):
        for key, value in (("name", item.name), ("symbol", item.symbol)):
            first = seen.setdefault((key, value), i)
            if first != i:
                raise ConfigError(f"{path}[{i}].{key}: {value!r} is also that of [{first}]; expected each once")
        for key in ("tick_size", "lot_size"):
            text = getattr(item, key)
            if text and not _decimal(text, f"{path}[{i}].{key}"):
                raise ConfigError(f"{path}[{i}].{key}: {text} is not above 0")
        if item.min_notional and _decimal(item.min_notional, f"{path}[{i}].min_notional") < 0:
            raise ConfigError(f"{path}[{i}].min_notional: {item.min_notional} is negative")


def _decimal(text: str, path: str) -> Decimal:
    """Any size: a least notional may well be 10."""
    if not _NUMBER.fullmatch(text):
        raise ConfigError(f"{path}: not a decimal number: {text!r}")
    return Decimal(text)


def _shards(books: "Mapping[str, BookConfig]", at: str) -> None:
    keeper: dict[str, str] = {}
    for name, book in books.items():
        for session in book.sessions:
            other = keeper.setdefault(session, name)
            if other != name or book.sessions.count(session) > 1:
                raise ConfigError(
                    f"{at}: book.{name}.sessions: {session!r} is kept by book.{other}; expected one keeper"
                )


def _kill(kill: "KillConfig", path: str) -> None:
    _at_least(
        path,
        {
            "lease_renew_ms": kill.lease_renew_ms, "fence_deadline_ms": kill.fence_deadline_ms,
            "proof_deadline_s": kill.proof_deadline_s, "lease_lost_cancel_s": kill.lease_lost_cancel_s,
            "session_loss_confirmations": kill.session_loss_confirmations, "certified_days": kill.certified_days,
        },
        1,
    )  # fmt: skip
    _at_least(
        path,
        {
            "session_loss_grace_s": kill.session_loss_grace_s, "reset_cool_off_s": kill.reset_cool_off_s,
            "window_return_s": kill.window_return_s,
        },
        0,
    )  # fmt: skip
    if not 0 <= kill.realtime_priority <= 50:  # above 50 are the kernel's own threads that serve interrupts
        raise ConfigError(f"{path}.realtime_priority: {kill.realtime_priority} is not within 0 to 50")
    for i, limit in enumerate(kill.limits):
        check_trigger_limits(limit, f"{path}.limits[{i}]")
    check_health(kill.health, f"{path}.health")
    if kill.day_zone:
        _zone(kill.day_zone, f"{path}.day_zone")
    if kill.lease_ms < 2 * kill.lease_renew_ms:
        # One renewal that comes late must not close the gate.
        raise ConfigError(f"{path}.lease_ms: {kill.lease_ms} is less than twice lease_renew_ms, {kill.lease_renew_ms}")


def _ledger(ledger: "LedgerConfig", path: str) -> None:
    _at_least(path, {"break_after_ms": ledger.break_after_ms}, 1)
    _at_least(path, {"keep_orders_days": ledger.keep_orders_days}, 0)
    parts = PurePath(ledger.path).parts
    if not parts or PurePath(ledger.path).is_absolute() or ".." in parts:
        raise ConfigError(f"{path}.path: {ledger.path!r} is not a file below data_dir")
    _zone(ledger.day_zone, f"{path}.day_zone")


def _zone(name: str, path: str) -> None:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise ConfigError(f"{path}: {name!r} is not a time zone that this host knows") from None
