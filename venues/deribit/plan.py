"""How Deribit's orders are cancelled, and what proves that they are (deribit.md, 5 and 9).

35=q 530=7 reaches every order of the sub-account, whoever sends it, and 35=r answers with a count. REST does the same.
"""

from base.config import VenueConfig
from venues.cancel_plan import CancelPlan, CancelStep, OpenOrders
from venues.deribit.settings import Settings
from venues.limits import Refusal

_PROOF = "35=r counts and names orders; each order's own 35=8 39=4 proves that order"
_REACH = {
    "7": "every order of the sub-account, people's too",
    "5": "orders of the security type of the option security_type alone",
    "10": "orders with this session's label, whichever of its connections placed them",
}
_NO_CANCEL = tuple(
    Refusal(code=code, text=text)
    for code, text in (("10041", "settlement_in_progress"), ("11051", "system_maintenance"))
)


def open_orders(venue: VenueConfig) -> OpenOrders:
    """35=AF for all has no end that one could tell; for one order it is asked."""
    return OpenOrders.REST if venue.rest is not None else OpenOrders.STATUS_EACH


def cancel_plan(venue: VenueConfig, settings: Settings) -> CancelPlan:
    """The kill switch's own 35=q reaches the sub-account; owners and REST do it as well."""
    return CancelPlan(
        steps=tuple(_steps(venue, settings)),
        proof_list=open_orders(venue),
        list_lag_ms=venue.rest.lag_ms if venue.rest else 0,
        unproven=tuple(_unproven(venue, settings)),
        list_says="GET /api/v2/private/get_open_orders" if venue.rest else "",
        drop_copy_lag_ms=1_000,
        refused_when=(
            "settlement and maintenance: the venue says so in error codes of REST; how FIX says it is not documented",
        ),
        no_cancel=_NO_CANCEL,
        by_hand=(
            "quotes (35=i): 35=Z cancels them, which is not sent here, and whether 35=q pulls them is not documented: "
            "a quoting account sets freeze_quotes and cancels its quotes itself",
            "orders placed over the venue's Starbase gateways: they are not visible here; cancel them there",
            "positions: nothing here closes one",
        ),
    )


def _steps(venue: VenueConfig, settings: Settings) -> list[CancelStep]:
    kind = settings.mass_cancel_type
    whole, own = kind == "7" and not settings.currency, kind == "10"
    said = f"35=q 530={kind}"
    notes = (_REACH[kind], *((f"of currency {settings.currency} alone",) if settings.currency else ()))
    empty = "35=r with a count of 0 (inferred)"
    steps = [
        CancelStep(action="owner_mass_cancel", reaches="session" if own else "account", per_instrument=False,
                   says=said, answered_by="35=r", when_empty=empty, certain=whole or own, dead_owner="restart",
                   proves=_PROOF, notes=notes),
        CancelStep(action="owner_cancel_each", reaches="account", per_instrument=False, says="35=F",
                   answered_by="35=8 39=4, or 35=9", when_empty="35=9", certain=True, dead_owner="restart",
                   notes=("by the venue's id of the order, or by its ClOrdID, which one open order alone may have",)),
    ]  # fmt: skip
    if not own:
        steps.append(
            CancelStep(action="own_mass_cancel", reaches="account", per_instrument=False, says=said,
                       answered_by="35=r; one 35=8 an order to its owner", when_empty=empty, certain=whole,
                       dead_owner="yes" if whole else "unproven", proves=_PROOF, notes=notes)
        )  # fmt: skip
    if venue.rest is not None:
        steps += [
            CancelStep(action="rest_cancel_all", reaches="account", per_instrument=False,
                       says="GET /api/v2/private/cancel_all", answered_by="a count", when_empty="a count of 0",
                       certain=True, dead_owner="yes", notes=("every order of the key's sub-account",),
                       proves="the count proves nothing; each order's own final report proves that order"),
            CancelStep(action="rest_cancel_each", reaches="account", per_instrument=False,
                       says="GET /api/v2/private/cancel", answered_by="the order as it then is, or a count",
                       when_empty="an error that the order is not open, or a count of 0", certain=True,
                       dead_owner="yes", notes=("by the venue's id, else by label where that is the ClOrdID",),
                       proves="the answer proves nothing; the order's own final report proves that order"),
        ]  # fmt: skip
    if settings.cancels_on_loss is not False:
        steps.append(
            CancelStep(action="owner_disconnect", reaches="connection", per_instrument=False,
                       says="the connection is dropped (9001=Y)", answered_by="one 35=8 39=4 an order, to who hears it",
                       when_empty="nothing", certain=settings.cancels_on_loss is True,
                       dead_owner="yes" if settings.cancels_on_loss else "unproven",
                       timing="how soon is not documented",
                       notes=("a Logout cancels as well, unless it carries 9003=Y",
                              "whether orders of earlier connections count is not documented: taken not to"))
        )  # fmt: skip
    return steps


def _unproven(venue: VenueConfig, settings: Settings) -> list[str]:
    unproven = [
        "35=q is answered by 35=r; that each order is reported by a 35=8 of its own as well is inferred",
        "how soon a lost connection cancels (9001=Y), and whether orders of earlier connections count: not documented",
        "whether 35=q pulls quotes (35=i), too, is not documented",
    ]
    if settings.mass_cancel_type == "5" or settings.currency:
        unproven.append("35=q is narrowed by an option (security_type, currency): other orders of the account stay")
    if settings.cancels_on_loss is None:
        unproven.append('sessions with on_stop = "keep" send 9001=N: their orders outlive the connection')
    if venue.rest is None:
        unproven.append("no REST is configured: nothing lists the account's open orders")
    return unproven
