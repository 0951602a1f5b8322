"""The simulated Coinbase Exchange, over real sockets: what its documentation says; and desks against it."""

import base64
import hashlib
import hmac
import time
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ipc.requests import CancelOrder, MassCancel, NewOrders
from sim import timetext
from sim.flow import Crowd
from sim.setup import Grant, RestKey, Setup
from sim.wire import Message
from tests.sim.client import Client
from tests.sim.server import Running, call
from tests.venues.conformance.cases import CASES
from tests.venues.conformance.recovery_live import AtVenue, LiveDesk
from tests.venues.conformance.test_live import Bench
from venues.coinbase_exchange.sim import default_instruments, new_secret, signature
from venues.interface import SessionPhase

pytestmark = pytest.mark.e2e

KEY, SECRET, PHRASE = (new_secret(what) for what in ("username", "password", "passphrase"))
NAMES = [("trading", "T1"), ("trading", "T2"), ("marketdata", "MD"), ("dropcopy", "DC")]
GRANTS = [Grant(kind, sender, "Coinbase", "main", 2, KEY, SECRET, sender, PHRASE) for kind, sender in NAMES]
CASE = next(c for c in CASES if c.id == "coinbase_exchange")


def make(tmp_path: Path, source: Any = None, **options: Any) -> Running:
    keys = [RestKey("main", KEY, SECRET, PHRASE)]
    setup = Setup("coinbase_exchange", default_instruments("coinbase_exchange"), GRANTS, keys, options)
    return Running("coinbase_exchange", setup, tmp_path, plain=True, source=source)


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[Running]:
    running = make(tmp_path)
    yield running
    running.stop()


class Trader(Client):
    """A session with ids and signatures of its own."""

    begin = "FIXT.1.1"

    def log_on(self, *, reset: str = "Y", secret: str = SECRET, **more: Any) -> None:
        at = timetext.date_time(self.clock.wall_ns())
        said = Message([(34, str(self.seq)), (49, self.sender), (52, at), (56, self.target)])
        fields: dict[int, Any] = {98: 0, 108: 30, 141: reset, 1137: 9, 553: KEY, 554: PHRASE, 95: 44}
        fields |= {96: signature(secret, said, PHRASE)} | {int(k[1:]): v for k, v in more.items()}
        self.at_time(at, "A", [(t, v) for t, v in fields.items() if v != ""])

    def order(self, side: int = 1, qty: str = "1", price: str = "100", **more: Any) -> str:
        cl_ord_id = str(more.pop("t11", "")) or str(uuid.uuid4())
        fields = {11: cl_ord_id, 38: qty, 40: 2, 44: price, 54: side, 55: "BTC-USD", 59: 1, 7928: "N"}
        fields |= {int(k[1:]): v for k, v in more.items()}
        self.send("D", [(t, v) for t, v in fields.items() if v != ""])
        return cl_ord_id

    def about(self, msg_type: str, order: Message, **more: Any) -> str:
        """F or G on a reported order, H under its own id."""
        request_id = order.get(11) if msg_type == "H" else str(uuid.uuid4())
        fields = {11: request_id, 37: order.get(37), 41: order.get(11), 55: "BTC-USD"}
        fields |= {int(k[1:]): v for k, v in more.items()}
        self.send(msg_type, [(t, v) for t, v in fields.items() if v != ""])
        return request_id

    def mass_cancel(self, scope: str = "6") -> str:
        request_id = str(uuid.uuid4())
        self.send("q", [(11, request_id), (530, scope), (60, timetext.date_time(self.clock.wall_ns()))])
        return request_id

    def resting(self, **more: Any) -> Message:
        return self.expect("8", t150="0", t11=self.order(**more))


def connect(venue: Running, sender: str = "T1") -> Trader:
    service = {"MD": "marketdata", "DC": "dropcopy"}.get(sender, "trading")
    return Trader(venue.endpoint(service), "", sender, "Coinbase")


def trader(venue: Running, sender: str = "T1", **more: Any) -> Trader:
    client = connect(venue, sender)
    client.log_on(**more)
    client.expect("A")
    return client


