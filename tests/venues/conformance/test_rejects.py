"""Refusals as the simulated venue words them, on every channel that it has: the right event, with text and reason."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from base.errors import VenueError
from ipc.events import CancelReject, ExecutionReport, MassCancelReport
from ipc.requests import ReplaceOrder
from risk.order import Order
from sim.desk import module_of
from sim.wire import Message, wrap
from tests.venues.conformance.cases import Case
from tests.venues.conformance.test_live import LIVE
from tests.venues.conformance.world import Desk, World
from venues.interface import Replace, WorkingOrder

WHY = "not on a Sunday"
TELLS = frozenset("0A1245BWXhyf")  # MsgTypes that refuse nothing, whatever their Text(58)


@pytest.fixture(params=LIVE, ids=lambda c: c.id)
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


class Bench:
    """A desk whose requests the venue refuses."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.world = World(case)
        self.desk = Desk(self.world)
        self.line = self.desk.connect()
        self.channels: set[str] = set()

    def refused(self, ask: Callable[[], object], pin: str = "") -> tuple[Message, list[Any]]:
        """Have one request refused (`pin`: by a fault with this text): what the venue sent, what the desk was told."""
        before, events = len(self.line.said), len(self.desk.heard.events)
        if pin:
            self.world.pin("reject", text=pin)
        ask()
        self.world.settle()
        (wire,) = [m for m in self.line.said[before:] if is_refusal(m)]
        self.channels.add(wire.msg_type)
        assert pin in wire.get(58)
        return wire, self.desk.heard.events[events:]

    def working(self, order: Order) -> WorkingOrder:
        return self.case.working(
            cl_ord_id=order.cl_ord_id, order_id=order.order_id, order_qty=order.order_qty, price=order.price,
            leaves_qty=order.order_qty,
        )  # fmt: skip

    def fresh_id(self) -> str:
        made: str = self.desk.session.make_cl_ord_id(self.world.clock.wall_ns())
        return made


def is_refusal(m: Message) -> bool:
    """Whether the message refuses something."""
    status = (m.get(150), m.get(39)) == ("I", "8")  # a status request is refused by a report that tells no state
    refuses = {"8": m.get(150) == "8" or status, "r": m.get(531, "0") == "0"}
    return refuses.get(m.msg_type, m.msg_type in {"3", "j", "9"} or (m.msg_type not in TELLS and m.has(58)))


def told(wire: Message, event: Any) -> None:
    """The event has the venue's words, its reason, and the channel they came by."""
    assert wire.get(58) in event.text
    assert event.text
    codes = [v for t, v in wire.fields if t in {102, 103, 373, 380, 532} or t >= 5000]
    assert event.reason_code in codes or not codes
    if not isinstance(event, MassCancelReport):
        assert event.origin == wire.msg_type


def without(tag: int) -> Callable[[bytes], bytes]:
    """A message that lacks a field."""

    def spoil(data: bytes) -> bytes:
        begin, _, *rest = data.split(b"\x01")
        kept = [part for part in rest[:-2] if not part.startswith(b"%d=" % tag)]
        return wrap(begin[2:].decode(), b"\x01".join([*kept, b""]), len(data.split(b"\x01")[1]) - 2)

    return spoil


def orders_refused(bench: Bench) -> None:
    """For a reason of business, and for a field that is missing."""
    sent: list[Order] = []
    for pin, tag in ((WHY, 0), ("", 54)):
        bench.line.spoil = without(tag) if tag else None
        wire, events = bench.refused(lambda: sent.append(bench.desk.send()), pin)
        bench.line.spoil = None
        (event,) = [e for e in events if isinstance(e, ExecutionReport)]
        assert (event.cl_ord_id, event.exec_type, event.ord_status) == (sent[-1].cl_ord_id, "8", "8")
        told(wire, event)
        assert sent[-1].state == "REJECTED"


def cancels_refused(bench: Bench) -> None:
    """For a reason of business, and because there is no such order any more."""
    order = bench.desk.place()
    wire, events = bench.refused(lambda: bench.desk.entry.cancel(order), WHY)
    (event,) = [e for e in events if isinstance(e, CancelReject)]
    assert (event.cl_ord_id, event.unknown_order, order.state) == (order.cl_ord_id, False, "NEW")
    told(wire, event)
    known = bench.working(order)
    bench.desk.entry.cancel(order)
    bench.world.until(lambda: order.state == "CANCELED", "cancelled")
    ask = lambda: bench.desk.session.cancel_order(known, bench.fresh_id(), *bench.world.now)  # noqa: E731
    wire, events = bench.refused(ask)
    (event,) = [e for e in events if isinstance(e, CancelReject)]
    assert (event.cl_ord_id, event.unknown_order, order.state) == (order.cl_ord_id, True, "CANCELED")
    told(wire, event)


