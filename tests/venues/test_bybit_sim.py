"""The simulated Bybit, without sockets: what its documentation says, test by test."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_private_key

from base.clock import ManualClock
from base.http import Request
from sim import timetext
from sim.setup import Grant, RestKey, Setup
from sim.wire import Framer, Message, encode
from tests.procs.sim_desk import SimDesk
from venues.bybit.sim import SERVER, BybitSim, default_instruments, make, new_secret

SECOND = 1_000_000_000
SECRET = new_secret("password")
KEY = load_der_private_key(base64.b64decode(SECRET), None)
GRANTS = [
    Grant("trading", "OE1", SERVER, "main", 2, "K1", SECRET), Grant("trading", "OE2", SERVER, "main", 2, "K1", SECRET),
    Grant("dropcopy", "DC", SERVER, "main", 2, "K1", SECRET), Grant("trading", "X", SERVER, "other", 2, "K2", SECRET),
]  # fmt: skip


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def venue_of(clock: ManualClock, **options: Any) -> BybitSim:
    keys = [RestKey("main", "RK", "rs"), RestKey("other", "OK", "os")]
    return make(Setup("bybit", default_instruments("bybit"), GRANTS, keys, options), clock)


@pytest.fixture
def venue(clock: ManualClock) -> BybitSim:
    return venue_of(clock)


class Client:
    """A connection of a client, played by hand."""

    def __init__(self, venue: BybitSim, sender: str = "OE1", key: str = "K1") -> None:
        self.venue, self.sender, self.key = venue, sender, key
        self._framer = Framer()
        self._heard: list[Message] = []
        service = "dropcopy" if sender == "DC" else "trading"
        self.link = venue.open_link(service, self._take, lambda: None)
        self.seq = self.ids = 0

    def _take(self, data: bytes) -> None:
        self._heard += [m for m in self._framer.feed(data) if isinstance(m, Message)]

    def heard(self, *types: str) -> list[Message]:
        """What came since the last call, of these types or of any."""
        heard, self._heard = self._heard, []
        return [m for m in heard if not types or m.msg_type in types]

    def send(self, kind: str, fields: dict[int, Any]) -> None:
        self.seq += 1
        at = timetext.date_time(self.venue.clock.wall_ns())
        head = [(35, kind), (34, str(self.seq)), (49, self.sender), (52, at), (56, SERVER)]
        self.link.received(encode("FIX.4.4", head, [(t, str(v)) for t, v in fields.items() if v != ""]))

    def log_on(self, *, expires_ms: int = 5_000, text: str = "GET/realtime{}", **more: Any) -> "Client":
        expires = self.venue.clock.wall_ns() // 1_000_000 + expires_ms
        assert isinstance(KEY, RSAPrivateKey)
        signature = base64.b64encode(KEY.sign(text.format(expires).encode(), PKCS1v15(), SHA256())).decode()
        fields = {98: 0, 108: 30, 141: "Y", 95: len(signature), 96: signature, 553: self.key, 25036: 1, 30023: expires}
        self.send("A", fields | {int(k[1:]): v for k, v in more.items()})
        return self

    def request(self, kind: str, **fields: Any) -> str:
        """A request with what each of them needs; its ReqId."""
        self.ids += 1
        name = f"{self.sender}-{self.ids}"
        said = {30002: self.venue.clock.wall_ns() // 1_000_000, 30010: "spot", 55: "BTCUSDT", 30006: name}
        self.send(kind, said | {int(k[1:]): v for k, v in fields.items()})
        return name

    def order(self, side: int = 1, qty: str = "1", price: str = "100", **more: Any) -> str:
        fields = {"t54": side, "t40": 2, "t59": 1, "t38": qty, "t44": price, "t11": f"{self.sender}-c{self.ids}"}
        self.request("D", **fields | more)
        return str((fields | more)["t11"])

    def cut(self) -> None:
        self.venue.lost(self.link)


def client(venue: BybitSim, sender: str = "OE1", key: str = "K1", **more: Any) -> Client:
    made = Client(venue, sender, key).log_on(**more)
    (answer,) = made.heard()
    assert answer.msg_type == "A", answer.fields
    return made


def letters(messages: list[Message]) -> list[str]:
    return [f"{m.msg_type} {m.get(150)}/{m.get(39)}" for m in messages]


# --- session


def test_a_logon_is_answered_with_the_venues_own_heartbeat(venue: BybitSim) -> None:
    (answer,) = Client(venue).log_on().heard()
    assert [(t, v) for t, v in answer.fields if t in (98, 108, 141)] == [(98, "0"), (108, "10"), (141, "Y")]
    assert answer.seq == 1


@pytest.mark.parametrize(
    "more",
    [{"expires_ms": -1}, {"text": "GET/realtime0{}"}, {"t96": "AAAA"}, {"t96": "?"}, {"t553": "K9"}, {"t98": 1}],
    ids=["expired", "signature", "short", "no-base64", "key", "encryption"],
)
def test_a_logon_that_is_not_right_is_answered_by_a_logout_that_says_why(venue: BybitSim, more: Any) -> None:
    asking = Client(venue).log_on(**more)
    (answer,) = asking.heard()
    assert (answer.msg_type, bool(answer.get(58)), asking.link.closed) == ("5", True, True)


@pytest.mark.parametrize("sender", ["seventeen-letters", "a.b"])
def test_a_name_of_other_letters_is_refused(venue: BybitSim, sender: str) -> None:
    assert [m.msg_type for m in Client(venue, sender).log_on().heard()] == ["5"]


def test_a_name_has_one_connection_and_is_blocked_for_a_while_after_an_unclean_end(
    venue: BybitSim, clock: ManualClock
) -> None:
    first = client(venue)
    assert Client(venue).log_on().heard()[0].get(58) == "SenderCompID is in use"
    first.cut()
    clock.advance(29 * SECOND)
    assert [m.msg_type for m in Client(venue).log_on().heard()] == ["5"]
    client(venue, "OE2")
    clock.advance(SECOND)
    again = client(venue)
    again.send("5", {})
    again.cut()
    client(venue)


def test_a_uid_has_twenty_connections(venue: BybitSim) -> None:
    made = [Client(venue, f"N{n}").log_on() for n in range(21)]
    assert [c.heard()[0].msg_type for c in made] == ["A"] * 20 + ["5"]


def test_after_ten_seconds_of_silence_the_venue_asks_and_then_leaves(venue: BybitSim, clock: ManualClock) -> None:
    asked = client(venue)
    clock.advance(10 * SECOND + 1)
    venue.tick()
    assert "1" in [m.msg_type for m in asked.heard()]
    clock.advance(13 * SECOND)
    venue.tick()
    assert asked.link.closed


def test_a_wrong_number_is_rejected_and_nothing_is_sent_again(venue: BybitSim) -> None:
    asking = client(venue)
    asking.send("2", {7: 1, 16: 0})
    assert [(m.msg_type, m.get(380)) for m in asking.heard()] == [("j", "3")]
    asking.seq += 1
    asking.order()
    (reject,) = asking.heard()
    assert (reject.msg_type, reject.get(371), asking.link.closed) == ("3", "34", True)
    assert venue.exchange.orders == {}


# --- orders


def test_an_order_is_acknowledged_to_its_sender_and_pushed_to_every_connection_of_the_uid(venue: BybitSim) -> None:
    asking, other, copy = client(venue), client(venue, "OE2"), client(venue, "DC")
    deaf, stranger = client(venue, "OE9", t25036=2), client(venue, "X", "K2")
    name = asking.order(price="100.5")
    ack, new = asking.heard()
    assert [t for t, _ in ack.fields if t not in (8, 9, 35, 34, 49, 52, 56, 10)] == [
        30005, 30006, 30007, 30008, 30009, 11, 37, 150, 39, 58,
    ]  # fmt: skip
    assert (ack.get(150), ack.get(11), ack.get(30007), ack.get(30008)) == ("A", name, "20", "19")
    assert letters([new]) == ["8 0/0"]
    assert [new.get(t) for t in (11, 55, 54, 38, 44, 59, 151, 14)] == [
        name, "BTCUSDT", "1", "1", "100.5", "1", "1", "0",
    ]  # fmt: skip
    assert not new.has(30006)
    assert [letters(c.heard()) for c in (other, copy, deaf, stranger)] == [["8 0/0"], ["8 0/0"], [], []]


def test_the_acknowledgement_may_come_after_the_first_report(clock: ManualClock) -> None:
    asking = client(venue_of(clock, ack_last=True))
    asking.order()
    assert letters(asking.heard()) == ["8 0/0", "8 A/A"]


@pytest.mark.parametrize(
    ("more", "code"),
    [({"t55": "NOPE"}, "170121"), ({"t38": "0"}, "170136"), ({"t38": "1.0000001"}, "170137"),
     ({"t44": "-1"}, "170132"), ({"t44": "1.001"}, "170134"), ({"t59": "9"}, "170115"), ({"t40": "7"}, "10001"),
     ({"t30010": "linear"}, "10001"), ({"t30002": "1"}, "10002"), ({"t30024": "StopOrder"}, "10001"),
     ({"t30018": "x"}, "10001"), ({"t99": "5"}, "10001")],
)  # fmt: skip
def test_a_refused_order_is_named_by_its_request_alone(venue: BybitSim, more: dict[str, str], code: str) -> None:
    asking = client(venue)
    asking.order(**more)
    (refusal,) = asking.heard()
    assert letters([refusal]) == ["8 8/8"]
    assert (refusal.get(103), refusal.get(30006), refusal.has(11), refusal.has(37)) == (code, "OE1-1", False, False)


@pytest.mark.parametrize("kind", ["D", "F", "XAR", "G", "q"])
def test_a_missing_field_or_an_unknown_kind_of_message_is_refused_by_35_j(venue: BybitSim, kind: str) -> None:
    asking = client(venue)
    asking.request(kind, t55="")
    (refusal,) = asking.heard()
    assert (refusal.msg_type, refusal.get(45), refusal.get(372)) == ("j", "2", kind)
    assert refusal.get(380) == ("5" if kind in ("D", "F", "XAR") else "3")


def test_a_client_id_may_be_used_again_when_its_order_is_over(venue: BybitSim) -> None:
    asking = client(venue)
    asking.order(t11="same")
    asking.order(t11="same")
    assert asking.heard()[-1].get(103) == "170141"
    asking.request("F", t11="same")
    asking.order(t11="same")
    assert letters(asking.heard()) == ["XCA 6/6", "8 4/4", "8 A/A", "8 0/0"]


def test_an_order_needs_no_name_and_is_cancelled_by_its_order_id(venue: BybitSim) -> None:
    asking = client(venue)
    asking.order(t11="")
    ack, new = asking.heard()
    assert [m.has(11) for m in (ack, new)] == [False, False]
    asking.request("F", t37=ack.get(37))
    accepted, ended = asking.heard()
    assert (letters([accepted, ended]), accepted.get(37)) == (["XCA 6/6", "8 4/4"], ack.get(37))
    assert (ended.get(103), ended.get(30040), ended.get(151)) == ("EC_PerCancelRequest", "CancelByUser", "1")


def test_a_cancel_or_an_amendment_of_what_is_over_or_was_never_there_says_nothing_but_why(venue: BybitSim) -> None:
    asking, stranger = client(venue), client(venue, "X", "K2")
    name = asking.order()
    filled = asking.order(2, price="100")
    asking.heard()
    for kind, answer in (("F", "XCA"), ("XAR", "XAA")):
        for of, code in ((name, "170139"), (filled, "170139"), ("nobody", "170213")):
            asking.request(kind, t11=of, t38="2")
            (refusal,) = asking.heard()
            assert (refusal.msg_type, refusal.get(103), refusal.has(150), refusal.has(11)) == (
                answer, code, False, False,
            )  # fmt: skip
    stranger.request("F", t11=name)
    assert stranger.heard()[-1].get(103) == "170213"


def test_an_amendment_keeps_the_ids_and_says_new_with_the_new_terms(venue: BybitSim) -> None:
    asking = client(venue)
    name = asking.order()
    asking.order(2, "0.4", t11="taker")
    asking.heard()
    asking.request("XAR", t11=name, t38="2", t44="99")
    accepted, done = asking.heard()
    assert letters([accepted, done]) == ["XAA E/E", "8 5/0"]
    assert [done.get(t) for t in (11, 38, 44, 14, 151)] == [name, "2", "99", "0.4", "1.6"]
    for more, code in (({"t38": "2"}, "10001"), ({"t38": "0.4"}, "110064")):
        asking.request("XAR", t11=name, **more)
        assert asking.heard()[-1].get(103) == code


def test_a_sweep_is_one_report_with_all_its_fills(venue: BybitSim) -> None:
    maker, taker = client(venue, "X", "K2"), client(venue)
    maker.order(2, "1", "101", t11="m1")
    maker.order(2, "2", "102", t11="m2")
    taker.order(1, "2.5", "102")
    ack, new, fill = taker.heard()
    assert letters([ack, new, fill]) == ["8 A/A", "8 0/0", "8 F/2"]
    fills = fill.group(30050, 30051)
    assert [(f.get(30052), f.get(30053), f.get(30058), f.get(30064)) for f in fills] == [
        ("1", "101", "N", "1.5"), ("1.5", "102", "N", "0"),
    ]  # fmt: skip
    assert (fill.get(30050), fill.get(14), fill.get(6), fill.get(30038)) == ("2", "2.5", "101.6", "254.00000000")
    one, two = maker.heard("8")[-2:]
    assert letters([one, two]) == ["8 F/2", "8 F/1"]
    assert one.group(30050, 30051)[0].get(30051) != fills[0].get(30051)


@pytest.mark.parametrize("letter", ["4", "F"])
def test_a_cancel_after_fills_has_a_state_of_its_own(clock: ManualClock, letter: str) -> None:
    venue = venue_of(clock, partial_cancel=letter)
    maker, taker = client(venue, "X", "K2"), client(venue)
    maker.order(2, "1", "101")
    taker.order(1, "3", "101", t59=3)
    fill, end = taker.heard()[-2:]
    assert letters([fill, end]) == ["8 F/1", f"8 {letter}/F"]
    assert (end.get(14), end.get(151), end.get(103), end.has(30050)) == ("1", "2", "EC_NoImmediateQtyToFill", False)


def test_post_only_is_taken_in_and_cancelled_when_it_would_take(venue: BybitSim) -> None:
    maker, asking = client(venue, "X", "K2"), client(venue)
    maker.order(2, "1", "101")
    asking.order(1, "1", "101", t59="P")
    *_, end = asking.heard()
    assert (letters([end]), end.get(103)) == (["8 4/4"], "EC_PostOnlyWillTakeLiquidity")


def test_a_market_buy_is_of_quote_currency_unless_it_says_otherwise(venue: BybitSim) -> None:
    maker, asking = client(venue, "X", "K2"), client(venue)
    maker.order(2, "5", "100")
    asking.order(1, "150", "", t40=1, t59="")
    asking.order(1, "1.5", "", t40=1, t59="", t30013="baseCoin")
    assert [m.get(14) for m in asking.heard() if m.get(150) == "F"] == ["1.5", "1.5"]


def test_an_order_waits_for_its_trigger_on_the_side_where_the_market_is_not(venue: BybitSim) -> None:
    maker, asking = client(venue, "X", "K2"), client(venue)
    maker.order(2, "3", "100")
    maker.order(1, "1", "100")  # trades: the last price is 100
    stop = asking.order(1, "1", "99", t99="105", t30024="StopOrder")
    dead = asking.order(2, "1", "90", t99="95", t30024="tpslOrder", t11="dead")
    assert letters(asking.heard()) == ["8 A/A", "8 U/U"] * 2
    asking.request("F", t11=dead)
    assert asking.heard()[-1].get(103) == "170213"  # without its kind it is not found
    asking.request("F", t11=dead, t30024="tpslOrder")
    assert letters(asking.heard()) == ["XCA 6/6", "8 D/D"]
    maker.order(2, "1", "105", t11="up")
    maker.order(1, "3", "105", t11="lift")
    told = asking.heard()
    assert (letters(told), told[0].get(11)) == (["8 T/T", "8 0/0"], stop)


def test_a_create_too_many_is_refused_and_the_limits_are_apart(venue: BybitSim, clock: ManualClock) -> None:
    asking = client(venue)
    names = [asking.order(t11=f"n{n}") for n in range(21)]
    refusal = asking.heard("8")[-1]
    assert (letters([refusal]), refusal.get(103), refusal.get(30008)) == (["8 8/8"], "10006", "0")
    asking.request("F", t11=names[0])
    assert asking.heard()[0].get(30008) == "19"
    clock.advance(SECOND)
    asking.order(t11="later")
    assert letters(asking.heard()) == ["8 A/A", "8 0/0"]


def test_maintenance_ends_the_sessions_and_the_orders_stay(venue: BybitSim, clock: ManualClock) -> None:
    asking = client(venue)
    asking.order()
    venue.announce_maintenance(20)
    clock.advance(20 * SECOND)
    venue.tick()
    assert "5" in [m.msg_type for m in asking.heard()]
    asking.cut()
    assert [m.msg_type for m in Client(venue).log_on().heard()] == ["5"]
    clock.advance(2 * SECOND)
    client(venue)
    assert len(venue.exchange.working()) == 1


# --- REST


def ask(
    venue: BybitSim, method: str, target: str, body: Any = None, key: str = "RK", secret: str = "rs", **more: Any
) -> Any:
    data = json.dumps(body).encode() if body is not None else b""
    stamp = str(venue.clock.wall_ns() // 1_000_000 + more.get("off_ms", 0))
    text = f"{stamp}{key}5000".encode() + (data or target.partition("?")[2].encode())
    sign = more.get("sign") or hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()
    headers = {
        "X-BAPI-API-KEY": key, "X-BAPI-TIMESTAMP": stamp, "X-BAPI-RECV-WINDOW": "5000", "X-BAPI-SIGN": sign,
    }  # fmt: skip
    answer = venue.rest(Request(method, target, tuple(headers.items()), data))
    return json.loads(answer.body) if answer.status == 200 else answer.status


@pytest.mark.parametrize(
    ("more", "code"),
    [({}, 0), ({"key": "NO"}, 10003), ({"secret": "x"}, 10004), ({"off_ms": -5001}, 10002), ({"off_ms": 1000}, 10002)],
)
def test_a_request_is_signed_and_in_time(venue: BybitSim, more: dict[str, Any], code: int) -> None:
    assert ask(venue, "GET", "/v5/order/realtime?category=spot", **more)["retCode"] == code


def test_lists_come_in_pages_newest_first(venue: BybitSim, clock: ManualClock) -> None:
    asking = client(venue)
    for n in range(3):
        asking.order(t11=f"n{n}")
        clock.advance(SECOND)
    first = ask(venue, "GET", "/v5/order/realtime?category=spot&limit=2")["result"]
    assert [o["orderLinkId"] for o in first["list"]] == ["n2", "n1"]
    rest = ask(venue, "GET", f"/v5/order/realtime?category=spot&limit=2&cursor={first['nextPageCursor']}")["result"]
    assert [o["orderLinkId"] for o in rest["list"]] == ["n0"]
    assert ask(venue, "GET", "/v5/order/realtime?category=linear")["retCode"] == 10001


def test_everything_is_cancelled_by_kind_and_only_on_the_own_account(venue: BybitSim) -> None:
    mine, stranger = client(venue), client(venue, "X", "K2")
    mine.order(t11="a")
    mine.order(t11="b", t99="105", t30024="StopOrder")
    stranger.order(t11="c")
    asked = [
        ask(venue, "POST", "/v5/order/cancel-all", {"category": "spot", **kind})["result"]["list"]
        for kind in ({}, {}, {"orderFilter": "StopOrder"}, {"orderFilter": "OcoOrder"})
    ]
    assert [[o["orderLinkId"] for o in found] for found in asked] == [["a"], [], ["b"], []]
    assert [o.cl_ord_id for o in venue.exchange.working()] == ["c"]


def test_a_single_cancel_is_accepted_or_says_why_not(venue: BybitSim) -> None:
    asking = client(venue)
    name = asking.order()
    said = {"category": "spot", "symbol": "BTCUSDT", "orderLinkId": name}
    codes = [ask(venue, "POST", "/v5/order/cancel", said | more)["retCode"] for more in ({"symbol": "ETHUSDT"}, {}, {})]
    assert codes == [170213, 0, 170142]
    assert letters(asking.heard())[-1] == "8 4/4"


def test_what_is_over_is_found_by_name_among_the_latest(clock: ManualClock) -> None:
    venue = venue_of(clock, closed_orders=1)
    asking = client(venue)
    for n in range(2):
        asking.request("F", t11=asking.order(t11=f"n{n}"))
    found = [
        ask(venue, "GET", f"/v5/order/realtime?category=spot&orderLinkId=n{n}")["result"]["list"] for n in range(2)
    ]
    assert [[o["orderStatus"] for o in rows] for rows in found] == [[], ["Cancelled"]]


def test_trades_and_balances_say_what_reports_said(venue: BybitSim) -> None:
    maker, taker = client(venue, "X", "K2"), client(venue)
    maker.order(2, "1", "100")
    name = taker.order(1, "1", "100")
    fill = taker.heard()[-1]
    (trade,) = ask(venue, "GET", f"/v5/execution/list?category=spot&orderLinkId={name}")["result"]["list"]
    assert [trade[k] for k in ("execId", "execQty", "execPrice", "execFee")] == [
        fill.get(t) for t in (30051, 30052, 30053, 30055)
    ]
    (account,) = ask(venue, "GET", "/v5/account/wallet-balance?accountType=UNIFIED")["result"]["list"]
    held = {c["coin"]: c["walletBalance"] for c in account["coin"]}
    assert (held["BTC"], held["USDT"]) == ("1", "999899.9")


def test_too_many_requests_in_five_seconds_are_forbidden(clock: ManualClock) -> None:
    venue = venue_of(clock, rest_per_5s=2)
    answers = [ask(venue, "GET", "/v5/market/time") for _ in range(3)]
    assert [a if isinstance(a, int) else a["retCode"] for a in answers] == [0, 0, 403]
    clock.advance(5 * SECOND)
    assert ask(venue, "GET", "/v5/market/time")["retCode"] == 0


@pytest.mark.e2e
@pytest.mark.timeout(180)
def test_a_dead_owners_orders_are_cancelled_over_rest_by_kind_and_proven() -> None:
    """With real processes: the owner's name is refused when it comes back, and it has no other."""
    high = "creates_per_s = 200\ncancels_per_s = 200"
    desk = SimDesk("bybit", session="heartbeat_s = 10", sim=high)
    try:
        desk.start()
        desk.place_working(5)
        desk.kill("trd")
        desk.wait(lambda: desk.working() == set(), "reached without its owner")
        trip = desk.proven()
        assert (trip["orders"], trip["proven"], trip["unproven"]) == (5, 5, [])
    finally:
        desk.close()