def gone(venue: Running, client: Trader) -> None:
    client.socket.close()
    seats = venue.venue.seats.values()
    venue.until(lambda: all(s.live is None for s in seats if s.grant.sender == client.sender))


# --- logon and numbers


def test_the_computed_logon_vector_is_what_is_checked() -> None:
    said = Message([(34, "1"), (49, "TESTAPIKEY"), (52, "20260127-15:55:05.552"), (56, "Coinbase")])
    secret = base64.b64encode(bytes(range(64))).decode()
    assert signature(secret, said, "TESTPASS") == "sHseXae03z054W9qNb74DOFUc2RiY01mE78c7LGSffo="


def test_the_header_is_as_the_sample_has_it_and_a_wrong_signature_is_named(venue: Running) -> None:
    client = trader(venue)
    reply = client.of("A")[0]
    assert [t for t, _ in reply.fields[:9]] == [8, 9, 35, 49, 56, 34, 50, 52, 369]
    assert (reply.get(8), reply.get(49), reply.get(1137), reply.has(554)) == ("FIXT.1.1", "Coinbase", "9", False)
    bad = connect(venue, "T2")
    bad.log_on(secret=new_secret("password"))
    assert bad.expect("3").get(373) == "8"


@pytest.mark.parametrize(
    ("more", "word"),
    [({"t1137": ""}, "1137"), ({"t108": 31}, "108"), ({"t8013": "X"}, "8013"), ({"t9406": "Y"}, "9406")],
)
def test_a_logon_that_is_not_as_documented_is_refused(venue: Running, more: dict[str, Any], word: str) -> None:
    client = connect(venue)
    client.log_on(**more)
    assert word in client.expect("5").get(58)


def test_one_connection_a_key(venue: Running) -> None:
    first, second = trader(venue), connect(venue)
    second.log_on()
    assert "one connection" in second.expect("5").get(58)
    assert first.resting().get(39) == "0"


def test_ours_begin_at_1_and_the_venue_says_where_its_own_stand(venue: Running) -> None:
    first = trader(venue)
    new = first.resting()
    last = new.seq
    gone(venue, first)
    again = connect(venue)
    again.log_on(reset="N")
    assert again.expect("A").seq == 1
    fill = again.expect("4")
    assert (fill.seq, fill.get(123), fill.get(36), fill.has(43)) == (2, "Y", str(last + 1), False)
    again.send("2", [(7, 2), (16, last)])
    assert [m.get(43) for m in (again.expect("8"),)] == ["Y"]
    assert again.received[-1].get(17) == new.get(17)
    assert again.resting().seq == last + 1
    gone(venue, again)
    fresh = trader(venue)
    assert fresh.resting().seq == 2


@pytest.mark.parametrize(("first", "last"), [(2, 0), (5, 4), (2, 1_002)])
def test_a_resend_request_needs_an_end_and_at_most_a_thousand(venue: Running, first: int, last: int) -> None:
    client = trader(venue)
    client.resting()
    client.send("2", [(7, first), (16, last)])
    assert client.expect("3").get(371) == "16"


# --- orders


def test_new_fill_fees_and_the_form_of_reports(venue: Running) -> None:
    a = trader(venue)
    new = a.resting(qty="0.5", price="100.5", t18="A")
    assert (new.get(6), new.get(18), new.get(39), new.get(151), new.has(41)) == ("0", "A", "0", "0.5", False)
    assert new.fields[[t for t, _ in new.fields].index(369) + 1][0] == 83
    Decimal(new.get(83))
    b = trader(venue, "T2")
    b.order(2, "0.2", "", t40=1, t59=3)
    own = b.expect("8", t150="4")
    assert own.get(58) == "102:Self Trade Prevention"
    b.order(2, "0.2", "100.5", t7928="O")
    assert a.expect("8", t150="4").get(58) == "102:Self Trade Prevention"


