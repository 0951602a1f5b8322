"""How Coinbase Derivatives' orders are cancelled, and what proves that they are (coinbase-derivatives.md, 2, 5 and 9).

There is no mass cancel, no batch and no REST list: one 35=F an order, and each order's own final report.
"""

from venues.cancel_plan import CancelPlan, CancelStep, OpenOrders
from venues.coinbase_derivatives.settings import Settings


def cancel_plan(settings: Settings) -> CancelPlan:
    """Owners cancel each of their orders."""
    return CancelPlan(
        steps=tuple(_steps(settings)),
        proof_list=OpenOrders.REPLAY,
        list_lag_ms=0,
        unproven=tuple(_unproven(settings)),
        drop_copy_lag_ms=1_000,
        refused_when=("whether cancels are taken outside trading hours is not documented",),
        by_hand=(
            "orders whose session does not come back: the exchange's website, or its Risk Management API, which ends "
            "what that session has (reports then say 378=105 or 106)",
            "an order whose final report is lost: the replay by ExecID has it; where that fails ask the exchange, then "
            "force the reset with the list repeated",
            "positions: nothing here closes one",
        ),
    )


def _steps(settings: Settings) -> list[CancelStep]:
    steps = [
        CancelStep(action="owner_cancel_each", reaches="session", per_instrument=False, says="35=F",
                   answered_by="35=8 150=4, or 35=9", when_empty="35=9 102=1", certain=True, dead_owner="restart",
                   notes=("needs the OrderID(37)",
                          "that a session may cancel what an earlier connection of it placed is inferred")),
    ]  # fmt: skip
    if settings.on_loss == "day_orders":
        steps.append(
            CancelStep(action="owner_disconnect", reaches="session", per_instrument=False,
                       says="the connection is dropped", answered_by="35=8 150=4 an order", when_empty="nothing",
                       certain=False, dead_owner="unproven", timing="how soon is not documented",
                       notes=("day orders alone: GTC and GTD survive",
                              "by gateway, and by who placed or last changed the order"))
        )  # fmt: skip
    return steps


def _unproven(settings: Settings) -> list[str]:
    unproven = [
        "no list of open orders: absence is proven by each order's final report, live or replayed by ExecID",
        "whether a session may cancel orders that an earlier connection, or the other gateway, placed",
    ]
    if settings.on_loss == "day_orders":
        unproven.append("what a lost connection cancels: the exchange sets it up, day orders alone")
    elif settings.on_loss == "unknown":
        unproven.append("whether a lost connection cancels day orders: the exchange sets it up for each client")
    return unproven
