"""How Crypto.com's orders are cancelled, and what proves that they are (crypto-com.md, 5, 7 and 10).

35=q goes by symbol and its 35=r only accepts; whose orders of the symbol it reaches the documentation does not say.
REST cancels the account.
"""

from base.config import VenueConfig
from venues.cancel_plan import Action, CancelPlan, CancelStep, DeadOwner, OpenOrders
from venues.crypto_com.settings import Settings
from venues.limits import Refusal

_WHOSE = "all orders of a symbol, as it is documented; whether those of other sessions are among them is not"
_QUEUED = "code 0 says that it is queued and proves nothing; each order's own final report proves that order"


def open_orders(venue: VenueConfig) -> OpenOrders:
    """FIX has no list; 35=H asks for an order that is known and open."""
    return OpenOrders.REST if venue.rest is not None else OpenOrders.STATUS_EACH


def cancel_plan(venue: VenueConfig, settings: Settings) -> CancelPlan:
    """A request a symbol over FIX, one for the account over REST."""
    return CancelPlan(
        steps=tuple(_steps(venue, settings)),
        proof_list=open_orders(venue),
        list_lag_ms=venue.rest.lag_ms if venue.rest else 0,
        unproven=tuple(_unproven(venue, settings)),
        list_says="POST /exchange/v1/private/get-open-orders" if venue.rest else "",
        drop_copy_lag_ms=1_000,  # how late it may be is not documented
        refused_when=(
            "the monthly maintenance of order management, second Thursday 07:04 to 07:15 UTC: no session stands; REST "
            "is not said to be part of it",
            "an instrument that is not open (309 MARKET_IS_NOT_OPEN)",
        ),
        no_cancel=(Refusal(code="309", by_symbol=True), Refusal(text="MARKET_IS_NOT_OPEN", by_symbol=True)),
        by_hand=(
            "trigger orders and order lists (the venue's advanced orders), which none of these requests reaches: on "
            "the venue's page",
            "orders on symbols that are not configured here, where REST is not configured or does not answer",
            "a desk whose host is gone: the venue has no timer; what stands after cancel on disconnect is cancelled on "
            "its page",
            "positions: nothing here closes one",
        ),
    )


def _steps(venue: VenueConfig, settings: Settings) -> list[CancelStep]:
    steps = [
        _by_symbol("own_mass_cancel", "unproven"),
        _by_symbol("owner_mass_cancel", "restart"),
        CancelStep(action="owner_cancel_each", reaches="session", per_instrument=False, says="35=F",
                   answered_by="35=8 150=6, then 150=4; or 35=9", when_empty="35=9", certain=True,
                   dead_owner="restart"),
    ]  # fmt: skip
    if venue.rest is not None:
        steps += [
            CancelStep(action="rest_cancel_all", reaches="account", per_instrument=False,
                       says="POST /exchange/v1/private/cancel-all-orders", answered_by="code 0", when_empty="code 0",
                       certain=True, dead_owner="yes", proves=_QUEUED,
                       notes=("every order of the account on all instruments, people's too, but no trigger orders",)),
            CancelStep(action="rest_cancel_each", reaches="account", per_instrument=False,
                       says="POST /exchange/v1/private/cancel-order", answered_by="code 0 and the order's names",
                       when_empty="316 NO_ACTIVE_ORDER, 40401 NOT_FOUND, 212 INVALID_ORDERID (inferred)", certain=True,
                       dead_owner="yes", proves=_QUEUED, notes=("by OrderID, else by ClOrdID; 15 in 100 ms a key",)),
        ]  # fmt: skip
    if settings.on_loss != "off":
        steps.append(
            CancelStep(action="owner_disconnect", reaches="connection", per_instrument=False,
                       says="the connection is dropped without Logout (6867=Y, 35002=3)",
                       answered_by="35=8 150=4 an order, to who still hears it", when_empty="nothing",
                       certain=settings.on_loss is not None, dead_owner="yes" if settings.on_loss else "unproven",
                       timing="how soon is not documented",
                       notes=("a Logout is optional here: whether an orderly one cancels, too, is not documented",))
        )  # fmt: skip
    return steps


def _by_symbol(action: Action, dead_owner: DeadOwner) -> CancelStep:
    return CancelStep(
        action=action, reaches="account", per_instrument=True, says="35=q 530=1", certain=False, dead_owner=dead_owner,
        answered_by="35=r 531=1, then of each order 35=8 150=6 and 150=4, or 35=9", when_empty="35=r 531=1",
        proves="35=r only accepts; each order's own 35=8 150=4 proves that order", notes=(_WHOSE,),
    )  # fmt: skip


def _unproven(venue: VenueConfig, settings: Settings) -> list[str]:
    unproven = [
        "35=q is documented to cancel all orders of a symbol: whether those of other sessions, and those that people "
        "placed, are among them is not said",
        "35=q goes by symbol: orders on symbols that are not configured are not reached",
        "35=q, 35=F and both REST cancels answer before anything is done: only reports and lists prove",
        "trigger orders and order lists live behind calls of their own: neither listed nor cancelled here",
        "how soon a lost connection cancels (6867=Y, 35002=3), and whether an orderly Logout does, is not documented",
    ]
    if settings.on_loss is None:
        unproven.append('sessions with on_stop = "keep" say 35002=0: their orders outlive the connection')
    if venue.rest is None:
        unproven.append("no REST is configured: nothing lists the account's open orders, nothing cancels them all")
    return unproven
