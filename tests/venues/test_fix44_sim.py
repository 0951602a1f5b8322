"""The simulated plain FIX 4.4 venue, over real sockets."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sim.setup import Grant, RestKey, Setup
from tests.sim.client import Client
from tests.sim.server import Running, call
from venues.fix44.sim import default_instruments

GRANTS = [
    Grant("trading", "CLIENT", "VENUE", "main", 2, "user", "word"),
    Grant("trading", "OTHER", "VENUE", "second", 2, "user2", "word2"),
    Grant("marketdata", "MD", "VENUE", "main", 2),
    Grant("marketdata", "MD3", "VENUE", "main", 3),
    Grant("dropcopy", "DC", "VENUE", "main", 2),
]


def setup(**more: Any) -> Setup:
    keys = [RestKey("main", "rest", "key")]
    return Setup("plain", default_instruments("plain"), GRANTS, keys, more)


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[Running]:
    running = Running("fix44", setup(), tmp_path, plain=True)
    yield running
    running.stop()


def logon(venue: Running, sender: str = "CLIENT", service: str = "trading", **more: str) -> Client:
    client = Client(venue.endpoint(service), venue.ca, sender)
    names = {"CLIENT": ("user", "word"), "OTHER": ("user2", "word2")}
    fields: list[tuple[int, Any]] = [(98, 0), (108, 30), (141, more.pop("reset", "Y"))]
    if sender in names:
        fields += [(553, names[sender][0]), (554, names[sender][1])]
    client.send("A", fields)
    client.expect("A")
    return client


def order(client: Client, cl_ord_id: str, side: str = "1", qty: str = "0.5", price: str = "100", **more: str) -> None:
    fields: list[tuple[int, Any]] = [(11, cl_ord_id), (55, "BTC-USD"), (54, side), (60, "20260101-00:00:00")]
    fields += [(38, qty), (40, more.pop("kind", "2")), (59, more.pop("tif", "1"))]
    if price:
        fields.append((44, price))
    client.send("D", fields + [(int(k[1:]), v) for k, v in more.items()])


def test_one_port_takes_fix_of_every_kind_and_http_over_tls(tmp_path: Path) -> None:
    venue = Running("fix44", setup(), tmp_path)
    try:
        client = logon(venue, service="any")
        order(client, "a")
        client.expect("8", t150="0", t11="a")
        auth = {"Authorization": "Basic " + base64.b64encode(b"rest:key").decode()}
        _, said = call(venue.endpoint("any"), "GET", "/orders?status=open", headers=auth, ca_file=venue.ca)
        assert [o["cl_ord_id"] for o in said["orders"]] == ["a"]
        assert call(venue.endpoint("any"), "GET", "/control/stats", ca_file=venue.ca)[1]["working"] == 1
        address = json.loads((tmp_path / "sim-plain.json").read_text())
        assert address["endpoints"]["trading"] == venue.endpoint("trading")
    finally:
        venue.stop()
    assert not (tmp_path / "sim-plain.json").exists()


def test_a_wrong_password_is_answered_by_logout(venue: Running) -> None:
    client = Client(venue.endpoint("trading"), venue.ca)
    client.send("A", [(98, 0), (108, 30), (141, "Y"), (553, "user"), (554, "bad")])
    assert "Password" in client.expect("5").get(58)
    client.until(lambda: client.closed)


def test_two_sessions_trade_and_each_hears_its_own_side(venue: Running) -> None:
    a, b = logon(venue), logon(venue, "OTHER")
    order(a, "a1", "1", "0.5", "100")
    a.expect("8", t150="0")
    order(b, "b1", "2", "0.2", "99")
    fill = b.expect("8", t150="F")
    assert (fill.get(31), fill.get(32), fill.get(39), fill.get(151)) == ("100", "0.2", "2", "0")
    fill = a.expect("8", t150="F")
    assert (fill.get(11), fill.get(39), fill.get(14), fill.get(151)) == ("a1", "1", "0.2", "0.3")
    assert len(b.of("8")) == 2


def test_cancel_replace_status_and_their_rejections(venue: Running) -> None:
    c = logon(venue)
    order(c, "o1")
    new = c.expect("8", t150="0")
    c.send("G", [(11, "o2"), (41, "o1"), (55, "BTC-USD"), (54, "1"), (38, "0.4"), (40, "2"), (44, "101")])
    replaced = c.expect("8", t150="5")
    assert (replaced.get(11), replaced.get(41), replaced.get(37)) == ("o2", "o1", new.get(37))
    c.send("H", [(11, "o2"), (55, "BTC-USD"), (54, "1")])
    assert c.expect("8", t150="I").get(39) == "0"
    c.send("F", [(11, "o3"), (41, "o2"), (55, "BTC-USD"), (54, "1"), (60, "20260101-00:00:00")])
    gone = c.expect("8", t150="4")
    assert (gone.get(11), gone.get(41), gone.get(39)) == ("o3", "o2", "4")
    c.send("F", [(11, "o4"), (41, "o2"), (55, "BTC-USD"), (54, "1"), (60, "20260101-00:00:00")])
    assert c.expect("9").get(102) == "0"
    c.send("F", [(11, "o5"), (41, "never"), (55, "BTC-USD"), (54, "1"), (60, "20260101-00:00:00")])
    assert (c.expect("9").get(102), c.received[-1].get(37)) == ("1", "NONE")
    c.send("H", [(11, "nobody"), (55, "BTC-USD"), (54, "1")])
    assert c.expect("8", t150="I").get(39) == "8"


def test_refused_orders_are_reports_and_malformed_ones_rejects(venue: Running) -> None:
    c = logon(venue)
    order(c, "x", price="0")
    assert c.expect("8", t150="8").get(39) == "8"
    order(c, "y", price="")
    assert c.expect("3").get(371) == "44"
    order(c, "z", qty="abc")
    assert c.expect("3").get(373) == "6"
    c.send("Q", [(11, "q")])
    assert c.expect("j").get(380) == "3"


def test_mass_cancel_reaches_the_comp_id_and_says_how_many(venue: Running) -> None:
    a, b = logon(venue), logon(venue, "OTHER")
    for n in range(3):
        order(a, f"a{n}")
    order(b, "b0")
    b.expect("8", t150="0")
    a.send("q", [(11, "m"), (530, "7"), (60, "20260101-00:00:00")])
    report = a.expect("r")
    assert (report.get(531), report.get(533)) == ("7", "3")
    assert len([m for m in a.of("8") if m.get(150) == "4"]) == 3
    assert [o["cl_ord_id"] for o in venue.working()] == ["b0"]
    a.send("q", [(11, "m2"), (530, "1"), (55, "NOPE"), (60, "20260101-00:00:00")])
    assert (a.expect("r").get(531), a.received[-1].get(532)) == ("0", "1")


def test_reports_made_while_away_are_replayed_with_possdup(venue: Running) -> None:
    a = logon(venue)
    order(a, "a")
    a.expect("8", t150="0")
    a.send("5")
    a.until(lambda: a.closed)
    b = logon(venue, "OTHER")
    order(b, "b", "2", "0.5", "100")
    b.expect("8", t150="F")
    again = Client(venue.endpoint("trading"), venue.ca)
    again.seq = a.seq
    again.send("A", [(98, 0), (108, 30), (141, "N"), (553, "user"), (554, "word")])
    assert again.expect("A").seq == a.received[-1].seq + 2
    again.send("2", [(7, a.received[-1].seq + 1), (16, 0)])
    missed = again.expect("8", t150="F")
    assert (missed.get(43), missed.seq, missed.has(122)) == ("Y", a.received[-1].seq + 1, True)
    assert again.expect("4").get(123) == "Y"


def test_a_gap_from_the_client_is_asked_for_and_later_messages_wait(venue: Running) -> None:
    c = logon(venue)
    order(c, "a")
    c.expect("8", t11="a")
    c.seq += 1  # message 3 is lost
    order(c, "b")
    asked = c.expect("2")
    assert (asked.get(7), asked.get(16)) == ("3", "3")
    c.quiet(0.1)
    c.send("4", [(123, "Y"), (36, 4)], seq=3, head=[(43, "Y")])
    c.expect("8", t11="b")


def test_too_low_a_number_ends_the_session(venue: Running) -> None:
    c = logon(venue)
    c.send("0", seq=1)
    assert "too low" in c.expect("5").get(58)


def test_test_request_is_answered_and_logout_confirmed(venue: Running) -> None:
    c = logon(venue)
    c.send("1", [(112, "hello")])
    assert c.expect("0").get(112) == "hello"
    c.send("5")
    c.expect("5")
    c.until(lambda: c.closed)


def test_garbled_bytes_are_skipped_and_the_session_goes_on(venue: Running) -> None:
    c = logon(venue)
    c.socket.sendall(b"8=FIX.4.4\x019=5\x0135=0\x0110=000\x01")
    c.send("1", [(112, "after")])
    assert c.expect("0").get(112) == "after"
    assert venue.control("GET", "/stats")["garbled"] >= 1


def test_market_data_snapshot_updates_depth_and_trades(venue: Running) -> None:
    c, md = logon(venue), logon(venue, "MD", "marketdata")
    order(c, "a", "1", "1", "100")
    c.expect("8", t150="0")
    md.send(
        "V",
        [(262, "r"), (263, 1), (264, 1), (265, 1), (267, 3), (269, 0), (269, 1), (269, 2), (146, 1), (55, "BTC-USD")],
    )
    snapshot = md.expect("W")
    assert (snapshot.all(269), snapshot.all(270), snapshot.all(271)) == (["0"], ["100"], ["1"])
    order(c, "b", "1", "2", "101")
    update = md.expect("X")
    rows = [(e.get(279), e.get(270), e.get(271)) for e in update.group(268, 279)]
    assert rows == [("0", "101", "2"), ("2", "100", "")]
    order(logon(venue, "OTHER"), "s", "2", "2", "101")
    rows = [(e.get(279), e.get(269), e.get(270)) for e in md.expect("X").group(268, 279)]
    assert rows == [("0", "2", "101"), ("2", "0", "101"), ("0", "0", "100")]
    md.send("V", [(262, "r2"), (263, 1), (264, 0), (265, 1), (267, 1), (269, 0), (146, 1), (55, "NOPE")])
    assert md.expect("Y").get(281) == "0"


def test_l3_shows_single_orders_in_queue_order(venue: Running) -> None:
    c, md = logon(venue), logon(venue, "MD3", "marketdata_l3")
    for name in ("a", "b"):
        order(c, name, "1", "1", "100")
    c.expect("8", t11="b")
    md.send(
        "V",
        [(262, "r"), (263, 1), (264, 0), (265, 1), (266, "N"), (267, 2), (269, 0), (269, 1), (146, 1), (55, "BTC-USD")],
    )
    ids = [m.get(37) for m in c.of("8")]
    assert md.expect("W").all(278) == ids
    order(logon(venue, "OTHER"), "s", "2", "1", "100")
    entry = md.expect("X").group(268, 279)[0]
    assert (entry.get(279), entry.get(278)) == ("2", ids[0])


def test_drop_copy_hears_the_account_and_not_the_others(venue: Running) -> None:
    dc = logon(venue, "DC", "dropcopy")
    order(logon(venue, "OTHER"), "b", "1", "1", "50")
    order(logon(venue), "a", "1", "1", "50")
    assert dc.expect("8").get(11) == "a"
    dc.quiet(0.1)


def test_cancel_on_disconnect_where_configured(tmp_path: Path) -> None:
    venue = Running("fix44", setup(on_disconnect="cancels"), tmp_path, plain=True)
    try:
        a, b = logon(venue), logon(venue, "OTHER")
        for c in (a, b):
            order(c, "x", "1", "1", "50")
            c.expect("8", t150="0")
        b.send("5")
        b.expect("5")
        a.close()
        venue.until(lambda: [o["session"] for o in venue.working()] == ["OTHER"])
    finally:
        venue.stop()


def test_rest_needs_credentials_and_pages(venue: Running) -> None:
    rest = venue.endpoint("rest")
    assert call(rest, "GET", "/orders")[0] == 401
    c = logon(venue)
    for n in range(130):
        order(c, f"o{n}")
    c.expect("8", t11="o129")
    headers = {"Authorization": "Basic " + base64.b64encode(b"rest:key").decode()}
    names: list[str] = []
    cursor = ""
    while True:
        _, said = call(rest, "GET", f"/orders?status=open&cursor={cursor}", headers=headers)
        names += [o["cl_ord_id"] for o in said["orders"]]
        cursor = said["next"]
        if not cursor:
            break
    assert names == [f"o{n}" for n in range(130)]
    assert call(rest, "DELETE", "/orders", headers=headers) == (200, {"cancelled": 130})
    assert venue.working() == []
    assert call(rest, "GET", "/orders/o7", headers=headers)[1]["ord_status"] == "4"
    assert call(rest, "GET", "/orders/never", headers=headers)[0] == 404


def test_rest_cancels_one_order_by_either_name(venue: Running) -> None:
    headers = {"Authorization": "Basic " + base64.b64encode(b"rest:key").decode()}

    def cancel(name: str) -> tuple[int, Any]:
        return call(venue.endpoint("rest"), "DELETE", f"/orders/{name}", headers=headers)

    client = logon(venue)
    for name in ("a", "b"):
        order(client, name)
    order_id = client.expect("8", t11="b").get(37)
    assert [cancel("a"), cancel("a"), cancel(order_id)] == [(200, {"cancelled": n}) for n in (1, 0, 1)]
    assert venue.working() == []
    assert cancel("never") == (404, {"error": "unknown order"})
    assert call(venue.endpoint("rest"), "DELETE", "/orders/a")[0] == 401


def test_the_dead_mans_timer_cancels_the_account_unless_it_is_set_anew_or_disabled(venue: Running) -> None:
    headers = {"Authorization": "Basic " + base64.b64encode(b"rest:key").decode()}

    def cancel_after(body: str) -> tuple[int, Any]:
        return call(venue.endpoint("rest"), "POST", "/cancel_after", body, headers)

    client = logon(venue)
    order(client, "a")
    client.expect("8", t150="0")
    assert cancel_after('{"seconds": 1}') == (200, {"seconds": 1})
    assert cancel_after('{"seconds": 0}') == (200, {"seconds": 0})
    client.quiet(1.2)
    assert len(venue.working()) == 1
    cancel_after('{"seconds": 1}')
    assert client.expect("8", t150="4").get(58) == "dead man's switch"
    assert venue.control("GET", "/stats")["dead_man_fired"] == 1
    for wrong in ("", "[]", '{"seconds": -1}', '{"seconds": "x"}', '{"seconds": true}'):
        assert cancel_after(wrong)[0] == 400
