"""The simulated Crypto.com, over real sockets: what its documentation says; and desks against it."""

import dataclasses
import time
import uuid
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from fix.session_events import RejectReceived
from ipc.requests import ReplaceOrder
from sim import timetext
from sim.flow import Crowd
from sim.setup import Grant, RestKey, Setup
from sim.wire import Message
from tests.procs.sim_desk import SimDesk
from tests.sim.client import Client
from tests.sim.server import Running, call
from tests.venues.conformance.cases import CASES
from tests.venues.conformance.live import Driver
from tests.venues.conformance.recovery_live import AtVenue, LiveDesk
from tests.venues.conformance.test_live import Bench
from tests.venues.conformance.test_rejects import without
from tests.venues.conformance.world import Desk, World
from venues.crypto_com.rest import envelope
from venues.crypto_com.sim import default_instruments, new_secret, signature, symbol_for

pytestmark = pytest.mark.e2e

KEY, SECRET = new_secret("username"), new_secret("password")
NAMES = [("trading", "T1"), ("trading", "T2"), ("marketdata", "MD"), ("dropcopy", "DC")]
GRANTS = [Grant(kind, sender, "CDC", "main", 2, KEY, SECRET, sender) for kind, sender in NAMES]
CASE = next(c for c in CASES if c.id == "crypto_com")


def make(tmp_path: Path, source: Any = None, **options: Any) -> Running:
    setup = Setup("crypto_com", default_instruments("crypto_com"), GRANTS, [RestKey("main", KEY, SECRET)], options)
    return Running("crypto_com", setup, tmp_path, plain=True, source=source)


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[Running]:
    running = make(tmp_path)
    yield running
    running.stop()


