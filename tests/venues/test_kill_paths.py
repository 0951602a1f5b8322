"""The kill switch's own ways: its REST side, what it asks for and what of it is kept; its session and the calendar."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from base.clock import SystemClock
from base.config import load
from base.errors import SessionError
from base.reactor import Reactor
from ipc.gate import GateState, GateWriter, set_operator_word
from ipc.requests import NewOrder
from risk.kill_actions import RestCancelOrder
from risk.kill_plan import OwnMassCancel, RestCancelAll
from venues.interface import CancelAnswer, CancelOutcome, OpenOrder, Page, RestRequest
from venues.kill_paths import OwnSession
from venues.kill_rest import RestPath
from venues.throttle import LATE

CONFIG = """
[desk]
name = "t"
run_dir = "r"
shm_dir = "s"
environment = "test"

[venue.x]
dialect = "fix44"
options = { rest = true, messages = ["D", "F", "H"] }
instruments = [
    { name = "BTC-USD", symbol = "BTC/USD", px_scale = 1, qty_scale = 8 },
    { name = "ETH-USD", symbol = "ETH/USD", px_scale = 2, qty_scale = 8 },
]

[venue.x.rest]
address = "http://127.0.0.1:1"

[session.a]
venue = "x"
kind = "trading"
address = "127.0.0.1:1"
sender_comp_id = "a"
target_comp_id = "X"
"""


class BySymbol:
    """A venue whose cancel-all goes by symbol and is signed in its query; every answer is the body 1."""

    def cancel_all(self, wall_ns: int, instruments: Any) -> list[RestRequest]:
        return [RestRequest("DELETE", f"/open?symbol={i.symbol}&signature=abc{wall_ns}", {}) for i in instruments]

    def parse_cancel_all(self, status: int, body: bytes) -> int:
        return int(body)

    def cancel_order(self, wall_ns: int, instrument: Any, order_id: str, cl_ord_id: str) -> RestRequest:
        return RestRequest("DELETE", f"/order?symbol={instrument.symbol}&id={order_id or cl_ord_id}", {})

    def parse_cancel_order(self, status: int, body: bytes) -> CancelAnswer:
        return CancelAnswer(CancelOutcome.CANCELLED if body == b"1" else CancelOutcome.REFUSED, body.decode())

    def open_orders(self, wall_ns: int, cursor: str) -> RestRequest:
        return RestRequest("GET", "/open", {})

    def parse_open_orders(self, status: int, body: bytes) -> Page:
        fields = {"side": "1", "order_qty": "1", "cum_qty": "0", "price": "1", "status": "0", "transact_ns": 0}
        return Page(tuple(OpenOrder(order_id=s, cl_ord_id="", symbol=s, **fields) for s in ("BTC/USD", "DOGE")))  # type: ignore[arg-type]


class Wire:
    """Answers each request at once."""

    def __init__(self) -> None:
        self.asked: list[RestRequest] = []

    def ask(self, request: RestRequest, answered: Any) -> bool:
        self.asked.append(request)
        answered(200, b"1", "")
        return True


@pytest.fixture
def path(tmp_path: Path) -> Iterator[RestPath]:
    (tmp_path / "desk.toml").write_text(CONFIG)
    reactor = Reactor(SystemClock())
    notes: list[tuple[str, dict[str, object]]] = []
    found = RestPath(reactor, load(tmp_path / "desk.toml"), "x", lambda event, facts: notes.append((event, facts)))
    found._api = BySymbol()  # type: ignore[assignment]
    found._cancels = found._lists = found._each = Wire()  # type: ignore[assignment]
    found.notes = notes  # type: ignore[attr-defined]
    yield found
    reactor.close()


def test_symbols_that_only_the_venue_knows_are_cancelled_beside_the_configured_ones(path: RestPath) -> None:
    path.cancel_all(RestCancelAll("x", ("BTC-USD", "ETH-USD"), ("DOGE",)))
    asked = [r.target.partition("&")[0] for r in path._cancels.asked]  # type: ignore[attr-defined]
    assert asked == ["/open?symbol=BTC/USD", "/open?symbol=ETH/USD", "/open?symbol=DOGE"]


def test_the_audit_says_what_was_asked_for_without_the_signature(path: RestPath) -> None:
    path.cancel_all(RestCancelAll("x", ("BTC-USD", "ETH-USD")))
    facts = [facts for event, facts in path.notes if event == "answer"]  # type: ignore[attr-defined]
    assert [(f["said"], f["instrument"], f["cancels"]) for f in facts] == [
        ("DELETE /open", "BTC-USD", 1),
        ("DELETE /open", "ETH-USD", 1),
    ]
    assert "signature" not in repr(path.notes)  # type: ignore[attr-defined]


def test_a_listed_line_keeps_the_venues_symbol(path: RestPath) -> None:
    found: list[Any] = []
    path.list_orders(lambda lines, *_: found.extend(lines), found.append)
    assert [(x.instrument, x.symbol) for x in found] == [("BTC-USD", "BTC/USD"), ("", "DOGE")]


class Failing(Wire):
    """Answers nothing but errors."""

    def ask(self, request: RestRequest, answered: Any) -> bool:
        self.asked.append(request)
        answered(0, b"", "connection refused")
        return True


@pytest.mark.parametrize("forgotten", [False, True])
def test_a_cancel_all_that_failed_is_tried_again_until_no_trip_is_under_way(path: RestPath, forgotten: bool) -> None:
    path._cancels = wire = Failing()  # type: ignore[assignment]
    path.cancel_all(RestCancelAll("x", ("BTC-USD",)))
    if forgotten:
        path.forget()
    again = path._reactor.run_until(lambda: len(wire.asked) > 2, (50 if forgotten else 5_000) * 1_000_000)
    assert again is not forgotten
    assert (len(wire.asked) <= 2) is forgotten


class Slow(Wire):
    """Keeps what it is asked, as a venue does that takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Any] = []
        self.closed = 0

    def ask(self, request: RestRequest, answered: Any) -> bool:
        self.asked.append(request)
        self.waiting.append(answered)
        return True

    def close(self) -> None:
        self.closed += 1
        waiting, self.waiting = self.waiting, []
        for answered in waiting:
            answered(0, b"", "closed")