def test_self_trade_decrement_restates_the_order_that_stays(venue: Running) -> None:
    a, b = trader(venue), trader(venue, "T2")
    new = a.resting(qty="1")
    b.order(2, "0.4", "100", t7928="D")
    restated = a.expect("8", t150="D")
    assert (restated.get(11), restated.get(378)) == (new.get(11), "5")
    assert (restated.get(38), restated.get(151)) == ("0.6", "0.6")


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"t11": "not-a-uuid"}, "UUID"), ({"t55": "NO-PE"}, "symbol"), ({"t44": "100.001"}, ""),
        ({"t59": 6, "t126": "20200101-00:00:00"}, "101:Time In Force"), ({"t152": "5"}, "CashOrderQty"),
        ({"t40": "O", "t99": "90", "t3040": "80"}, "not in order"),
    ],
)  # fmt: skip
def test_an_order_that_the_engine_refuses_comes_back_rejected(venue: Running, more: dict[str, Any], text: str) -> None:
    client = trader(venue)
    cl_ord_id = client.order(**more)
    client.until(lambda: client.of("8") or client.of("3"))
    answer = client.received[-1]
    if not text:
        assert answer.msg_type == "3"
        return
    assert (answer.get(11), answer.get(150), answer.get(39)) == (cl_ord_id, "8", "8")
    assert text in answer.get(58)


def test_rejects_of_each_channel(venue: Running) -> None:
    client = trader(venue)
    client.send("D", [(11, str(uuid.uuid4())), (55, "BTC-USD"), (38, "1"), (40, 2), (59, 1)])
    assert (client.expect("3").get(371), client.received[-1].get(373)) == ("54", "1")
    client.send("AE", [(571, "x")])
    assert (client.expect("j").get(380), client.received[-1].get(372)) == ("2", "AE")
    new = client.resting()
    client.order(t11=new.get(11))
    assert "open order" in client.expect("8", t150="8").get(58)
    client.about("F", new)
    client.expect("8", t150="4")
    request_id = client.about("F", new)
    unknown = client.expect("9")
    assert (unknown.get(11), unknown.get(39), unknown.get(102), unknown.get(434)) == (request_id, "8", "1", "1")
    other = trader(venue, "T2")
    mine = client.resting()
    other.about("G", mine, t38="1", t44="99", t40=2)
    assert (other.expect("9").get(434), "session" in other.received[-1].get(58)) == ("2", True)
    client.about("H", Message([(11, str(uuid.uuid4()))]), t41="", t37="")
    assert (client.expect("8", t150="I").get(37), client.received[-1].get(103)) == ("0", "5")


def test_a_replace_keeps_the_order_and_says_which_it_was(venue: Running) -> None:
    client = trader(venue)
    new = client.resting()
    request_id = client.about("G", new, t38="0.7", t44="99", t40=2)
    done = client.expect("8", t150="5")
    assert (done.get(11), done.get(41), done.get(37)) == (request_id, new.get(11), new.get(37))
    assert (done.get(38), done.get(44), done.get(39)) == ("0.7", "99", "5")


def test_a_bracket_is_live_at_once_and_repriced_when_its_trigger_trades(venue: Running) -> None:
    a, b = trader(venue), trader(venue, "T2")
    bracket = a.resting(side=2, qty="1", price="120", t40="O", t99="90", t3040="80")
    assert bracket.get(44) == "120"
    b.resting(side=1, qty="0.1", price="89", t7928="N")
    at = AtVenueOf(venue)
    at.trade("89")
    told = a.expect("8", t150="D")
    assert (told.get(11), told.get(378), told.get(44), told.get(3040)) == (bracket.get(11), "3", "80", "80")


class AtVenueOf:
    """Things done on the venue's thread."""

    def __init__(self, venue: Running) -> None:
        self._venue = venue

    def trade(self, px: str) -> None:
        """The crowd hits the resting order at that price."""
        exchange = self._venue.venue.exchange
        order = next(o for o in exchange.working(symbol="BTC-USD") if o.price == round(float(px) * 100))
        self._venue._loop.call_soon_threadsafe(exchange.fill, order, order.leaves)


