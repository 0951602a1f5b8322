"""The simulated Deribit, over real sockets: what its documentation says; and desks against it."""

import contextlib
import http.client
import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from base.config import InstrumentConfig
from ipc.events import ExecutionReport
from ipc.requests import ReplaceOrder
from sim.setup import Grant, RestKey, Setup
from sim.wire import Message
from tests.sim.client import Client
from tests.sim.server import Running
from tests.venues.conformance.cases import CASES
from tests.venues.conformance.recovery_live import AtVenue, LiveDesk
from tests.venues.conformance.test_live import Bench
from venues.deribit.rest import Rest
from venues.deribit.sim import default_instruments, new_secret, password
from venues.interface import RestRequest, SessionPhase

pytestmark = pytest.mark.e2e

KEY, SECRET = (new_secret(what) for what in ("username", "password"))
GRANTS = [
    Grant("marketdata" if sender == "MD" else "trading", sender, "DERIBITSERVER", account, 2, KEY, SECRET, sender)
    for sender, account in (("T1", "main"), ("T2", "main"), ("MD", "main"), ("X1", "other"))
]
CASE = next(c for c in CASES if c.id == "deribit")
NONCE = b64encode(bytes(range(32))).decode()


def make(tmp_path: Path, **options: Any) -> Running:
    setup = Setup("deribit", default_instruments("deribit"), GRANTS, [RestKey("main", KEY, SECRET)], options)
    return Running("deribit", setup, tmp_path, plain=True)


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[Running]:
    running = make(tmp_path)
    yield running
    running.stop()


class Trader(Client):
    """A session with ids and passwords of its own."""

    count = 0

    def log_on(self, *, secret: str = SECRET, raw: str = "", **more: Any) -> None:
        raw = raw or f"{self.clock.wall_ns() // 1_000_000}.{NONCE}"
        fields: dict[int, Any] = {108: 30, 95: len(raw), 96: raw, 553: KEY, 554: password(secret, raw), 9015: "Y"}
        self.send("A", (fields | {int(k[1:]): v for k, v in more.items()}).items())

    def order(self, side: int = 1, qty: int = 3, price: str = "100", **more: Any) -> str:
        self.count += 1
        cl_ord_id = f"{self.sender}-{self.count}"
        fields = {11: cl_ord_id, 54: side, 38: qty, 44: price, 55: "BTC-PERPETUAL"}
        self.send("D", [(t, v) for t, v in (fields | {int(k[1:]): v for k, v in more.items()}).items() if v != ""])
        return str(more.get("t11", cl_ord_id))

    def about(self, msg_type: str, **more: Any) -> None:
        self.send(msg_type, {55: "BTC-PERPETUAL", **{int(k[1:]): v for k, v in more.items()}}.items())

    def resting(self, **more: Any) -> Message:
        return self.expect("8", t150="0", t41=self.order(**more))


def trader(venue: Running, sender: str = "T1", **more: Any) -> Trader:
    client = Trader(venue.endpoint("marketdata" if sender == "MD" else "trading"), "", sender, "DERIBITSERVER")
    client.log_on(**more)
    client.expect("A")
    return client


# --- session


def test_the_documented_vector_is_what_is_checked() -> None:
    wanted = "FqiQGG3/oke35tAlTTnz2e3pG0tk+UTTX1rfB750wPU="
    assert password("example_client_secret", f"1700000000000.{NONCE}") == wanted


def test_the_logon_comes_back_without_its_password_under_a_number_of_the_venue_s_choice(tmp_path: Path) -> None:
    venue = make(tmp_path, first_number=1000)
    try:
        client = trader(venue, t9001="N")
        logon = client.of("A")[0]
        assert (logon.seq, logon.get(9001), logon.get(553), logon.has(554), logon.has(141)) == (
            1000, "N", KEY, False, False,
        )  # fmt: skip
        assert client.resting().seq == 1001
    finally:
        venue.stop()


@pytest.mark.parametrize(
    ("more", "word"),
    [({"secret": "x"}, "invalid_credentials"), ({"raw": "12a.x"}, "invalid_nonce_format"), ({"t108": 0}, "heartbeat")],
)
def test_a_logon_that_is_not_as_documented_is_a_logout_with_its_reason(
    venue: Running, more: dict[str, Any], word: str
) -> None:
    client = Trader(venue.endpoint("trading"), "", "T1", "DERIBITSERVER")
    client.log_on(**more)
    assert word in client.expect("5").get(58)


