"""Kraken's rate limits as data (docs.kraken.com guides: Spot trading limits, Spot REST limits, Derivatives limits)."""

from base.config import Kind
from venues.kraken.settings import Settings
from venues.limits import FREE, ONE, ConnectLimit, Cost, Limit, RateLimits, Refusal

_PASSED = (Refusal(text="EOrder:Rate limit exceeded"),)
_CANCEL = Cost(0, ((5, 8), (10, 6), (15, 5), (45, 4), (90, 2), (300, 1)))
_ENGINE = {
    "new": ONE,
    "amend": Cost(1, ((5, 3), (10, 2), (15, 1))),
    "cancel": _CANCEL,
    # Whether a mass cancel is charged by order is not documented: it is taken to be.
    "swept": _CANCEL,
}
_TIERS = {"starter": (60, "1", 15, "0.33"), "intermediate": (125, "2.34", 20, "0.5"), "pro": (180, "3.75", 20, "1")}
"""Engine counter and its fall a second; REST counter and its fall a second."""
_DERIVATIVES_REST = {
    "GET /derivatives/api/v3/openorders": Cost(2),
    "POST /derivatives/api/v3/orders/status": Cost(1),
    "POST /derivatives/api/v3/cancelorder": Cost(10),
    "POST /derivatives/api/v3/cancelallorders": Cost(25),
    "GET /derivatives/api/v3/fills": Cost(25),
    "GET /derivatives/api/v3/accounts": Cost(2),
}
_SPOT_REST = {
    "POST /0/private/CancelAll": ONE,
    "POST /0/private/CancelOrder": FREE,  # counted by the engine alone, by pair
    "POST /0/private/TradesHistory": Cost(2),
    "POST /0/private/Ledgers": Cost(2),
}

# The venue says nothing of connects; clients report keys that were locked after repeated logons.
_CONNECTS = (ConnectLimit(kinds=frozenset(Kind), most=10, per_s=60, reserve=3, spacing_ms=500),)


def rate_limits(settings: Settings) -> RateLimits:
    """By market and, on Spot, by the account's tier."""
    if settings.derivatives:
        rest = Limit(
            name="rest", most=500, per_s=10, scope="account", costs=_DERIVATIVES_REST, otherwise=Cost(10), breach="ban",
            reserve=50, refusals=(Refusal(text="apiLimitExceeded"),), source="Derivatives limits",
        )  # fmt: skip
        # A token bucket a FIX session, its figures not documented: option rate_limits.
        return RateLimits(orders=settings.rate_limits, rest=(rest,), connects=_CONNECTS)
    if settings.tier not in _TIERS:
        return RateLimits(orders=settings.rate_limits, connects=_CONNECTS)
    ceiling, fall, calls, calls_fall = _TIERS[settings.tier]
    engine = Limit(
        name="pair_counter", most=ceiling, decay=fall, scope="instrument", costs=_ENGINE, otherwise=FREE,
        reserve=ceiling // 4, spare=2, refusals=_PASSED, source="Spot trading limits",
    )  # fmt: skip
    rest = Limit(
        name="rest", most=calls, decay=calls_fall, scope="key", costs=_SPOT_REST, reserve=2, spare=1, breach="ban",
        refusals=(Refusal(text="EAPI:Rate limit exceeded"),), source="Spot REST limits",
    )  # fmt: skip
    return RateLimits(orders=(engine, *settings.rate_limits), rest=(rest,), connects=_CONNECTS)