def test_an_order_by_funds_counts_them_down_and_has_no_leaves(venue: Running) -> None:
    client = trader(venue)
    client.resting(side=2, qty="1", price="100")
    taker = trader(venue, "T2")
    name = taker.order(1, "", "", t40=1, t59=3, t152="50")
    new = taker.expect("8", t11=name)
    assert (new.get(152), new.has(151), new.has(38)) == ("5E+1", False, False) or new.get(152) == "50"


# --- mass cancel, batches, disconnect


def test_a_mass_cancel_reaches_its_own_session_alone_and_is_acknowledged_first(venue: Running) -> None:
    a, b = trader(venue), trader(venue, "T2")
    mine, theirs = a.resting(), b.resting()
    request_id = a.mass_cancel()
    a.until(lambda: a.of("r") and a.received[-1].get(150) == "4")
    ack, ended = a.of("r")[0], a.received[-1]
    assert (ack.get(11), ack.get(531), ack.has(533), ended.get(11)) == (request_id, "6", False, mine.get(11))
    assert a.received.index(ack) < a.received.index(ended)
    assert [o["order_id"] for o in venue.working()] == [theirs.get(37)]
    a.mass_cancel("7")
    assert a.expect("r", t531="0").get(58)
    a.mass_cancel()
    assert a.expect("r", t531="6")  # nothing to cancel: acknowledged all the same


def test_a_batch_is_one_symbol_and_partly_refused_order_by_order(venue: Running) -> None:
    client = trader(venue)
    ids = [str(uuid.uuid4()) for _ in range(3)]
    entries = [(11, ids[0]), (38, "1"), (40, 2), (44, "99"), (54, 1), (55, "BTC-USD"), (59, 1)]
    entries += [(11, ids[1]), (38, "1"), (40, 2), (44, "0.00"), (54, 1), (55, "BTC-USD"), (59, 1)]
    client.send("U6", [(8014, str(uuid.uuid4())), (73, 2), *entries])
    new = client.expect("8", t150="0")
    assert client.expect("8", t150="8").get(11) == ids[1]
    batch = str(uuid.uuid4())
    client.send("U4", [(8014, batch), (73, 1), (11, str(uuid.uuid4())), (41, ids[2]), (55, "BTC-USD")])
    assert client.expect("U5").get(8014) == batch
    both = [(11, str(uuid.uuid4())), (37, new.get(37)), (55, "BTC-USD")]
    both += [(11, ids[2]), (41, ids[2]), (55, "BTC-USD")]
    client.send("U4", [(8014, batch), (73, 2), *both])
    assert client.expect("8", t150="4").get(37) == new.get(37)
    assert client.expect("9").get(11) == ids[2]
    client.send("U6", [(8014, batch), (73, 2), *entries[:7], *entries[:7]])
    assert client.expect("U7").get(58)


@pytest.mark.parametrize(
    ("said", "left"), [({}, {"T1", "T2"}), ({"t8013": "S"}, {"T2"}), ({"t8013": "Y"}, set())]
)  # fmt: skip
def test_a_lost_connection_cancels_what_its_logon_asked_for(
    venue: Running, said: dict[str, Any], left: set[str]
) -> None:
    other = trader(venue, "T2")
    other.resting()
    client = trader(venue, **said)
    client.resting()
    gone(venue, client)
    venue.until(lambda: {o["session"] for o in venue.working()} == left)


def test_over_the_limit_requests_are_refused_and_at_twice_of_it_the_session_ends(tmp_path: Path) -> None:
    venue = make(tmp_path, messages_per_s=5)
    try:
        client = trader(venue)
        for _ in range(12):
            client.order()
        client.until(lambda: client.of("5"))
        kinds = [m.get(150) for m in client.of("8")]
        assert kinds == ["0"] * 5 + ["8"] * 5
        assert "rate" in client.of("5")[0].get(58)
    finally:
        venue.stop()


def test_maintenance_is_a_logout_and_then_a_closed_door(venue: Running) -> None:
    client = trader(venue)
    venue.fault("maintenance", seconds=30)
    assert client.expect("5").get(58) == "server terminated"
    late = connect(venue)
    late.log_on()
    assert "not available" in late.expect("5").get(58)


