"""How the orders of a plain FIX 4.4 peer are cancelled, as far as its configuration says; nothing of it is certain.

35=q where the peer has it, else 35=F an order; the small REST side where there is one.
"""

from base.config import VenueConfig
from venues.cancel_plan import Action, CancelPlan, CancelStep, DeadMan, DeadOwner, OpenOrders, Reach
from venues.fix44.settings import Settings
from venues.interface import Disconnect
from venues.limits import Refusal


def open_orders(settings: Settings) -> OpenOrders:
    """By the best means that the options name."""
    if settings.rest:
        return OpenOrders.REST
    if settings.replay_proves:
        return OpenOrders.REPLAY
    if "AF" in settings.messages:
        return OpenOrders.MASS_STATUS
    return OpenOrders.STATUS_EACH if "H" in settings.messages else OpenOrders.NONE


def cancel_plan(venue: VenueConfig, settings: Settings) -> CancelPlan:
    """Mass cancel as far as configured; single cancels by the owner; the list where there is one."""
    return CancelPlan(
        steps=tuple(_steps(settings)),
        proof_list=open_orders(settings),
        list_lag_ms=venue.rest.lag_ms if venue.rest else 0,
        unproven=tuple(_unproven(settings)),
        list_says="GET /orders?status=open" if settings.rest else "",
        refused_when=("when its refusals (35=9, 35=j, HTTP 503) say 'cancels are not taken now'",),
        no_cancel=(Refusal(text="cancels are not taken now"),),
        by_hand=_by_hand(settings),
        dead_man=_dead_man(settings),
    )


def _steps(settings: Settings) -> list[CancelStep]:
    steps = []
    if "q" in settings.messages:
        answer = "one 35=8 150=4 an order, beside a 35=r" if settings.mass_cancel_report else "one 35=8 150=4 an order"
        empty = "35=r with 533=0" if settings.mass_cancel_report else "nothing that is documented"
        reaches: Reach = settings.mass_cancel_reaches
        if reaches == "account":
            steps.append(
                _step("own_mass_cancel", reaches, "35=q 530=7", answer, empty, certain=False, dead_owner="unproven")
            )
        after: DeadOwner = "no" if reaches == "connection" else "restart"
        steps.append(_step("owner_mass_cancel", reaches, "35=q 530=7", answer, empty, certain=False, dead_owner=after))
    if "F" in settings.messages:
        steps.append(
            _step("owner_cancel_each", "session", "35=F", "35=8 150=4 or 35=9", "35=9 102=1", dead_owner="restart")
        )
    if settings.rest:
        steps.append(_step("rest_cancel_all", "account", "DELETE /orders", "a count", "a count of 0", dead_owner="yes"))
    if settings.rest and "cancel_order" in settings.rest_calls:
        steps.append(
            _step("rest_cancel_each", "account", "DELETE /orders/ID", "a count", "HTTP 404, or a count of 0",
                  dead_owner="yes")
        )  # fmt: skip
    if settings.on_disconnect is Disconnect.CANCELS:
        steps.append(
            _step("owner_disconnect", "session", "the connection is dropped", "nothing", "nothing", certain=False,
                  dead_owner="unproven")
        )  # fmt: skip
    return steps


def _step(
    action: Action, reaches: Reach, says: str, answered_by: str, when_empty: str, *, dead_owner: DeadOwner,
    certain: bool = True,
) -> CancelStep:  # fmt: skip
    return CancelStep(
        action=action, reaches=reaches, says=says, answered_by=answered_by, when_empty=when_empty,
        per_instrument=False, certain=certain, dead_owner=dead_owner,
    )  # fmt: skip


def _dead_man(settings: Settings) -> DeadMan | None:
    if not settings.rest or "cancel_after" not in settings.rest_calls:
        return None
    says = "POST /cancel_after"
    return DeadMan(says=f"{says} seconds=SECONDS", disable_says=f"{says} seconds=0", certain=False)


def _by_hand(settings: Settings) -> tuple[str, ...]:
    found = ["positions: nothing here closes one"]
    if not settings.rest:
        found.append("an order whose final report is lost: ask the peer, then force the reset with the list repeated")
        found.append("orders of a dead owner that does not come back: only the peer can cancel them")
    if "F" not in settings.messages and "q" not in settings.messages:
        found.append("every cancel: the peer is configured to know neither 35=F nor 35=q")
    return tuple(found)


def _unproven(settings: Settings) -> list[str]:
    unproven = []
    if "q" in settings.messages:
        unproven.append(f"what 35=q 530=7 reaches: configured as {settings.mass_cancel_reaches}, nothing proves it")
    if settings.on_disconnect is not Disconnect.KEEPS:
        unproven.append(f"what a lost connection does to working orders: configured as {settings.on_disconnect}")
    if not settings.rest:
        unproven.append("no list of open orders: an order whose final report is lost stays UNCERTAIN")
    if "F" not in settings.messages and "q" not in settings.messages:
        unproven.append("no cancel request is known: only a disconnect or a person can cancel")
    return unproven