def test_a_cancel_all_that_waits_when_no_trip_is_under_way_does_not_leave_any_more(path: RestPath) -> None:
    path._cancels = wire = Slow()  # type: ignore[assignment]
    path.forget()
    assert wire.closed == 0, "a connection that nothing waits for is kept"
    path.cancel_all(RestCancelAll("x", ("BTC-USD", "ETH-USD")))
    path.forget()
    path.forget()
    assert (wire.closed, wire.waiting, len(wire.asked)) == (1, [], 2)


def one(name: str, instrument: str = "BTC-USD", symbol: str = "") -> RestCancelOrder:
    return RestCancelOrder("x", instrument, name, "", symbol)


def test_single_cancels_go_one_at_a_time_behind_a_list_and_one_of_an_order(path: RestPath) -> None:
    path._each = path._lists = wire = Slow()  # type: ignore[assignment]
    left: list[str] = []
    for name in ("1", "2", "1", "3"):
        path.cancel_order(one(name), lambda n=name: left.append(n))  # type: ignore[misc]
    path.list_orders(lambda *_: None, lambda _: None)
    assert [r.target for r in wire.asked] == ["/order?symbol=BTC/USD&id=1"]
    assert left == ["1"]
    while wire.waiting:
        wire.waiting.pop(0)(200, b"1", "")
    assert [r.target.rpartition("=")[2] for r in wire.asked] == ["1", "/open", "2", "3"]
    assert left == ["1", "2", "3"]
    kept = [(e, f["order"], f["outcome"]) for e, f in path.notes if "outcome" in f]  # type: ignore[attr-defined]
    assert kept == [("answer", n, "cancelled") for n in "123"]


def test_what_the_venue_says_is_over_is_let_alone_for_a_while_and_what_it_refuses_is_not(path: RestPath) -> None:
    path._each = wire = Slow()  # type: ignore[assignment]
    told: list[tuple[str, str, str]] = []
    path.refused = lambda *words: told.append(words)
    for name, body in (("1", b"1"), ("2", b"cancels are not taken now"), ("1", b""), ("2", b"1")):
        path.cancel_order(one(name), lambda: None)
        if wire.waiting:
            wire.waiting.pop(0)(200, body, "")
    assert [r.target.rpartition("=")[2] for r in wire.asked] == ["1", "2", "2"]
    assert told == [("x", "cancels are not taken now", "BTC-USD")]
    path.forget()
    path.cancel_order(one("1"), lambda: None)
    assert len(wire.asked) == 4, "another trip begins anew"