def test_the_time_of_a_logon_must_rise(venue: Running) -> None:
    raw = f"2000000000000.{NONCE}"
    trader(venue, raw=raw).close()
    late = Trader(venue.endpoint("trading"), "", "T1", "DERIBITSERVER")
    late.log_on(raw=raw)
    assert "must rise" in late.expect("5").get(58)


# --- orders


def test_reports_swap_11_and_41_and_reach_every_connection_that_wants_them(venue: Running) -> None:
    a, b, quiet = trader(venue), trader(venue, "T2"), trader(venue, "MD", t9009="Y")
    new = a.resting(t18="6A", t100010="mine")
    assert new.get(11) == new.get(37) != new.get(41) == "T1-1"
    assert (new.get(38), new.get(151), new.get(18), new.get(100010), new.get(854)) == ("3", "3", "6A", "mine", "1")
    assert (b.expect("8").get(41), b.received[-1].get(58)) == ("T1-1", "notification")
    b.order(2, 1, "100")
    fill = a.expect("8", t150="F")
    assert (fill.get(32), fill.get(31), fill.get(851), fill.get(14), fill.get(41)) == ("1", "100", "1", "1", "T1-1")
    assert b.expect("8", t150="F", t41="T2-1").get(880) == fill.get(880)
    quiet.send("1", [(112, "x")])
    quiet.expect("0", t112="x")
    assert quiet.of("8") == []


def test_a_cancel_has_a_brief_answer_and_a_notification_by_either_name(venue: Running) -> None:
    client = trader(venue)
    for n, name in enumerate((41, 11, 100010)):
        new = client.resting(t100010=f"L{n}")
        named = {41: new.get(11), 11: new.get(41), 100010: f"L{n}"}[name]
        client.about("F", **{f"t{name}": named})
        brief, full = client.expect("8", t150="4"), client.expect("8", t150="4")
        assert (brief.get(41), brief.has(55), brief.get(58)) == (new.get(41), False, "success")
        assert (full.get(41), full.get(39), full.get(58)) == (new.get(41), "4", "notification")
    client.about("F", t41=new.get(41))  # our id where Deribit's is wanted
    reject = client.expect("9")
    assert (reject.get(41), reject.has(11), reject.get(434), reject.get(58)) == (
        new.get(41), False, "1", "order_not_found",
    )  # fmt: skip


def test_a_replace_keeps_every_name_and_refuses_what_is_not_its_own(venue: Running) -> None:
    client = trader(venue)
    new = client.resting()
    client.about("G", t41=new.get(11), t54=1, t38=2, t44="99")
    done = client.expect("8", t41=new.get(41))
    assert (done.get(11), done.get(150), done.get(38), done.get(44)) == (new.get(11), "I", "2", "99")
    client.about("G", t11=new.get(41), t54=2, t38=2, t44="99")
    assert (client.expect("9").get(434), client.received[-1].get(11)) == ("2", new.get(41))


def test_rejects_of_each_channel(venue: Running) -> None:
    client = trader(venue)
    client.order(t44="")
    assert (client.expect("3").get(371), client.received[-1].get(373)) == ("44", "1")
    client.order(price="100.3")
    refused = client.expect("8", t150="8")
    assert (refused.get(41), refused.has(11), refused.get(39)) == ("T1-2", False, "8")
    client.send("R", [(131, "x")])
    assert (client.expect("j").get(372), client.received[-1].get(380)) == ("R", "3")
    client.send("q", [(11, "M1"), (530, "1"), (55, "NOPE")])
    assert (client.expect("r").get(532), client.received[-1].has(531)) == ("99", False)
    client.send("q", [(11, "M2"), (530, "6")])
    assert client.expect("3").get(371) == "530"
    client.send("AF", [(584, "nobody"), (585, "1"), (55, "BTC-PERPETUAL")])
    assert (client.expect("8").get(39), client.received[-1].get(584)) == ("8", "nobody")


