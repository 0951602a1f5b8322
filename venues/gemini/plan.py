"""How Gemini's orders are cancelled, and what proves that they are (gemini.md, 5 and 9).

FIX has no mass cancel and no list: 35=F reaches one order of the session's own, REST lists and cancels the account's.
Cancel on disconnect is off unless each Logon asks for it (9001).
"""

from base.config import VenueConfig
from venues.cancel_plan import CancelPlan, CancelStep, OpenOrders
from venues.gemini.settings import Settings
from venues.limits import Refusal

_ACCEPTS = "the answer proves nothing; each order's own final report proves it, or its absence from the list"


def open_orders(venue: VenueConfig) -> OpenOrders:
    """FIX has neither a list nor a question about one order."""
    return OpenOrders.REST if venue.rest is not None else OpenOrders.NONE


def cancel_plan(venue: VenueConfig, settings: Settings) -> CancelPlan:
    """Owners cancel one by one and by hanging up; REST cancels the account."""
    return CancelPlan(
        steps=tuple(_steps(venue, settings)),
        proof_list=open_orders(venue),
        list_lag_ms=venue.rest.lag_ms if venue.rest else 0,
        unproven=tuple(_unproven(venue, settings)),
        list_says="POST /v1/orders" if venue.rest else "",
        drop_copy_lag_ms=1_000,  # how late it may be is not documented
        drop_copy_refutes=False,
        refused_when=("maintenance: REST answers HTTP 503; what the FIX sessions say then is not documented",),
        no_cancel=(Refusal(text="Maintenance"),),
        by_hand=(
            *(_BY_HAND if venue.rest is None else ()),
            "a desk whose host is gone and whose sessions keep their orders: cancel them on the venue's page",
            "clearing orders (35=s) and positions: nothing here closes one",
        ),
    )


_BY_HAND = (
    "orders of an earlier connection, of a dead owner that does not come back, and of people: on the venue's page, or "
    "by POST /v1/order/cancel/all",
)
_EACH = CancelStep(
    action="owner_cancel_each", reaches="connection", per_instrument=False, says="35=F",
    answered_by="35=8 150=4 58=REQUESTED, or 35=9", when_empty="35=9 102=1", certain=True, dead_owner="unproven",
    timing="one an order, below a throttle whose figure is not documented",
    notes=("finds an order of this trading session alone, by its ClOrdID; whether that outlives a connection whose "
           "numbers go on is not documented: it is tried",),
)  # fmt: skip
_REST = (
    CancelStep(
        action="rest_cancel_all", reaches="account", per_instrument=False, says="POST /v1/order/cancel/all",
        answered_by="lists of orders cancelled and refused", when_empty="empty lists", certain=True, dead_owner="yes",
        proves=_ACCEPTS, notes=("every order of the account, whatever placed it, people's too",),
    ),
    CancelStep(
        action="rest_cancel_each", reaches="account", per_instrument=False, says="POST /v1/order/cancel",
        answered_by="the order as it then is", when_empty="HTTP 404 OrderNotFound, or the order as it is",
        certain=True, dead_owner="yes", proves=_ACCEPTS,
        notes=("by OrderID alone, which the list has; 600 requests a minute a key, lists and questions included",),
    ),
)  # fmt: skip


def _steps(venue: VenueConfig, settings: Settings) -> list[CancelStep]:
    steps = [_EACH, *(_REST if venue.rest is not None else ())]
    if settings.cancels_on_loss is not False:
        steps.append(
            CancelStep(action="owner_disconnect", reaches="connection", per_instrument=False,
                       says="the connection is dropped without Logout (9001=Y)",
                       answered_by="one 35=8 150=4 an order, replayed after the next logon", when_empty="nothing",
                       certain=settings.cancels_on_loss is True,
                       dead_owner="yes" if settings.cancels_on_loss else "unproven",
                       timing="how soon is not documented",
                       notes=("whether an orderly Logout cancels, too, is not documented",
                              "whether it reaches orders of an earlier connection is not documented: taken not to"))
        )  # fmt: skip
    return steps


def _unproven(venue: VenueConfig, settings: Settings) -> list[str]:
    unproven = [
        "no mass cancel over FIX: one 35=F an order, below a throttle whose figure is not documented",
        "35=F reaches orders of the current trading session; whether that outlives its connection is not documented",
        "how soon a lost connection cancels (9001), and whether an orderly Logout does, is not documented",
        "drop copy tells trades alone: it never shows that an order is open",
    ]
    if settings.cancels_on_loss is None:
        unproven.append('sessions with on_stop = "keep" send 9001=N: their orders outlive the connection')
    if venue.rest is None:
        unproven.append("no REST is configured: nothing lists the account's open orders, absence cannot be proven")
    return unproven
