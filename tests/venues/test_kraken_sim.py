"""The simulated Kraken, over real sockets: what its documentation says, test by test."""

import base64
import hashlib
import hmac
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zlib import crc32

import pytest

from sim.flow import Crowd
from sim.setup import Grant, RestKey, Setup
from sim.wire import Message
from tests.sim.client import Client
from tests.sim.server import Running, call
from venues.kraken.sim import default_instruments, new_secret, signature

KEY, SECRET = new_secret("username"), new_secret("password")
GRANTS = [
    Grant("trading", "CLIENT", "KRAKEN-TRD", "main", 2, KEY, SECRET),
    Grant("trading", "CLIENT2", "KRAKEN-TRD", "main", 2, KEY, SECRET),
    Grant("trading", "CLIENT_DRV", "KRAKEN-DRV-TRD", "main", 2, KEY, SECRET),
    Grant("marketdata", "CLIENT", "KRAKEN-MD", "main", 2),
    Grant("marketdata", "CLIENT3", "KRAKEN-MD", "main", 3),
]


def make(tmp_path: Path, *, plain: bool = True, source: Any = None, **options: Any) -> Running:
    setup = Setup("kraken", default_instruments("kraken"), GRANTS, [RestKey("main", KEY, SECRET)], options)
    return Running("kraken", setup, tmp_path, plain=plain, source=source)


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[Running]:
    running = make(tmp_path)
    yield running
    running.stop()


