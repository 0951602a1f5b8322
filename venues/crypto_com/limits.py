"""Crypto.com's rate limits as data: FIX by session (500 or 2500 a second, as pages differ), REST by call and key.

REST limits are documented by 100 ms. Here each is a counter that holds half of that and falls by the other half in
100 ms, so that it is kept in any 100 ms.
"""

from venues.crypto_com.settings import Settings
from venues.limits import FREE, ONE, Limit, RateLimits, Refusal

MD_REQUESTS_PER_S = 20
_TOO_MANY = (Refusal(text="Too many requests"), Refusal(code="42901"), Refusal(text="TOO_MANY_REQUESTS"))
PREFIX = "/exchange/v1/"


def rate_limits(settings: Settings) -> RateLimits:
    """The limit counts all requests of order entry."""
    requests = Limit(
        name="requests", most=settings.requests_per_s, per_s=1, costs={"swept": FREE}, spare=10,
        reserve=settings.requests_per_s // 5, refusals=_TOO_MANY, source="FIX rate limits; option requests_per_s",
    )  # fmt: skip
    market_data = Limit(name="requests", most=MD_REQUESTS_PER_S, per_s=1, spare=5, source="FIX rate limits")
    return RateLimits(
        orders=(requests, *settings.rate_limits),
        market_data=(market_data,),
        rest=(
            _call("cancel-order", 8, "70", "15 in 100 ms"),
            _call("cancel-all-orders", 8, "70", "15 in 100 ms"),
            _call("get-order-detail", 15, "150", "30 in 100 ms"),
            _call("get-trades", 1, "0.9", "1 a second"),
            *(_call(name, 2, "10", "3 in 100 ms") for name in ("get-open-orders", "user-balance", "get-positions")),
        ),
    )


def _call(name: str, most: int, decay: str, said: str) -> Limit:
    return Limit(
        name=name, most=most, decay=decay, scope="key", costs={f"POST {PREFIX}private/{name}": ONE}, otherwise=FREE,
        refusals=_TOO_MANY, source=f"REST rate limits, {said}",
    )  # fmt: skip
