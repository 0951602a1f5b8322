"""Bybit's rate limits as data (bybit.md, 3.3, 3.4 and 9; what the acknowledgements tell overrules the figures)."""

from base.config import Kind
from venues.bybit.settings import Settings
from venues.limits import FREE, ONE, ConnectLimit, Limit, RateLimits, Refusal

KINDS = {"8": "create", "XAA": "amend", "XCA": "cancel"}
"""The limit that an acknowledgement of that MsgType tells of."""
_COUNTS = {"create": "new", "amend": "amend", "cancel": "cancel"}
_TOO_MANY = (
    Refusal(code="10006"), Refusal(code="10429"),
    Refusal(text='"retCode":10006,'), Refusal(text='"retCode":10429,'),  # over REST
)  # fmt: skip
_BAN_S = 600  # the least that the venue asks to wait
_QUERIES = ("/v5/order/realtime", "/v5/execution/list", "/v5/account/wallet-balance")


def _orders(name: str, most: int) -> Limit:
    return Limit(
        name=name, most=most, per_s=1, scope="account", costs={_COUNTS[name]: ONE}, otherwise=FREE, spare=1,
        cancels_wait=name == "cancel", told_as=name, refusals=_TOO_MANY, source="by UID, spot; FIX and REST together",
    )  # fmt: skip


def rate_limits(settings: Settings) -> RateLimits:
    """By UID; whether a refused request counts is not documented, so that cancels are paced below their limit."""
    orders = (
        _orders("create", settings.creates_per_s),
        _orders("amend", settings.amends_per_s),
        _orders("cancel", settings.cancels_per_s),
    )
    rest = (
        Limit(
            name="address", most=600, per_s=5, scope="address", reserve=100, spare=10, breach="ban", ban_s=_BAN_S,
            refusals=(Refusal(text="access too frequent"),),
            source="REST, 600 in 5 s an address, then HTTP 403 for 10 minutes",
        ),
        Limit(
            name="queries", most=50, per_s=1, scope="account", reserve=10, spare=1, otherwise=FREE,
            costs={f"GET {path}": ONE for path in _QUERIES}, refusals=_TOO_MANY, source="50/s each by UID",
        ),
        Limit(
            name="cancels", most=settings.cancels_per_s, per_s=1, scope="account", spare=1, otherwise=FREE,
            costs={"POST /v5/order/cancel": ONE, "POST /v5/order/cancel-all": ONE}, refusals=_TOO_MANY,
            source="20/s each by UID, spot; single cancels share FIX's",
        ),
    )  # fmt: skip
    attempts = [
        ConnectLimit(kinds=frozenset({kind}), most=most, per_s=1, reserve=4, source="30/s an address")
        for kind, most in ((Kind.TRADING, 15), (Kind.DROPCOPY, 15))
    ]
    return RateLimits(orders=(*orders, *settings.rate_limits), rest=rest, connects=tuple(attempts))
