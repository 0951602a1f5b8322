"""The trading process and the ledger hear the same reports: their positions are the same, busts and corrections too."""

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ipc.events import ExecutionReport
from risk.exposure import ExposureBook
from risk.order import Order
from risk.orders import OrderTable
from tests.risk.ledger_kit import Kept
from tests.risk.ledger_world import LONE_SOURCE, PX, QTY, T0, placed, report

STEPS = st.lists(st.tuples(st.sampled_from("FFFGH"), st.integers(1, 9), st.integers(0, 30)), min_size=1, max_size=25)


def history(steps: list[tuple[str, int, int]], *, tells_cum: bool, tells_ids: bool) -> list[ExecutionReport]:
    """Reports as one session brings them: amendments refer to the last report of a trade."""
    trades: list[tuple[str, int]] = []  # ExecID of its last report, what it counts
    out: list[ExecutionReport] = []
    for n, (kind, qty, which) in enumerate(steps):
        now: dict[str, Any] = {"exec_id": f"e{n}", "transact_ns": T0 + n, "recv_ns": T0 + n}
        if kind == "F":
            trades.append((f"e{n}", qty))
            now |= {"last_qty": qty, "trade_id": f"t{n}" if tells_ids else ""}
        elif live := [t for t, (_, left) in enumerate(trades) if left]:
            at = live[which % len(live)]
            now |= {"exec_type": kind, "exec_ref_id": trades[at][0], "last_qty": None if kind == "H" else qty}
            trades[at] = (f"e{n}", 0 if kind == "H" else qty)
        else:
            continue
        cum = sum(left for _, left in trades)
        now |= {"cum_qty": cum if tells_cum else None, "leaves_qty": 1_000 - cum if tells_cum else None}
        out.append(report(LONE_SOURCE, **now))
    return out


@settings(max_examples=60, deadline=None)
@given(STEPS, st.booleans(), st.booleans(), st.sets(st.integers(0, 24)))
def test_positions_of_both_agree_after_any_busts_and_corrections(
    steps: list[tuple[str, int, int]], tells_cum: bool, tells_ids: bool, again: set[int]
) -> None:
    reports = history(steps, tells_cum=tells_cum, tells_ids=tells_ids)
    reports = [r for n, one in enumerate(reports) for r in [one] * (1 + (n in again))]
    table, book = OrderTable(), ExposureBook()
    order = Order(
        session="lone", venue="w", account="main", instrument="BTC-USD", cl_ord_id="c1", side="1", ord_type="2",
        time_in_force="1", px_scale=PX, qty_scale=QTY, order_qty=1_000, leaves_qty=1_000, price=5000,
        ids=["c1"],
    )  # fmt: skip
    table.add(order)
    with tempfile.TemporaryDirectory() as folder:
        kept = Kept(Path(folder))
        kept.take(LONE_SOURCE, placed(LONE_SOURCE, order_qty=1_000))
        for one in reports:
            applied = table.apply(one, T0)
            book.filled(order, applied.fill_qty, applied.fill_px)
            kept.take(LONE_SOURCE, one)
        kept.save()
        recorded = sum(b.position for b in kept.store.books())
        kept.close()
    assert (order.cum_qty, book.of("BTC-USD", PX, QTY).position) == (recorded, recorded)
    assert order.leaves_qty == 1_000 - recorded