def replaces_refused(bench: Bench) -> None:
    """At another price, and of a smaller quantity, which some venues ask for by another message."""
    if bench.case.capabilities.replace is Replace.NONE:
        return
    order = bench.desk.place()
    price, qty = order.price, order.order_qty
    assert price is not None
    for new_price, new_qty in ((price - 10**bench.case.instrument.px_scale, qty), (price, qty // 3)):
        command = ReplaceOrder(
            "c", f"r{new_qty}-{new_price}", 0, cl_ord_id=order.cl_ord_id, order_qty=new_qty, price=new_price
        )
        wire, events = bench.refused(lambda c=command: bench.desk.entry.handle(c), WHY)  # type: ignore[misc]
        (event,) = [e for e in events if isinstance(e, CancelReject)]
        assert event.cl_ord_id == order.cl_ord_id
        assert event.response_to == (wire.get(434) or "2")
        told(wire, event)
        assert (order.state, order.price, order.order_qty) == ("NEW", price, qty)
        successors = [e for e in events if isinstance(e, ExecutionReport)]
        assert all(e.exec_type == "8" and e.cl_ord_id == event.request_id for e in successors)


def mass_cancels_refused(bench: Bench) -> None:
    if not bench.case.capabilities.mass_cancel:
        return
    order = bench.desk.place()
    target, session = bench.case.mass_target, bench.desk.session
    wire, events = bench.refused(lambda: session.mass_cancel(target, bench.fresh_id(), *bench.world.now), WHY)
    (event,) = [e for e in events if isinstance(e, MassCancelReport)]
    assert (event.response, order.state) == ("0", "NEW")
    told(wire, event)


def questions_refused(bench: Bench) -> None:
    """A refused status request says nothing of its order, and people are told."""
    if not bench.case.capabilities.session_status:
        return
    order = bench.desk.place()
    alerts = len(bench.desk.heard.alerts)
    wire, events = bench.refused(lambda: bench.desk.entry.ask_status(order), WHY)
    assert [e for e in events if isinstance(e, ExecutionReport)] == []
    assert (order.state, wire.get(58) in str(bench.desk.heard.alerts[alerts:])) == ("NEW", True)


def test_every_refusal_on_every_channel_is_the_right_event_with_text_and_reason(case: Case) -> None:
    bench = Bench(case)
    for refuse in (orders_refused, cancels_refused, replaces_refused, mass_cancels_refused, questions_refused):
        refuse(bench)
    assert bench.channels == case.channels, "Case.channels: what was seen, and what is declared"
    assert bench.desk.agrees() == ""
    assert bench.line.open


def texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, dict):
        for part in value.values():
            yield from texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from texts(part)
    elif isinstance(value, str):
        yield value


def test_a_refusal_over_rest_says_what_the_venue_said(case: Case) -> None:
    world = World(case)
    make = module_of(case.name).new_secret
    stranger = world.rest_of(make("rest_key"), make("rest_secret"), make("rest_passphrase"))
    now = world.clock.wall_ns()
    calls: list[tuple[Any, Callable[[int, bytes], object]]] = [
        (stranger.open_orders(now), stranger.parse_open_orders), (stranger.balances(now), stranger.parse_balances),
        *((r, stranger.parse_cancel_all) for r in stranger.cancel_all(now, [case.instrument])),
    ]  # fmt: skip
    for request, parse in calls:
        if request is None:
            continue
        status, body = world.ask(request)
        with pytest.raises(VenueError) as refused:
            parse(status, body)
        said = [word for text in texts(json.loads(body)) for word in re.findall(r"\w{4,}", text)]
        assert any(word in str(refused.value) for word in said), (body, refused.value)
    desk = Desk(world)
    desk.connect()
    desk.place()
    world.pin("no_cancel", via="rest", seconds=5)
    rest = world.rest
    for request in rest.cancel_all(world.clock.wall_ns(), [case.instrument]):
        with pytest.raises(VenueError) as refused:
            rest.parse_cancel_all(*world.ask(request))
        assert case.dialect.cancel_plan(case.venue).refuses_cancels("", str(refused.value))
