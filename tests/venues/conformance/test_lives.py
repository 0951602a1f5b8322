"""Random lives of a session: orders, fills, cancels, replaces, late answers and lost connections, in whatever order.

However it went, in the end desk and venue have the same orders, and every fill counts once.
"""

import random

import pytest

from ipc.requests import ReplaceOrder
from tests.venues.conformance.cases import Case
from tests.venues.conformance.test_live import LIVE
from tests.venues.conformance.world import MS, Desk, World
from venues.interface import Replace

STEPS = 40


class Life:
    """One of them."""

    def __init__(self, case: Case, seed: int) -> None:
        self.case, self.random = case, random.Random(f"{case.id}/{seed}")
        self.world = World(case)
        self.desk = Desk(self.world)
        self.desk.connect()
        self.exchange = self.world.venue.exchange
        self.done: list[str] = []

    def step(self) -> None:
        """Something happens, and a little time passes."""
        acts = [self.place] * 5 + [self.fill] * 4 + [self.cancel] * 3 + [self.replace] * 2
        acts += [self.late, self.slow, self.engine, self.cut]
        act = self.random.choice(acts)
        self.done.append(act.__name__)
        if not self.desk.connected and act in (self.place, self.cancel, self.replace):
            self.come_back()
        act()
        self.world.settle()
        self.world.run(self.random.choice((300, 700, 1_500)) * MS, 100 * MS)

    def place(self) -> None:
        if self.desk.recovery.done:
            away = self.random.randint(1, 9) * 10**self.case.instrument.px_scale
            self.desk.send(price=self.case.order().price + self.random.choice((-away, 0)))

    def cancel(self) -> None:
        if orders := self.desk.table.open():
            self.desk.entry.cancel(self.random.choice(orders))

    def replace(self) -> None:
        orders = [o for o in self.desk.table.open() if o.state in ("NEW", "PARTIALLY_FILLED")]
        if not orders or self.case.capabilities.replace is Replace.NONE:
            return
        order = self.random.choice(orders)
        px = (order.price or 0) - self.random.choice((0, 10**self.case.instrument.px_scale))
        qty = order.order_qty if self.random.random() < 0.5 else order.order_qty * 2 // 3
        command = ReplaceOrder("c", f"r{len(self.done)}", 0, cl_ord_id=order.cl_ord_id, order_qty=qty, price=px)
        self.desk.entry.handle(command)

    def fill(self) -> None:
        if orders := self.world.working():
            order = self.random.choice(orders)
            third = self.case.order().order_qty // 3
            self.exchange.fill(order, min(self.random.choice((third, 3 * third)), order.leaves))

    def engine(self) -> None:
        if orders := self.world.working():
            self.exchange.cancel(self.random.choice(orders), reason="engine")

    def late(self) -> None:
        self.world.pin("late_ack", ms=self.random.choice((500, 3_000)))

    def slow(self) -> None:
        self.world.pin("slow_cancel", ms=self.random.choice((500, 3_000)))

    def cut(self) -> None:
        if self.desk.line is not None:
            self.desk.line.cut()

    def come_back(self) -> None:
        self.world.run(61_000 * MS, 1_000 * MS)  # some venues keep a name for a while whose connection was cut
        self.desk.connect()


@pytest.mark.parametrize("seed", [0, 1, 6])
@pytest.mark.parametrize("case", LIVE, ids=lambda c: c.id)
def test_whatever_happens_desk_and_venue_agree_in_the_end_and_every_fill_counts_once(case: Case, seed: int) -> None:
    life = Life(case, seed)
    for _ in range(STEPS):
        life.step()
    desk, world = life.desk, life.world
    if not desk.connected:
        life.come_back()
    world.until(lambda: desk.agrees() == "", f"{desk.agrees()} after {life.done}", 300)
    filled = {o.order_id: o.cum for o in life.exchange.orders.values() if o.owner.account == "main" and o.cum}
    assert {o.order_id: o.cum_qty for o in desk.table if o.cum_qty} == filled
    assert sum(desk.port.fills) == sum(filled.values())
    assert [text for severity, code, text in desk.heard.alerts if severity == "critical"] == []
