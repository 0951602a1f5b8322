"""How Coinbase Prime's orders are cancelled, and what proves that they are (coinbase-prime.md, 5.9).

There is no mass cancel, in FIX or REST, no timer, and no word on what a lost connection does: orders are taken to stay.
One 35=F an order by whoever owns it, which needs the venue's OrderID; REST lists the portfolio's orders.
"""

from base.config import VenueConfig
from venues.cancel_plan import CancelPlan, CancelStep, OpenOrders
from venues.coinbase_prime.settings import Settings
from venues.limits import Refusal


def open_orders(venue: VenueConfig) -> OpenOrders:
    """FIX has no list, only 35=H for an order whose OrderID is known."""
    return OpenOrders.REST if venue.rest is not None else OpenOrders.STATUS_EACH


def cancel_plan(venue: VenueConfig, settings: Settings) -> CancelPlan:
    """Each order by its own 35=F; its own final report, or its absence from the list, proves it dead."""
    path = f"/v1/portfolios/{settings.portfolio_id}"
    return CancelPlan(
        steps=(_EACH, _rest_each(path)) if venue.rest is not None else (_EACH,),
        proof_list=open_orders(venue),
        list_lag_ms=venue.rest.lag_ms if venue.rest else 0,
        unproven=tuple(_unproven(venue)),
        list_says=f"GET {path}/open_orders" if venue.rest else "",
        drop_copy_lag_ms=1_000,  # the same gateway's; how late it may be is not documented
        refused_when=(
            "17:00 to 17:05 New York: no session stands; whether REST takes cancels then is not documented",
            "system maintenance: refusals come as 35=j",
        ),
        no_cancel=(Refusal(text="maintenance"),),  # the text of such a 35=j is not documented
        by_hand=(
            *(_BY_HAND if venue.rest is None else ()),
            "more than 5000 open orders: the venue's list answers with an error then",
            "positions: nothing here closes one",
        ),
    )


_BY_HAND = (
    "orders of a dead owner that does not come back, and of people and other systems of the portfolio: one by one on "
    "the venue's page",
)
_EACH = CancelStep(
    action="owner_cancel_each", reaches="session", per_instrument=False, says="35=F",
    answered_by="35=8 150=6, then 150=4; or 35=9", when_empty="35=9", certain=True, dead_owner="restart",
    timing="one an order, below 50 messages a second of the session",
    notes=("needs the OrderID(37): an order that no report has named is followed until one does",),
)  # fmt: skip


def _rest_each(path: str) -> CancelStep:
    return CancelStep(
        action="rest_cancel_each", reaches="account", per_instrument=False, says=f"POST {path}/orders/ID/cancel",
        answered_by="the order's id", when_empty="an error whose form is not documented", certain=True,
        dead_owner="yes", notes=("by OrderID alone; 25 requests a second a portfolio, lists and questions included",),
        proves="the answer accepts the request and proves nothing; the order's own final report proves it, or its "
               "absence from the list",
    )  # fmt: skip


def _unproven(venue: VenueConfig) -> list[str]:
    unproven = [
        "no mass cancel: a full session of 500 orders takes more than 10 s at 50 messages a second",
        "35=F needs the OrderID(37): an order sent and not yet acknowledged cannot be cancelled over FIX",
        "what a lost connection does to working orders is not documented: they are taken to stay open",
        "whether cancels count against the portfolio's 50 orders a second is not documented: they are taken to",
        "whether a session may cancel orders of an earlier connection, or of another session, is not documented",
        "what answers a passed limit of 50 messages a second is not documented",
    ]
    if venue.rest is None:
        unproven.append("no REST is configured: nothing lists the portfolio's open orders, absence cannot be proven")
    return unproven
