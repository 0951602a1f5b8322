"""Binance Spot's rate limits as data (fix-api.md and rest-api.md of the venue; what XLR tells overrules them)."""

from base.config import Kind
from venues.limits import DAY_S, FREE, ONE, ConnectLimit, Cost, Limit, RateLimits, Refusal

MESSAGES, ORDERS = "messages", "orders"
"""Names under which XLR's figures are passed on."""
MESSAGES_PER_S = 1_000
"""Fewer than that told by the venue is worth a warning."""
CONCURRENT = {Kind.TRADING: 10, Kind.DROPCOPY: 10, Kind.MARKETDATA: 100}
"""Connections of an account at once."""

_UNFILLED = {"new": ONE, "swap": ONE}
_TOO_MANY = (Refusal(code="-1015"),)


def _orders(name: str, most: int, per_s: int) -> Limit:
    return Limit(
        name=name, most=most, per_s=per_s, scope="account", costs=_UNFILLED, otherwise=FREE, spare=2,
        fill_gives_back=True, told_as=ORDERS, refusals=_TOO_MANY, source="unfilled orders, a sample of 2024",
    )  # fmt: skip


RATE_LIMITS = RateLimits(
    orders=(
        Limit(
            name="messages", most=10_000, per_s=10, reserve=1_900, spare=100, breach="logout", told_as=MESSAGES,
            costs={"swept": FREE}, source="messages by connection",
        ),
        _orders("unfilled_10s", 200, 10),
        _orders("unfilled_day", 200_000, DAY_S),
    ),
    market_data=(
        Limit(name="requests", most=2_000, per_s=60, spare=100, breach="logout", source="messages by connection"),
    ),
    rest=(
        Limit(
            name="weight", most=6_000, per_s=60, scope="address", otherwise=Cost(20), reserve=1_000, breach="ban",
            costs={
                "GET /api/v3/openOrders": Cost(80), "GET /api/v3/order": Cost(4), "DELETE /api/v3/openOrders": Cost(1),
                "DELETE /api/v3/order": Cost(1),
                "GET /api/v3/account": Cost(20), "GET /api/v3/myTrades": Cost(20), "GET /api/v3/exchangeInfo": Cost(20),
            },
            refusals=(Refusal(code="-1003"),), source="request weight by address",
        ),
    ),
    connects=(
        ConnectLimit(kinds=frozenset({Kind.TRADING}), most=15, per_s=30, reserve=4, source="connections, order entry"),
        ConnectLimit(kinds=frozenset({Kind.DROPCOPY}), most=15, per_s=30, reserve=2, source="connections, drop copy"),
        ConnectLimit(
            kinds=frozenset({Kind.MARKETDATA}), most=300, per_s=300, reserve=20, spacing_ms=100,
            source="connections, market data",
        ),
    ),
)  # fmt: skip
