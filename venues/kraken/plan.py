"""How Kraken's orders are cancelled, and what proves that they are (venues/kraken.md, 5.7, 4.7 and 9).

The mass cancel by session is documented two ways (530=7: this SenderCompID's orders, or the account's) and says nothing
when nothing matches. Only REST is documented to reach the account.
"""

from base.config import VenueConfig
from venues.cancel_plan import CancelPlan, CancelStep, DeadMan, DeadOwner, OpenOrders
from venues.kraken.settings import Settings
from venues.limits import Refusal

_SILENCE = "silence: no report, and there is no 35=r"
_NO_CANCEL = (
    Refusal(text="Market in maintenance"),
    Refusal(text="EService:Unavailable"),
    Refusal(text="marketSuspended", by_symbol=True),
)


def open_orders(venue: VenueConfig, settings: Settings) -> OpenOrders:
    """How open orders are learnt: FIX has no list."""
    if venue.rest is not None:
        return OpenOrders.REST
    return OpenOrders.STATUS_EACH if settings.status_request else OpenOrders.NONE


def cancel_plan(venue: VenueConfig, settings: Settings) -> CancelPlan:
    """35=q never answers as such: the proof is each order's report, or its absence from the list."""
    listed = "GET /derivatives/api/v3/openorders" if settings.derivatives else "POST /0/private/OpenOrders"
    return CancelPlan(
        steps=tuple(_steps(venue, settings)),
        proof_list=open_orders(venue, settings),
        list_lag_ms=venue.rest.lag_ms if venue.rest else 0,
        unproven=tuple(_unproven(venue, settings)),
        list_says=listed if venue.rest else "",
        refused_when=(
            "maintenance: 35=h 340=1 (Spot), 35=y 5032=2: neither orders nor cancels are taken",
            "the 22:00 UTC rollover, about 30 s: no session stands; whether REST takes cancels then is not documented",
        ),
        no_cancel=_NO_CANCEL,
        by_hand=(
            "orders placed on the venue's own page, or by another system with another SenderCompID, where REST is not "
            "configured or does not answer: cancel them on the venue's page",
            "positions: nothing here closes one",
        ),
        dead_man=_dead_man(settings) if venue.rest else None,
    )


def _steps(venue: VenueConfig, settings: Settings) -> list[CancelStep]:
    said = f"35=q 530={settings.mass_cancel_type}"
    whole = settings.mass_cancel_type == "7"
    after_restart: DeadOwner = "restart" if whole else "unproven"
    steps = [
        CancelStep(action="owner_mass_cancel", reaches="comp_id", per_instrument=False, says=said,
                   answered_by="one 35=8 150=4 an order", when_empty=_SILENCE, certain=whole, dead_owner=after_restart,
                   notes=("530=7 is documented to reach this SenderCompID's orders; an older page says the account",)),
        CancelStep(action="owner_cancel_each", reaches="connection", per_instrument=False, says="35=F",
                   answered_by="35=8 150=4, or 35=j", when_empty="35=j 380=101: unknown order", certain=True,
                   dead_owner="unproven", notes=("goes by the FIX session that placed the order",)),
        CancelStep(action="own_mass_cancel", reaches="account", per_instrument=False, says=said,
                   answered_by="one 35=8 150=4 an order, to the session that placed it", when_empty=_SILENCE,
                   certain=False, dead_owner="unproven",
                   notes=("if 530=7 reaches its own SenderCompID only, this reaches nothing and says nothing",)),
    ]  # fmt: skip
    if venue.rest is not None:
        steps += [_rest(settings), _rest_each(settings)]
    if settings.cancel_on_disconnect is not False:
        steps.append(
            CancelStep(action="owner_disconnect", reaches="connection", per_instrument=False,
                       says="the connection is dropped without Logout (8674=0)", answered_by="nothing",
                       when_empty="nothing", certain=settings.cancel_on_disconnect is True,
                       dead_owner="yes" if settings.cancel_on_disconnect else "unproven",
                       timing="how soon is not documented",
                       notes=("an orderly Logout is taken to keep orders: a late owner is killed instead",))
        )  # fmt: skip
    return steps


def _rest(settings: Settings) -> CancelStep:
    if settings.derivatives:
        says, empty = "POST /derivatives/api/v3/cancelallorders", "noOrdersToCancel"
        notes = ("costs 25 of 500 a 10 s",)
    else:
        says, empty = "POST /0/private/CancelAll", "a count of 0"
        notes = ("every Spot order of the account, whatever placed it, people's too",)
    return CancelStep(
        action="rest_cancel_all", reaches="account", per_instrument=False, says=says, answered_by="a count",
        when_empty=empty, certain=not settings.derivatives, dead_owner="yes", notes=notes,
        proves="the count proves nothing; each order's own final report proves that order",
    )  # fmt: skip


def _rest_each(settings: Settings) -> CancelStep:
    if settings.derivatives:
        says, answers = "POST /derivatives/api/v3/cancelorder", "cancelled, filled or notFound"
        notes: tuple[str, ...] = ("costs 10 of 500 a 10 s",)
        empty = "notFound"
    else:
        says, answers, empty = "POST /0/private/CancelOrder", "a count of 1", "EOrder:Unknown order"
        notes = ("not counted as a call; the engine counts it by pair, and a refused cancel costs nothing",)
    return CancelStep(
        action="rest_cancel_each", reaches="account", per_instrument=False, says=says, answered_by=answers,
        when_empty=empty, certain=not settings.derivatives, dead_owner="yes",
        notes=("goes by the account: of earlier logons, too, which 35=F does not reach", *notes),
        proves="the answer proves nothing; the order's own final report proves it, or its absence from the list",
    )  # fmt: skip


def _dead_man(settings: Settings) -> DeadMan:
    path = "/derivatives/api/v3/cancelallordersafter" if settings.derivatives else "/0/private/CancelAllOrdersAfter"
    return DeadMan(
        says=f"POST {path} timeout=SECONDS",
        disable_says=f"POST {path} timeout=0",
        least_s=2,  # no least is documented: below that a renewal may be late
        advised="every 15 to 20 s with 60" if settings.derivatives else "every 15 to 30 s with 60",
        after_downtime=not settings.derivatives,
        certain=not settings.derivatives,
        notes=("all orders of the account on this market, whoever placed them",),
    )


def _unproven(venue: VenueConfig, settings: Settings) -> list[str]:
    unproven = [
        "35=q 530=7 is documented two ways: this SenderCompID's orders, or the whole account's",
        "35=q answers nothing when nothing matches, and never by 35=r: its silence proves nothing",
        "35=F reaches orders of the same FIX session only; whether that outlives a reconnect is not documented",
        "how soon a lost connection cancels (8674=0), and whether the 22:00 UTC rollover does, is not documented",
        "whether a mass cancel is charged per order against the rate limit is not documented",
    ]
    if settings.cancel_on_disconnect is None:
        unproven.append('sessions with on_stop = "keep" send 8674=1: their orders outlive the connection')
    if venue.rest is None:
        unproven.append("no REST is configured: nothing lists the account's open orders, nothing cancels them all")
    elif settings.derivatives:
        unproven.append("the Derivatives REST signature is taken from the public guide and has not been tried")
        unproven.append("the venue withdraws its Derivatives REST on 2027-03-01")
    return unproven
