"""How Binance Spot's orders are cancelled, and what proves that they are (venues/binance.md, 2, 5, 7 and 9).

One 35=q a symbol, from any session of the account, reaches everything on that symbol. There is no timer, and what a
lost connection does is not documented: orders are taken to stay.
"""

from base.config import VenueConfig
from venues.cancel_plan import CancelPlan, CancelStep, OpenOrders
from venues.limits import Refusal

_ANSWER = "one 35=8 150=4 an order, and a 35=r"
_EMPTY = "35=r 531=0 with 25016=-2011"
_PROVES = "each order's own final report proves that order; the 35=r proves nothing"
_WHOLE = ("every order of the account on that symbol, whatever placed it, people's too",)
_IN_FLIGHT = ("an order of another session that is in flight may reach the engine after it: hence the second round",)


def open_orders(venue: VenueConfig) -> OpenOrders:
    """FIX has no list and no status request."""
    return OpenOrders.REST if venue.rest is not None else OpenOrders.NONE


def cancel_plan(venue: VenueConfig) -> CancelPlan:
    """One 35=q a symbol from any session reaches the whole account on it."""
    return CancelPlan(
        steps=tuple(_steps(venue)),
        proof_list=open_orders(venue),
        list_lag_ms=venue.rest.lag_ms if venue.rest else 0,
        unproven=tuple(_unproven(venue)),
        list_says="GET /api/v3/openOrders" if venue.rest else "",
        drop_copy_lag_ms=1_000,
        refused_when=(
            "maintenance, which News (35=B) counts down: after the Logout nothing is taken; a session opened elsewhere "
            "in time goes on",
            "a symbol that the venue halts: refusals say 'Market is closed.'",
        ),
        no_cancel=(Refusal(text="Market is closed.", by_symbol=True), Refusal(code="-1016"), Refusal(text="-1016")),
        by_hand=(
            "orders on symbols that are not configured here: with REST they are listed and cancelled by symbol; "
            "without it, on the venue's page",
            "a desk whose host is gone: the venue has no timer and is taken to keep orders: cancel on its page or app",
            "positions: nothing here closes one",
        ),
    )


def _steps(venue: VenueConfig) -> list[CancelStep]:
    steps = [
        CancelStep(action="own_mass_cancel", reaches="account", per_instrument=True, says="35=q 530=1",
                   answered_by=_ANSWER, when_empty=_EMPTY, certain=True, dead_owner="yes", proves=_PROVES,
                   notes=(*_WHOLE, *_IN_FLIGHT)),
        CancelStep(action="owner_mass_cancel", reaches="account", per_instrument=True, says="35=q 530=1",
                   answered_by=_ANSWER, when_empty=_EMPTY, certain=True, dead_owner="restart", proves=_PROVES,
                   notes=("an owner uses it only when the whole account is to be cancelled",)),
        CancelStep(action="owner_cancel_each", reaches="account", per_instrument=False, says="35=F",
                   answered_by="35=8 150=4, 35=9 or 35=3", when_empty="35=9 with 25016=-2011", certain=True,
                   dead_owner="restart"),
    ]  # fmt: skip
    if venue.rest is not None:
        steps += [
            CancelStep(action="rest_cancel_all", reaches="account", per_instrument=True,
                       says="DELETE /api/v3/openOrders", answered_by="the cancelled orders",
                       when_empty="HTTP 400 -2011", certain=True, dead_owner="yes", notes=_WHOLE,
                       proves="the list proves nothing here; each order's own final report proves that order"),
            CancelStep(action="rest_cancel_each", reaches="account", per_instrument=False,
                       says="DELETE /api/v3/order", answered_by="the order, CANCELED", when_empty="HTTP 400 -2011",
                       certain=True, dead_owner="yes",
                       notes=("by symbol and OrderID, or ClOrdID; an order of a list takes its list along",),
                       proves="the answer proves nothing; the order's own final report proves it, or its absence from "
                              "the list"),
        ]  # fmt: skip
    return steps


def _unproven(venue: VenueConfig) -> list[str]:
    unproven = [
        "35=q goes by symbol: orders of the account on symbols that are not configured are not reached",
        "35=q kills orders of people and other systems on the same account and symbol, too",
        "an order of another session in flight can reach the engine after the 35=q: a second round is needed",
        "a session in unordered mode (25035=1) may have an earlier order overtaken by the 35=q",
        "whether 35=r precedes or follows the cancel reports is not documented; it proves nothing by itself",
        "that 35=q cancels order lists is inferred from REST",
        "what a lost connection does to working orders is not documented: they are taken to stay open",
    ]
    if venue.rest is None:
        unproven.append("no REST is configured: FIX has no list of open orders, absence cannot be proven")
    return unproven