def test_drop_copy_hears_the_profile_s_orders_and_takes_none(venue: Running) -> None:
    copy, client = trader(venue, "DC", t9406="Y"), trader(venue)
    new = client.resting()
    assert copy.expect("8").get(37) == new.get(37)
    copy.order()
    assert copy.expect("j").get(380) == "2"


# --- market data


def subscribe(client: Client, req: str = "r1", what: int = 1) -> None:
    client.send("V", [(262, req), (263, what), (146, 1), (55, "BTC-USD")])


def test_the_book_comes_in_pieces_then_one_entry_a_message_numbered_one_by_one(tmp_path: Path) -> None:
    venue = make(tmp_path, snapshot_entries=2)
    try:
        client, md = trader(venue), trader(venue, "MD")
        for px in ("97", "98", "99"):
            client.resting(price=px)
        subscribe(md)
        md.until(lambda: len(md.of("W")) == 2)
        first, last = md.of("W")
        assert (first.get(893), last.get(893), first.get(83)) == ("N", "Y", last.get(83))
        assert first.get(1682) == "full_trading"
        number = int(last.get(83))
        client.resting(side=2, qty="1", price="101")
        seller = trader(venue, "T2")
        seller.order(2, "0.4", "99", t7928="B", t59=3)
        md.until(lambda: len(md.of("X")) >= 3)
        assert [int(m.get(83)) for m in md.of("X")] == [number + n + 1 for n in range(len(md.of("X")))]
        assert {m.get(268) for m in md.of("X")} == {"1"}
        subscribe(md)
        assert md.expect("Y").get(281) == "1"
        md.send("V", [(262, "r2"), (263, 1), (146, 1), (55, "BTC-USD")])
        md.send("1", [(112, "done")])
        md.expect("0", t112="done")
        assert len(md.of("W")) == 2  # subscribed already: no new snapshot
    finally:
        venue.stop()


@pytest.mark.parametrize("options", [{}, {"trade_then_change": True}])
def test_a_desk_s_book_is_the_venue_s_whatever_follows_a_trade(tmp_path: Path, options: dict[str, Any]) -> None:
    bench = Bench(CASE, tmp_path, flow=True, snapshot_entries=7, **options)
    try:
        session, driver, books = bench.marketdata(3)
        driver.until(books.live, "live")
        driver.until(lambda: session.counters()["messages"] > 600, "flow")
        at, feed = AtVenue(bench), bench.running.venue.market_data.feeds[CASE.instrument.symbol]
        at.do(lambda: setattr(bench.running.server, "source", None))
        number = at.do(lambda: bench.running.venue.rpt_seq[CASE.instrument.symbol])
        driver.until(lambda: books.builder.books.last_id(0) == number, "all of it")
        mine = books.builder.books.book(0)
        for side in (0, 1):
            theirs = [(o.px, o.qty) for o in feed.book.orders(side)]
            assert [(px, qty) for px, qty, *_ in mine.orders(side)] == theirs  # in queue order
        assert (books.breaks, books.trades > 0) == ([], True)
    finally:
        bench.close()


def test_a_message_that_is_lost_is_a_gap_and_the_book_is_had_anew(tmp_path: Path) -> None:
    bench = Bench(CASE, tmp_path, flow=True)
    try:
        session, driver, books = bench.marketdata(3)
        driver.until(books.live, "live")
        bench.running.fault("md_gap", n=1)
        driver.until(lambda: not books.live(), "gap")
        books.wants.clear()
        session.refresh(0, *driver.now())
        driver.until(books.live, "live again")
    finally:
        bench.close()


def test_a_connection_lost_in_the_middle_of_a_snapshot_leaves_no_half_book(tmp_path: Path) -> None:
    bench = Bench(CASE, tmp_path, flow=True, snapshot_entries=1)
    try:
        session, driver, books = bench.marketdata(3)
        driver.until(lambda: session.counters()["messages"] > 3, "some pieces")
        half = not books.live()
        driver.close("cut")
        assert half or books.snapshots
        again = type(driver)(session, driver.heard, bench.running.endpoint("marketdata"))
        bench._drivers.append(again)
        again.ready()
        again.until(books.live, "live after all")
        assert books.breaks == []
    finally:
        bench.close()


