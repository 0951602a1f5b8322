"""The simulated Gemini from its own side, without sockets: what its documentation says, test by test."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from base.clock import ManualClock
from base.errors import ConfigError
from base.http import Request
from sim.setup import Grant, RestKey, Setup
from sim.timetext import date_time
from sim.wire import Field, Framer, Message, encode
from tests.procs.sim_desk import SimDesk
from venues.gemini.sim import NO_RESEND, THROTTLED, default_instruments, make, symbol_for

NAMES = [("trading", "OE1"), ("trading", "OE2"), ("trading", "X1"), ("marketdata", "MD1"), ("dropcopy", "DC1")]
KEY = RestKey("main", "account-K", "S")


class World:
    """A venue and its clock."""

    def __init__(self, **options: Any) -> None:
        self.clock = ManualClock()
        grants = [Grant(kind, name, "GEMINI", "other" if name == "X1" else "main") for kind, name in NAMES]
        self.venue = make(Setup("gemini", default_instruments("gemini"), grants, [KEY], options), self.clock)
        self._nonce = 0

    def connect(self, sender: str = "OE1", **logon: Any) -> "Peer":
        peer = Peer(self, sender)
        peer.log_on(**logon)
        return peer

    def rest(
        self, path: str, *, nonce: int = 0, secret: str = "S", body: bytes = b"", **fields: Any
    ) -> tuple[int, Any]:
        self._nonce += 1
        said = {"request": path, "nonce": nonce or self._nonce, **fields}
        payload = base64.b64encode(json.dumps(said).encode())
        signature = hmac.new(secret.encode(), payload, hashlib.sha384).hexdigest()
        headers = {
            "x-gemini-apikey": "account-K",
            "x-gemini-payload": payload.decode(),
            "x-gemini-signature": signature,
        }
        answer = self.venue.rest(Request("POST", path, tuple(headers.items()), body))
        return answer.status, json.loads(answer.body)


class Peer:
    """One connection, by hand."""

    def __init__(self, world: World, sender: str, seq: int = 1) -> None:
        self.world, self.sender, self.seq, self.closed = world, sender, seq, False
        self._framer = Framer()
        self.link = world.venue.open_link("any", self._framer_in, self._close)
        self.heard: list[Message] = []

    def _framer_in(self, data: bytes) -> None:
        self.heard += [m for m in self._framer.feed(data) if isinstance(m, Message)]

    def _close(self) -> None:
        self.closed = True

    def log_on(self, **more: Any) -> None:
        self.send("A", **{"t98": 0, "t108": 30, **more})

    def send(self, msg_type: str, body: list[Field] | None = None, **fields: Any) -> None:
        now = date_time(self.world.clock.wall_ns())
        head = [(35, msg_type), (34, str(self.seq)), (49, self.sender), (52, now), (56, "GEMINI")]
        said = [(int(k[1:]), str(v)) for k, v in fields.items()]
        self.seq += 1
        self.link.received(encode("FIX.4.4", head, [*said, *(body or [])]))

    def order(self, name: str, side: int = 1, qty: str = "1", px: str = "100", **more: Any) -> None:
        fields = {"t11": name, "t38": qty, "t40": 2, "t44": px, "t54": side, "t55": "BTCUSD", "t59": 1, "t60": "x"}
        self.send("D", **{k: v for k, v in (fields | more).items() if v is not None})

    def cancel(self, name: str, request: str = "C1") -> None:
        self.send("F", t11=request, t41=name, t54=1, t55="BTCUSD", t60="x")

    def take(self, *kinds: str) -> list[Message]:
        heard, self.heard = self.heard, []
        return [m for m in heard if m.msg_type in kinds]

    def one(self, kind: str) -> Message:
        (found,) = self.take(kind)
        return found

    def drop(self) -> None:
        self.world.venue.lost(self.link)


@pytest.fixture
def world() -> World:
    return World()


# --- session


@pytest.mark.parametrize("logon", [{"t108": 20}, {"t98": 1}, {"t9001": "x"}])
def test_a_logon_that_is_not_right_is_closed_without_a_word(world: World, logon: dict[str, Any]) -> None:
    peer = world.connect(**logon)
    assert (peer.closed, peer.heard) == (True, [])
    stranger = world.connect("NOBODY")
    assert (stranger.closed, stranger.heard) == (True, [])


def test_numbers_that_match_are_answered_by_a_heartbeat_and_low_ones_by_nothing(world: World) -> None:
    first = world.connect()
    assert [m.msg_type for m in first.heard] == ["A", "0"]
    first.drop()
    low = world.connect()
    assert (low.closed, low.heard) == (True, [])
    afresh = world.connect(t141="Y")
    assert [(m.msg_type, m.seq) for m in afresh.heard] == [("A", 1)]


def test_what_a_session_missed_is_replayed_or_cannot_be_as_the_option_says() -> None:
    for option, answer in (("replay", "8"), ("unable", "j")):
        world = World(resend=option)
        maker = world.connect()
        maker.order("A1")
        new = maker.one("8")
        maker.drop()
        world.connect("X1").order("B1", side=2)
        again = Peer(world, "OE1", maker.seq)
        again.log_on()
        assert again.one("A").seq == new.seq + 2
        again.send("2", t7=new.seq + 1, t16=0)
        said = again.take(answer)[0]
        if option == "replay":
            assert (said.get(43), said.get(150), said.seq) == ("Y", "F", new.seq + 1)
        else:
            assert (said.get(58), said.get(380)) == (NO_RESEND, "0")


def test_market_data_answers_a_resend_request_with_a_gap_fill(world: World) -> None:
    reader = world.connect("MD1", t141="Y")
    reader.send("V", t262="r", t263=1, t264=0, t146=1, t55="BTCUSD", t267=2, t269=0, body=[(269, "1")])
    reader.take()
    reader.send("2", t7=1, t16=0)
    assert (reader.one("4").get(123), reader.closed) == ("Y", False)


def test_a_sequence_reset_in_reset_mode_is_rejected(world: World) -> None:
    peer = world.connect()
    peer.send("4", t36=50)
    assert "not supported" in peer.one("3").get(58)
    peer.order("A1")
    assert peer.one("8").get(150) == "0"


@pytest.mark.parametrize(("asked", "left"), [("Y", []), ("N", ["A1"]), (None, ["A1"])])
def test_a_lost_connection_cancels_where_the_logon_asked_for_it(
    world: World, asked: str | None, left: list[str]
) -> None:
    peer = world.connect(**({"t9001": asked} if asked else {}))
    peer.order("A1")
    peer.drop()
    assert [o.cl_ord_id for o in world.venue.exchange.working()] == left


# --- orders


def test_an_order_is_acknowledged_filled_and_told_to_drop_copy_by_one_id(world: World) -> None:
    copy, maker, taker = world.connect("DC1"), world.connect(), world.connect("X1")
    maker.order("A1", qty="2")
    new = maker.one("8")
    assert [new.get(t) for t in (11, 14, 38, 39, 44, 55, 59, 150, 151)] == [
        "A1", "0", "2", "0", "100", "BTCUSD", "1", "0", "2",
    ]  # fmt: skip
    assert copy.take("8", "AE") == []  # drop copy has trades alone
    taker.order("B1", side=2, qty="0.5", px="99")
    fill = maker.one("8")
    assert [fill.get(t) for t in (12, 13, 14, 31, 32, 39, 150, 151, 479, 851)] == [
        "0.050000", "3", "0.5", "100", "0.5", "1", "F", "1.5", "USD", "1",
    ]  # fmt: skip
    tags = [t for t, _ in fill.fields if t not in (8, 9, 35, 34, 49, 52, 56, 10)]
    assert tags == sorted(tags)
    told = copy.one("AE")
    assert [told.get(t) for t in (571, 570, 552, 37, 11, 448, 58)] == [
        fill.get(17), "N", "1", fill.get(37), "A1", "OE1", "MAKER",
    ]  # fmt: skip
    maker.cancel("A1")
    ended = maker.one("8")
    assert [ended.get(t) for t in (11, 41, 39, 150, 58, 151)] == ["C1", "A1", "4", "4", "REQUESTED", "0"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [({"t18": 6, "px": "101"}, "MAKER_OR_CANCEL_WOULD_TAKE"), ({"t59": 3}, "IMMEDIATE_OR_CANCEL_WOULD_POST"),
     ({"t59": 4, "px": "101", "qty": "5"}, "FILL_OR_KILL_WOULD_NOT_FILL")],
    ids=["maker", "ioc", "fok"],
)  # fmt: skip
def test_the_venue_cancels_with_its_reason(world: World, changes: dict[str, Any], text: str) -> None:
    world.connect("X1").order("B1", side=2, px="101")
    peer = world.connect()
    peer.order("A1", **changes)
    new, ended = peer.take("8")
    assert (new.get(150), ended.get(150), ended.get(39), ended.get(58), ended.has(41)) == ("0", "4", "4", text, False)


def test_a_market_buy_spends_an_amount_and_a_market_sell_has_a_quantity(world: World) -> None:
    other, peer = world.connect("X1"), world.connect()
    other.order("B1", side=2)
    peer.order("A1", qty=None, px=None, t38=None, t44=None, t59=None, t40=1, t152="50")
    fill = peer.take("8")[-1]
    assert (fill.get(32), fill.get(152), fill.has(38), fill.get(39)) == ("0.5", "50", False, "2")
    other.order("B2", px="99")
    peer.order("A2", side=2, t44=None, t59=None, t40=1)
    assert peer.take("8")[-1].get(39) == "2"


def test_a_stop_limit_sleeps_and_is_told_when_it_wakes(world: World) -> None:
    peer, other = world.connect(), world.connect("X1")
    peer.order("A1", px="110", t40=4, t99="105")
    assert (peer.one("8").get(99), world.venue.exchange.markets["BTCUSD"].public_levels(0)) == ("105", [])
    other.order("B1", side=2, px="106")
    world.connect("OE2").order("A2", px="106")
    woken = peer.one("8")
    assert (woken.get(150), woken.get(39), woken.get(11)) == ("0", "0", "A1")


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"t59": 6}, "3", "out of range"), ({"qty": "0.000001"}, "3", "out of range"), ({"t7777": 1}, "3", "(7777)"),
        ({"t115": "P"}, "3", "out of range"), ({"qty": "x"}, "3", "Invalid tag value"), ({"t152": 5}, "3", "out of"),
        ({"px": "100.001"}, "8", "InvalidPrice"), ({"px": "-1"}, "8", "InvalidPrice"), ({"t40": 3}, "3", "out of"),
        ({"t55": "NOPE"}, "8", "Unsupported Symbol value 'NOPE'"), ({"t40": 4}, "8", "StopPx is required"),
        ({"t40": 4, "t99": "30"}, "8", "within 50%"), ({"t40": 4, "t99": "101"}, "8", "InvalidStopPrice"),
        ({"t40": 4, "t99": "99", "t59": 3}, "8", "standard order behavior"), ({"t97": "Y"}, "j", "PossResend"),
        ({"t544": 1, "side": 2}, "8", "CashMargin <544> not supported for sell orders"),
    ],
    ids=lambda v: None if isinstance(v, str) else "-".join(v),
)  # fmt: skip
def test_each_refusal_comes_by_its_channel(world: World, changes: dict[str, Any], kind: str, text: str) -> None:
    peer = world.connect()
    peer.order("A1", **changes)
    said = peer.one(kind)
    assert text in said.get(58)
    if kind == "8":
        assert (said.get(150), said.get(39), said.get(11)) == ("8", "8", "A1")


@pytest.mark.parametrize(("reach", "again"), [("numbers", "8"), ("connection", "9")])
def test_what_a_cancel_reaches_is_an_option(reach: str, again: str) -> None:
    world = World(cancel_reach=reach)
    peer = world.connect()
    peer.order("A1")
    peer.order("A2", px="90")
    peer.drop()
    back = Peer(world, "OE1", peer.seq)
    back.log_on()
    back.take()
    back.cancel("A1")
    assert back.take("8", "9")[0].msg_type == again
    back.drop()
    afresh = world.connect(t141="Y")
    afresh.take()
    afresh.cancel("A2")
    refused = afresh.one("9")
    assert [refused.get(t) for t in (11, 37, 39, 41, 102, 434)] == ["C1", "NONE", "8", "A2", "1", "1"]


def test_a_cancel_that_comes_too_late_is_told_so_and_there_is_no_other_request(world: World) -> None:
    peer = world.connect()
    peer.order("A1")
    peer.cancel("A1")
    peer.take()
    peer.cancel("A1", "C2")
    late = peer.one("9")
    assert (late.get(102), late.get(39), late.get(37) != "NONE") == ("0", "4", True)
    for kind in ("q", "G", "H", "u", "V"):
        peer.send(kind, t11="Q")
        assert peer.one("3").get(372) == kind


def test_the_throttle_rejects_a_message_and_keeps_the_session() -> None:
    world = World(messages_per_s=3)
    peer = world.connect()
    for n in range(4):
        peer.order(f"A{n}", px=str(50 + n))
    assert peer.take("3")[0].get(58) == THROTTLED
    world.clock.advance(2_000_000_000)
    peer.order("A9")
    assert peer.one("8").get(150) == "0"
    assert not peer.closed


# --- market data


def subscribe(reader: Peer, req_id: str = "r1", **more: Any) -> None:
    fields = {"t262": req_id, "t263": 1, "t264": 0, "t146": 1, "t55": "BTCUSD", "t267": 3}
    reader.send("V", **(fields | more), body=[(269, "0"), (269, "1"), (269, "2")])


def test_a_book_begins_with_a_snapshot_and_goes_on_by_price(world: World) -> None:
    maker, reader = world.connect(), world.connect("MD1", t141="Y")
    maker.order("A1")
    subscribe(reader)
    book = reader.one("W")
    assert [(t, v) for t, v in book.fields if t in (55, 262, 268, 269, 270, 271)] == [
        (55, "BTCUSD"), (262, "r1"), (268, "1"), (269, "0"), (270, "100"), (271, "1"),
    ]  # fmt: skip
    world.connect("X1").order("B1", side=2, qty="0.25")
    rows = [(m.get(279), m.get(269), m.get(55), m.get(270), m.get(271)) for m in reader.one("X").group(268, 279)]
    assert rows == [("0", "2", "BTCUSD", "100", "0.25"), ("1", "0", "BTCUSD", "100", "0.75")]


def test_subscriptions_are_only_ever_added_and_what_is_not_possible_is_refused(world: World) -> None:
    reader = world.connect("MD1", t141="Y")
    subscribe(reader)
    subscribe(reader, "r2", t264=1)
    assert len(reader.take("W")) == 2
    for more in ({"t263": 2}, {"t264": 10}, {"t55": "NOPE"}, {}):
        subscribe(reader, "r2", **more)
        assert reader.one("Y").get(262) == "r2"
    world.connect().order("A1")
    assert sorted(m.get(262) for m in reader.take("X")) == ["r1", "r2"]
    reader.send("x", t320="I1")
    names = reader.one("y")
    assert (names.get(320), names.get(560), names.all(55)) == ("I1", "0", ["BTCUSD", "ETHUSD"])


# --- REST


def test_rest_lists_tells_and_cancels_for_the_whole_account(world: World) -> None:
    one, two = world.connect(), world.connect("OE2")
    one.order("A1")
    two.order("A2", px="90")
    world.connect("X1").order("B1", side=2, qty="0.5")
    world.clock.advance(1_000_000)
    listed = world.rest("/v1/orders")[1]
    assert [(o["client_order_id"], o["symbol"], o["executed_amount"], o["is_live"]) for o in listed] == [
        ("A1", "btcusd", "0.5", True), ("A2", "btcusd", "0", True),
    ]  # fmt: skip
    status, told = world.rest("/v1/order/status", client_order_id="A1", include_trades=True)
    fill = one.take("8")[-1]
    assert (status, [t["tid"] for t in told["trades"]]) == (200, [int(fill.get(17))])
    cancelled = world.rest("/v1/order/cancel", order_id=int(told["order_id"]))[1]
    assert (cancelled["is_cancelled"], cancelled["reason"]) == (True, "Requested")
    assert world.rest("/v1/order/cancel", order_id=int(told["order_id"]))[0] == 200
    assert world.rest("/v1/order/cancel/all")[1]["details"]["cancelRejects"] == []
    assert [(m.get(11), m.get(150)) for m in two.take("8")] == [("A2", "0"), ("A2", "4")]
    assert world.rest("/v1/orders")[1] == []
    assert world.rest("/v1/order/status", order_id=404)[1]["reason"] == "OrderNotFound"
    assert {b["currency"] for b in world.rest("/v1/balances")[1]} == {"BTC", "ETH", "USD"}


def test_every_call_is_verified(world: World) -> None:
    for changes, reason in (
        ({"secret": "x"}, "InvalidSignature"), ({"body": b"{}"}, "InvalidSignature"),
        ({"request": "/v1/x"}, "EndpointMismatch"), ({"nonce": -5}, "InvalidNonce"), ({"nonce": "9"}, "MissingNonce"),
    ):  # fmt: skip
        said: dict[str, Any] = dict(changes)
        status, answer = world.rest("/v1/orders", **said)
        assert (status, answer["result"]) == (400, "error")
        assert answer["reason"].startswith(reason)
    assert world.rest("/v1/nothing")[0] == 404
    timed = World(nonce="time")
    now = timed.clock.wall_ns() // 1_000_000_000
    assert [timed.rest("/v1/orders", nonce=n)[0] for n in (now, now, now - 60)] == [200, 200, 400]


def test_too_many_calls_a_minute_are_refused_until_the_next() -> None:
    world = World(rest_a_minute=5)
    assert [world.rest("/v1/orders")[0] for _ in range(7)] == [200] * 5 + [429] * 2
    world.clock.advance(60_000_000_000)
    assert world.rest("/v1/orders")[0] == 200


def test_options_and_symbols_are_the_venues_own() -> None:
    assert symbol_for("BTC-USD") == "BTCUSD"
    with pytest.raises(ConfigError, match="no_such"):
        World(no_such=1)


@pytest.mark.e2e
@pytest.mark.timeout(180)
def test_orders_of_a_living_and_of_a_dead_owner_are_cancelled_and_proven_with_real_processes() -> None:
    """The owner's orders outlive its connection (9001=N): REST alone reaches them when it is dead."""
    desk = SimDesk("gemini", session='on_stop = "keep"')
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