def test_every_type_of_mass_cancel_reaches_what_it_says_and_is_answered_with_names(venue: Running) -> None:
    client, other = trader(venue), trader(venue, "T2")

    def left(*fields: tuple[int, str]) -> tuple[str, str, set[str]]:
        for symbol, label in (("BTC-PERPETUAL", "x"), ("ETH-PERPETUAL", "y")):
            client.resting(t55=symbol, t100010=label)
        other.resting(t100010="y")
        client.send("q", [(11, "M"), *fields])
        answer = client.expect("r")
        assert answer.get(531) == answer.get(530)
        assert len(answer.all(41)) == int(answer.get(533)) == int(answer.get(534))
        return answer.get(533), answer.get(58), {o["cl_ord_id"].partition("-")[0] for o in venue.working()}

    assert left((530, "1"), (55, "BTC-PERPETUAL")) == ("2", "success", {"T1"})
    assert left((530, "7")) == ("4", "success", set())  # the one of the first round as well
    assert left((530, "10"), (100010, "y")) == ("2", "success", {"T1"})
    assert left((530, "5"), (167, "OPT")) == ("0", "success", {"T1", "T2"})
    assert left((530, "7"), (15, "ETH"))[0] == "2"
    assert left((530, "5"), (167, "FUT"))[2] == set()


def test_a_post_only_order_is_put_behind_or_refused(venue: Running) -> None:
    client, other = trader(venue), trader(venue, "T2")
    other.resting(side=2, price="100")
    assert client.resting(price="101", t18="6").get(44) == "99.5"
    client.order(price="101", t18="6A")
    assert client.expect("8", t39="4").get(58) == "post_only_reject"


def test_a_lost_connection_cancels_its_orders_where_the_logon_said_so_and_a_logout_does_too(venue: Running) -> None:
    watcher, keeps, loses = trader(venue, "MD"), trader(venue, t9001="N"), trader(venue, "T2", t9001="Y")
    keeps.resting()
    lost = loses.resting()
    loses.close()
    assert watcher.expect("8", t39="4").get(41) == lost.get(41)
    again = trader(venue, "T2", t9001="Y")
    new = again.resting()
    again.send("5")
    assert watcher.expect("8", t39="4", t41=new.get(41)).get(58) == "cancel_on_disconnect"
    assert [o["cl_ord_id"] for o in venue.working()] == ["T1-1"]


def test_requests_beyond_the_credit_are_refused_and_end_the_session(tmp_path: Path) -> None:
    venue = make(tmp_path, orders_burst=5, orders_per_s=1)
    try:
        client = trader(venue)
        for _ in range(7):
            client.order()
        client.until(lambda: client.of("5"))
        kinds = [m.get(150) for m in client.of("8")]
        assert (kinds[:5], set(kinds[5:])) == (["0"] * 5, {"8"})
        assert client.of("5")[0].get(58) == "too_many_requests"
    finally:
        venue.stop()


# --- market data, which any session may have


def test_a_book_comes_whole_with_past_trades_and_then_by_increments(venue: Running) -> None:
    client, other = trader(venue), trader(venue, "T2")
    client.resting(price="99.5")
    other.order(2, 1, "99.5")
    client.expect("8", t150="F")
    client.send("V", [(262, "b"), (263, 1), (264, 0), (265, 1), (267, 3), (269, 0), (269, 1), (269, 2),
                      (55, "BTC-PERPETUAL")])  # fmt: skip
    book = client.expect("W", t262="b")
    assert (book.all(269), book.all(271), book.all(100009)) == (["0", "2"], ["2", "1"], ["1"])
    other.resting(side=2, price="101")
    change = client.expect("X")
    assert (change.all(55), change.get(279), change.get(270), change.get(271)) == (["BTC-PERPETUAL"], "0", "101", "3")
    client.send("V", [(262, "t"), (263, 1), (264, 10), (265, 0), (267, 1), (269, 0), (269, 1), (55, "BTC-PERPETUAL")])
    client.expect("W", t262="t")
    other.resting(side=2, price="102")
    assert client.expect("W", t262="t").all(270) == ["99.5", "101", "102"]
    client.send("V", [(262, "z"), (263, 1), (264, 5), (265, 1), (267, 1), (269, 0), (55, "BTC-PERPETUAL")])
    assert client.expect("Y").get(281) == "5"
    client.send("x", [(320, "l"), (559, 0)])
    listed = client.expect("y")
    assert (listed.all(55), listed.all(231)) == (["BTC-PERPETUAL", "ETH-PERPETUAL"], ["10", "1"])


