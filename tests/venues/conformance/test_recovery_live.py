"""Every dialect's recovery against its simulated venue: what happened while the desk was away is found out."""

import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from base.decimals import from_scaled
from ipc.events import Balance, ExecutionReport
from risk.order import Order
from sim.accounts import DEPOSIT
from tests.venues.conformance.cases import CASES, Case
from tests.venues.conformance.recovery_live import LAG_MS, AtVenue, LiveDesk
from tests.venues.conformance.test_live import LIVE, Bench
from venues import recovery
from venues.balances import Balances
from venues.interface import OpenOrders

pytestmark = pytest.mark.e2e


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unanswered orders are looked for soon."""
    monkeypatch.setattr(recovery, "ANSWER_AFTER_NS", 300_000_000)


@pytest.fixture(params=[c for c in LIVE if c.rest], ids=lambda c: c.id)
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


@pytest.fixture
def bench(case: Case, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(case, tmp_path, list_lag_ms=LAG_MS // 2)
    yield made
    made.close()


@pytest.mark.parametrize("lost", [False, True], ids=["replayed-where-it-can-be", "lost"])
def test_what_became_of_each_order_while_away_is_settled_before_the_session_is_ready(bench: Bench, lost: bool) -> None:
    desk, venue = LiveDesk(bench), AtVenue(bench)
    desk.connect()
    kept, filled, partly, cancelled, expired, shrunk = (desk.place() for _ in range(6))
    third = kept.order_qty // 3
    desk.drop()
    if lost:
        bench.running.fault("lost_report", n=100)
    venue.fill(filled, third)
    venue.fill(filled, 2 * third)
    venue.fill(partly, third)
    venue.cancel(cancelled)
    venue.expire(expired)
    venue.shrink(shrunk, 2 * third)
    bench.running.control("DELETE", "/faults")
    desk.connect()
    states = {o.cl_ord_id: o.state for o in desk.table}
    assert [states[o.cl_ord_id] for o in (kept, filled, partly, cancelled, shrunk)] == [
        "NEW", "FILLED", "PARTIALLY_FILLED", "CANCELED", "NEW",
    ]  # fmt: skip
    assert states[expired.cl_ord_id] in ("EXPIRED", "CANCELED")  # not every venue tells them apart
    assert [(o.cum_qty, o.untold) for o in (kept, filled, partly)] == [(0, 0), (3 * third, 0), (third, 0)]
    assert [qty for _, qty in desk.fills(filled)] == [third, 2 * third]
    assert [qty for _, qty in desk.fills(partly)] == [third]
    assert len({name for o in (filled, partly) for name, _ in desk.fills(o)}) == 3
    assert (shrunk.order_qty, sum(desk.port.fills)) == (2 * third, 4 * third)
    assert desk.entry.handle(desk.case.order()).accepted


def test_an_order_that_never_arrived_is_settled_and_one_whose_answer_was_lost_lives(bench: Bench) -> None:
    desk = LiveDesk(bench)
    desk.connect()
    bench.running.fault("swallow", msg_type="D")
    never = desk.send()
    bench.running.until(lambda: not bench.running.control("GET", "/faults")["pinned"])
    bench.running.fault("lost_report", n=1)
    unanswered = desk.send()
    bench.running.until(lambda: len(bench.running.working()) == 1)
    bench.running.until(lambda: desk.clock.wall_ns() - unanswered.sent_ns > 800_000_000)
    desk.drop()
    desk.connect()
    assert (never.state, unanswered.state) == ("REJECTED", "NEW")
    assert "unknown_at_venue" in [d.kind for d in desk.differences]


def test_after_a_lost_journal_own_orders_are_taken_in_with_their_fills_and_those_of_others_are_told(
    bench: Bench, case: Case
) -> None:
    desk, venue = LiveDesk(bench), AtVenue(bench)
    desk.connect()
    working, partly = desk.place(), desk.place()
    other = LiveDesk(bench, name="other", ours=f"{case.ours[:6]}5")
    other.connect()
    stranger = other.place()
    third = partly.order_qty // 3
    venue.fill(partly, third)
    desk.until(lambda: partly.cum_qty == third, "filled")
    desk.drop()
    desk.forget()
    desk.connect()
    ours = {working.cl_ord_id, partly.cl_ord_id}
    desk.until(lambda: {o.cl_ord_id for o in desk.table if o.state != "UNCERTAIN"} == ours, "taken in")
    again = desk.table.find(partly.cl_ord_id)
    assert again is not None
    assert (again.state, again.cum_qty, [q for _, q in desk.fills(again)]) == ("PARTIALLY_FILLED", third, [third])
    told = {d.kind: d for d in desk.differences}
    assert told["adopted"].cl_ord_id in (working.cl_ord_id, partly.cl_ord_id)
    assert told["unknown_here"].cl_ord_id == stranger.cl_ord_id
    assert any(working.cl_ord_id in text for text in desk.alerts)


@pytest.mark.parametrize("status", [500, 503, 429])
def test_rest_that_fails_for_a_while_keeps_new_orders_out_and_no_longer(bench: Bench, status: int) -> None:
    desk = LiveDesk(bench)
    desk.connect()
    order = desk.place()
    desk.drop()
    bench.running.fault("rest_fail", status=status, n=3)
    desk.log_on()
    desk.until(lambda: "trying again" in desk.entry.ready_reason, "failing")
    assert not desk.entry.handle(desk.case.order()).accepted
    desk.until(lambda: desk.recovery.done, "reconciled")
    assert order.state == "NEW"


def test_connections_lost_again_and_again_during_reconciliation_lose_and_double_nothing(bench: Bench) -> None:
    desk, venue = LiveDesk(bench), AtVenue(bench)
    desk.connect()
    orders = [desk.place() for _ in range(4)]
    part = orders[0].order_qty // 6
    for n in range(6):
        desk.drop()
        venue.fill(orders[n % 4], part)
        desk.log_on()
        for _ in range(2 * n):
            desk.turn()
    desk.drop()
    venue.cancel(orders[3])
    desk.connect()
    doubt = lambda: [o for o in orders if o.untold or o.state == "UNCERTAIN"]  # noqa: E731
    desk.until(lambda: not doubt(), "every fill is known")
    assert [o.cum_qty for o in orders] == [2 * part, 2 * part, part, part], orders
    assert [len(desk.fills(o)) for o in orders] == [2, 2, 1, 1]
    assert [o.state for o in orders] == ["PARTIALLY_FILLED"] * 3 + ["CANCELED"]
    assert sum(desk.port.fills) == 6 * part


def test_a_fill_that_both_channels_tell_counts_once(bench: Bench) -> None:
    """The session's report is held back, REST tells the fill first; then the report comes."""
    desk, venue = LiveDesk(bench), AtVenue(bench)
    desk.connect()
    order = desk.place()
    bench.running.fault("delay", ms=4_000, msg_type="8")
    venue.fill(order, order.order_qty)
    desk.table.uncertain(order, "lost sight of", desk.clock.wall_ns())
    desk.until(lambda: order.state == "FILLED", "followed")
    before = len(desk.fills(order))
    desk.until(lambda: desk.entry.counters["duplicates"], "the report that comes late")
    assert (before, len(desk.fills(order)), desk.port.fills) == (1, 1, [order.order_qty])


