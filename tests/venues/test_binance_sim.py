"""The simulated Binance, over real sockets: what its documentation says, test by test."""

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from sim.flow import Crowd
from sim.setup import Grant, RestKey, Setup
from sim.timetext import date_time
from sim.wire import encode
from tests.sim.client import Client
from tests.sim.server import Running, call
from venues.binance.sim import default_instruments, new_secret, private_key

KEY, SECRET = new_secret("username"), new_secret("password")
GRANTS = [
    Grant("trading", "OE1", "SPOT", "main", 2, KEY, SECRET),
    Grant("marketdata", "MD", "SPOT", "main", 2, KEY, SECRET),
    Grant("dropcopy", "DC", "SPOT", "main", 2, KEY, SECRET),
]


def make(tmp_path: Path, *, plain: bool = True, source: Any = None, **options: Any) -> Running:
    setup = Setup("binance", default_instruments("binance"), GRANTS, [RestKey("main", KEY, SECRET)], options)
    return Running("binance", setup, tmp_path, plain=plain, source=source)


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[Running]:
    running = make(tmp_path)
    yield running
    running.stop()


def sign(payload: bytes, secret: str = SECRET) -> str:
    return base64.b64encode(private_key(secret).sign(payload)).decode()


class Session(Client):
    """A client that signs its logon."""

    def log_on(self, *, secret: str = SECRET, reset: str = "Y", heartbeat: int = 30, **more: Any) -> None:
        now = date_time(self.clock.wall_ns(), 6)
        mac = sign("\x01".join(("A", self.sender, self.target, "1", now)).encode(), secret)
        head = [(35, "A"), (49, self.sender), (56, self.target), (34, "1"), (52, now)]
        body = [
            (98, "0"),
            (108, str(heartbeat)),
            (95, str(len(mac))),
            (96, mac),
            (141, reset),
            (553, KEY),
            (25035, "2"),
        ]
        body += [(int(k[1:]), str(v)) for k, v in more.items()]
        self.socket.sendall(encode("FIX.4.4", head, body))
        self.seq = 2

    def order(self, cl_ord_id: str, side: int = 1, qty: str = "1", price: str = "100", **more: Any) -> None:
        fields: list[tuple[int, Any]] = [(11, cl_ord_id), (40, more.pop("t40", 2)), (54, side)]
        fields.append((55, more.pop("t55", "BTCUSDT")))
        fields += [(38, qty)] if qty else []
        fields += [(44, price), (59, more.pop("t59", 1))] if price else []
        self.send("D", fields + [(int(k[1:]), v) for k, v in more.items()])

    def entries(self, message: Any) -> list[tuple[str, str, str, str]]:
        return [(e.get(279), e.get(269), e.get(270), e.get(271)) for e in message.group(268, 279)]


def session(venue: Running, sender: str = "OE1", service: str = "trading", **more: Any) -> Session:
    client = Session(venue.endpoint(service), venue.ca, sender, "SPOT")
    client.log_on(**more)
    client.expect("A")
    return client


def test_logon_over_tls_has_the_venues_byte_layout(tmp_path: Path) -> None:
    venue = make(tmp_path, plain=False)
    try:
        reply = session(venue).of("A")[0]
        assert [t for t, _ in reply.fields[:7]] == [8, 9, 35, 49, 56, 34, 52]
        assert (len(reply.get(9)), reply.get(49), reply.has(141), reply.has(553)) == (7, "SPOT", False, False)
        assert reply.get(25037)
    finally:
        venue.stop()


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"secret": new_secret("password")}, "-1022"),
        ({"reset": "N"}, "-1175"),
        ({"heartbeat": 4}, "-1130"),
        ({"t9406": "Y"}, "-1184"),
        ({"t1": "account"}, "-1170"),
    ],
)
def test_logons_that_are_refused(venue: Running, more: dict[str, Any], code: str) -> None:
    client = Session(venue.endpoint("trading"), "", "OE1", "SPOT")
    client.log_on(**more)
    assert client.expect("3").get(25016) == code
    client.until(lambda: client.closed)