def test_a_status_message_keeps_the_numbers_whole(tmp_path: Path) -> None:
    bench = Bench(CASE, tmp_path, flow=True)
    try:
        session, driver, books = bench.marketdata(3)
        driver.until(books.live, "live")
        symbol = CASE.instrument.symbol
        AtVenue(bench).do(lambda: bench.running.venue.market_data.tell_status(symbol, "post_only") or True)
        start = session.counters()["messages"]
        driver.until(lambda: session.counters()["messages"] > start + 50, "flow")
        assert books.breaks == []
        assert [e.status for e in driver.heard.events if hasattr(e, "status")][-1] == "POST_ONLY"
    finally:
        bench.close()


# --- REST


def ask(venue: Running, method: str, target: str, *, key: str = KEY, age_s: int = 0) -> tuple[int, Any]:
    stamp = str(int(time.time()) - age_s)
    made = hmac.new(base64.b64decode(SECRET), f"{stamp}{method}{target}".encode(), hashlib.sha256).digest()
    headers = {"CB-ACCESS-KEY": key, "CB-ACCESS-SIGN": base64.b64encode(made).decode(), "CB-ACCESS-TIMESTAMP": stamp}
    return call(venue.endpoint("rest"), method, target, "", headers | {"CB-ACCESS-PASSPHRASE": PHRASE})


def test_rest_wants_a_known_key_and_a_fresh_time(venue: Running) -> None:
    assert ask(venue, "GET", "/orders")[0] == 200
    assert ask(venue, "GET", "/orders", age_s=60)[0] == 401
    assert ask(venue, "GET", "/orders", key="other")[0] == 401
    assert ask(venue, "GET", "/nothing")[0] == 404


def test_rest_forgets_what_was_cancelled_unfilled_where_told_to(tmp_path: Path) -> None:
    venue = make(tmp_path, forgets_cancelled=True)
    try:
        client = trader(venue)
        new = client.resting()
        assert ask(venue, "GET", f"/orders/client:{new.get(11)}")[1]["id"] == new.get(37)
        assert ask(venue, "DELETE", "/orders?product_id=NO-PE") == (404, {"message": "ProductNotFound"})
        assert ask(venue, "DELETE", "/orders") == (200, [new.get(37)])
        assert ask(venue, "GET", f"/orders/{new.get(37)}")[0] == 404
    finally:
        venue.stop()


def test_rest_over_its_burst_is_told_to_wait(tmp_path: Path) -> None:
    venue = make(tmp_path, rest_burst=3)
    try:
        assert [ask(venue, "GET", "/accounts")[0] for _ in range(5)].count(429) >= 1
    finally:
        venue.stop()


# --- desks against it


def test_a_desk_s_cancels_of_one_instrument_leave_in_batches_and_prove_themselves(tmp_path: Path) -> None:
    bench = Bench(CASE, tmp_path)
    try:
        desk = LiveDesk(bench)
        desk.connect()
        orders = [desk.place() for _ in range(17)]
        before = desk.session.numbers()[0]
        assert desk.entry.handle(MassCancel("c", "m", 0, CASE.instrument.name)).accepted
        desk.until(lambda: all(o.state == "CANCELED" for o in orders), "cancelled")
        assert desk.session.numbers()[0] == before + 2
        assert bench.running.working() == []
    finally:
        bench.close()


