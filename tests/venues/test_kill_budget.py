"""A kill's cancels after a desk has used its whole budget: all leave at once; none of them ends the session."""

from typing import Any

import pytest

from base.config import VenueConfig
from sim.setup import Setup
from tests.venues.fakes import BTC, ETH, Bench
from tests.venues.test_rate_venues import KrakenDesk
from venues.binance.sim_limits import Limits
from venues.limits import Limit, RateLimits
from venues.registry import dialect
from venues.sweep import PACE_NS, Sweep

SECOND = 1_000_000_000


def limits(name: str, **options: Any) -> RateLimits:
    return dialect(name).capabilities(VenueConfig(dialect=name, instruments=[], options=options)).limits


def use_up(bench: Bench) -> int:
    """Place orders until the limits let no further one out; how many there are."""
    placed = 0
    for instrument in ("BTC-USD", "ETH-USD"):
        while not (said := bench.entry.handle(bench.new(instrument=instrument)).reason):
            placed += 1
        assert said.startswith("rate limit of the venue"), said
    return placed


def kinds(bench: Bench) -> list[str]:
    return [what for what, _ in bench.session.sent if what in ("mass", "cancel")]


def trip(bench: Bench) -> Sweep:
    sweep = Sweep(bench.entry)
    sweep.start("trip", lambda _: True, bench.clock.mono_ns(), mass=True)
    return sweep


@pytest.mark.parametrize(
    ("name", "options"),
    [("kraken", {"tier": "starter"}), ("kraken", {"tier": "pro"}), ("binance", {}),
     ("fix44", {"orders_per_s": 40, "cancel_reserve_per_s": 25}),
     ("fix44", {"rate_limits": ["100/10s session 60"]})],
)  # fmt: skip
def test_after_the_whole_order_budget_is_used_every_cancel_of_a_kill_leaves_at_once(
    name: str, options: dict[str, Any]
) -> None:
    bench = Bench(limits=limits(name, **options))
    placed = use_up(bench)
    trip(bench)
    assert placed >= 14
    assert kinds(bench) == ["mass", *["cancel"] * placed]


def test_krakens_counter_by_pair_refuses_orders_of_that_pair_and_no_cancel() -> None:
    desk = KrakenDesk(1, "starter")
    placed = use_up(desk.bench)
    trip(desk.bench)
    desk.bench.clock.advance(SECOND)
    for at_ns, what, about in desk.arrivals.until(desk.now()):
        desk.arrive(at_ns, what, about)
    assert desk.refused == []
    assert desk.counter.refused == 0
    assert kinds(desk.bench).count("cancel") == placed
    assert not desk.bench.table.open()


def test_a_limit_whose_breach_is_a_logout_is_never_passed_and_every_cancel_leaves_in_the_end() -> None:
    bench = Bench(orders_per_s=10, cancel_reserve_per_s=4)
    for _ in range(12):
        for _ in range(4):
            bench.place()
        bench.clock.advance(2 * SECOND)
    orders = len(bench.table.open())
    bench.session.sent.clear()
    began = bench.clock.mono_ns()
    sweep = trip(bench)
    assert kinds(bench)[0] == "mass", "the first mass cancel waits for nothing"
    assert 5 <= len(kinds(bench)) <= 10
    counts: list[int] = []
    while len(kinds(bench)) < orders + 1:
        before = len(kinds(bench))
        bench.clock.advance(PACE_NS)
        if bench.clock.mono_ns() >= sweep.deadline_ns:
            sweep.tick(bench.clock.mono_ns())
        counts.append(len(kinds(bench)) - before)
        assert bench.clock.mono_ns() - began < 20 * SECOND
    window = SECOND // PACE_NS
    assert max(sum(counts[n : n + window]) for n in range(len(counts))) <= 10
    assert bench.clock.mono_ns() - began < 10 * SECOND, "just below the limit, not far below"


def test_room_is_left_for_the_mass_cancels_of_the_kill_switch() -> None:
    """Those are forced; a second of single cancels must not make the next one the message that ends the session."""
    bench = Bench(orders_per_s=10, cancel_reserve_per_s=4)
    for _ in range(5):
        for _ in range(4):
            bench.place()
        bench.clock.advance(2 * SECOND)
    sent = len(bench.session.sent)
    trip(bench)
    assert bench.entry.mass_cancel() == ""
    assert len(bench.session.sent) - sent <= 10


def test_on_binance_the_message_limit_is_kept_by_a_kill_of_very_many_orders() -> None:
    """More orders than messages: the venue would log the session out, and with it every further cancel."""
    few = Limit(name="messages", most=300, per_s=10, reserve=60, spare=10, breach="logout")
    bench = Bench(limits=RateLimits(orders=(few,)))
    venue = Limits(Setup("binance", [BTC, ETH], options={"oe_messages_10s": 300}), bench.clock)
    link: Any = type("Connection", (), {"state": {}})()
    for _ in range(4):
        for _ in range(100):
            bench.place()
        bench.clock.advance(11 * SECOND)
    sent = len(bench.session.sent)
    sweep = Sweep(bench.entry)
    sweep.start("trip", lambda _: True, bench.clock.mono_ns(), mass=False)
    for _ in range(1_100):
        for _ in bench.session.sent[sent:]:
            venue.message(link, "trading")  # raises where the venue would end the session
        sent = len(bench.session.sent)
        bench.clock.advance(PACE_NS)
        if bench.clock.mono_ns() >= sweep.deadline_ns:
            sweep.tick(bench.clock.mono_ns())
    assert {o for what, o in bench.session.sent if what == "cancel"} == {o.cl_ord_id for o in bench.table.open()}
