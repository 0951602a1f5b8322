"""[kill] and [[kill.limits]] of the configuration."""

from typing import Literal

import msgspec


class _Strict(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    pass


class TriggerLimits(_Strict, frozen=True, kw_only=True):
    """Keys of [[kill.limits]] that are figures over time. Money: quote currency -> decimal text, as a loss above 0."""

    max_rejects_per_min: int | None = None
    max_cancels_per_fill: str | None = None  # decimal text; over `cancels_window_s`
    cancels_floor: int = 100  # with fewer cancels in the window the ratio says nothing
    cancels_window_s: int = 600
    max_duplicates_per_min: int | None = None
    duplicate_within_ms: int = 1_000  # the same order again within so long, the first one still working
    max_self_trades_per_day: int | None = None
    max_realised_loss: dict[str, str] = {}  # fees included, since the desk's day began
    max_unrealised_loss: dict[str, str] = {}
    max_loss: dict[str, str] = {}  # both
    max_drawdown: dict[str, str] = {}  # from the day's best
    max_book_stale_ms: int | None = None  # behind working orders
    max_book_crossed_ms: int | None = None
    max_drop_copy_lag_s: int | None = None
    max_drop_copy_mismatches_per_day: int | None = None
    confirm_n: int = 0  # 0: as the kind of figure has it (docs/limits.md)
    confirm_m: int = 0
    confirm_every_ms: int = 0
    action: Literal["trip", "warn"] = "trip"


class HealthLimit(_Strict, frozen=True, kw_only=True):
    """What becomes of a figure of [kill.health] that is over: `warn` is an alarm, `trip` closes `scope`.

    `scope` "": that of the process's own session; a process that owns no orders then only raises an alarm.
    """

    action: Literal["trip", "warn"] = "warn"
    scope: str = ""
    confirm_n: int = 0  # 0: as [kill.health] says
    confirm_m: int = 0


class MemoryLimit(HealthLimit, frozen=True, kw_only=True):
    """Resident memory of one process of the desk; and of the whole host, what is left."""

    max_mb: int = 4_096


class CpuLimit(HealthLimit, frozen=True, kw_only=True):
    """Processor time of one process; 100 is one core."""

    max_pct: int = 98
    confirm_n: int = 20
    confirm_m: int = 30


class StuckLimit(HealthLimit, frozen=True, kw_only=True):
    """A process that lives and whose loop does not turn."""

    max_ms: int = 5_000
    action: Literal["trip", "warn"] = "trip"
    confirm_n: int = 2
    confirm_m: int = 3


class FreeLimit(HealthLimit, frozen=True, kw_only=True):
    """What is left of the disk of data_dir and log_dir, of shm_dir's memory, or of the host's memory."""

    min_free_mb: int = 512


class ClockLimit(HealthLimit, frozen=True, kw_only=True):
    """Wall clock against monotonic clock: a step, in either direction, within the last minute."""

    max_step_ms: int = 500
    confirm_n: int = 1
    confirm_m: int = 1


class StallLimit(HealthLimit, frozen=True, kw_only=True):
    """An owner that sends orders and journals nothing; the kill switch's own files."""

    max_stall_ms: int = 2_000
    action: Literal["trip", "warn"] = "trip"


class FullLimit(HealthLimit, frozen=True, kw_only=True):
    """A journal whose disk is full; its owner lets no new orders out by itself."""

    max_ms: int = 2_000


class HealthConfig(_Strict, frozen=True, kw_only=True):
    """[kill.health]: processes and host, looked at every `every_ms`; soft: `confirm_n` of `confirm_m` looks."""

    every_ms: int = 1_000
    confirm_n: int = 3
    confirm_m: int = 5
    memory: MemoryLimit = MemoryLimit()
    cpu: CpuLimit = CpuLimit()
    stuck: StuckLimit = StuckLimit()
    disk: FreeLimit = FreeLimit()
    host_memory: FreeLimit = FreeLimit()
    clock: ClockLimit = ClockLimit()
    journal: StallLimit = StallLimit()
    full: FullLimit = FullLimit()


class OrderLimits(TriggerLimits, frozen=True, kw_only=True):
    """Of [[kill.limits]], what an order is judged by before it leaves (docs/pretrade.md); it trips nothing."""

    max_order_qty: dict[str, str] = {}  # instrument -> quantity of one order, decimal text
    max_order_notional: dict[str, str] = {}  # quote currency -> worth of one order, decimal text
    price_collar_pct: dict[str, str] = {}  # instrument -> percent beyond the other side's best price, decimal text
    without_book: Literal["refuse", "pass"] = "refuse"  # what a price is judged by is not there
    duplicate_window_ms: int | None = None  # the same order again within so long


class LimitConfig(OrderLimits, frozen=True, kw_only=True):
    """[[kill.limits]]: trips `scope` when a figure passes its limit. Notional in quote currency, quantity in base."""

    scope: str
    max_open_orders: int | None = None
    max_orders_per_s: int | None = None
    max_position: dict[str, str] = {}  # instrument -> absolute quantity, decimal text
    max_notional: dict[str, str] = {}  # quote currency -> gross working + position notional, decimal text


class KillConfig(_Strict, frozen=True, kw_only=True):
    """[kill]: the kill switch. Times in the names' units."""

    lease_ms: int = 500
    lease_renew_ms: int = 100
    lease_lost_cancel_s: int = 10
    fence_deadline_ms: int = 200
    proof_deadline_s: int = 30
    unanswered_horizon_s: int = 10  # after the fence: until then no list proves an order dead that was never answered
    watch_after_proof_s: int = 30  # lists go on for so long after the proof; an order that shows up refutes it
    session_loss_grace_s: int = 10
    session_loss_confirmations: int = 3
    dead_owner_trips: bool = True
    reset_cool_off_s: int = 2  # between a person's reset and the gate opening again
    strategies_arm_again: bool = True  # a reset disarms the strategies of its scope; each arms itself, and not before
    arm_at_start: bool = False  # sim and test only: a production desk is armed by a person
    day_zone: str = ""  # whose days losses count by (an IANA name); "" = [ledger].day_zone, else UTC
    health: HealthConfig = HealthConfig()
    limits: list[LimitConfig] = []
    realtime_priority: int = 0  # SCHED_RR of kill switch and trading processes, where permitted; 0 = ordinary
    sessions: list[str] = []  # trading-kind sessions that the kill switch owns itself
    certified_days: int = 30  # a finding of `qd kill certify` is stale after so long
    window_return_s: int = 60  # after a window of its calendar a venue may still be coming back: no loss yet
    user: str = ""  # whom the kill switch runs as, in the group of [desk].user; "" = as everything else
    drill_max_age_days: int = 0  # an older last drill (`qd kill drill`) is an alarm; 0 = never asked
