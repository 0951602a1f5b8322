"""How Coinbase Exchange's orders are cancelled, and what proves that they are (coinbase-exchange.md, 4, 5.9 and 9).

35=q reaches the orders of the session that sends it and nothing else, and 35=r only acknowledges it: the kill switch's
own session cancels nothing of the others. REST reaches the profile.
"""

from base.config import VenueConfig
from venues.cancel_plan import CancelPlan, CancelStep, OpenOrders
from venues.coinbase_exchange.settings import Settings
from venues.limits import Refusal

_ACK = "35=r 531=6 only acknowledges; each order's own 35=8 150=4 proves that order"
_IN_FLIGHT = "orders sent but not acknowledged are not guaranteed to be reached: hence the second round"


def open_orders(venue: VenueConfig) -> OpenOrders:
    """FIX has no list; 35=H asks for an order that is known."""
    return OpenOrders.REST if venue.rest is not None else OpenOrders.STATUS_EACH


def cancel_plan(venue: VenueConfig, settings: Settings) -> CancelPlan:
    """Owners cancel their own sessions' orders; REST cancels the profile's."""
    return CancelPlan(
        steps=tuple(_steps(venue, settings)),
        proof_list=open_orders(venue),
        list_lag_ms=venue.rest.lag_ms if venue.rest else 0,
        unproven=tuple(_unproven(venue, settings)),
        list_says="GET /orders?status=open" if venue.rest else "",
        drop_copy_lag_ms=1_000,
        refused_when=(
            "the weekly reset on Saturday at 13:00 New York time, and deployments on Monday and Thursday: no session "
            "stands; whether REST takes cancels then is not documented",
        ),
        no_cancel=(Refusal(text="maintenance"),),  # how such a refusal is worded is not documented
        by_hand=(
            "orders of another profile, or that people placed, where REST is not configured or does not answer: cancel "
            "them on the venue's page",
            "a desk whose host is gone: the venue has no timer; what stands after cancel on disconnect is cancelled on "
            "its page",
            "positions: nothing here closes one",
        ),
    )


def _steps(venue: VenueConfig, settings: Settings) -> list[CancelStep]:
    steps = [
        CancelStep(action="owner_mass_cancel", reaches="connection", per_instrument=False, says="35=q 530=6",
                   answered_by="35=r 531=6, then one 35=8 150=4 an order", when_empty="35=r 531=6", certain=True,
                   dead_owner="unproven", proves=_ACK,
                   notes=("the session that sends it only, all instruments: there is no other form", _IN_FLIGHT)),
        CancelStep(action="owner_cancel_each", reaches="session", per_instrument=False, says="35=F",
                   answered_by="35=8 150=4, or 35=9", when_empty="35=9 102=1", certain=True, dead_owner="restart",
                   notes=("the venue advises the connection that placed the order and does not demand it",)),
    ]  # fmt: skip
    if venue.rest is not None:
        steps.append(
            CancelStep(action="rest_cancel_all", reaches="account", per_instrument=False, says="DELETE /orders",
                       answered_by="a list of the cancelled orders", when_empty="an empty list", certain=True,
                       dead_owner="yes", notes=("every order of the key's profile, whatever placed it, people's too",),
                       proves="the list proves nothing; each order's own final report proves that order")
        )  # fmt: skip
        steps.append(
            CancelStep(action="rest_cancel_each", reaches="account", per_instrument=False, says="DELETE /orders/ID",
                       answered_by="the order's id", when_empty="HTTP 404, or words that it is done", certain=True,
                       dead_owner="yes", notes=("by OrderID, else by ClOrdID; 15 requests a second a profile",),
                       proves="the answer proves nothing; the order's own final report proves that order")
        )  # fmt: skip
    if settings.on_loss != "off":
        whole = settings.on_loss == "profile"
        steps.append(
            CancelStep(action="owner_disconnect", reaches="account" if whole else "connection", per_instrument=False,
                       says=f"the connection is dropped without Logout (8013={'Y' if whole else 'S'})",
                       answered_by="one 35=8 150=4 an order, to who still hears it", when_empty="nothing",
                       certain=settings.on_loss is not None, dead_owner="yes" if settings.on_loss else "unproven",
                       timing="how soon is not documented; a silent session ends after about 2 heartbeats",
                       notes=("unacknowledged orders are not guaranteed to be cancelled",
                              "whether an orderly Logout cancels, too, is not documented"))
        )  # fmt: skip
    return steps


def _unproven(venue: VenueConfig, settings: Settings) -> list[str]:
    unproven = [
        "35=q reaches the session that sends it; whether orders of the same key's earlier connections count is not "
        "documented: they are taken not to",
        "35=q and cancel on disconnect may miss orders that the venue has not acknowledged",
        "how soon a lost connection cancels (8013), and whether an orderly Logout does, is not documented",
    ]
    if settings.on_loss is None:
        unproven.append('sessions with on_stop = "keep" send no 8013: their orders outlive the connection')
    if venue.rest is None:
        unproven.append("no REST is configured: nothing lists the profile's open orders, nothing cancels them all")
    return unproven