def test_a_comp_id_in_use_or_not_logged_out_is_refused(venue: Running) -> None:
    first = session(venue, heartbeat=5)
    twin = Session(venue.endpoint("trading"), "", "OE1", "SPOT")
    twin.log_on()
    assert twin.expect("3").get(25016) == "-1033"
    first.close()
    venue.until(lambda: not venue.control("GET", "/stats")["sessions"][0]["live"])
    again = Session(venue.endpoint("trading"), "", "OE1", "SPOT")
    again.log_on()
    assert again.expect("3").get(25016) == "-1033"
    other = session(venue, "OE2")
    other.send("5")
    assert other.expect("5").get(58) == "Logout acknowledgment."
    session(venue, "OE2")


def test_orders_fill_and_everybody_of_the_account_hears(venue: Running) -> None:
    a, b, acks = session(venue), session(venue, "OE2"), session(venue, "OE3", t25036=2)
    a.order("a", 1, "0.5")
    new = a.expect("8", t150="0")
    assert (new.get(38), new.get(44), new.get(636), new.has(6)) == ("0.50000000", "100.00000000", "Y", False)
    assert b.expect("8", t150="0").get(37) == new.get(37)
    b.order("b", 2, "0.2", "100")
    assert b.expect("8", t11="b").get(150) == "0"
    fill = b.expect("8", t150="F", t11="b")
    assert (fill.get(39), fill.get(1057), fill.get(31), fill.get(25017)) == ("2", "Y", "100.00000000", "20.00000000")
    assert a.expect("8", t150="F", t11="a").get(1057) == "N"
    acks.quiet(0.1)
    acks.order("c", 1, "0.1", "50")
    assert acks.expect("8").get(11) == "c"


def test_drop_copy_is_a_second_late(venue: Running) -> None:
    dc = session(venue, "DC", "dropcopy", t9406="Y")
    began = time.monotonic()
    session(venue).order("a")
    assert dc.expect("8").get(11) == "a"
    assert time.monotonic() - began > 0.95
    dc.order("x")
    assert dc.expect("3").get(25016) == "-1183"


def test_refusals_come_where_the_documentation_says(venue: Running) -> None:
    c = session(venue)
    c.order("a", t55="NOPE")
    assert (c.expect("3").get(25016), c.received[-1].get(371)) == ("-1121", "55")
    c.order("a", t60="20260101-00:00:00")
    assert c.expect("3").get(373) == "2"
    c.order("a", price="100.001")
    assert c.expect("3").get(25016) == "-1111"
    c.order("a")
    c.expect("8", t150="0")
    c.order("a")
    twice = c.expect("8", t150="8")
    assert (twice.get(58), twice.has(17), twice.get(25016)) == ("Duplicate order sent.", False, "-2010")
    c.order("m", 2, "1", "90", t18=6, t59=1)
    assert c.expect("8", t150="8").get(58) == "Order would immediately match and take."
    c.send("F", [(11, "f"), (41, "never"), (55, "BTCUSDT")])
    assert (c.expect("9").get(25016), c.received[-1].get(434)) == ("-2011", "1")
    c.send("H", [(11, "h")])
    assert c.expect("3").get(25016) == "-1020"
    c.send("V", [(262, "v"), (263, 1)])
    assert c.expect("3").get(25016) == "-1186"


def test_a_wrong_number_is_fatal(venue: Running) -> None:
    c = session(venue)
    c.send("0", seq=9)
    assert c.expect("3").get(25016) == "-1179"
    c.until(lambda: c.closed)


def test_mass_cancel_reaches_the_account_on_one_symbol(venue: Running) -> None:
    a, b = session(venue), session(venue, "OE2")
    a.order("a")
    b.order("b")
    b.order("e", t55="ETHUSDT")
    a.expect("8", t11="e")
    a.send("q", [(11, "m"), (55, "BTCUSDT"), (530, 1)])
    report = a.expect("r")
    assert (report.get(531), report.get(533), report.get(11)) == ("1", "2", "m")
    cancels = [m for m in a.of("8") if m.get(150) == "4"]
    assert {m.get(41) for m in cancels} == {"a", "b"}
    assert {m.get(11) for m in cancels} == {"m"}
    assert [o["cl_ord_id"] for o in venue.working()] == ["e"]
    a.send("q", [(11, "m2"), (55, "BTCUSDT"), (530, 1)])
    report = a.expect("r")
    assert (report.get(531), report.get(25016)) == ("0", "-2011")


