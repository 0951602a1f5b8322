"""Which figures fire at once and which want confirmation, and how one limit's entry changes that. Pure."""

from zoneinfo import ZoneInfo

from base.config import Config
from base.kill_config import LimitConfig
from risk.triggers.watch import HARD, MS, Rule

MARKED = Rule(3, 5, 200 * MS)  # what hangs on a market price or on two clocks: one odd look means nothing
RULES = {
    "cancels per fill": Rule(2, 3, 1_000 * MS),
    "unrealised loss": MARKED,
    "loss": MARKED,
    "drawdown": MARKED,
    "stale book": MARKED,
    "crossed book": MARKED,
    "drop-copy lag": Rule(2, 3, 1_000 * MS),
}


def rule_of(limit: LimitConfig, kind: str) -> Rule:
    """Of one kind of figure under one entry of [[kill.limits]]."""
    rule = RULES.get(kind, HARD)
    if not limit.confirm_n:
        return rule
    every_ns = limit.confirm_every_ms * MS if limit.confirm_every_ms else rule.every_ns or 200 * MS
    return Rule(limit.confirm_n, limit.confirm_m, every_ns)


def day_zone(config: Config) -> ZoneInfo:
    """Whose midnight begins the desk's day."""
    ledger = config.ledger.day_zone if config.ledger is not None else "UTC"
    return ZoneInfo(config.kill.day_zone or ledger)