class Trader(Client):
    """A trading session with ids and signatures of its own."""

    ids = 0
    nonce = 0

    def log_on(self, *, reset: str = "Y", secret: str = SECRET, age_ms: int = 0, **more: Any) -> None:
        self.nonce = max(self.nonce + 1, time.time_ns() // 1_000_000 - age_ms)
        said = Message([(34, str(self.seq)), (49, self.sender), (56, self.target), (5025, str(self.nonce))])
        fields: list[tuple[int, Any]] = [(98, 0), (108, 60), (141, reset), (553, KEY)]
        fields += [(554, signature(secret, KEY, said)), (5025, self.nonce)]
        self.send("A", fields + [(int(k[1:]), v) for k, v in more.items()])

    def next_id(self) -> str:
        self.ids = max(self.ids + 1, time.time_ns() // 1000)
        return str(self.ids)

    def order(self, side: int = 1, qty: str = "1", price: str = "100", **more: Any) -> str:
        cl_ord_id = str(more.pop("t11", "")) or self.next_id()
        fields: list[tuple[int, Any]] = [(11, cl_ord_id), (38, qty), (40, more.pop("t40", 2)), (54, side)]
        fields += [(55, more.pop("t55", "BTC/USD")), (59, more.pop("t59", 1)), (60, "20260101-00:00:00.000")]
        if price:
            fields.append((44, price))
        self.send("D", fields + [(int(k[1:]), v) for k, v in more.items()])
        return cl_ord_id

    def cancel(self, **more: Any) -> str:
        cl_ord_id = self.next_id()
        fields = [(11, cl_ord_id), (54, 1), (55, "BTC/USD"), (60, "20260101-00:00:00.000")]
        self.send("F", fields + [(int(k[1:]), v) for k, v in more.items()])
        return cl_ord_id

    def mass_cancel(self, scope: int, **more: Any) -> str:
        cl_ord_id = self.next_id()
        fields = [(11, cl_ord_id), (60, "20260101-00:00:00.000"), (530, scope)]
        self.send("q", fields + [(int(k[1:]), v) for k, v in more.items()])
        return cl_ord_id


def trader(venue: Running, sender: str = "CLIENT", **more: Any) -> Trader:
    target = "KRAKEN-DRV-TRD" if sender.endswith("DRV") else "KRAKEN-TRD"
    client = Trader(venue.endpoint("trading"), venue.ca, sender, target)
    client.log_on(**more)
    client.expect("A")
    return client


def reader(venue: Running, sender: str = "CLIENT") -> Client:
    service = "marketdata_l3" if sender == "CLIENT3" else "marketdata"
    client = Client(venue.endpoint(service), venue.ca, sender, "KRAKEN-MD")
    client.send("A", [(98, 0), (108, 60), (141, "Y")])
    client.expect("A")
    return client


def subscribe(client: Client, depth: int = 0, kinds: str = "01", l3: bool = False, symbol: str = "BTC/USD") -> None:
    fields: list[tuple[int, Any]] = [(262, "r1"), (263, 1), (264, depth), (266, "N" if l3 else "Y")]
    fields += [(267, len(kinds)), *((269, k) for k in kinds), (146, 1), (55, symbol)]
    client.send("V", fields)


def test_the_published_logon_vector_is_what_is_checked() -> None:
    said = Message([(34, "7"), (49, "CLIENT"), (56, "KRAKEN-TRD"), (5025, "1724512345678")])
    published = "MwX+M7nvuHXxD5aGI/TFpghXxg2iblxXYyz7lRzLCPMA4UJYI3osNrUKWCiI3fDnOLkEQ5WKSK58Mp3nvu1Klw=="
    assert signature("c2VjcmV0", "APIKEY", said) == published


def test_logon_over_tls_answers_without_credentials(tmp_path: Path) -> None:
    venue = make(tmp_path, plain=False)
    try:
        client = trader(venue)
        reply = client.of("A")[0]
        assert (reply.get(49), reply.get(56), reply.has(553), reply.has(554)) == ("KRAKEN-TRD", "CLIENT", False, False)
    finally:
        venue.stop()


def test_a_wrong_signature_gets_logout_and_a_stale_nonce_a_closed_socket(venue: Running) -> None:
    bad = Trader(venue.endpoint("trading"), "", "CLIENT", "KRAKEN-TRD")
    bad.log_on(secret=new_secret("password"))
    assert bad.expect("5").get(58) == "Invalid credentials"
    old = Trader(venue.endpoint("trading"), "", "CLIENT", "KRAKEN-TRD")
    old.log_on(age_ms=60_000)
    old.until(lambda: old.closed)
    assert old.received == []


def test_new_fill_and_the_form_of_reports(venue: Running) -> None:
    a, b = trader(venue), trader(venue, "CLIENT2")
    cl_ord_id = a.order(1, "0.5", "100.5", t18="P")
    new = a.expect("8", t150="0")
    assert (new.get(11), new.get(6), new.get(18), new.get(44)) == (cl_ord_id, "0", "P", "100.5")
    assert new.get(58) == "buy 0.5 BTC/USD @ limit 100.5"
    assert [len(p) for p in new.get(37).split("-")] == [6, 5, 6]
    b.order(2, "0.5", "", t40=1, t7928=1)
    own = b.expect("8", t150="4")
    assert own.get(58) == "Self trade prevention"
    assert a.of("8")[-1].get(150) == "0"


def test_each_failure_comes_on_its_channel(venue: Running) -> None:
    c = trader(venue)
    c.send("D", [(11, c.next_id()), (55, "BTC/USD"), (38, "1"), (40, 2), (59, 1)])
    missing = c.expect("3")
    assert (missing.get(371), missing.get(373), missing.get(58)) == ("54", "1", "Missing mandatory field: Side (54)")
    name = c.order(t55="XXX/USD")
    refused = c.expect("j")
    assert (refused.get(45), refused.get(379), refused.get(380)) == ("0", name, "2")
    c.order(t11=name)
    assert c.expect("j").get(379) == name
    unknown = c.cancel(t37="OAAAAA-BBBBB-CCCCCC")
    assert (c.expect("j").get(379), c.received[-1].get(380)) == (unknown, "101")
    c.order(t11=str(uuid.uuid1()))
    assert "timestamp is out of date" in c.expect("3").get(58)
    assert not [m for m in c.received if m.msg_type in "9r" or m.get(150) == "8"]


def test_comb_uuid_is_taken_and_the_only_form_on_derivatives(venue: Running) -> None:
    d = trader(venue, "CLIENT_DRV")
    d.order(t55="PF_ETHUSD", t18="s")
    assert "COMB" in d.expect("3").get(58)
    comb = str(uuid.UUID(int=(time.time_ns() // 10_000) << 80 | uuid.uuid4().int & ((1 << 80) - 1)))
    d.order(t55="PF_ETHUSD", t18="s", t11=comb)
    assert d.expect("8", t150="0").get(11) == comb


def test_cancel_report_carries_the_cancels_id(venue: Running) -> None:
    c = trader(venue)
    name = c.order()
    new = c.expect("8", t150="0")
    cancel = c.cancel(t37=new.get(37))
    gone = c.expect("8", t150="4")
    assert (gone.get(11), gone.get(41), gone.get(37), gone.get(151)) == (cancel, name, new.get(37), "0")


def test_amend_in_place_and_below_filled(venue: Running) -> None:
    a, b = trader(venue), trader(venue, "CLIENT2")
    name = a.order(1, "1", "100")
    order_id = a.expect("8", t150="0").get(37)
    b.order(2, "0.4", "100", t7928=2)
    b.expect("8", t150="0")
    new_name = a.next_id()
    fields = [(11, new_name), (37, order_id), (41, name), (54, 1), (55, "BTC/USD"), (40, 2), (59, 1)]
    a.until(lambda: a.of("8")[-1].get(150) in "4F")
    if a.of("8")[-1].get(150) == "4":  # same account: self-trade prevention took the older order
        name = a.order(1, "1", "90")
        order_id = a.expect("8", t150="0", t11=name).get(37)
        fields = [(11, new_name := a.next_id()), (37, order_id), (41, name), *fields[3:]]
    a.send("G", [*fields, (38, "0.7"), (44, "91"), (60, "20260101-00:00:00.000")])
    done = a.expect("8", t150="5")
    assert (done.get(39), done.get(11), done.get(41), done.get(37), done.get(151)) == (
        "5",
        new_name,
        name,
        order_id,
        "0.7",
    )


def test_mass_cancel_scopes_and_silence(venue: Running) -> None:
    a, b = trader(venue), trader(venue, "CLIENT2")
    a.order()
    b.order()
    a.expect("8", t150="0")
    b.expect("8", t150="0")
    a.mass_cancel(1, t55="ETH/USD")
    a.quiet(0.2)
    name = a.mass_cancel(6)
    assert a.expect("8", t150="4").get(11) == name
    assert [o["session"] for o in venue.working()] == ["CLIENT2"]
    a.mass_cancel(9)
    assert a.expect("3").get(371) == "530"


def test_after_a_reconnect_type_6_misses_and_type_7_reaches(venue: Running) -> None:
    a = trader(venue, t8674=1)
    order = a.order()
    order_id = a.expect("8", t150="0").get(37)
    a.close()
    again = trader(venue, t8674=1)
    again.ids = a.ids
    again.cancel(t37=order_id)
    assert again.expect("j").get(380) == "101"
    again.mass_cancel(6)
    again.quiet(0.2)
    again.mass_cancel(7)
    assert again.expect("8", t150="4").get(41) == order


@pytest.mark.parametrize(("flag", "logout", "left"), [(0, False, 0), (0, True, 1), (1, False, 1)])
def test_cancel_on_disconnect(venue: Running, flag: int, logout: bool, left: int) -> None:
    a = trader(venue, t8674=flag)
    a.order()
    a.expect("8", t150="0")
    if logout:
        a.send("5")
        a.expect("5")
    a.close()
    venue.until(lambda: not venue.control("GET", "/stats")["sessions"][0]["live"])
    assert len(venue.working()) == left


def test_reports_while_away_are_replayed(venue: Running) -> None:
    a = trader(venue, t8674=0)
    a.order()
    seen = a.expect("8", t150="0").seq
    a.close()
    venue.until(lambda: not venue.working())
    again = Trader(venue.endpoint("trading"), "", "CLIENT", "KRAKEN-TRD")
    again.seq, again.nonce = a.seq, a.nonce
    again.log_on(reset="N")
    assert again.expect("A").seq == seen + 2
    again.send("2", [(7, seen + 1), (16, 0)])
    gone = again.expect("8", t150="4")
    assert (gone.get(43), gone.seq, gone.get(58)) == ("Y", seen + 1, "Cancel on disconnect")


def test_a_second_logon_takes_the_session_over(venue: Running) -> None:
    a = trader(venue, t8674=0)
    a.order()
    a.expect("8", t150="0")
    trader(venue, t8674=0)
    a.until(lambda: a.closed)
    assert venue.working() == []


def check_book(client: Client, sums: int) -> None:
    """Keep a book from W and X alone, and compare each checksum as the guide has it."""
    book: dict[str, dict[int, int]] = {"0": {}, "1": {}}
    checked = 0

    def feed(message: Message) -> int:
        first = 269 if message.msg_type == "W" else 279
        for entry in message.group(268, first):
            px, qty = int(entry.get(270).replace(".", "")), _scaled(entry.get(271))
            side = book[entry.get(269)]
            if entry.get(279) == "2":
                del side[px]
            else:
                assert (px in side) == (entry.get(279) == "1")
                side[px] = qty
        if not message.has(5041):
            return 0
        tops = [sorted(book["1"])[:10], sorted(book["0"], reverse=True)[:10]]
        text = "".join(f"{px}{book[k][px]}" for k, side in zip("10", tops, strict=True) for px in side)
        assert crc32(text.encode()) == int(message.get(5041))
        return 1

    position = 0
    deadline = time.monotonic() + 60
    while checked < sums and time.monotonic() < deadline:
        client.pump(0.2)
        for message in client.received[position:]:
            if message.msg_type in "WX" and "2" not in message.all(269):
                checked += feed(message)
        position = len(client.received)
    assert checked >= sums


def _scaled(text: str) -> int:
    whole, _, fraction = text.partition(".")
    return int(whole + fraction.ljust(8, "0"))


def crowd(venue: Any) -> Crowd:
    return Crowd(venue.exchange, 7, 400, {})


@pytest.mark.parametrize("depth", [10, 100, 0])
def test_checksums_hold_over_a_lively_book_at_every_depth(tmp_path: Path, depth: int) -> None:
    venue = make(tmp_path, source=crowd)
    try:
        md = reader(venue)
        subscribe(md, depth, "012")
        check_book(md, 150)
        window = depth or 1000
        assert len(md.of("W")[0].all(269)) <= 2 * window
        assert [m for m in md.of("X") if "2" in m.all(269)]
    finally:
        venue.stop()


def test_l3_checksum_walks_every_order_in_queue_order(tmp_path: Path) -> None:
    venue = make(tmp_path, source=crowd)
    try:
        md = reader(venue, "CLIENT3")
        subscribe(md, 0, l3=True)
        orders: dict[str, tuple[str, int, int, str]] = {}
        checked = at = 0
        deadline = time.monotonic() + 60
        while checked < 100 and time.monotonic() < deadline:
            md.pump(0.2)
            for m in md.received[at:]:
                if m.msg_type not in "WX":
                    continue
                for e in m.group(268, 269 if m.msg_type == "W" else 279):
                    if e.get(279) == "2":
                        del orders[e.get(278)]
                    else:
                        px = int(e.get(270).replace(".", ""))
                        orders[e.get(278)] = (e.get(269), px, _scaled(e.get(271)), e.get(5273))
                if m.has(5041):
                    checked += 1
                    assert crc32(_l3_text(orders).encode()) == int(m.get(5041))
            at = len(md.received)
        assert checked >= 100
    finally:
        venue.stop()


def _l3_text(orders: dict[str, tuple[str, int, int, str]]) -> str:
    out = []
    for side, sign in (("1", 1), ("0", -1)):
        mine = sorted((o for o in orders.values() if o[0] == side), key=lambda o: (o[1] * sign, o[3]))
        tops = sorted({o[1] for o in mine}, key=lambda px: px * sign)[:10]
        out += [f"{px}{qty}" for _, px, qty, _ in mine if px in tops]
    return "".join(out)


def test_market_data_requests_that_are_refused(venue: Running) -> None:
    md = reader(venue)
    subscribe(md, symbol="TEST/TEST")
    assert (md.expect("Y").get(281), md.received[-1].get(262)) == ("0", "r1")
    subscribe(md, depth=7)
    assert md.expect("Y").get(281) == "5"
    subscribe(md, l3=True)
    assert md.expect("Y").get(281) == "B"
    subscribe(md, kinds="0")
    assert md.expect("Y").get(281) == "8"
    subscribe(md)
    md.expect("W")
    subscribe(md)
    assert md.expect("Y").get(281) == "1"
    md.send("V", [(262, "r1"), (263, 2), (264, 0), (267, 1), (269, 0), (146, 1), (55, "BTC/USD")])
    subscribe(md)
    md.expect("W")


def test_instrument_list_and_session_status(venue: Running) -> None:
    md = reader(venue)
    md.send("x", [(320, "i"), (559, 0), (55, "BTC/USD")])
    listed = md.expect("y")
    assert (listed.get(560), listed.get(2349), listed.get(5010), listed.get(5032)) == ("0", "1", "8", "1")
    md.send("x", [(320, "i"), (559, 1), (167, "FUT")])
    assert md.expect("y").all(55) == ["PF_XBTUSD", "PF_ETHUSD"]
    md.send("g", [(335, "s"), (336, "SESSION"), (263, 1)])
    assert md.expect("h").get(340) == "2"
    venue.fault("maintenance", seconds=1)
    assert md.expect("h").get(340) == "1"
    c = trader(venue)
    c.order()
    assert c.expect("j").get(380) == "4"
    assert md.expect("h").get(340) == "2"


def rest(venue: Running, call_name: str, secret: str = SECRET, **fields: Any) -> Any:
    nonce = str(time.time_ns())
    body = urlencode({"nonce": nonce, **fields})
    path = f"/0/private/{call_name}"
    inner = path.encode() + hashlib.sha256((nonce + body).encode()).digest()
    mac = base64.b64encode(hmac.new(base64.b64decode(secret), inner, hashlib.sha512).digest()).decode()
    headers = {"API-Key": KEY, "API-Sign": mac, "Content-Type": "application/x-www-form-urlencoded"}
    return call(venue.endpoint("rest"), "POST", path, body, headers)[1]


def test_rest_lists_queries_and_cancels_the_account(venue: Running) -> None:
    a, b = trader(venue), trader(venue, "CLIENT2")
    name = a.order()
    order_id = a.expect("8", t150="0").get(37)
    b.order(t55="ETH/USD")
    b.expect("8", t150="0")
    found = rest(venue, "OpenOrders")["result"]["open"]
    assert (len(found), found[order_id]["cl_ord_id"], found[order_id]["descr"]["pair"]) == (2, name, "XBTUSD")
    assert rest(venue, "OpenOrders", secret=new_secret("password"))["error"] == ["EAPI:Invalid signature"]
    assert rest(venue, "CancelAll")["result"] == {"count": 2}
    a.expect("8", t150="4")
    assert rest(venue, "QueryOrders", txid=order_id)["result"][order_id]["status"] == "canceled"
    assert rest(venue, "OpenOrders")["result"]["open"] == {}


def test_rest_cancels_one_order_of_any_logon_and_the_engine_counts_it(tmp_path: Path) -> None:
    venue = make(tmp_path, tier="starter", rate_ceiling=10, rate_refuses_cancels=True)
    try:
        a = trader(venue)
        ids = []
        for _ in range(2):
            a.order()
            ids.append(a.expect("8", t150="0").get(37))
        assert rest(venue, "CancelOrder", txid=ids[0])["result"] == {"count": 1}
        a.expect("8", t150="4")
        assert rest(venue, "CancelOrder", txid=ids[0])["error"] == ["EOrder:Unknown order"]
        assert rest(venue, "CancelOrder", txid=ids[1])["error"] == ["EOrder:Rate limit exceeded"]
        for _ in range(30):  # no call of the key's own counter
            assert rest(venue, "CancelOrder", txid="OAAAAA-AAAAA-AAAAAA")["error"] == ["EOrder:Unknown order"]
        assert list(rest(venue, "OpenOrders")["result"]["open"]) == [ids[1]]
    finally:
        venue.stop()


def test_derivatives_rest_cancels_one_order_and_keeps_its_own_limit(tmp_path: Path) -> None:
    venue = make(tmp_path, tier="starter")
    try:
        headers = {"APIKey": KEY, "Authent": "x"}

        def cancel(**fields: str) -> Any:
            target = f"/derivatives/api/v3/cancelorder?{urlencode(fields)}"
            return call(venue.endpoint("rest"), "POST", target, "", headers)[1]

        assert cancel(order_id="nobody's")["cancelStatus"] == {"status": "notFound"}
        answers = [cancel(cliOrdId="x").get("error") for _ in range(55)]
        assert (answers[0], answers[-1]) == (None, "apiLimitExceeded")
    finally:
        venue.stop()


def test_dead_mans_switch_fires_unless_renewed_or_disabled(venue: Running) -> None:
    a = trader(venue)
    a.order()
    a.expect("8", t150="0")
    assert "triggerTime" in rest(venue, "CancelAllOrdersAfter", timeout=1)["result"]
    rest(venue, "CancelAllOrdersAfter", timeout=0)
    a.quiet(1.2)
    rest(venue, "CancelAllOrdersAfter", timeout=1)
    a.expect("8", t150="4", timeout=3)


def test_a_lagging_list_still_shows_what_is_gone(tmp_path: Path) -> None:
    venue = make(tmp_path, list_lag_ms=700)
    try:
        a = trader(venue)
        a.order()
        order_id = a.expect("8", t150="0").get(37)
        venue.until(lambda: order_id in rest(venue, "OpenOrders")["result"]["open"])
        a.cancel(t37=order_id)
        a.expect("8", t150="4")
        assert order_id in rest(venue, "OpenOrders")["result"]["open"]
        venue.until(lambda: order_id not in rest(venue, "OpenOrders")["result"]["open"])
    finally:
        venue.stop()


def test_rollover_ends_sessions_and_starts_numbers_anew(venue: Running) -> None:
    a = trader(venue, t8674=0)
    a.order()
    a.expect("8", t150="0")
    venue.fault("rollover", seconds=0)
    a.expect("5")
    a.until(lambda: a.closed)
    assert len(venue.working()) == 1
    again = Trader(venue.endpoint("trading"), "", "CLIENT", "KRAKEN-TRD")
    again.nonce = a.nonce
    again.log_on(reset="N")
    assert again.expect("A").seq == 1


def test_over_the_rate_ceiling_new_orders_are_refused(tmp_path: Path) -> None:
    venue = make(tmp_path, rate_ceiling=5)
    try:
        c = trader(venue)
        for _ in range(7):
            c.order()
        assert c.expect("j").get(58) == "EOrder:Rate limit exceeded"
    finally:
        venue.stop()


@pytest.mark.parametrize(
    ("kind", "price", "more"),
    [
        (3, "", {"t99": "90"}),
        (4, "89", {"t99": "90"}),
        ("R", "", {"t99": "110"}),
        ("T", "111", {"t99": "110"}),
        ("U", "", {"t99": "95"}),
        ("V", "94", {"t99": "95"}),
        (2, "200", {"t1138": "0.1"}),
        (2, "200", {"t59": 6, "t126": "GTD"}),
    ],
)
def test_every_order_type_is_accepted_and_rests(venue: Running, kind: Any, price: str, more: dict[str, Any]) -> None:
    c = trader(venue)
    if more.get("t126"):
        more = {**more, "t126": time.strftime("%Y%m%d-%H:%M:%S", time.gmtime(time.time() + 60))}
    c.order(2, "1", price, t40=kind, **more)
    new = c.expect("8", t150="0")
    assert (new.get(40), new.get(151)) == (str(kind), "1")
    assert len(venue.working()) == 1