def test_single_cancels_that_wait_do_not_leave_once_no_trip_is_under_way(path: RestPath) -> None:
    path._each = wire = Slow()  # type: ignore[assignment]
    for name in ("1", "2", "3"):
        path.cancel_order(one(name), lambda: None)
    path.forget()
    wire.waiting.pop(0)(200, b"1", "")
    assert len(wire.asked) == 1


def test_an_order_in_what_is_not_configured_is_named_by_the_venues_symbol(path: RestPath) -> None:
    path.cancel_order(one("7", "", "DOGE"), lambda: None)
    assert [r.target for r in path._each.asked] == ["/order?symbol=DOGE&id=7"]  # type: ignore[attr-defined]


def test_a_single_cancel_that_the_limits_hold_up_is_not_said_to_be_sent(path: RestPath) -> None:
    class Late(Slow):
        def ask(self, request: RestRequest, answered: Any) -> bool:
            super().ask(request, answered)
            return False

    path._each = wire = Late()  # type: ignore[assignment]
    left: list[str] = []
    path.cancel_order(one("1"), lambda: left.append("1"))
    wire.waiting.pop(0)(0, b"", f"{LATE} (messages): try again in 5 ms")
    assert (left, path.notes) == ([], [])  # type: ignore[attr-defined]
    path.cancel_order(one("1"), lambda: left.append("1"))
    assert len(wire.asked) == 2, "it may be asked for again at once"


CLOSED = """
[[venue.x.calendar.entry]]
name = "for good, as somebody wrote"
what = "closed"
zone = "UTC"
start = 00:00:00
on = [2020-01-01]
"""


def test_a_cancel_that_waits_for_the_session_does_not_wait_for_the_calendar(tmp_path: Path) -> None:
    (tmp_path / "desk.toml").write_text(CONFIG.replace("[session.a]", f"{CLOSED}\n[session.a]\ntls = false"))
    reactor, told = Reactor(SystemClock()), list[tuple[object, ...]]()
    own = OwnSession(reactor, load(tmp_path / "desk.toml"), "a", 1, lambda *_: None, lambda *a: told.append(a))
    own.start()
    assert (own._link.connects, own.reason[:19]) == (0, "venue closed until ")
    assert not own.mass_cancel(OwnMassCancel("a", "", ""))
    assert own._link.connects == 1
    own.stop()
    own._link.close()
    reactor.close()


def test_an_order_of_a_probe_reads_the_gate_as_every_other_although_its_writer_sends_it(tmp_path: Path) -> None:
    config = CONFIG.replace("[session.a]", "[session.a]\ntls = false").replace('"s"', f'"{tmp_path / "s"}"')
    (tmp_path / "desk.toml").write_text(config)
    desk, reactor = load(tmp_path / "desk.toml"), Reactor(SystemClock())
    desk.shm_dir.mkdir()
    gate = GateWriter(desk.shm_dir / "gate", desk.shm_dir / "operator")
    own = OwnSession(reactor, desk, "a", 1, lambda *_: None, lambda *_: None)
    try:
        gate.set("desk", GateState.ARMED)
        gate.renew(reactor.clock.mono_ns(), 10_000_000_000)
        sent: list[str] = []
        own._ready = lambda: Writes(sent)  # type: ignore[assignment, return-value, method-assign]
        order = NewOrder("killswitch", "", 0, "x", "BTC-USD", "1", "2", 1, 1, strategy="certify")
        assert own.place(order) == "probe"
        set_operator_word(desk.shm_dir / "operator", "by hand", 1)
        with pytest.raises(SessionError, match="operator word"):
            own.place(order)
        gate.clear_operator()
        gate.close(["session:a"])
        with pytest.raises(SessionError, match="session:a is TRIPPING"):
            own.place(order)
        assert sent == ["probe"]
    finally:
        own._link.close()
        reactor.close()


class Writes:
    """A session that writes down what it is to place."""

    def __init__(self, sent: list[str]) -> None:
        self._sent = sent

    def make_cl_ord_id(self, _wall_ns: int) -> str:
        return "probe"

    def new_order(self, _order: object, _instrument: object, cl_ord_id: str, *_times: int) -> None:
        self._sent.append(cl_ord_id)
