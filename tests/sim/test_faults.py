"""Faults on demand: each kind strikes as it says, once, and is counted."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from base.errors import ConfigError, VenueError
from sim.faults import KINDS, Faults
from sim.setup import Setup
from tests.sim.client import Client
from tests.sim.server import Running, call
from tests.venues.test_fix44_sim import logon, order
from tests.venues.test_fix44_sim import setup as plain_setup

SECOND = 1_000_000_000


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[Running]:
    running = Running("fix44", plain_setup(), tmp_path, plain=True)
    yield running
    running.stop()


def test_a_fault_strikes_only_what_matches_and_as_often_as_told() -> None:
    board = Faults()
    board.pin("drop", {"msg_type": "8", "n": "2"}, 0)
    assert board.strike("drop", 0, msg_type="W") is None
    assert board.strike("drop", 0, msg_type="8", session="A") is not None
    assert board.strike("drop", 0, msg_type="8") is not None
    assert board.strike("drop", 0, msg_type="8") is None
    assert board.struck == {"drop": 2}


def test_a_timed_fault_ends_by_itself() -> None:
    board = Faults()
    board.pin("no_cancel", {"seconds": "2"}, 10 * SECOND)
    assert board.strike("no_cancel", 11 * SECOND, symbol="X") is not None
    assert board.strike("no_cancel", 12 * SECOND, symbol="X") is not None
    assert board.strike("no_cancel", 12 * SECOND + 1, symbol="X") is None


@pytest.mark.parametrize(
    ("kind", "arguments", "names"),
    [
        ("nonsense", {}, "nonsense"),
        ("drop", {"msgtype": "8"}, "msgtype"),
        ("stall", {"seconds": "long"}, "seconds='long'"),
        ("drop", {"n": "-1"}, "n='-1'"),
    ],
)
def test_a_mistyped_fault_is_refused_and_named(kind: str, arguments: dict[str, str], names: str) -> None:
    with pytest.raises(VenueError, match=names):
        Faults().pin(kind, arguments, 0)


def test_the_control_endpoint_refuses_what_it_does_not_know(venue: Running) -> None:
    status, said = call(venue.endpoint("control"), "POST", "/fault", '{"kind": "nonsense"}')
    assert (status, "nonsense" in said["error"]) == (400, True)
    assert call(venue.endpoint("control"), "POST", "/fault", "[1]")[0] == 400
    assert call(venue.endpoint("control"), "GET", "/elsewhere")[0] == 404
    assert set(venue.control("GET", "/kinds")) == set(KINDS)


def test_drop_leaves_a_gap_that_a_resend_heals(venue: Running) -> None:
    c = logon(venue)
    venue.fault("drop", msg_type="8")
    order(c, "a")
    order(c, "b")
    second = c.expect("8", t11="b")
    assert second.seq == 3
    c.send("2", [(7, 2), (16, 0)])
    assert c.expect("8", t11="a").get(43) == "Y"


def test_lost_report_is_never_sent_and_leaves_no_gap(venue: Running) -> None:
    c = logon(venue)
    venue.fault("lost_report", exec_type="0")
    order(c, "a")
    order(c, "b")
    assert c.expect("8", t11="b").seq == 2
    assert [o["cl_ord_id"] for o in venue.working()] == ["a", "b"]
    assert venue.control("GET", "/stats")["reports_lost"] == 1


def test_duplicate_comes_twice_with_one_number(venue: Running) -> None:
    c = logon(venue)
    venue.fault("duplicate", msg_type="8")
    order(c, "a")
    c.until(lambda: len(c.of("8")) == 2)
    assert {m.seq for m in c.of("8")} == {2}


@pytest.mark.parametrize("kind", ["garble", "checksum"])
def test_broken_bytes_do_not_pass_a_strict_framer(venue: Running, kind: str) -> None:
    c = logon(venue)
    venue.fault(kind, msg_type="8")
    order(c, "a")
    c.socket.settimeout(5)
    data = b""
    while b"\x0110=" not in data:
        data += c.socket.recv(4096)
    frame = data[data.find(b"8=FIX") : data.find(b"\x01", data.find(b"\x0110=") + 1) + 1]
    declared = int(frame[-4:-1])
    assert sum(frame[:-7]) & 255 != declared or b"?\x00" in frame


def test_delay_holds_back_in_order(venue: Running) -> None:
    c = logon(venue)
    venue.fault("delay", msg_type="8", ms=400)
    began = time.monotonic()
    order(c, "a")
    order(c, "b")
    assert c.expect("8").get(11) == "a"
    assert time.monotonic() - began >= 0.39
    assert c.expect("8").get(11) == "b"


def test_stall_keeps_the_connection_and_says_nothing(venue: Running) -> None:
    c = logon(venue)
    venue.fault("stall", session="CLIENT", seconds=1)
    began = time.monotonic()
    order(c, "a")
    c.expect("8", t11="a")
    assert time.monotonic() - began > 0.9
    assert not c.closed


@pytest.mark.parametrize(("logout", "said"), [("0", 0), ("1", 1)])
def test_disconnect_with_and_without_logout(venue: Running, logout: str, said: int) -> None:
    c = logon(venue)
    assert venue.fault("disconnect", session="CLIENT", logout=logout)["struck"] == 1
    c.until(lambda: c.closed)
    assert len(c.of("5")) == said


def test_logons_are_refused_on_demand(venue: Running) -> None:
    venue.fault("refuse_logon")
    c = Client(venue.endpoint("trading"))
    c.send("A", [(98, 0), (108, 30), (141, "Y"), (553, "user"), (554, "word")])
    c.expect("5")
    logon(venue)


def test_reject_and_swallow_the_next_request(venue: Running) -> None:
    c = logon(venue)
    venue.fault("reject", msg_type="D", text="no thanks")
    order(c, "a")
    assert c.expect("8", t150="8").get(58) == "no thanks"
    venue.fault("swallow", msg_type="D")
    order(c, "b")
    order(c, "c")
    assert c.expect("8").get(11) == "c"
    assert [o["cl_ord_id"] for o in venue.working()] == ["c"]


@pytest.mark.parametrize(("when", "kinds"), [("before", "F9"), ("after", "4F")])
def test_late_fill_around_a_cancel(venue: Running, when: str, kinds: str) -> None:
    c = logon(venue)
    order(c, "a")
    c.expect("8", t150="0")
    venue.fault("late_fill", when=when, ms=50)
    c.send("F", [(11, "x"), (41, "a"), (55, "BTC-USD"), (54, "1")])
    c.until(lambda: len(c.received) == 4)
    assert "".join(m.get(150) or m.msg_type for m in c.received[2:]) == kinds
    assert c.of("8")[-1].get(14) in {"0.5"}
    assert venue.working() == []


def test_mass_cancels_that_lie(venue: Running) -> None:
    c = logon(venue)
    for n in range(3):
        order(c, f"o{n}")
    c.expect("8", t11="o2")
    venue.fault("mass_cancel_fake")
    c.send("q", [(11, "m1"), (530, "7")])
    assert c.expect("r").get(533) == "3"
    assert len(venue.working()) == 3
    venue.fault("mass_cancel_partial", leave=1)
    c.send("q", [(11, "m2"), (530, "7")])
    assert c.expect("r").get(533) == "2"
    assert len(venue.working()) == 1
    venue.fault("no_cancel", seconds=30)
    c.send("q", [(11, "m3"), (530, "7")])
    assert c.expect("r").get(531) == "0"
    c.send("F", [(11, "x"), (41, "o2"), (55, "BTC-USD"), (54, "1")])
    c.expect("9")
    venue.control("DELETE", "/faults")
    c.send("q", [(11, "m4"), (530, "7")])
    assert c.expect("r").get(533) == "1"


def test_refused_cancels_say_why_over_fix_and_rest_and_one_of_them_may_be_spared(venue: Running) -> None:
    headers = {"Authorization": "Basic cmVzdDprZXk="}
    c = logon(venue)
    order(c, "a")
    c.expect("8", t150="0")
    venue.fault("no_cancel", seconds=30, via="fix")
    c.send("q", [(11, "m"), (530, "7")])
    assert c.expect("r", t531="0").get(58) == "cancels are not taken now"
    c.send("F", [(11, "x"), (41, "a"), (55, "BTC-USD"), (54, "1")])
    assert c.expect("9").get(58) == "cancels are not taken now"
    venue.fault("mass_cancel_fake", via="rest")
    assert call(venue.endpoint("rest"), "DELETE", "/orders", headers=headers) == (200, {"cancelled": 1})
    assert len(venue.working()) == 1
    venue.control("DELETE", "/faults")
    venue.fault("no_cancel", seconds=30, via="rest")
    status, said = call(venue.endpoint("rest"), "DELETE", "/orders", headers=headers)
    assert (status, said) == (503, {"error": "cancels are not taken now"})
    c.send("q", [(11, "m2"), (530, "7")])
    assert c.expect("r").get(533) == "1"


@pytest.mark.parametrize(("kind", "first"), [("slow_cancel", "4"), ("pending_cancel", "6")])
def test_a_slow_cancel_is_taken_and_done_later_and_a_fill_may_come_between(
    venue: Running, kind: str, first: str
) -> None:
    c = logon(venue)
    for name in "ab":
        order(c, name)
    placed = c.expect("8", t150="0", t11="b").get(37)
    venue.fault(kind, ms=300, n=2)
    c.send("q", [(11, "m"), (530, "7")])
    assert c.expect("r").get(533) == "2"
    assert len(venue.working()) == 2
    venue.control("POST", "/fill", {"order_id": placed})
    c.until(lambda: not venue.working())
    c.until(lambda: any(m.get(150) == "4" for m in c.of("8")))
    kinds = [m.get(150) for m in c.of("8") if m.get(37) != placed]
    assert kinds == ["0", first, "4"] if first == "6" else ["0", "4"]
    assert [m.get(150) for m in c.of("8") if m.get(37) == placed][-1] == "F"


def test_a_late_acknowledgement_hides_an_order_that_works(venue: Running) -> None:
    c = logon(venue)
    venue.fault("late_ack", ms=300)
    order(c, "a")
    order(c, "b")
    assert c.expect("8").get(11) == "b"
    shown = next(o for o in venue.working() if o["cl_ord_id"] == "a")
    venue.control("POST", "/fill", {"order_id": shown["order_id"]})
    assert [c.expect("8", t37=shown["order_id"]).get(150) for _ in range(2)] == ["0", "F"]


def test_a_late_order_reaches_the_book_after_what_was_sent_behind_it(venue: Running) -> None:
    c = logon(venue)
    venue.fault("late_order", ms=300)
    order(c, "a")
    c.send("q", [(11, "m"), (530, "7")])
    assert c.expect("r").get(533) == "0"
    assert c.expect("8", t150="0").get(11) == "a"
    assert len(venue.working()) == 1


def test_an_empty_list_shows_nothing_of_what_works(venue: Running) -> None:
    headers = {"Authorization": "Basic cmVzdDprZXk="}
    c = logon(venue)
    order(c, "a")
    c.expect("8", t150="0")
    venue.fault("list_empty", seconds=30)
    assert call(venue.endpoint("rest"), "GET", "/orders?status=open", headers=headers)[1]["orders"] == []
    venue.control("DELETE", "/faults")
    assert len(call(venue.endpoint("rest"), "GET", "/orders?status=open", headers=headers)[1]["orders"]) == 1


def test_rest_fails_and_lags_on_demand(venue: Running) -> None:
    headers = {"Authorization": "Basic cmVzdDprZXk="}
    venue.fault("rest_fail", status=502)
    assert call(venue.endpoint("rest"), "GET", "/orders", headers=headers)[0] == 502
    venue.fault("rest_lag", ms=400)
    began = time.monotonic()
    assert call(venue.endpoint("rest"), "GET", "/orders", headers=headers)[0] == 200
    assert time.monotonic() - began >= 0.39


def test_list_lag_shows_the_past(venue: Running) -> None:
    headers = {"Authorization": "Basic cmVzdDprZXk="}
    c = logon(venue)
    order(c, "a")
    c.expect("8", t150="0")
    venue.fault("list_lag", ms=60_000)
    assert call(venue.endpoint("rest"), "GET", "/orders", headers=headers)[1]["orders"] == []


def test_maintenance_logs_out_and_stays_away_for_a_while(venue: Running) -> None:
    c = logon(venue)
    venue.fault("maintenance", seconds=30)
    c.expect("5")
    again = Client(venue.endpoint("trading"))
    again.send("A", [(98, 0), (108, 30), (141, "Y"), (553, "user"), (554, "word")])
    again.expect("5")


def test_md_gap_leaves_one_update_out(venue: Running) -> None:
    c, md = logon(venue), logon(venue, "MD", "marketdata")
    md.send("V", [(262, "r"), (263, 1), (264, 0), (265, 1), (267, 2), (269, 0), (269, 1), (146, 1), (55, "BTC-USD")])
    md.expect("W")
    venue.fault("md_gap")
    order(c, "a", price="100")
    order(c, "b", price="99")
    assert md.expect("X").all(270) == ["99"]


def test_a_fill_on_demand(venue: Running) -> None:
    c = logon(venue)
    order(c, "a")
    order_id = c.expect("8", t150="0").get(37)
    venue.control("POST", "/fill", {"order_id": order_id, "qty": "0.2"})
    assert c.expect("8", t150="F").get(151) == "0.3"


def test_the_record_keeps_every_order_and_every_fill_a_page_at_a_time(
    venue: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sim.control.PAGE", 2)
    seller, buyer = logon(venue), logon(venue, "OTHER")
    for name in ("a", "b", "c"):
        order(seller, name, "2", "1", "100")
    venue.until(lambda: len(venue.working()) == 3)
    order(buyer, "taker", "1", "1.5", "100")
    venue.until(lambda: len(venue.working()) == 2)
    pages = [venue.control("GET", f"/record/orders?from={n}") for n in (0, 2)]
    assert [[o["cl_ord_id"] for o in p["orders"]] for p in pages] == [["a", "b"], ["c", "taker"]]
    assert [p["next"] for p in pages] == [2, 0]
    assert [(o["cum_qty"], o["ord_status"]) for p in pages for o in p["orders"]] == [
        ("1", "2"), ("0.5", "1"), ("0", "0"), ("1.5", "2"),
    ]  # fmt: skip
    fills = [f for n in (0, 2) for f in venue.control("GET", f"/record/fills?from={n}")["fills"]]
    assert [(f["cl_ord_id"], f["last_qty"], f["cum_qty"]) for f in fills] == [
        ("a", "1", "1"), ("taker", "1", "1"), ("b", "0.5", "0.5"), ("taker", "0.5", "1.5"),
    ]  # fmt: skip
    assert fills[0]["trade_id"] == fills[1]["trade_id"] != fills[2]["trade_id"]


def test_options_that_nobody_knows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknwon"):
        Running("fix44", plain_setup(unknwon=1), tmp_path)
    assert Setup("x", []).number("any", 3) == 3