def test_a_desk_s_orders_leave_in_batches_as_long_as_the_venue_takes(tmp_path: Path) -> None:
    bench = Bench(CASE, tmp_path)
    try:
        desk = LiveDesk(bench)
        desk.connect()
        before = desk.session.numbers()[0]
        bracket = {"ord_type": "O", "stop_px": 10_100, "options": {"stop_limit_px": "102"}}
        terms: list[dict[str, Any]] = [{}] * 16 + [bracket] + [{}] * 3
        given = tuple(CASE.order(command_id=f"o{n}", **more) for n, more in enumerate(terms))
        answers = desk.entry.handle(NewOrders("c", "all", 0, given)).answers
        orders = [desk.entry.table.find(a.cl_ord_id) for a in answers]
        desk.until(lambda: all(o is not None and o.state == "NEW" for o in orders), "acknowledged")
        assert desk.session.numbers()[0] == before + 4  # fifteen, one, the bracket by itself, three
        assert len(bench.running.working()) == 20
    finally:
        bench.close()


def test_what_happened_while_a_desk_was_away_is_resent_and_counted_once(tmp_path: Path) -> None:
    bench = Bench(CASE, tmp_path)
    try:
        desk = LiveDesk(bench)
        desk.connect()
        order = desk.place()
        desk.drop()
        lot = order.order_qty // 3
        AtVenue(bench).fill(order, lot)
        desk.connect()
        desk.until(lambda: order.cum_qty == lot, "the fill")
        assert [qty for _, qty in desk.fills(order)] == [lot]
        assert desk.session.numbers()[0] < 10
        assert desk.entry.handle(CancelOrder("c", "x", 0, order.cl_ord_id)).accepted
        desk.until(lambda: order.state == "CANCELED", "cancelled")
    finally:
        bench.close()


def test_when_the_venue_will_not_resend_the_desk_starts_afresh_and_asks_over_rest(tmp_path: Path) -> None:
    bench = Bench(CASE, tmp_path)
    try:
        desk = LiveDesk(bench)
        desk.connect()
        order = desk.place()
        desk.drop()
        AtVenue(bench).fill(order, order.order_qty)
        profile = next(s for s in bench.running.venue.seats.values() if s.grant.kind == "trading")
        AtVenue(bench).do(lambda: profile.numbers.kept.clear() or True)
        desk.connect()
        desk.until(lambda: order.state == "FILLED", "the fill, from REST")
        assert [qty for _, qty in desk.fills(order)] == [order.order_qty]
        assert desk.session.phase is SessionPhase.READY
    finally:
        bench.close()


def test_after_the_weekly_reset_a_desk_follows_the_venue_s_new_numbers(tmp_path: Path) -> None:
    bench = Bench(CASE, tmp_path)
    try:
        desk = LiveDesk(bench)
        desk.connect()
        order = desk.place()
        for _ in range(3):
            desk.place()
        bench.running.fault("rollover", seconds=0)
        assert desk.driver is not None
        desk.driver.close("the weekly reset")
        desk.recovery.lost("the weekly reset")
        desk.connect()
        desk.until(lambda: order.state == "NEW", "reconciled")
        assert desk.session.numbers()[1] < 6
        desk.place()
    finally:
        bench.close()


def test_an_order_that_ended_unfilled_and_was_forgotten_is_not_taken_to_be_open(tmp_path: Path) -> None:
    bench = Bench(CASE, tmp_path, forgets_cancelled=True)
    try:
        desk = LiveDesk(bench)
        desk.connect()
        order, other = desk.place(), desk.place()
        desk.drop()
        at = AtVenue(bench)
        at.do(lambda: at.exchange.cancel(at.order(order)))
        seat = next(s for s in bench.running.venue.seats.values() if s.grant.kind == "trading")
        at.do(lambda: seat.numbers.kept.clear() or True)
        desk.connect()
        desk.until(lambda: not order.is_open, "settled")
        assert (order.cum_qty, other.state) == (0, "NEW")
    finally:
        bench.close()


def test_a_crowd_runs_the_venue_without_a_break(tmp_path: Path) -> None:
    venue = make(tmp_path, source=lambda v: Crowd(v.exchange, 7, 400, {}))
    try:
        md = trader(venue, "MD")
        subscribe(md)
        md.until(lambda: len(md.of("X")) > 200)
        assert {m.get(269) for m in md.of("X")} == {"0", "1", "2"}
        assert any(m.get(269) in {"0", "1"} and not m.has(278) for m in md.of("X"))
        assert venue.failure is None
    finally:
        venue.stop()
