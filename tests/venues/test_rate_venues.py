"""Order entry under each dialect's declared limits against the limits that the simulated venue keeps on its own.

Orders, amends, cancels, mass cancels and fills come in random flows, and arrive at the venue up to 400 ms late and
unevenly. With ours on, the venue refuses nothing for its rate; and when orders are stopped, cancels still leave.
"""

import heapq
import random
from abc import ABC, abstractmethod
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from base.config import VenueConfig
from base.errors import VenueError
from ipc.requests import CancelOrder, MassCancel, ReplaceOrder
from risk.order import Order
from sim.gateway import Link
from sim.setup import Setup
from tests.venues.fakes import BTC, ETH, Bench, FakeSession
from venues.binance.dialect import DIALECT as BINANCE
from venues.binance.sim_limits import Limits
from venues.interface import Replace
from venues.kraken.dialect import DIALECT as KRAKEN
from venues.kraken.sim_orders import RateCounter, rate_counter
from venues.limits import RateLimits

MS = 1_000_000
SECOND = 1_000 * MS


class Arrivals:
    """What is on its way: bytes of one connection overtake nothing."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._due: list[tuple[int, int, str, str]] = []
        self._last = self._n = 0

    def send(self, now_ns: int, what: str, about: str) -> None:
        self._last = max(self._last, now_ns + 5 * MS + self._chance.randrange(400 * MS))
        self._n += 1
        heapq.heappush(self._due, (self._last, self._n, what, about))

    def until(self, now_ns: int) -> list[tuple[int, str, str]]:
        found = []
        while self._due and self._due[0][0] <= now_ns:
            at, _, what, about = heapq.heappop(self._due)
            found.append((at, what, about))
        return found


class Wired(FakeSession):
    """A session whose requests travel."""

    def __init__(self, bench: Bench, arrivals: Arrivals) -> None:
        super().__init__()
        self._bench, self._arrivals = bench, arrivals

    def _send(self, what: str, about: str) -> None:
        super()._send(what, about)
        self._arrivals.send(self._bench.clock.mono_ns(), what, about)


class Desk(ABC):
    """Order entry with a dialect's limits, and what the venue charges for what arrives."""

    def __init__(self, seed: int, limits: RateLimits, replace: Replace) -> None:
        self.chance = random.Random(seed)
        self.bench = Bench(replace=replace, limits=limits)
        self.arrivals = Arrivals(self.chance)
        self.bench.session = self.bench.entry.session = Wired(self.bench, self.arrivals)
        self.bench.session.successor = replace is Replace.CANCEL_NEW
        self.refused: list[tuple[str, str]] = []
        self.answers: dict[str, list[str]] = {"new": [], "cancel": [], "replace": []}

    def now(self) -> int:
        return self.bench.clock.mono_ns()

    def play(self, turns: int, busy_ms: int) -> None:
        for _ in range(turns):
            self.bench.clock.advance(self.chance.randrange(2 * busy_ms * MS))
            for at_ns, what, about in self.arrivals.until(self.now()):
                try:
                    self.arrive(at_ns, what, about)
                except VenueError as error:
                    self.refused.append((what, str(error)))
            self.act()

    def act(self) -> None:
        entry, chance = self.bench.entry, self.chance
        alive = [o for o in self.bench.table.open() if o.state in ("NEW", "PARTIALLY_FILLED")]
        what = chance.random()
        if what < 0.5 or not alive:
            instrument = chance.choice(["BTC-USD", "ETH-USD"])
            self.note("new", entry.handle(self.bench.new(instrument=instrument)).reason)
        elif what < 0.65:
            order = chance.choice(alive)
            command = ReplaceOrder("c", "r", 0, order.cl_ord_id, chance.randrange(2, 20) * 10, 505)
            self.note("replace", entry.handle(command).reason)
        elif what < 0.95:
            order = chance.choice(alive)
            self.note("cancel", entry.handle(CancelOrder("c", "x", 0, order.cl_ord_id)).reason)
        else:
            entry.handle(MassCancel("c", "m", 0, chance.choice(["", "BTC-USD"])))

    def note(self, what: str, reason: str) -> None:
        self.answers[what].append(reason)

    def order(self, about: str) -> Order:
        found = self.bench.table.find(about)
        assert found is not None
        return found

    @abstractmethod
    def arrive(self, at_ns: int, what: str, about: str) -> None:
        """The venue's own count of one message.

        Raises VenueError where it refuses.
        """


class KrakenDesk(Desk):
    """The venue's counter by pair, its costs by the venue's own idea of an order's age."""

    def __init__(self, seed: int, tier: str, **options: Any) -> None:
        venue = VenueConfig(dialect="kraken", instruments=[], options={"tier": tier})
        super().__init__(seed, KRAKEN.capabilities(venue).limits, Replace.IN_PLACE)
        self.counter: RateCounter = rate_counter(Setup("kraken", [BTC, ETH], options={"tier": tier, **options}))
        self.since: dict[str, int] = {}

    def arrive(self, at_ns: int, what: str, about: str) -> None:
        if what == "mass":
            for order in self.bench.table.open():
                if about in ("*", order.instrument) and order.ids[0] in self.since:
                    self.charge(order, "cancel", at_ns)
                    self.bench.report(order, "4", "4")
            return
        order = self.order(about)
        if what != "new" and order.ids[0] not in self.since:
            return
        self.charge(order, {"new": "add", "replace": "amend", "cancel": "cancel"}[what], at_ns)
        if what == "cancel":
            self.bench.report(order, "4", "4")
        elif order.is_open:
            self.since[order.ids[0]] = at_ns
            self.bench.report(order, "0" if what == "new" else "5", "0")

    def charge(self, order: Order, what: str, at_ns: int) -> None:
        since = self.since.get(order.ids[0], at_ns)
        self.counter.charge("main", order.instrument, what, since, at_ns)


