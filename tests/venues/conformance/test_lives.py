"""Random lives of a session: orders, fills, cancels, replaces, late answers and lost connections, in whatever order.

However it went, in the end desk and venue have the same orders, and every fill counts once.
"""

import random

import pytest

from ipc.requests import ReplaceOrder
from tests.venues.conformance.cases import Case
from tests.venues.conformance.test_live import LIVE
from tests.venues.conformance.world import MS, Desk, World
from venues.interface import OpenOrders, Replace, SessionPhase

STEPS = 40
FAULTS: dict[str, dict[str, object]] = {
    "late_ack": {"ms": 3_000}, "slow_cancel": {"ms": 2_000}, "pending_cancel": {"ms": 1_200},
    "late_order": {"ms": 1_200}, "late_fill": {"when": "before"}, "delay": {"ms": 700, "msg_type": "8"},
    "drop": {"msg_type": "8"}, "swallow": {"msg_type": "D"}, "lost_report": {},
}  # fmt: skip


class Life:
    """One of them."""

    def __init__(self, case: Case, seed: int) -> None:
        self.case, self.random = case, random.Random(f"{case.id}/{seed}")
        self.world = World(case)
        self.desk = Desk(self.world)
        self.desk.connect()
        self.exchange = self.world.venue.exchange
        self.done: list[str] = []
        # What never arrived, and a report that the venue itself does not have any more, show in a list alone.
        replays = case.capabilities.open_orders is OpenOrders.REPLAY
        self.faults = sorted(FAULTS.keys() - ({"swallow", "lost_report"} if replays else set()))

    def step(self) -> None:
        """Something happens, and a little time passes."""
        acts = [self.place] * 5 + [self.fill] * 4 + [self.cancel] * 3 + [self.replace] * 2
        acts += [self.engine, self.cut, self.mass_cancel, self.rest_cancel] + [self.goes_wrong] * 4
        act = self.random.choice(acts)
        self.done.append(act.__name__)
        if not self.desk.connected and act in (self.place, self.cancel, self.replace):
            self.come_back()
        act()
        self.world.settle()
        self.world.run(self.random.choice((300, 700, 1_500)) * MS, 100 * MS)

    @property
    def ready(self) -> bool:
        """Whether orders may leave."""
        return self.desk.session.phase is SessionPhase.READY and not self.desk.entry.ready_reason

    def place(self) -> None:
        if self.ready:
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

    def mass_cancel(self) -> None:
        session = self.desk.session
        if self.case.capabilities.mass_cancel and self.ready:
            request_id = session.make_cl_ord_id(self.world.clock.wall_ns())
            session.mass_cancel(self.case.mass_target, request_id, *self.world.now)

    def rest_cancel(self) -> None:
        """The kill switch's, of which the session does not know."""
        if self.case.rest and (orders := self.world.working()):
            order, rest = self.random.choice(orders), self.world.rest
            now_ns = self.world.clock.wall_ns()
            request = rest.cancel_order(now_ns, self.case.instrument, order.order_id, order.cl_ord_id)
            if request is not None:
                rest.parse_cancel_order(*self.world.ask(request))

    def goes_wrong(self) -> None:
        """Something at the venue, with the next that it fits."""
        kind = self.random.choice(self.faults)
        self.world.pin(kind, **FAULTS[kind])
        self.done[-1] = kind

    def cut(self) -> None:
        if self.desk.line is not None:
            self.desk.line.cut()

    def come_back(self) -> None:
        """As a link does: again and again, for what is on the board may end the next connection, too."""
        for _ in range(8):
            self.world.run(61_000 * MS, 1_000 * MS)  # some venues keep a name for a while whose connection was cut
            if not self.desk.connected:
                self.desk.dial()
            for _ in range(300):
                self.world.run(50 * MS)
                if self.desk.recovery.done or not self.desk.connected:
                    break
            if self.desk.recovery.done:
                return
        raise AssertionError(f"{self.case.id}: not back: {self.desk.entry.ready_reason} after {self.done}")


@pytest.mark.parametrize("seed", [0, 1, 6])
@pytest.mark.parametrize("case", LIVE, ids=lambda c: c.id)
def test_whatever_happens_desk_and_venue_agree_in_the_end_and_every_fill_counts_once(case: Case, seed: int) -> None:
    life = Life(case, seed)
    for _ in range(STEPS):
        life.step()
    desk, world = life.desk, life.world
    world.run(8_000 * MS, 200 * MS)
    world.venue.faults.clear()
    life.cut()  # what was lost on a connection is found out after the next logon
    life.come_back()
    world.until(lambda: desk.agrees() == "", f"{desk.agrees()} after {life.done}", 300)
    filled = {o.order_id: o.cum for o in life.exchange.orders.values() if o.owner.account == "main" and o.cum}
    assert {o.order_id: o.cum_qty for o in desk.table if o.cum_qty} == filled
    assert sum(desk.port.fills) == sum(filled.values())
    assert [text for severity, code, text in desk.heard.alerts if severity == "critical"] == []