# --- long lists; lists over the session

PLAIN = next(c for c in CASES if c.id == "fix44")


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(PLAIN, tmp_path)
    yield made
    made.close()


def test_lists_longer_than_a_page_are_read_to_the_end(plain: Bench) -> None:
    desk, venue = LiveDesk(plain), AtVenue(plain)
    desk.connect()
    orders = [desk.send() for _ in range(230)]
    desk.until(lambda: all(o.state == "NEW" for o in orders), "acknowledged")
    desk.drop()
    plain.running.fault("lost_report", n=1_000)
    for order in orders[:50]:
        venue.cancel(order)
    venue.fill(orders[229], 100)
    plain.running.control("DELETE", "/faults")
    desk.connect()
    assert [o.state for o in orders] == ["CANCELED"] * 50 + ["NEW"] * 179 + ["PARTIALLY_FILLED"]


def mass_status_case() -> Case:
    from dataclasses import replace

    messages = ["D", "F", "G", "H", "q", "AF"]
    return replace(PLAIN, id="fix44-mass", options={"messages": messages}, rest=False)


@pytest.fixture
def mass(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(mass_status_case(), tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("lost", [False, True])
def test_open_orders_are_learnt_by_mass_status(mass: Bench, lost: bool) -> None:
    desk, venue = LiveDesk(mass, rest=False), AtVenue(mass)
    assert desk.case.capabilities.open_orders is OpenOrders.MASS_STATUS
    desk.connect()
    kept, filled, cancelled, partly = (desk.place() for _ in range(4))
    desk.drop()
    if lost:
        mass.running.fault("lost_report", n=100)
    venue.fill(filled, filled.order_qty)
    venue.fill(partly, 100)
    venue.cancel(cancelled)
    mass.running.control("DELETE", "/faults")
    desk.connect()
    assert [o.state for o in (kept, filled, cancelled, partly)] == ["NEW", "FILLED", "CANCELED", "PARTIALLY_FILLED"]
    assert sum(desk.port.fills) == filled.order_qty + 100


def test_a_mass_status_of_nothing_is_an_empty_list(mass: Bench) -> None:
    desk = LiveDesk(mass, rest=False)
    desk.connect()
    assert desk.recovery.done
    order = desk.place()
    desk.drop()
    desk.forget()
    desk.connect()
    assert [o.cl_ord_id for o in desk.table] == [order.cl_ord_id]


# --- balances


def test_desk_and_venue_agree_on_balances_after_random_trading(bench: Bench, case: Case) -> None:
    """What the reports of every fill add up to, fees included, is what the venue says the account has."""
    desk, venue = LiveDesk(bench), AtVenue(bench)
    desk.connect()
    i, rng = case.instrument, random.Random(7)
    unit = case.order().order_qty // 3
    working: list[Order] = []
    for _ in range(40):
        if working and rng.random() < 0.6:
            order = rng.choice(working)
            venue.fill(order, min(unit * rng.randint(1, 3), order.leaves_qty))
            desk.until(lambda o=order: o.cum_qty == venue.order(o).cum, "filled")
            working = [o for o in working if o.is_open]
        else:
            side = rng.choice("12")
            away = rng.randint(1, 50) * 10**i.px_scale  # never meets the other side
            px = (100 * 10**i.px_scale) + (away if side == "2" else -away)
            working.append(desk.place(side=side, price=px))
    asked: list[Balance] = []
    watch = Balances(desk, desk._rest, ("s", case.name, "main"), lambda: (0, desk.clock.wall_ns()), 1)
    watch.logged_on()
    desk.until(lambda: watch.latest, "balances")
    asked = list(watch.latest.values())
    told = {b.currency: (Decimal(b.total), Decimal(b.available), Decimal(b.held)) for b in asked}
    assert told == expected(case, desk, working)
    assert [e for e in desk.port.recorded if isinstance(e, Balance)] == asked


def expected(case: Case, desk: LiveDesk, working: list[Order]) -> dict[str, tuple[Decimal, Decimal, Decimal]]:
    """Balances from the desk's own records: what it was told of each fill, and what it has working."""
    i = case.instrument
    base, quote, *rest = i.name.split("-")
    fills = [e for e in desk.port.recorded if isinstance(e, ExecutionReport) and e.exec_type == "F"]
    cash = {base: Decimal(0), quote: DEPOSIT}
    position = average = Decimal(0)
    for fill in fills:
        qty = from_scaled(fill.last_qty or 0, i.qty_scale) * (1 if fill.side == "1" else -1)
        px = from_scaled(fill.last_px or 0, i.px_scale)
        cash[quote] -= sum(Decimal(amount) for _, amount in fill.fees)
        if not rest:
            cash[base], cash[quote] = cash[base] + qty, cash[quote] - qty * px
            continue
        if position * qty >= 0:
            average = (average * position + px * qty) / (position + qty)
        else:
            closed = min(abs(qty), abs(position)) * (1 if position > 0 else -1)
            cash[quote] += (px - average) * closed
            average = px if abs(qty) > abs(position) else average
        position += qty
    held = {base: Decimal(0), quote: Decimal(0)}
    for order in working:
        qty, px = from_scaled(order.leaves_qty, i.qty_scale), from_scaled(order.price or 0, i.px_scale)
        if rest:
            held[quote] += qty * px / 10
        elif order.side == "1":
            held[quote] += qty * px
        else:
            held[base] += qty
    if rest:
        held[quote] += abs(position) * average / 10
        cash.pop(base)
    exact = {c: (total, total - held[c], held[c]) for c, total in cash.items()}
    if not rest:
        return exact
    # The venue's JSON has floats there.
    floats = {c: [Decimal(str(float(n))) for n in (total, free)] for c, (total, free, _) in exact.items()}
    return {c: (total, free, total - free) for c, (total, free) in floats.items()}
