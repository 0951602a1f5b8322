"""How Bybit's spot orders are cancelled, and what proves that they are (bybit.md, 5.4 and 5.8).

FIX has one 35=F an order. REST cancels everything of the account, one request for each of five kinds of order. There is
no timer over FIX or REST: the venue's own (DCP) needs a WebSocket and is for institutional clients. What a lost
connection does is not documented: orders are taken to stay.
"""

from base.config import VenueConfig
from venues.cancel_plan import CancelPlan, CancelStep, OpenOrders
from venues.limits import Refusal

_EACH = CancelStep(
    action="owner_cancel_each", reaches="session", per_instrument=False, says="35=F",
    answered_by="35=XCA 150=6, then 35=8 150=4; or 35=XCA with 103", when_empty="35=XCA with 103=170213", certain=True,
    dead_owner="restart", timing="one an order, 20 a second of the UID",
    notes=("the 35=XCA only accepts the request",),
)  # fmt: skip
_ALL = CancelStep(
    action="rest_cancel_all", reaches="account", per_instrument=False,
    says="POST /v5/order/cancel-all category=spot, once for each orderFilter", answered_by="the orders' ids",
    when_empty="an empty list", certain=True, dead_owner="yes",
    notes=(
        "every spot order of the account, people's too", "five requests: Order, StopOrder, tpslOrder, OcoOrder, "
        "BidirectionalTpslOrder; without a filter the venue cancels normal orders alone", "derivatives are not touched",
    ),
    proves="the answer accepts the request and proves nothing; each order's own final report proves that order, or its "
           "absence from the list",
)  # fmt: skip
_ONE = CancelStep(
    action="rest_cancel_each", reaches="account", per_instrument=False, says="POST /v5/order/cancel",
    answered_by="the order's ids", when_empty="retCode 170213", certain=True, dead_owner="yes",
    notes=("normal orders by OrderID, or ClOrdID; one that waits for a trigger is reached by cancel-all alone",),
    proves="the answer accepts the request and proves nothing; the order's own final report proves it, or its absence "
           "from the list",
)  # fmt: skip


def open_orders(venue: VenueConfig) -> OpenOrders:
    """FIX has no list and no status request."""
    return OpenOrders.REST if venue.rest is not None else OpenOrders.NONE


def cancel_plan(venue: VenueConfig) -> CancelPlan:
    """Each order by its own 35=F, all of them over REST; final reports, or absence from the list, prove them dead."""
    with_rest = venue.rest is not None
    return CancelPlan(
        steps=(_EACH, _ALL, _ONE) if with_rest else (_EACH,),
        proof_list=open_orders(venue),
        list_lag_ms=venue.rest.lag_ms if venue.rest else 0,
        unproven=tuple(_unproven(with_rest)),
        list_says="GET /v5/order/realtime category=spot" if with_rest else "",
        drop_copy_lag_ms=0,  # every connection hears the same pushes
        refused_when=(
            "maintenance, of which FIX says nothing; the WebSocket topic system.status announces it",
            "a name whose connection ended without a Logout: no logon for 30 s; REST is not touched by that",
        ),
        no_cancel=(
            Refusal(text="maintenance"),
            Refusal(text="Maintenance"),
        ),  # what such a refusal says is not documented
        by_hand=(
            "a desk whose host is gone: nothing here is tied to its connections: cancel on the venue's page or app; "
            "institutional clients may have DCP armed by a WebSocket of their own",
            *(() if with_rest else ("orders of a dead owner that does not come back, and those of people: by hand",)),
            "derivatives and options of the account, which FIX does not know",
            "positions and borrowed coins: nothing here closes one",
        ),
    )


def _unproven(with_rest: bool) -> list[str]:
    unproven = [
        "no mass cancel in FIX: 20 single cancels a second of the UID",
        "what a lost connection does to working orders is not documented: they are taken to stay open",
        "whether a refused cancel counts against the 20 a second is not documented: it is taken to",
        "whether a 35=F reaches orders of another connection of the UID is not documented: it is not relied upon",
        "whether an order's OrderID changes when its trigger fires is not documented: it is named by ClOrdID",
    ]
    if with_rest:
        unproven.append("how late the list of open orders may be is not documented: rest.lag_ms is waited for")
    else:
        unproven.append("no REST is configured: FIX has no list of open orders, absence cannot be proven")
    return unproven