def test_a_lost_message_ends_the_connection_and_the_next_one_has_the_book_anew(tmp_path: Path) -> None:
    bench = Bench(CASE, tmp_path, flow=True, epoch_times=True)
    try:
        session, driver, books = bench.marketdata()
        driver.until(books.live, "live")
        bench.running.fault("drop", msg_type="X", n=1)
        driver.until(lambda: driver.heard.disconnects, "hole")
        driver.close("a hole")
        assert session.phase is SessionPhase.DISCONNECTED
        again = bench._drive(session, driver.heard, "marketdata")
        before = books.snapshots
        again.until(lambda: books.snapshots > before and books.live(), "anew")
        assert books.breaks == []
    finally:
        bench.close()


# --- HTTP


def test_units_over_http_are_the_contracts_of_the_reports(venue: Running) -> None:
    item = InstrumentConfig(
        name="BTC-USD-PERP", symbol="BTC-PERPETUAL", px_scale=1, qty_scale=0, contract_value="10", inverse=True
    )
    rest = Rest([item], KEY, SECRET, labelled=True)
    host, _, port = venue.endpoint("rest").rpartition(":")

    def ask(request: RestRequest) -> tuple[int, bytes]:
        with contextlib.closing(http.client.HTTPConnection(host, int(port), timeout=5)) as connection:
            connection.request(request.method, request.target, headers=dict(request.headers))
            answer = connection.getresponse()
            return answer.status, answer.read()

    client, stranger = trader(venue), trader(venue, "X1")
    client.resting(side=2, t100010="mine")
    stranger.order(1, 1, "100", t59=3)
    fill = client.expect("8", t150="F")
    now = client.clock.wall_ns
    (listed,) = rest.parse_open_orders(*ask(rest.open_orders(now()))).orders
    assert (listed.order_qty, listed.cum_qty, listed.cl_ord_id, listed.order_id) == ("3", "1", "mine", fill.get(11))
    known = CASE.working(order_id=listed.order_id)
    trades = rest.trades(now(), known, 0)
    assert trades is not None
    (trade,) = rest.parse_trades(*ask(trades)).trades
    assert (trade.qty, trade.px, trade.side, trade.liquidity) == ("1", "100", "2", "M")
    held = rest.positions(now())
    assert held is not None
    status, body = ask(held)
    assert json.loads(body)["result"][0]["size"] == -10
    assert [(p.symbol, p.qty) for p in rest.parse_positions(status, body)] == [("BTC-PERPETUAL", "-1")]
    stranger.expect("8", t150="F")
    assert {m.get(41) for m in stranger.of("8")} == {"X1-1"}  # and nothing of the other sub-account


# --- a desk against it


@pytest.mark.parametrize(
    "options", [{"acknowledges": "none", "replaces": "none"}, {"replaces": "5", "first_number": 77}]
)
def test_a_desk_s_order_lives_through_whatever_exec_types_the_venue_uses(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    bench = Bench(CASE, tmp_path, **options)
    try:
        desk, venue = LiveDesk(bench), AtVenue(bench)
        desk.connect()
        order = desk.send()
        desk.until(lambda: order.state == "NEW", "acknowledged")
        assert order.order_id
        smaller = ReplaceOrder("c", "2", 0, cl_ord_id=order.cl_ord_id, order_qty=2, price=order.price)
        assert desk.entry.handle(smaller).accepted
        desk.until(lambda: order.order_qty == 2 and not order.requests, "replaced")
        assert (order.state, order.cl_ord_id) == ("NEW", order.ids[0])
        venue.fill(order, 1)
        desk.until(lambda: order.cum_qty == 1, "filled")
        desk.entry.cancel(order)
        desk.until(lambda: order.state == "CANCELED", "cancelled")
        told = desk.heard.events
        desk.until(lambda: [e.cum_qty for e in told if isinstance(e, ExecutionReport)][-2:] == [None, 1], "notified")
        assert (order.state, order.cum_qty) == ("CANCELED", 1)
    finally:
        bench.close()
