"""[kill] and [[kill.limits]] of the configuration."""

import msgspec


class _Strict(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    pass


class LimitConfig(_Strict, frozen=True, kw_only=True):
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
    arm_at_start: bool = False  # sim and test only: a production desk is armed by a person
    limits: list[LimitConfig] = []
    realtime_priority: int = 0  # SCHED_RR of kill switch and trading processes, where permitted; 0 = ordinary
    sessions: list[str] = []  # trading-kind sessions that the kill switch owns itself
    certified_days: int = 30  # a finding of `qd kill certify` is stale after so long
    window_return_s: int = 60  # after a window of its calendar a venue may still be coming back: no loss yet
    drill_max_age_days: int = 0  # an older last drill (`qd kill drill`) is an alarm; 0 = never asked