def test_cancel_replace_and_amend_keep_priority(venue: Running) -> None:
    c = session(venue)
    c.order("a")
    first = c.expect("8", t150="0").get(37)
    c.send(
        "XCN",
        [
            (25033, 1),
            (37, first),
            (25034, "k"),
            (11, "b"),
            (38, "2"),
            (40, 2),
            (44, "101"),
            (54, 1),
            (55, "BTCUSDT"),
            (59, 1),
        ],
    )
    gone = c.expect("8", t150="4")
    assert (gone.get(11), gone.get(41)) == ("k", "a")
    second = c.expect("8", t150="0", t11="b").get(37)
    c.send("XAK", [(11, "b2"), (37, second), (55, "BTCUSDT"), (38, "1.5")])
    less = c.expect("8", t150="5")
    assert (less.get(37), less.get(11), less.get(41), less.get(151)) == (second, "b2", "b", "1.50000000")
    c.send("XAK", [(11, "b3"), (37, second), (55, "BTCUSDT"), (38, "3")])
    assert c.expect("XAR").get(25016) == "-2038"
    c.send("XAK", [(11, "b4"), (37, second), (55, "BTCUSDT"), (38, "0.123456789")])
    assert c.expect("3").get(25016) == "-1111"
    c.send(
        "XCN", [(25033, 1), (41, "a"), (11, "z"), (38, "2"), (40, 2), (44, "101"), (54, 1), (55, "BTCUSDT"), (59, 1)]
    )
    c.expect("9")
    assert len(venue.working()) == 1


def test_rest_of_an_ioc_expires_with_the_reason(venue: Running) -> None:
    c = session(venue)
    c.order("a", 1, "1", "100", t59=3)
    gone = c.expect("8", t150="C")
    assert (gone.get(39), gone.get(25056)) == ("C", "5")


def test_limits_are_told_and_enforced(tmp_path: Path) -> None:
    venue = make(tmp_path, unfilled_10s=3, oe_messages_10s=20)
    try:
        c = session(venue)
        for n in range(4):
            c.order(f"o{n}")
        assert c.expect("8", t150="8").get(25016) == "-1015"
        c.send("XLQ", [(6136, "r")])
        told = c.expect("XLR")
        assert told.all(25004) == ["2", "1", "1"]
        assert (told.all(25005), told.all(25006)) == (["5", "3", "3"], ["20", "3", "200000"])
        for _ in range(20):
            c.send("XLQ", [(6136, "r")])
        c.expect("5")
        c.until(lambda: c.closed)
    finally:
        venue.stop()


def test_maintenance_counts_down_and_spares_the_new_session(venue: Running) -> None:
    old = session(venue)
    venue.fault("maintenance", seconds=1)
    assert "Please reconnect" in old.expect("B").get(148)
    new = session(venue, "OE2")
    old.expect("5")
    old.until(lambda: old.closed)
    new.order("a")
    new.expect("8", t150="0")
    session(venue)  # logged out by the venue: the comp id is free


def crowd(venue: Any) -> Crowd:
    return Crowd(venue.exchange, 3, 300, {})


def test_depth_ids_are_contiguous_and_the_book_matches_the_ticker(tmp_path: Path) -> None:
    venue = make(tmp_path, source=crowd)
    try:
        md = session(venue, "MD", "marketdata")
        for req, depth, kinds in (("d", 5000, "01"), ("t", 1, "01"), ("x", 1, "2")):
            fields: list[tuple[int, Any]] = [(262, req), (263, 1), (264, depth), (266, "Y"), (146, 1), (55, "BTCUSDT")]
            md.send("V", [*fields, (267, len(kinds)), *((269, k) for k in kinds)])
        book: dict[str, dict[str, str]] = {"0": {}, "1": {}}
        md.until(lambda: len([m for m in md.of("X") if m.get(262) == "d"]) > 15, timeout=8)
        last, tickers, checked = -1, {}, 0
        for m in md.received:
            if m.get(262) == "d" and m.msg_type == "W":
                last = int(m.get(25044))
                for e in m.group(268, 269):
                    book[e.get(269)][e.get(270)] = e.get(271)
            elif m.get(262) == "t":
                tickers[int(m.get(25044))] = None
            elif m.get(262) == "d":
                assert int(m.get(25043)) <= last + 1 <= int(m.get(25044)) + 1
                last = int(m.get(25044))
                for action, side, px, qty in md.entries(m):
                    if action == "2":
                        book[side].pop(px, None)
                    else:
                        book[side][px] = qty
                checked += 1
                bid, ask = max(map(float, book["0"])), min(map(float, book["1"]))
                assert bid < ask
        assert checked > 15
        assert tickers
        assert [m for m in md.of("X") if m.get(262) == "x" and m.has(1003)]
    finally:
        venue.stop()


