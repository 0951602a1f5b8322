"""Checks of [[kill.limits]] and [kill.health] that the types cannot express; each error names the key's path."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from base.errors import ConfigError

if TYPE_CHECKING:
    from base.kill_config import HealthConfig, TriggerLimits

DIGITS = 40  # of a decimal number, before or behind the point
MONEY = ("max_realised_loss", "max_unrealised_loss", "max_loss", "max_drawdown")
_COUNTS = (
    "max_rejects_per_min", "max_duplicates_per_min", "max_self_trades_per_day", "max_book_stale_ms",
    "max_book_crossed_ms", "max_drop_copy_lag_s", "max_drop_copy_mismatches_per_day",
)  # fmt: skip


def check_trigger_limits(limits: "TriggerLimits", path: str) -> None:
    """ConfigError naming the key's path."""
    for key in _COUNTS:
        value = getattr(limits, key)
        if value is not None and value < 0:
            raise ConfigError(f"{path}.{key}: {value} is negative")
    for key in MONEY:
        check_amounts(getattr(limits, key), f"{path}.{key}")
    if limits.max_cancels_per_fill is not None:
        amount(limits.max_cancels_per_fill, f"{path}.max_cancels_per_fill")
    for key in ("cancels_floor", "cancels_window_s", "duplicate_within_ms"):
        if getattr(limits, key) < 1:
            raise ConfigError(f"{path}.{key}: {getattr(limits, key)} is below 1")
    _check_confirm(limits.confirm_n, limits.confirm_m, path)
    if limits.confirm_every_ms < 0:
        raise ConfigError(f"{path}.confirm_every_ms: {limits.confirm_every_ms} is negative")
    if limits.confirm_every_ms and not limits.confirm_n:
        raise ConfigError(f"{path}.confirm_every_ms: says nothing without confirm_n and confirm_m")
    figures = [key for key in limits.__struct_fields__ if key.startswith(("max_", "price_", "duplicate_window"))]
    if not any(getattr(limits, key) not in (None, {}) for key in figures):
        raise ConfigError(f"{path}: limits nothing; expected at least one of {', '.join(sorted(figures))}")


def check_health(health: "HealthConfig", path: str) -> None:
    """ConfigError naming the key's path."""
    if not 100 <= health.every_ms <= 60_000:
        raise ConfigError(f"{path}.every_ms: {health.every_ms} is not within 100 to 60000")
    _check_confirm(health.confirm_n, health.confirm_m, path)
    if not health.confirm_n:
        raise ConfigError(f"{path}.confirm_n: 0 is below 1")
    for name in ("memory", "cpu", "stuck", "disk", "host_memory", "clock", "journal", "full"):
        limit = getattr(health, name)
        _check_confirm(limit.confirm_n, limit.confirm_m, f"{path}.{name}")
        for key in ("max_mb", "max_pct", "max_ms", "min_free_mb", "max_step_ms", "max_stall_ms"):
            value = getattr(limit, key, 1)
            if value < 1:
                raise ConfigError(f"{path}.{name}.{key}: {value} is below 1")


def check_amounts(table: Mapping[str, str], path: str) -> None:
    """Decimal texts from 0 up; ConfigError naming the key."""
    for key, text in table.items():
        amount(text, f"{path}.{key}")


def amount(text: str, path: str) -> Decimal:
    """A finite decimal number from 0 up; ConfigError naming `path`."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ConfigError(f"{path}: not a decimal number: {text!r}") from None
    if not value.is_finite() or value < 0:
        raise ConfigError(f"{path}: {text} is not a limit; expected a number from 0 up")
    if abs(value.adjusted()) > DIGITS:
        raise ConfigError(f"{path}: {text} is not within {DIGITS} digits of 1")
    return value


def _check_confirm(n: int, m: int, path: str) -> None:
    if n < 0 or m < 0 or bool(n) != bool(m) or n > m:
        raise ConfigError(f"{path}.confirm_n: {n} of confirm_m {m}; expected 1 to confirm_m of them, or neither")