@settings(max_examples=25, deadline=None)
@given(st.integers(), st.sampled_from(["starter", "intermediate", "pro"]), st.sampled_from([20, 150, 900]))
def test_kraken_refuses_nothing_for_its_rate(seed: int, tier: str, busy_ms: int) -> None:
    desk = KrakenDesk(seed, tier)
    desk.play(400, busy_ms)
    assert desk.refused == []
    assert not any(desk.answers["cancel"]), "a cancel was held back"


def test_on_kraken_a_busy_desk_is_stopped_by_ours_with_the_wait_and_goes_on_cancelling() -> None:
    desk = KrakenDesk(1, "starter", rate_refuses_cancels=True)
    for _ in range(60):
        desk.bench.entry.handle(desk.bench.new())
    desk.bench.clock.advance(SECOND // 2)
    for at_ns, what, about in desk.arrivals.until(desk.now()):
        desk.arrive(at_ns, what, about)
    said = desk.bench.entry.handle(desk.bench.new()).reason
    assert said.startswith("rate limit of the venue (pair_counter: 60 falls by 1 a second): try again in ")
    oldest = desk.bench.table.open()[0]
    assert desk.bench.entry.handle(CancelOrder("c", "x", 0, oldest.cl_ord_id)).accepted
    desk.bench.clock.advance(SECOND)
    for at_ns, what, about in desk.arrivals.until(desk.now()):
        desk.arrive(at_ns, what, about)  # a cancel within the reserve is not refused even by a venue that refuses them
    assert oldest.state == "CANCELED"


class BinanceDesk(Desk):
    """The venue's messages by connection and unfilled orders by account."""

    def __init__(self, seed: int, limits: RateLimits, **options: Any) -> None:
        super().__init__(seed, limits, Replace.CANCEL_NEW)
        self.limits = Limits(Setup("binance", [BTC, ETH], options=options), self.bench.clock)
        self.link: Any = type("Connection", (), {"state": {}})()

    def arrive(self, at_ns: int, what: str, about: str) -> None:
        link: Link = self.link
        self.limits.message(link, "trading")
        if what == "mass":
            for order in self.bench.table.open():
                if about in ("*", order.instrument) and order.order_id:
                    self.bench.report(order, "4", "4")
            return
        order = self.order(about)
        if what == "new":
            self.limits.order("main")
            self.bench.report(order, "0", "0")
            if self.chance.random() < 0.3:
                self.limits.filled("main")
                self.bench.report(order, "F", "2", exec_id=about, last_qty=100, last_px=500, cum_qty=100, leaves_qty=0)
        elif what == "replace":
            self.limits.order("main")
            new = next(o for o in reversed(self.bench.table.open()) if o.state == "PENDING_NEW" and o is not order)
            self.bench.report(order, "4", "4")
            self.bench.report(new, "0", "0")
        else:
            self.bench.report(order, "4", "4")


def binance_limits() -> RateLimits:
    return BINANCE.capabilities(VenueConfig(dialect="binance", instruments=[])).limits


@settings(max_examples=25, deadline=None)
@example(5553, 20)  # requests that travel unevenly: the venue's ten seconds were shorter than ours
@given(st.integers(), st.sampled_from([2, 20, 100]))
def test_binance_refuses_no_order_for_its_rate(seed: int, busy_ms: int) -> None:
    desk = BinanceDesk(seed, binance_limits(), unfilled_10s=200)
    desk.play(600, busy_ms)
    assert desk.refused == []
    assert not any(desk.answers["cancel"])


def test_on_binance_a_busy_desk_is_stopped_by_ours_and_goes_on_cancelling() -> None:
    desk = BinanceDesk(3, binance_limits(), unfilled_10s=200)
    said = [desk.bench.entry.handle(desk.bench.new()).reason for _ in range(250)]
    assert sum(not reason for reason in said) == 198
    assert said[-1].startswith("rate limit of the venue (unfilled_10s: 200 in 10 s): try again in ")
    assert not any(
        desk.bench.entry.handle(CancelOrder("c", "x", 0, o.cl_ord_id)).reason for o in desk.bench.table.open()
    )


def test_without_ours_both_venues_do_refuse() -> None:
    """The tests above could not fail otherwise."""
    kraken, binance = KrakenDesk(5, "none"), BinanceDesk(5, RateLimits(), unfilled_10s=200)
    kraken.counter = rate_counter(Setup("kraken", [BTC, ETH], options={"tier": "starter"}))
    for desk in (kraken, binance):
        desk.play(600, 5)
        assert desk.refused


@pytest.mark.parametrize(
    "refusal", [{"text": "EOrder:Rate limit exceeded"}, {"text": "17 : EOrder:Rate limit exceeded"}]
)
def test_a_refusal_by_kraken_for_its_rate_stops_orders_on_that_pair_for_a_while_and_people_are_told(
    refusal: dict[str, str],
) -> None:
    desk = KrakenDesk(7, "intermediate")
    order = desk.bench.place()
    desk.bench.report(order, "8", "8", **refusal)
    assert desk.bench.entry.handle(desk.bench.new()).reason.startswith("rate limit of the venue (pair_counter")
    assert desk.bench.entry.handle(desk.bench.new(instrument="ETH-USD")).accepted
    assert desk.bench.port.alerts == ["s: the venue says that it is passed: pair_counter: 125 falls by 2.34 a second"]
    desk.bench.clock.advance(20 * SECOND)
    assert desk.bench.entry.handle(desk.bench.new()).accepted