def test_subscriptions_that_are_refused(venue: Running) -> None:
    md = session(venue, "MD", "marketdata")
    fields: list[tuple[int, Any]] = [
        (263, 1),
        (264, 10),
        (266, "Y"),
        (146, 1),
        (55, "BTCUSDT"),
        (267, 2),
        (269, 0),
        (269, 1),
    ]
    md.send("V", [(262, "a"), *fields])
    assert md.expect("W").get(268) == "0"
    md.send("V", [(262, "a"), *fields])
    assert md.expect("Y").get(25016) == "-1190"
    md.send("V", [(262, "b"), *fields])
    assert "active subscription id: 'a'" in md.expect("Y").get(58)
    md.send("x", [(320, "i"), (559, 4)])
    assert md.expect("y").all(55) == ["BTCUSDT", "ETHUSDT"]
    md.order("o")
    assert md.expect("3").get(25016) == "-1187"


def rest(venue: Running, method: str, path: str, secret: str = SECRET, **fields: Any) -> tuple[int, Any]:
    query = urlencode({**fields, "timestamp": time.time_ns() // 1_000_000})
    target = f"{path}?{query}&signature={quote(sign(query.encode(), secret), safe='')}"
    return call(venue.endpoint("rest"), method, target, headers={"X-MBX-APIKEY": KEY})


def test_rest_cancels_one_order_and_weighs_one(venue: Running) -> None:
    c = session(venue)
    for name in ("a", "b"):
        c.order(name)
        c.expect("8", t11=name, t150="0")
    path = "/api/v3/order"
    status, said = rest(venue, "DELETE", path, symbol="BTCUSDT", origClientOrderId="a")
    assert (status, said["status"], said["origClientOrderId"]) == (200, "CANCELED", "a")
    for name in ("a", "never"):
        assert rest(venue, "DELETE", path, symbol="BTCUSDT", origClientOrderId=name) == (
            400, {"code": -2011, "msg": "Unknown order sent."},
        )  # fmt: skip
    venue.fault("no_cancel", via="rest", seconds=5)
    assert rest(venue, "DELETE", path, symbol="BTCUSDT", origClientOrderId="b")[1]["msg"] == "Market is closed."
    assert [o["cl_ord_id"] for o in venue.working()] == ["b"]


def test_rest_lists_and_cancels_by_symbol(venue: Running) -> None:
    c = session(venue)
    c.order("a")
    c.order("e", t55="ETHUSDT")
    c.expect("8", t11="e")
    status, found = rest(venue, "GET", "/api/v3/openOrders")
    assert (status, [o["clientOrderId"] for o in found]) == (200, ["a", "e"])
    assert rest(venue, "GET", "/api/v3/openOrders", secret=new_secret("password"))[1]["code"] == -1022
    assert rest(venue, "GET", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="a")[1]["status"] == "NEW"
    assert len(rest(venue, "DELETE", "/api/v3/openOrders", symbol="BTCUSDT")[1]) == 1
    c.expect("8", t150="4")
    assert rest(venue, "DELETE", "/api/v3/openOrders", symbol="BTCUSDT") == (
        400,
        {"code": -2011, "msg": "Unknown order sent."},
    )
    assert rest(venue, "GET", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="a")[1]["status"] == "CANCELED"
    assert rest(venue, "GET", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="no")[1]["code"] == -2013
    assert [s["symbol"] for s in rest(venue, "GET", "/api/v3/exchangeInfo")[1]["symbols"]] == ["BTCUSDT", "ETHUSDT"]


@pytest.mark.parametrize(
    ("side", "more"),
    [
        (2, {"t40": 3, "price": "", "t1102": "90", "t1109": "D"}),
        (2, {"t40": 4, "t1102": "90", "t1109": "D"}),
        (2, {"t40": 3, "price": "", "t25009": 100}),
        (1, {"t111": "0.5"}),
        (1, {"t18": 6}),
    ],
)
def test_every_order_type_is_accepted_and_rests(venue: Running, side: int, more: dict[str, Any]) -> None:
    c = session(venue)
    trigger = {"t1100": 4, "t1101": 1, "t1107": 2} if more.get("t40") else {}
    c.order("a", side, **{**trigger, **more})
    assert c.expect("8", t150="0").get(151) == "1.00000000"
    assert len(venue.working()) == 1