class Trader(Client):
    """A session with signatures of its own."""

    kind = "trading"

    def log_on(self, *, secret: str = SECRET, **more: Any) -> None:
        nonce = str(self.clock.wall_ns() // 1_000_000)
        said = Message([(34, str(self.seq)), (553, KEY), (96, nonce)])
        fields: dict[int, Any] = {95: len(nonce), 96: nonce, 98: 0, 108: 30, 553: KEY}
        fields |= {554: signature(secret, self.kind, said)} | {int(k[1:]): v for k, v in more.items()}
        self.send("A", list(fields.items()))

    def now(self) -> str:
        return timetext.date_time(self.clock.wall_ns())

    def order(self, side: int = 1, qty: str = "1", price: str = "100", **more: Any) -> str:
        cl_ord_id = str(more.pop("t11", "")) or str(uuid.uuid4())
        fields = {11: cl_ord_id, 38: qty, 40: 2, 44: price, 54: side, 55: "BTC_USDT", 60: self.now()}
        fields |= {int(k[1:]): v for k, v in more.items()}
        self.send("D", [(t, v) for t, v in fields.items() if v != ""])
        return cl_ord_id

    def about(self, msg_type: str, order: Message, **more: Any) -> str:
        """F or G on a reported order, H under its own id."""
        request_id = order.get(11) if msg_type == "H" else str(uuid.uuid4())
        fields = {11: request_id, 37: order.get(37), 41: order.get(11), 55: "BTC_USDT"}
        fields |= {int(k[1:]): v for k, v in more.items()}
        self.send(msg_type, [(t, v) for t, v in fields.items() if v != ""])
        return request_id

    def resting(self, **more: Any) -> Message:
        return self.expect("8", t150="0", t11=self.order(**more))


def connect(venue: Running, sender: str = "T1") -> Trader:
    service = {"MD": "marketdata", "DC": "dropcopy"}.get(sender, "trading")
    client = Trader(venue.endpoint(service), "", sender, "CDC")
    client.kind = service
    return client


def trader(venue: Running, sender: str = "T1", **more: Any) -> Trader:
    client = connect(venue, sender)
    client.log_on(**more)
    client.expect("A")
    return client


def gone(venue: Running, client: Trader) -> None:
    client.socket.close()
    seats = venue.venue.seats.values()
    venue.until(lambda: all(s.live is None for s in seats if s.grant.sender == client.sender))


# --- logon


def test_the_computed_logon_vectors_are_what_is_checked() -> None:
    said = Message([(34, "1"), (553, "example_api_key"), (96, "1700000000000")])
    wanted = {
        "trading": "2e52ed1e9bce862135187d60e92e37406f77a88fc8d161119c277cfc47e29406",
        "dropcopy": "2e52ed1e9bce862135187d60e92e37406f77a88fc8d161119c277cfc47e29406",
        "marketdata": "5c6f23c04cba6f0e0fa6465169ad3bd0bb7536bcf28154a5b74a5cf4de58c039",
    }
    assert {kind: signature("example_api_secret", kind, said) for kind in wanted} == wanted


def test_a_logon_is_answered_by_its_own_fields_and_refused_where_it_is_wrong(venue: Running) -> None:
    reply = trader(venue, t6867="Y", t35002=3).of("A")[0]
    assert [t for t, _ in reply.fields[:7]] == [8, 9, 35, 34, 49, 56, 52]
    assert (reply.get(553), reply.get(6867), reply.get(35002), reply.get(95)) == (KEY, "Y", "3", "13")
    for more, words in (
        ({"secret": "other"}, "invalid user"), ({"t96": "1", "t95": "1"}, "milliseconds"), ({"t98": "1"}, "98"),
        ({"t35002": "7"}, "35002"), ({"t553": "other"}, "invalid user"),
    ):  # fmt: skip
        bad = connect(venue, "T2")
        bad.log_on(**more)
        assert words in bad.expect("5").get(58)


def test_numbers_go_on_and_what_was_missed_is_replayed(venue: Running) -> None:
    first = trader(venue)
    new = first.resting()
    gone(venue, first)
    again = connect(venue)
    again.seq = first.seq
    again.log_on()
    assert again.expect("A").seq == new.seq + 1
    again.send("2", [(7, 2), (16, 0)])
    replayed = again.expect("8", t150="0")
    assert (replayed.get(17), replayed.get(43), replayed.seq) == (new.get(17), "Y", new.seq)


# --- orders


def test_every_request_is_pending_before_it_is_done(venue: Running) -> None:
    client = trader(venue)
    cl_ord_id = client.order(qty="0.5", t18=6)
    pending, new = client.expect("8"), client.expect("8")
    assert [(m.get(150), m.get(39), m.get(11)) for m in (pending, new)] == [
        ("A", "A", cl_ord_id), ("0", "0", cl_ord_id),
    ]  # fmt: skip
    assert (new.get(18), new.has(6616), pending.has(6616), new.has(41)) == ("6", True, False, False)
    request_id = client.about("F", new)
    for kind in "64":
        told = client.expect("8")
        assert (told.get(150), told.get(39), told.get(11), told.get(41)) == (kind, kind, request_id, cl_ord_id)


def test_fills_have_fees_liquidity_and_a_match(venue: Running) -> None:
    maker, taker = trader(venue), trader(venue, "T2")
    maker.resting(qty="0.5", price="100.5")
    taker.order(2, "0.2", "", t40=1)
    made, took = maker.expect("8", t150="F"), taker.expect("8", t150="F")
    assert (made.get(851), took.get(851), made.get(880)) == ("1", "2", took.get(880))
    assert (made.get(12), made.get(2643), made.get(13)) == ("0.015075", "USDT", "3")
    assert (made.get(151), took.get(39)) == ("0.3", "2")
    taker.order(1, "", "", t40=1, t152="30")
    assert taker.expect("8", t150="4").get(39) == "4"  # nobody sells


@pytest.mark.parametrize(
    ("more", "reason", "text"),
    [
        ({"t55": "NO_PE"}, "1", "INVALID_INSTRUMENT"), ({"t44": "-1"}, "99", "INVALID_PRICE"),
        ({"t38": "0"}, "99", "INVALID_ORDERQTY"), ({"t40": "D"}, "99", "INVALID_ORDTYPE"),
        ({"t18": 6, "t59": 3}, "99", "POST_ONLY_REJ"), ({"t12362": "M"}, "99", "12362"),
        ({"t152": "5"}, "99", "CashOrderQty"),
    ],
)  # fmt: skip
def test_an_order_that_is_refused_comes_back_rejected(venue: Running, more: Any, reason: str, text: str) -> None:
    client = trader(venue)
    cl_ord_id = client.order(**more)
    answer = client.expect("8")
    assert (answer.get(11), answer.get(150), answer.get(39), answer.get(103)) == (cl_ord_id, "8", "8", reason)
    assert text in answer.get(58)


def test_rejects_of_each_channel(venue: Running) -> None:
    client = trader(venue)
    client.order(t40="")
    assert (client.expect("3").get(371), client.received[-1].get(373)) == ("40", "1")
    client.order(t38="x")
    assert client.expect("3").get(371) == "38"
    client.send("AE", [(571, "x")])
    assert (client.expect("j").get(380), client.received[-1].get(372)) == ("3", "AE")
    new = client.resting()
    client.order(t11=new.get(11))
    assert client.expect("8", t150="8").get(58) == "DUPLICATE_CLORDID"
    client.about("F", new)
    client.expect("8", t150="4")
    request_id = client.about("F", new)
    unknown = client.expect("9")
    assert (unknown.get(11), unknown.get(41), unknown.get(434)) == (request_id, new.get(11), "1")
    client.about("H", new)
    status = client.expect("8", t150="I")
    assert (status.get(39), status.get(103), status.get(911), status.get(912)) == ("8", "5", "0", "Y")


def test_an_order_that_was_long_on_its_way_is_rejected(venue: Running) -> None:
    client = trader(venue)
    at = timetext.date_time(client.clock.wall_ns() - 2_000_000_000)
    body = [(11, "late"), (38, 1), (40, 2), (44, 100), (54, 1), (55, "BTC_USDT"), (60, at), (20100, 1_000)]
    client.at_time(at, "D", body)
    assert "ReceiveWindow" in client.expect("8", t150="8").get(58)


@pytest.mark.parametrize("reach", ["account", "session"])
def test_a_mass_cancel_is_accepted_and_then_done_order_by_order(tmp_path: Path, reach: str) -> None:
    venue = make(tmp_path, mass_cancel_reach=reach)
    try:
        a, b = trader(venue), trader(venue, "T2")
        mine, theirs, other = a.resting(), b.resting(), a.resting(t55="ETH_USDT")
        a.send("q", [(11, "M1"), (530, 1), (55, "BTC_USDT")])
        accepted, pending, done = a.expect("r"), a.expect("8", t150="6"), a.expect("8", t150="4")
        assert (accepted.get(11), accepted.get(531), accepted.has(533)) == ("M1", "1", False)
        assert (pending.get(41), done.get(41), done.get(37)) == (mine.get(11), mine.get(11), mine.get(37))
        left = {other.get(37)} | ({theirs.get(37)} if reach == "session" else set())
        assert {o["order_id"] for o in venue.working()} == left
        a.send("q", [(11, "M2"), (530, 7)])
        refused = a.expect("r", t11="M2")
        assert (refused.has(531), refused.get(532)) == (False, "1")
    finally:
        venue.stop()


@pytest.mark.parametrize("amend_id", ["new", "same"])
def test_an_amended_order_is_cancelled_and_placed_anew(tmp_path: Path, amend_id: str) -> None:
    venue = make(tmp_path, amend_id=amend_id)
    try:
        client = trader(venue)
        new = client.resting()
        request_id = client.about("G", new, t38="0.5", t44="99", t60=client.now(), t55="")
        assert client.expect("8", t150="4").get(37) == new.get(37)
        pending, anew = client.expect("8", t150="A"), client.expect("8", t150="0")
        assert [(m.get(11), m.get(41)) for m in (pending, anew)] == [(request_id, new.get(11))] * 2
        assert (anew.get(38), anew.get(44), anew.get(37) == new.get(37)) == ("0.5", "99", amend_id == "same")
    finally:
        venue.stop()


@pytest.mark.parametrize(("said", "left"), [({}, 2), ({"t6867": "Y"}, 2), ({"t6867": "Y", "t35002": 3}, 1)])
def test_a_lost_connection_cancels_what_its_logon_asked_for(venue: Running, said: dict[str, Any], left: int) -> None:
    trader(venue, "T2").resting()
    client = trader(venue, **said)
    client.resting()
    gone(venue, client)
    venue.until(lambda: len(venue.working()) == left)


def test_too_many_requests_are_refused_in_words(tmp_path: Path) -> None:
    venue = make(tmp_path, requests_per_s=3)
    try:
        client = trader(venue)
        for _ in range(40):
            client.order()
        assert client.expect("8", t150="8").get(58) == "Too many requests"
    finally:
        venue.stop()


def test_maintenance_ends_order_entry_alone_and_numbers_begin_anew(venue: Running) -> None:
    client, copy = trader(venue), trader(venue, "DC")
    new = client.resting()
    venue.fault("maintenance", seconds=0)
    assert client.expect("5").get(58) == "FIX gateway maintenance"
    again = trader(venue)
    assert again.of("A")[0].seq == 1
    again.about("F", new)
    assert copy.expect("8", t150="4").get(37) == new.get(37)  # drop copy stood throughout


def test_drop_copy_hears_the_account_and_takes_nothing(venue: Running) -> None:
    copy, client = trader(venue, "DC"), trader(venue)
    new = client.resting()
    assert [copy.expect("8").get(150) for _ in range(2)] == ["A", "0"]
    copy.about("H", new)
    assert copy.expect("j").get(380) == "3"


# --- market data


def subscribe(client: Client, channel: str = "book.BTC_USDT.150", what: int = 1, **more: Any) -> None:
    kind, symbol, *depth = channel.split(".")
    book = kind == "book"
    fields = {262: channel, 263: what, 264: depth[0] if depth else 0, 265: 1, 266: "Y" if book else "N", 547: "N"}
    fields |= {int(k[1:]): v for k, v in more.items()}
    entries = [(269, e) for e in ("01" if book else "2")]
    client.send("V", [*fields.items(), (267, len(entries)), *entries, (146, 1), (55, symbol)])


def test_a_channel_names_each_update_s_predecessor(venue: Running) -> None:
    client, md = trader(venue), trader(venue, "MD")
    subscribe(md)
    empty = md.expect("W")
    assert (empty.get(269), empty.has(280), empty.get(262)) == ("J", False, "book.BTC_USDT.150")
    before = empty.get(278)
    for px in ("97", "98", "99"):
        client.resting(price=px)
        x = md.expect("X")
        assert (x.get(280), x.get(262), x.get(279)) == (before, "book.BTC_USDT.150", "0")
        before = x.get(278)
    subscribe(md)
    assert "duplicate" in md.expect("Y").get(58)
    subscribe(md, what=2)
    subscribe(md)
    assert len(md.expect("W").all(270)) == 3
    for channel, more in (
        ("book.BTC_USDT.50", {}), ("book.NO_PE.1", {}), ("book.BTC_USDT.1", {"t266": "N"}),
        ("trade.BTC_USDT", {"t264": "1"}), ("trade.BTC_USDT", {"t547": "Y"}),
    ):  # fmt: skip
        subscribe(md, channel, **more)
        assert md.expect("Y").get(262) == channel


def test_a_trade_is_a_message_of_its_own(venue: Running) -> None:
    client, md = trader(venue), trader(venue, "MD")
    subscribe(md, "trade.BTC_USDT")
    client.resting()
    trader(venue, "T2").order(2, "0.25", "100", t59=3)
    x = md.expect("X")
    assert (x.get(262), x.get(269), x.get(271), x.get(10851)) == ("trade.BTC_USDT", "2", "0.25", "2")
    assert x.get(880) == f"m{x.get(278)}"


@pytest.mark.parametrize("first", ["snapshot", "update", "update_named"])
def test_a_desk_s_book_is_the_venue_s_however_it_begins(tmp_path: Path, first: str) -> None:
    bench = Bench(CASE, tmp_path, flow=True, first_refresh=first)
    try:
        more = {"options": {"first_refresh": "update"}} if first == "update_named" else {}
        session, driver, books = bench.marketdata(depth=150, **more)
        driver.until(books.live, "live")
        driver.until(lambda: session.counters()["messages"] > 300 and books.trades, "flow")
        bench.running.fault("md_gap", n=1)
        driver.until(lambda: not books.live(), "gap")
        books.wants.clear()
        session.refresh(0, *driver.now())
        driver.until(books.live, "live again")
        driver.close("cut")  # and again on another connection
        again = Driver(session, driver.heard, bench.running.endpoint("marketdata"))
        bench._drivers.append(again)
        again.ready()
        snapshots = books.snapshots
        again.until(lambda: books.snapshots > snapshots and books.live(), "live on another connection")
        at, feed = AtVenue(bench), bench.running.venue.market_data.feeds[CASE.instrument.symbol]
        at.do(lambda: setattr(bench.running.server, "source", None))
        wanted = at.do(lambda: [feed.book.levels(side, 150) for side in (0, 1)])
        mine = books.builder.books.book(0)
        again.until(lambda: [[(px, q) for px, q, *_ in mine.side(side)] for side in (0, 1)] == wanted, "the same")
    finally:
        bench.close()


def test_the_security_list_is_read_where_its_codes_are_known(tmp_path: Path) -> None:
    bench = Bench(CASE, tmp_path, flow=True)
    try:
        codes = ["px_digits=5", "qty_digits=4", "tick_size=6", "lot_size=7", "tradable=9"]
        _, driver, books = bench.marketdata(options={"instrument_attributes": codes})
        driver.until(books.live, "live")
        (definition,) = [e for e in driver.heard.events if hasattr(e, "confirmed")]
        assert (definition.status, definition.confirmed) == ("TRADING", True)
    finally:
        bench.close()


def test_symbols_are_written_in_the_venue_s_way() -> None:
    assert [symbol_for(n) for n in ("BTC-USDT", "BTC-USD-PERP")] == ["BTC_USDT", "BTCUSD-PERP"]


# --- REST


def ask(venue: Running, name: str, *, secret: str = SECRET, age_s: int = 0, **params: str) -> tuple[int, Any]:
    nonce = int(time.time() * 1_000) - age_s * 1_000
    body = envelope(KEY, secret, f"private/{name}", 7, params, nonce)
    return call(venue.endpoint("rest"), "POST", f"/exchange/v1/private/{name}", body.decode())


def test_rest_wants_a_signature_and_a_fresh_nonce(venue: Running) -> None:
    assert ask(venue, "get-open-orders") == (
        200, {"id": 7, "method": "private/get-open-orders", "code": 0, "result": {"data": []}},
    )  # fmt: skip
    for more, status, code in (
        ({"secret": "x"}, 401, 40101), ({"age_s": 90}, 400, 40102),
    ):  # fmt: skip
        found, said = ask(venue, "user-balance", **more)  # type: ignore[arg-type]
        assert (found, said["code"]) == (status, code)
    assert ask(venue, "no-such-call")[1]["code"] == 40002
    assert ask(venue, "cancel-all-orders", instrument_name="NO_PE")[1]["code"] == 209
    assert ask(venue, "get-order-detail", order_id="404") == (
        200, {"id": 7, "method": "private/get-order-detail", "code": 40401, "message": "NOT_FOUND"},
    )  # fmt: skip


def test_rest_cancels_all_of_an_account_or_of_one_instrument(venue: Running) -> None:
    client = trader(venue)
    client.resting()
    other = client.resting(t55="ETH_USDT")
    assert ask(venue, "cancel-all-orders", instrument_name="BTC_USDT")[1]["code"] == 0
    assert [o["order_id"] for o in venue.working()] == [other.get(37)]
    assert "result" not in ask(venue, "cancel-all-orders")[1]
    assert venue.working() == []


# --- desks against it


def test_after_the_maintenance_a_desk_follows_the_venue_s_new_numbers(tmp_path: Path) -> None:
    bench = Bench(CASE, tmp_path)
    try:
        desk = LiveDesk(bench)
        desk.connect()
        orders = [desk.place() for _ in range(3)]
        bench.running.fault("maintenance", seconds=0)
        assert desk.driver is not None
        desk.driver.close("maintenance")
        desk.recovery.lost("maintenance")
        AtVenue(bench).fill(orders[0], orders[0].order_qty)
        refused = Driver(desk.session, desk.heard, bench.running.endpoint("trading"))
        refused.until(lambda: desk.heard.disconnects, "the venue's numbers are too low")
        refused.close("too low")
        desk.connect()  # with 141=Y
        desk.until(lambda: orders[0].state == "FILLED", "the fill, from REST")
        assert [o.state for o in orders[1:]] == ["NEW", "NEW"]
        desk.place()
    finally:
        bench.close()


@pytest.mark.parametrize("amend_id", ["new", "same"])
def test_a_desk_that_amends_has_the_new_order_alone(tmp_path: Path, amend_id: str) -> None:
    bench = Bench(CASE, tmp_path, amend_id=amend_id)
    try:
        desk = LiveDesk(bench, options={"amend": "cancel_new"})
        desk.entry.capabilities = CASE.dialect.capabilities(replace(CASE.venue, options={"amend": "cancel_new"}))
        desk.connect()
        order = desk.place()
        price = (order.price or 0) - 100
        answer = desk.entry.handle(ReplaceOrder("c", "r", 0, order.cl_ord_id, order.order_qty, price))
        assert answer.accepted, answer.reason
        desk.until(lambda: order.state == "CANCELED", "the old one's end")
        (left,) = desk.table.open()
        desk.until(lambda: left.state == "NEW", "the new one")
        assert (left.price, [o["cl_ord_id"] for o in bench.running.working()]) == (price, [left.cl_ord_id])
    finally:
        bench.close()


@pytest.mark.parametrize("taken", [False, True])
def test_an_order_that_met_a_session_reject_is_asked_for_until_its_fate_is_known(taken: bool) -> None:
    case = dataclasses.replace(CASE, options={"quiet_after_logon_ms": 0})
    world = World(case)
    desk = Desk(world)
    line = desk.connect()
    line.spoil = None if taken else without(54)
    order = desk.send()
    if taken:  # the venue says that a Reject does not prove that the message was not processed
        desk.session._rejected(RejectReceived(desk.session.numbers()[0] - 1, "D", -1, 5, "no", b""))
    world.until(lambda: order.state == ("NEW" if taken else "REJECTED"), "settled")
    assert bool(world.working()) is taken
    assert any("does not prove" in text for text in [*desk.alerts, *(a[2] for a in desk.heard.alerts)])


@pytest.mark.timeout(180)
def test_a_kill_with_real_processes_cancels_symbol_by_symbol_and_over_rest_and_is_proven() -> None:
    desk = SimDesk("crypto_com", own=True, session='on_stop = "keep"')
    try:
        desk.start()
        desk.place_working(4)
        desk.trip()
        trip = desk.proven()
        assert (trip["orders"], trip["proven"], trip["unproven"], desk.working()) == (4, 4, [], set())
        desk.reset()
        desk.place_working(4)
        desk.kill("trd")
        desk.wait(lambda: desk.working() == set(), "reached without its owner")
        assert desk.proven()["unproven"] == []
    finally:
        desk.close()


def test_a_crowd_runs_the_venue_without_a_break(tmp_path: Path) -> None:
    venue = make(tmp_path, source=lambda v: Crowd(v.exchange, 7, 400, {}))
    try:
        md = trader(venue, "MD")
        subscribe(md, "book.BTC_USDT.1")
        md.until(lambda: len(md.of("X")) > 50)
        chain = [md.of("W")[0], *md.of("X")]
        assert all(b.get(280) == a.get(278) for a, b in pairwise(chain))
        assert venue.failure is None
    finally:
        venue.stop()
