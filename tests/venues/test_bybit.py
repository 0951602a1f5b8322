"""Bybit: signatures, bodies of every request, every ExecType, refusals, REST, and the venue's wire samples."""

import json
import struct
from decimal import Decimal
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.config import Kind, RestConfig, SessionConfig, VenueConfig
from base.errors import ConfigError, SecretError, VenueError
from base.instruments import Instrument
from fix.codec import Message, parse_utc_ns
from fix.dictionary import Checks
from ipc.events import BookSnapshot, CancelReject, ExecutionReport, PublicTrade, VenueLimit
from ipc.requests import NewOrder
from risk.order import order_of
from risk.orders import OrderTable
from tests.venues.conformance.cases import BYBIT_KEY
from tests.venues.kit import WALL, Heard, Venue, context
from tests.venues.samples import Sample, frames, samples
from venues.bybit.signing import logon_signature, private_key, rest_signer
from venues.bybit.websocket import Frames, auth_frame, subscribe_frame
from venues.dictionaries import venue_dictionary
from venues.fix_dialect import Notice
from venues.fix_requests import Request
from venues.interface import CancelOutcome, Disconnect, OpenOrders, Replace, SessionPhase, WorkingOrder
from venues.registry import dialect
from venues.throttle import LATE, Throttle

D = dialect("bybit")
BTC = Instrument("bybit", "BTC-USDT", "BTCUSDT", 1, 6)
SERVER = "BYBIT_FIX_SERVER"
TIMES = "30002=1775572325000|30001=5000"


def made(kind: Kind = Kind.TRADING, **options: Any) -> tuple[Any, Heard, Venue]:
    heard = Heard()
    keys = {"username": "KEY", "password": BYBIT_KEY}
    ctx = context("bybit", kind, [BTC], "DESK", SERVER, venue_options=options, heartbeat_s=10, **keys)
    session = D.trading(ctx, heard) if kind is Kind.TRADING else D.dropcopy(ctx, heard)
    return session, heard, Venue(session, heard, "DESK", SERVER)


def ready(kind: Kind = Kind.TRADING, **options: Any) -> tuple[Any, Heard, Venue]:
    session, heard, venue = made(kind, **options)
    venue.logon(b"98=0\x01108=10\x01")
    venue.take()
    return session, heard, venue


def order(**changes: Any) -> NewOrder:
    fields = {
        "client_id": "c", "command_id": "1", "deadline_ns": 0, "venue": "bybit", "instrument": "BTC-USDT",
        "side": "1", "ord_type": "2", "order_qty": 1_000, "price": 500_000,
    }  # fmt: skip
    return NewOrder(**{**fields, **changes})


def working(**changes: Any) -> WorkingOrder:
    fields = {
        "instrument": BTC, "cl_ord_id": "A1", "order_id": "77", "side": "1", "ord_type": "2", "time_in_force": "1",
        "order_qty": 1_000, "price": 500_000, "stop_px": None, "leaves_qty": 1_000, "sent_ns": WALL,
    }  # fmt: skip
    return WorkingOrder(**{**fields, **changes})


def body(message: Message) -> str:
    header = {8, 9, 35, 34, 49, 56, 52, 10}
    return "|".join(f"{tag}={value.decode()}" for tag, value in message.fields() if tag not in header)


def sent(changes: dict[str, Any], **options: Any) -> str:
    session, _, venue = ready(**options)
    session.new_order(order(**changes), BTC, "A1", venue.mono, venue.wall)
    return body(venue.last("D"))


# --- logon


def test_the_logon_signature_is_what_openssl_makes_of_the_text_of_the_documentation() -> None:
    signature = logon_signature(private_key(BYBIT_KEY, "key"), 1704096005000)
    assert signature.startswith(b"GtowKFQKkQsJXoHAnTHvoaKBVfWd1upBO+1W")
    assert sha256(signature).hexdigest() == "eb574997a7008f3c886a657c22ef14ea6e16a82b44ba8fef4ee11bfe1b424dc2"


def test_a_key_of_another_kind_is_refused_without_showing_it() -> None:
    for text in ("secret", "MC4CAQAwBQYDK2VwBCIEIIJEYWtGBrhACmb9Dvy+qa8WEf0lQOl1s4CLIAB9m89u"):
        with pytest.raises(SecretError, match=r"session\.x\.password: .*RSA") as e:
            private_key(text, "session.x.password")
        assert text not in str(e.value)


@pytest.mark.parametrize("kind", [Kind.TRADING, Kind.DROPCOPY])
def test_every_connection_asks_for_everything_and_signs_until_when_it_holds(kind: Kind) -> None:
    session, _, venue = made(kind)
    logon = venue.connect()
    assert (logon.begin_string, logon.get_bool(141), logon.seq_num) == (b"FIX.4.4", True, 1)
    assert [logon.get(tag) for tag in (98, 108, 553, 25036)] == [b"0", b"10", b"KEY", b"1"]
    expires = WALL // 1_000_000 + 5_000
    signature = logon_signature(private_key(BYBIT_KEY, "key"), expires)
    assert (logon.get(96), logon.get(95), logon.need_int(30023)) == (signature, b"344", expires)
    venue.send("A", "98=0|108=10|141=Y|")
    assert session.phase is SessionPhase.READY


def test_numbers_begin_anew_with_every_connection() -> None:
    session, _, venue = ready()
    session.new_order(order(), BTC, "A1", venue.mono, venue.wall)
    session.disconnected("cut", venue.mono, venue.wall)
    assert venue.connect().seq_num == 2 - 1


def test_a_session_without_its_key_is_not_made() -> None:
    for missing in ("username", "password"):
        keys = {"username": "KEY", "password": BYBIT_KEY, missing: ""}
        with pytest.raises(SecretError, match=rf"session\.bybit-trading\.{missing}"):
            D.trading(context("bybit", Kind.TRADING, [BTC], "DESK", SERVER, **keys), Heard())


# --- requests

HEAD = f"{TIMES}|30010=spot|55=BTCUSDT"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "54=1|40=2|59=1|38=0.001|44=50000|11=A1"),
        ({"side": "2", "time_in_force": "4"}, "54=2|40=2|59=4|38=0.001|44=50000|11=A1"),
        ({"exec_inst": "post_only"}, "54=1|40=2|59=P|38=0.001|44=50000|11=A1"),
        ({"options": {"rpi": "Y"}}, "54=1|40=2|59=R|38=0.001|44=50000|11=A1"),
        ({"ord_type": "1", "time_in_force": "3"}, "54=1|40=1|38=0.001|11=A1|30013=baseCoin"),
        ({"ord_type": "1", "time_in_force": "3",
          "options": {"slippage_tolerance_type": "Percent", "slippage_tolerance": "0.5", "rpi_taker_access": "Y"}},
         "54=1|40=1|38=0.001|11=A1|30013=baseCoin|30019=Y|30022=Percent|30034=0.5"),
        ({"ord_type": "3", "stop_px": 490_000}, "54=1|40=1|38=0.001|99=49000|11=A1|30013=baseCoin|30024=StopOrder"),
        ({"ord_type": "4", "stop_px": 490_000}, "54=1|40=2|59=1|38=0.001|44=50000|99=49000|11=A1|30024=StopOrder"),
        ({"options": {"smp_type": "CancelBoth", "take_profit": "60000", "tp_order_type": "Market", "is_leverage": "Y"}},
         "54=1|40=2|59=1|38=0.001|44=50000|11=A1|30014=Y|30018=CancelBoth|30026=60000|30028=Market"),
    ],
    ids=["limit", "fok", "post-only", "rpi", "market", "slippage", "stop", "stop-limit", "take-profit"],
)  # fmt: skip
def test_an_order_of_each_kind_names_itself_in_11_and_in_the_requests_id(
    changes: dict[str, Any], expected: str
) -> None:
    assert sent(changes) == f"{HEAD}|{expected}|30006=A1"


def test_options_of_the_venue_are_said_with_every_order() -> None:
    said = sent({}, recv_window_ms=800, referer="BROKER", smp_type="CancelTaker")
    assert said.startswith("30002=1775572325000|30001=800|30004=BROKER|30010=spot|55=BTCUSDT|54=1|")
    assert said.endswith("|11=A1|30018=CancelTaker|30006=A1")
    stop = {"ord_type": "4", "stop_px": 490_000}
    assert "|30024=tpslOrder|" in sent(stop, trigger_filter="tpslOrder")


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"ord_type": "1"}, "time_in_force"), ({"ord_type": "3", "time_in_force": "3", "stop_px": 1}, "time_in_force"),
        ({"ord_type": "R"}, "ord_type"), ({"ord_type": "4"}, "stop_px"), ({"price": None}, "price"),
        ({"side": "5"}, "side"), ({"display_qty": 5}, "display_qty"), ({"expire_ns": WALL}, "expire_ns"),
        ({"exec_inst": "post_only", "time_in_force": "3"}, "exec_inst"),
        ({"exec_inst": "post_only", "options": {"rpi": "Y"}}, "exec_inst"),
        ({"options": {"smp_type": "Decrement"}}, "smp_type"), ({"options": {"slippage_tolerance": "1"}}, "slippage"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)  # fmt: skip
def test_what_the_venue_does_not_take_is_refused_by_name(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(VenueError, match=what):
        sent(changes)


def asked(call: str, target: WorkingOrder, *more: Any) -> str:
    session, _, venue = ready()
    getattr(session, call)(target, "R1", *more, venue.mono, venue.wall)
    (message,) = venue.take()
    return f"{message.msg_type} {body(message)}"


def test_a_cancel_names_the_order_in_37_and_11_and_itself_in_the_requests_id() -> None:
    assert asked("cancel_order", working()) == f"F {HEAD}|37=77|11=A1|30006=R1"
    assert asked("cancel_order", working(order_id="")) == f"F {HEAD}|11=A1|30006=R1"


def test_an_order_behind_a_trigger_goes_by_its_own_name_and_kind() -> None:
    stop = working(ord_type="3", stop_px=490_000)
    assert asked("cancel_order", stop) == f"F {HEAD}|11=A1|30024=StopOrder|30006=R1"
    assert asked("replace_order", stop, 1_000, None, 480_000) == f"XAR {HEAD}|11=A1|99=48000|30006=R1"


def test_an_amendment_says_what_changes() -> None:
    head = f"XAR {HEAD}|37=77|11=A1"
    assert asked("replace_order", working(), 2_000, 500_000, None) == f"{head}|38=0.002|30006=R1"
    assert asked("replace_order", working(), 1_000, 510_000, None) == f"{head}|44=51000|30006=R1"
    assert asked("replace_order", working(), 2_000, 510_000, None) == f"{head}|38=0.002|44=51000|30006=R1"
    assert asked("replace_order", working(), 1_000, 500_000, None) == f"{head}|38=0.001|30006=R1"


# --- answers


def answered(kind: str, msg_type: str, answer: str) -> tuple[Heard, Any]:
    """The venue answers a new order, or a cancel or an amendment of order A1, by the request's id."""
    session, heard, venue = ready()
    if kind == "new":
        session.new_order(order(), BTC, "A1", venue.mono, venue.wall)
    elif kind == "cancel":
        session.cancel_order(working(), "R1", venue.mono, venue.wall)
    else:
        session.replace_order(working(), "R1", 2_000, 500_000, None, venue.mono, venue.wall)
    venue.send(msg_type, f"30005=trace|30006={'A1' if kind == 'new' else 'R1'}|{answer}|")
    return heard, heard.events[0]


def test_an_acknowledgement_says_hardly_more_than_ids_and_is_filled_up_from_the_order() -> None:
    _, r = answered("new", "8", "11=A1|37=77|150=A|39=A|58=OK")
    assert (r.cl_ord_id, r.order_id, r.exec_type, r.ord_status, r.text, r.request_id) == ("A1", "77", "A", "A", "", "")
    assert (r.instrument, r.venue_symbol, r.side, r.order_qty, r.price) == ("BTC-USDT", "BTCUSDT", "1", 1_000, 500_000)
    assert (r.px_scale, r.qty_scale, r.defects, r.origin) == (1, 6, (), "8")


def test_a_refused_order_has_no_ids_but_the_requests() -> None:
    _, r = answered("new", "8", "150=8|39=8|103=170140|58=Order value exceeded lower limit.")
    assert (r.cl_ord_id, r.order_id, r.exec_type, r.ord_status) == ("A1", "", "8", "8")
    assert (r.reason_code, r.text, r.leaves_qty, r.defects) == ("170140", "Order value exceeded lower limit.", 0, ())


@pytest.mark.parametrize("code", ["10000", "10016", "170007", "170146", "170147"])
def test_an_order_whose_fate_the_venue_does_not_know_stays_pending_and_is_looked_for(code: str) -> None:
    _, r = answered("new", "8", f"150=8|39=8|103={code}|58=Timeout")
    table = OrderTable(shared_trade_ids=False)
    table.add(order_of(order(), "s", "main", "A1", (1, 6), WALL))
    applied = table.apply(r, WALL)
    assert applied.order is not None
    assert (applied.order.state, r.reason_code, r.text) == ("PENDING_NEW", code, "Timeout")


@pytest.mark.parametrize(("kind", "msg_type", "letter"), [("cancel", "XCA", "6"), ("amend", "XAA", "E")])
def test_an_accepted_request_is_pending_on_its_order(kind: str, msg_type: str, letter: str) -> None:
    _, r = answered(kind, msg_type, f"11=A1|37=77|150={letter}|39={letter}")
    assert (r.exec_type, r.ord_status, r.cl_ord_id, r.request_id, r.origin) == (letter, letter, "A1", "R1", msg_type)
    assert (r.instrument, r.order_id, r.defects) == ("BTC-USDT", "77", ())


@pytest.mark.parametrize(("kind", "msg_type", "response"), [("cancel", "XCA", "1"), ("amend", "XAA", "2")])
@pytest.mark.parametrize(
    ("code", "unknown"), [("170213", True), ("170143", True), ("170142", True), ("10001", False), ("10006", False)]
)
def test_a_refused_request_goes_by_its_id_and_tells_whether_the_order_is_open(
    kind: str, msg_type: str, response: str, code: str, unknown: bool
) -> None:
    _, r = answered(kind, msg_type, f"103={code}|58=no")
    assert isinstance(r, CancelReject)
    assert (r.cl_ord_id, r.request_id, r.order_id, r.instrument) == ("A1", "R1", "77", "BTC-USDT")
    assert (r.response_to, r.reason_code, r.text, r.origin, r.unknown_order) == (
        response,
        code,
        "no",
        msg_type,
        unknown,
    )


def test_a_strict_session_loses_no_answer_whatever_else_is_in_it() -> None:
    heard = Heard()
    keys = {"username": "KEY", "password": BYBIT_KEY}
    ctx = context("bybit", Kind.TRADING, [BTC], "DESK", SERVER, heartbeat_s=10, validate="reject", **keys)
    session = D.trading(ctx, heard)
    venue = Venue(session, heard, "DESK", SERVER)
    venue.logon(b"98=0\x01108=10\x01")
    session.cancel_order(working(), "R1", venue.mono, venue.wall)
    venue.take()
    venue.send("XCA", "30006=R1|103=170213|58=no|9999=odd|")
    assert (heard.one(CancelReject).request_id, venue.take()) == ("R1", [])


def test_a_missing_field_is_refused_by_35_j_which_names_only_a_number() -> None:
    session, heard, venue = ready()
    session.new_order(order(), BTC, "A1", venue.mono, venue.wall)
    venue.send("j", f"45={venue.last('D').seq_num}|372=D|380=5|58=Required tag missing|")
    r = heard.one(ExecutionReport)
    assert (r.cl_ord_id, r.ord_status, r.origin) == ("A1", "8", "j")


def test_the_venues_own_limits_are_told_when_they_are_others_or_used_up() -> None:
    session, heard, venue = ready()
    for n, left in enumerate((19, 18, 0)):
        session.new_order(order(), BTC, f"A{n}", venue.mono, venue.wall)
        venue.send("8", f"30006=A{n}|30007=20|30008={left}|30009=1|11=A{n}|37={n}|150=A|39=A|58=OK|")
    told = [e for e in heard.events if isinstance(e, VenueLimit)]
    assert [(t.name, t.used, t.most, t.interval_s) for t in told] == [("create", 1, 20, 1), ("create", 20, 20, 1)]
    throttle = Throttle(D.capabilities(config()).limits.orders)
    throttle.told(told[1], 1, 1)
    assert throttle.take("new", 1, 1).startswith(LATE)
    assert throttle.take("cancel", 1, 1, urgent=True) == ""


# --- pushes

TERMS = "30010=spot|55=BTCUSDT|54=1|40=2|38=0.001|44=50000.0|59=1|30013=UNKNOWN|30014=N"


def pushed(letters: str, more: str = "", kind: Kind = Kind.TRADING) -> list[ExecutionReport]:
    _, heard, venue = ready(kind)
    exec_type, status = letters.split("/")
    venue.send("8", f"11=A1|37=77|150={exec_type}|39={status}|{TERMS}|{more}60=20260407-14:32:05.123|")
    return heard.events  # type: ignore[return-value]


NOTHING = "151=0.001|14=0|"
PART = "151=0.0006|14=0.0004|6=50000|"


@pytest.mark.parametrize(
    ("letters", "more", "exec_type", "status", "leaves"),
    [
        ("0/0", NOTHING, "0", "0", 1_000), ("5/0", NOTHING, "5", "0", 1_000), ("5/0", PART, "5", "1", 600),
        ("4/4", NOTHING, "4", "4", 0), ("4/F", PART, "4", "4", 0), ("F/F", PART, "4", "4", 0),
        ("8/8", NOTHING, "8", "8", 0), ("8/8", PART, "4", "4", 0), ("U/U", NOTHING, "0", "0", 1_000),
        ("T/T", NOTHING, "L", "0", 1_000), ("D/D", NOTHING, "4", "4", 0),
    ],
)  # fmt: skip
def test_each_exec_type_means_what_the_standard_calls_it(
    letters: str, more: str, exec_type: str, status: str, leaves: int
) -> None:
    (r,) = pushed(letters, more)
    assert (r.exec_type, r.ord_status, r.leaves_qty, r.defects) == (exec_type, status, leaves, ())
    assert (r.cl_ord_id, r.order_id, r.order_qty, r.price, r.exec_id) == ("A1", "77", 1_000, 500_000, "")


def test_a_deactivated_order_is_over_though_d_is_restated_in_the_standard() -> None:
    table = OrderTable(shared_trade_ids=False)
    table.add(order_of(order(), "s", "main", "A1", (1, 6), WALL))
    states = []
    for letters in ("U/U", "T/T", "D/D"):
        (r,) = pushed(letters, NOTHING)
        found = table.apply(r, WALL).order
        assert found is not None
        states.append(found.state)
    assert states == ["NEW", "NEW", "CANCELED"]


def test_a_cancel_says_why_in_words() -> None:
    (r,) = pushed("4/4", f"{NOTHING}103=EC_PerCancelRequest|30040=CancelByUser|")
    assert (r.reason_code, r.text) == ("EC_PerCancelRequest", "CancelByUser")


def entry(name: str, qty: str, px: str = "50000", more: str = "") -> str:
    return f"30051={name}|30052={qty}|30053={px}|30054=20260407-14:32:05.100|{more}"


def test_a_sweep_is_as_many_fills_each_with_what_was_filled_by_then() -> None:
    first = entry("T1", "0.0002", "49999.9", "30055=0.0000002|30056=BTC|30058=N|")
    second = entry("T2", "0.0001", "50000", "30058=Y|30066=B|")
    reports = pushed("F/1", f"151=0.0006|14=0.0004|6=1|30050=2|{first}{second}30060=1|30061=BTC|30062=0.0000002|")
    assert [(r.trade_id, r.last_qty, r.last_px, r.cum_qty, r.leaves_qty, r.ord_status) for r in reports] == [
        ("T1", 200, 499_999, 300, 700, "1"), ("T2", 100, 500_000, 400, 600, "1"),
    ]  # fmt: skip
    assert [(r.fees, r.liquidity, r.defects) for r in reports] == [((("BTC", "0.0000002"),), "T", ()), ((), "M", ())]
    assert {r.transact_ns for r in reports} == {parse_utc_ns(b"20260407-14:32:05.100")}


def test_only_the_last_fill_of_a_sweep_completes_the_order_and_none_counts_twice() -> None:
    table = OrderTable(shared_trade_ids=False)
    table.add(order_of(order(), "s", "main", "A1", (1, 6), WALL))
    reports = pushed("F/2", f"151=0|14=0.001|30050=2|{entry('T1', '0.0004')}{entry('T2', '0.0006')}")
    applied = [table.apply(r, WALL) for r in reports + reports]
    assert [(a.fill_qty, a.duplicate) for a in applied] == [(400, False), (600, False), (0, True), (0, True)]
    assert (reports[0].ord_status, applied[0].order and applied[0].order.state) == ("1", "FILLED")
    assert table.find("A1").cum_qty == 1_000  # type: ignore[union-attr]


def test_fills_that_end_a_cancelled_order_come_before_its_end() -> None:
    fill, end = pushed("F/F", f"{PART}30050=1|{entry('T1', '0.0004')}")
    assert (fill.exec_type, fill.ord_status, fill.last_qty, fill.cum_qty) == ("F", "1", 400, 400)
    assert (end.exec_type, end.ord_status, end.leaves_qty, end.last_qty) == ("4", "4", 0, None)


def test_what_cannot_be_read_of_a_fill_is_a_defect_and_the_fill_is_told() -> None:
    fine, torn = entry("T1", "0.0000001"), "30051=T2|30052=0.0002|30054=noon|"
    one, two = pushed("F/1", f"{PART}30050=3|{fine}{torn}")
    assert (one.last_qty, two.last_qty, two.last_px) == (None, 200, None)
    assert [d[:5] for d in one.defects] == ["30050", "30052"]
    assert sorted(d[:5] for d in two.defects) == ["30050", "30053", "30054"]


def test_a_fill_of_an_instrument_that_nobody_configured_is_told_exactly() -> None:
    _, heard, venue = ready()
    fills = f"30050=2|{entry('T1', '0.25', '3.125')}{entry('T2', '1', '3.5')}"
    venue.send("8", f"11=A1|37=77|150=F|39=1|55=X|54=1|38=2.5|44=3.5|14=1.25|151=1.25|{fills}")
    one, two = heard.events
    for r, said in ((one, (25, 3125, 25)), (two, (100, 3500, 125))):
        assert isinstance(r, ExecutionReport)
        assert (r.px_scale, r.qty_scale, r.instrument, r.venue_symbol) == (3, 2, "", "X")
        assert (r.price, r.order_qty, r.last_qty, r.last_px, r.cum_qty) == (3500, 250, *said)


_ODD = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="|"), min_size=1, max_size=12)
_TAGS = (6, 11, 14, 37, 38, 39, 44, 54, 55, 58, 60, 103, 150, 151, *range(30005, 30010), *range(30040, 30067))


@settings(max_examples=60)
@given(kind=st.sampled_from(["8", "XCA", "XAA"]), fields=st.lists(st.tuples(st.sampled_from(_TAGS), _ODD), max_size=40))
def test_nothing_that_the_venue_says_is_too_odd_to_be_told(kind: str, fields: list[tuple[int, str]]) -> None:
    _, heard, venue = ready()
    venue.send(kind, b"".join(f"{tag}={value}\x01".encode() for tag, value in fields))
    assert heard.disconnects == []
    assert [e for e in heard.events if isinstance(e, ExecutionReport | CancelReject)]


def test_a_push_that_says_not_what_it_is_about_is_told_with_its_defects() -> None:
    _, heard, venue = ready()
    venue.send("8", "11=A1|150=0|39=0|")
    r = heard.one(ExecutionReport)
    assert (r.cl_ord_id, r.defects) == ("A1", ("37: is missing", "54: is missing", "55: is missing"))


def test_a_session_that_only_listens_hears_everybodys_orders() -> None:
    (r,) = pushed("0/0", NOTHING, Kind.DROPCOPY)
    assert (r.drop_copy, r.cl_ord_id) == (True, "A1")


# --- what is declared


def config(rest: bool = True, **options: Any) -> VenueConfig:
    side = RestConfig(address="https://x", lag_ms=2000, key="env:A", secret="env:B") if rest else None
    return VenueConfig(dialect="bybit", instruments=[], rest=side, options=options)


def session_config(**changes: Any) -> SessionConfig:
    fields = {
        "venue": "p", "kind": Kind.TRADING, "address": "x:1", "sender_comp_id": "DESK", "target_comp_id": SERVER,
        "username": "env:A", "password": "env:B", "heartbeat_s": 10,
    }  # fmt: skip
    return SessionConfig(**{**fields, **changes})


def test_what_the_venue_has_not_is_declared_so() -> None:
    claims = D.capabilities(config())
    assert (claims.kinds, claims.levels) == (frozenset({Kind.TRADING, Kind.DROPCOPY}), frozenset())
    assert (claims.mass_cancel, claims.disconnect, claims.resend) == (False, Disconnect.UNKNOWN, False)
    assert (claims.replace, claims.open_orders) == (Replace.IN_PLACE, OpenOrders.REST)
    bare = D.capabilities(config(rest=False))
    assert (bare.open_orders, bare.status_request) == (OpenOrders.NONE, False)


@pytest.mark.parametrize(
    ("sessions", "said"),
    [
        ({"a": {"target_comp_id": "X"}}, r"session\.a\.target_comp_id: 'X' is not 'BYBIT_FIX_SERVER'"),
        ({"a": {"kind": Kind.MARKETDATA}}, r"session\.a\.kind: .*no market data"),
        ({"a": {"heartbeat_s": 30}}, r"session\.a\.heartbeat_s: 30 is not 10"),
        ({"a": {"sender_comp_id": "seventeen-letters"}}, r"session\.a\.sender_comp_id: .*1 to 16"),
        ({"a": {"alternate_sender_comp_id": "DESK"}}, r"session\.a\.alternate_sender_comp_id: the same"),
        ({"a": {}, "b": {}}, r"session\.b\.sender_comp_id: 'DESK' is session\.a's"),
        ({f"s{n}": {"sender_comp_id": f"S{n}"} for n in range(21)}, "20 connections at most"),
    ],
    ids=["target", "market-data", "heartbeat", "name", "alternate", "one-name", "twenty-one"],
)
def test_sessions_that_the_venue_does_not_take_are_refused(sessions: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        D.check(config(), {name: session_config(**changes) for name, changes in sessions.items()}, "venue.p")


def test_a_prefix_that_leaves_no_room_or_has_other_letters_is_refused() -> None:
    for prefix in ("x" * 20, "a.b"):
        with pytest.raises(ConfigError, match=r"venue\.p\.options\.cl_ord_id_prefix"):
            D.check(config(cl_ord_id_prefix=prefix), {}, "venue.p")
    session, _, venue = ready(cl_ord_id_prefix="x" * 19)
    assert len(session.make_cl_ord_id(venue.wall)) == 36


def test_creates_amendments_and_cancels_are_counted_apart_by_uid() -> None:
    limits = D.capabilities(config(creates_per_s=200)).limits.orders
    assert [(x.name, x.most, x.per_s, x.scope) for x in limits] == [
        ("create", 200, 1, "account"), ("amend", 10, 1, "account"), ("cancel", 20, 1, "account"),
    ]  # fmt: skip
    throttle = Throttle(D.capabilities(config()).limits.orders)
    done = [what for what in ("new", "amend", "cancel") for _ in range(30) if not throttle.take(what, 1, 1)]
    assert [done.count(what) for what in ("new", "amend", "cancel")] == [19, 9, 19]
    assert throttle.take("cancel", 2, 2, urgent=True).startswith(LATE)  # a refused one may count


# --- REST


def rest(secret: str = "testsecret") -> Any:
    return D.rest(config(), "testkey", secret)


def test_requests_are_signed_as_the_vectors_of_the_reference() -> None:
    sign = rest_signer("testsecret", "s")
    head = b"%dtestkey5000"
    get = head % 1658384314791 + b"category=option&symbol=BTC-29JUL22-25000-C"
    assert sign(get) == "234e645dce3a16c7c538ec725b089f9959ddc0648c4a09e14ad706ea8b4baf48"
    post = head % 1658385579423 + b'{"category": "option"}'
    assert sign(post) == "91b9f3d31c2a4899df5a057150b117ad12aeb0df7b8069836e39071d0158b8bb"
    by_rsa = rest_signer(BYBIT_KEY, "s")(get)
    assert sha256(by_rsa.encode()).hexdigest() == "22c4ecfb50ab28b96fbdf5b9bf8d3610ae86068677d7ec0c80a6aaebed13ef76"


def test_a_request_signs_its_query_or_its_body_as_it_stands() -> None:
    at, sign = str(WALL // 1_000_000), rest_signer("testsecret", "s")
    listing, all_of = rest().open_orders(WALL, "a%3A1"), rest().cancel_all(WALL, [BTC])[0]
    assert listing.target == "/v5/order/realtime?category=spot&limit=50&cursor=a%253A1"
    assert all_of.body == b'{"category":"spot","orderFilter":"Order"}'
    for request, said in ((listing, listing.target.partition("?")[2].encode()), (all_of, all_of.body)):
        headers = dict(request.headers)
        assert (headers["X-BAPI-API-KEY"], headers["X-BAPI-TIMESTAMP"], headers["X-BAPI-RECV-WINDOW"]) == (
            "testkey", at, "5000",
        )  # fmt: skip
        assert headers["X-BAPI-SIGN"] == sign(f"{at}testkey5000".encode() + said)


def test_everything_is_cancelled_by_one_request_a_kind_of_order() -> None:
    kinds = [json.loads(r.body)["orderFilter"] for r in rest().cancel_all(WALL, [BTC])]
    assert kinds == ["Order", "StopOrder", "tpslOrder", "OcoOrder", "BidirectionalTpslOrder"]
    with pytest.raises(VenueError, match="success is '0'"):
        rest().parse_cancel_all(200, b'{"retCode":0,"result":{"list":[],"success":"0"}}')


LISTED = {"orderId": "77", "symbol": "BTCUSDT", "side": "Sell", "orderStatus": "New", "qty": "1", "cumExecQty": "0",
          "price": "5", "orderLinkId": "A1", "updatedTime": "1672364262444"}  # fmt: skip


def page(*rows: dict[str, Any], cursor: str = "more") -> bytes:
    return json.dumps({"retCode": 0, "retMsg": "OK", "result": {"list": rows, "nextPageCursor": cursor}}).encode()


@pytest.mark.parametrize(
    ("status", "cum", "means"),
    [("New", "0", "0"), ("PartiallyFilled", "0.5", "1"), ("Untriggered", "0", "0"), ("Filled", "1", "2"),
     ("Cancelled", "0", "4"), ("PartiallyFilledCanceled", "0.5", "4"), ("Rejected", "", "8"), ("Rejected", "0.5", "4"),
     ("Deactivated", "0", "4")],
)  # fmt: skip
def test_each_state_of_an_order_over_rest(status: str, cum: str, means: str) -> None:
    found = rest().parse_order(200, page({**LISTED, "orderStatus": status, "cumExecQty": cum}), "A1")
    assert (found.status, found.order_id, found.side, found.cum_qty) == (means, "77", "2", cum or "0")


def test_a_list_goes_on_while_its_pages_are_full() -> None:
    assert rest().parse_open_orders(200, page(*[LISTED] * 50)).cursor == "more"
    assert rest().parse_open_orders(200, page(*[LISTED] * 49)).cursor == ""
    assert rest().parse_order(200, page(), "A1") is None
    with pytest.raises(VenueError, match="10002 invalid request"):
        rest().parse_order(200, b'{"retCode":10002,"retMsg":"invalid request","result":{}}')
    with pytest.raises(VenueError, match="orderStatus: 'Asleep'"):
        rest().parse_open_orders(200, page({**LISTED, "orderStatus": "Asleep"}))


def test_an_order_is_asked_for_by_the_name_that_stays() -> None:
    assert rest().order(WALL, working()).target.endswith("?category=spot&orderId=77")
    assert rest().order(WALL, working(order_id="")).target.endswith("&orderLinkId=A1")
    assert rest().trades(WALL, working(ord_type="4"), 0).target.endswith("&limit=100&orderLinkId=A1")


def test_what_is_borrowed_is_not_held_and_what_is_locked_is_not_free() -> None:
    coin = {"coin": "BTC", "walletBalance": "2", "locked": "0.5", "spotBorrow": "1"}
    said = {"retCode": 0, "result": {"list": [{"coin": [coin]}]}}
    (b,) = rest().parse_balances(200, json.dumps(said).encode())
    assert [Decimal(n) for n in (b.total, b.held, b.available, b.buying_power)] == [1, Decimal("0.5")] * 1 + [
        Decimal("0.5"), Decimal("0.5"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [(200, 0, "CANCELLED"), (200, 170213, "NOT_FOUND"), (200, 170142, "DONE"), (200, 10006, "RATE_LIMITED"),
     (403, 0, "RATE_LIMITED"), (200, 10016, "UNKNOWN"), (200, 170007, "UNKNOWN"), (503, 0, "UNKNOWN"),
     (200, 10005, "REFUSED")],
)  # fmt: skip
def test_a_single_cancel_and_what_its_answer_means(status: int, code: int, outcome: str) -> None:
    request = rest().cancel_order(WALL, BTC, "77", "A1")
    assert (request.target, json.loads(request.body)) == (
        "/v5/order/cancel", {"category": "spot", "symbol": "BTCUSDT", "orderId": "77"},
    )  # fmt: skip
    said = rest().parse_cancel_order(status, json.dumps({"retCode": code, "retMsg": "x"}).encode())
    assert said.outcome.name == outcome
    assert rest().parse_cancel_order(403, b"<html>").outcome is CancelOutcome.RATE_LIMITED


# --- the samples of the venue's documentation


def by_title(part: str, at: int = 0) -> Sample:
    return [s for s in samples("bybit") if s.title.startswith(part)][at]


def heard_of(sample: Sample, *known: Request) -> Any:
    """What a session that made these requests hears when the sample comes."""
    session, heard, venue = ready()
    for request in known:
        session._requests.add(99, request)
    venue.send(sample.get(35), "".join(f"{t}={v}|" for t, v in sample.body))
    return heard.events


def test_every_sample_has_an_expectation_here() -> None:
    assert [s.get(35) for s in samples("bybit")] == [
        "A", "A", "0", "5", "D", "8", "8", "8", "F", "XCA", "8", "XAR", "XAA", "8", "8", "8", "XAA", "D",
    ]  # fmt: skip


def test_every_sample_is_as_the_dictionary_has_it() -> None:
    d = venue_dictionary("bybit", "FIX.4.4")
    for sample in samples("bybit"):
        blemished = sample.get(96) == "<SIGNATURE>"  # 64 bytes long, it says
        assert bool(d.faults(sample.raw, Checks(group_order=False))) is blemished, sample.title


@pytest.mark.parametrize(("at", "px_scale"), [(0, 1), (1, 2)], ids=["of-august", "early-draft"])
def test_the_order_of_the_samples_is_what_is_sent(at: int, px_scale: int) -> None:
    sample = by_title("NewOrderSingle", at)
    session, _, venue = ready()
    i = Instrument("bybit", "BTC-USDT", "BTCUSDT", px_scale, 6)
    wall = int(sample.get(30002)) * 1_000_000
    session.new_order(order(price=50_000 * 10**px_scale), i, sample.get(11), venue.mono, wall)
    ours = [pair.split("=") for pair in body(venue.last("D")).split("|")]
    assert ours.pop() == ["30006", sample.get(11)]
    theirs = [[str(t), "50000" if t == 44 else v] for t, v in sample.body if t != 30006]
    assert sorted(ours) == sorted(theirs)
    assert at or ours == theirs  # and in their order


def test_the_cancel_and_the_amendment_of_the_samples_are_what_is_sent() -> None:
    cancel, amend = by_title("OrderCancelRequest"), by_title("AtomicReplaceRequest")
    session, _, venue = ready()
    named = working(order_id=cancel.get(37), cl_ord_id="")
    session.cancel_order(named, "R1", venue.mono, int(cancel.get(30002)) * 1_000_000)
    assert body(venue.last("F")) == "|".join(f"{t}={v}" for t, v in cancel.body) + "|30006=R1"
    named = working(order_id=amend.get(37), cl_ord_id=amend.get(11))
    wall = int(amend.get(30002)) * 1_000_000
    session.replace_order(named, amend.get(30006), 2_000, 500_000, None, venue.mono, wall)
    assert sorted(body(venue.last("XAR")).split("|")) == sorted(f"{t}={v}" for t, v in amend.body)


def test_the_logon_of_the_sample_has_the_same_fields_and_its_answer_is_a_session() -> None:
    session, _, venue = made()
    logon = venue.connect()
    sample = by_title("Logon")
    assert {t for t, _ in logon.fields()} == {t for t, _ in sample.fields}
    venue.send("A", "".join(f"{t}={v}|" for t, v in by_title("Logon-ack").body))
    assert session.phase is SessionPhase.READY
    session.logout("client requested logout", venue.mono, venue.wall)
    assert body(venue.last("5")) == "|".join(f"{t}={v}" for t, v in by_title("Logout").body)


def test_the_acknowledgements_of_the_samples() -> None:
    new, cancel = by_title("ExecutionReport-PendingNew-ack"), by_title("OrderCancelAck-XCA")
    ours = Request("new", new.get(30006), BTC, new.get(11), order=order(), side="1")
    r, limit = heard_of(new, ours)
    assert (r.exec_type, r.cl_ord_id, r.order_id) == ("A", new.get(11), "2288644008836434688")
    assert (r.instrument, r.defects, limit.name, limit.used, limit.most) == ("BTC-USDT", (), "create", 1, 20)
    r, limit = heard_of(cancel, Request("cancel", cancel.get(30006), BTC, cancel.get(11), cancel.get(37)))
    assert (r.exec_type, r.cl_ord_id, r.request_id) == ("6", cancel.get(11), cancel.get(30006))
    assert (limit.name, limit.most) == ("cancel", 20)


def test_the_refusals_of_the_samples() -> None:
    late, early = by_title("ExecutionReport-Rejected", 0), by_title("ExecutionReport-Rejected", 1)
    ours = Request("new", late.get(30006), BTC, "A1", order=order(), side="1")
    r, _ = heard_of(late, ours)
    assert (r.cl_ord_id, r.exec_type, r.reason_code) == ("A1", "8", "170140")
    r, _ = heard_of(early)
    assert (r.cl_ord_id, r.exec_type, r.text, r.reason_code) == ("my-order-002", "8", "Insufficient balance", "99")
    late, early = by_title("OrderAmendAck-XAA-rejected", 0), by_title("OrderAmendAck-XAA-rejected-early-draft")
    r, limit = heard_of(late)  # its request carried no ReqId: the venue names nothing
    assert (r.cl_ord_id, r.response_to, r.reason_code, r.unknown_order) == ("", "2", "10001", False)
    assert (limit.name, limit.used, limit.most) == ("amend", 1, 10)
    r, _ = heard_of(early)
    assert (r.order_id, r.response_to, r.text) == ("1234567890123456", "2", "Order not found")


def test_the_pushes_of_the_samples() -> None:
    (fill,) = heard_of(by_title("ExecutionReport-Filled"))
    assert (fill.exec_type, fill.ord_status, fill.trade_id, fill.last_qty, fill.last_px) == (
        "F", "2", "2100000000187175357", 1_000, 646_275,
    )  # fmt: skip
    assert (fill.cum_qty, fill.leaves_qty, fill.liquidity, fill.fees) == (1_000, 0, "T", (("BTC", "0.000000427"),))
    (end,) = heard_of(by_title("ExecutionReport-Canceled"))
    assert (end.exec_type, end.ord_status, end.reason_code, end.text, end.leaves_qty) == (
        "4", "4", "EC_PerCancelRequest", "CancelByUser", 0,
    )  # fmt: skip
    (new_terms,) = heard_of(by_title("ExecutionReport-Replaced"))
    assert (new_terms.exec_type, new_terms.ord_status, new_terms.order_qty) == ("5", "0", 2_000)
    (new, limit) = heard_of(by_title("ExecutionReport-New-early-draft"))
    assert (new.exec_type, new.cl_ord_id, new.leaves_qty, new.instrument) == ("0", "my-order-001", 1_000, "BTC-USDT")
    assert limit.most == 120
    for r in (fill, end, new_terms, new):
        assert r.defects == ()


# --- WebSocket frames

WS = Instrument("bybit", "BTC-USDT", "BTCUSDT", 2, 6)
LONG = WALL + 5


def frame(title: str) -> bytes:
    (found,) = [f for f in frames("bybit") if f.title == title]
    return found.text.encode()


def told(data: bytes, instrument: Instrument = WS, category: str = "spot") -> Any:
    return Frames("ws", "bybit", "main", [instrument], category).decode(data, LONG)


def test_every_frame_is_read_and_those_of_other_topics_say_nothing() -> None:
    silent = set()
    for f in frames("bybit"):
        if f.direction == "out" or f.title.startswith("REST"):
            continue
        try:
            said = told(f.text.encode())
        except VenueError:
            assert f.title == "push-orderbook.50-delta"  # changes of a book whose snapshot never came
        else:
            silent |= {f.title} if not said else set()
    assert {t for t in silent if t.startswith("push")} == {
        "push-orderbook.rpi-delta", "push-tickers-snapshot", "push-system.status", "push-execution.fast",
        "push-order", "push-execution",  # of derivatives
    }  # fmt: skip


BOOK = {"s": "BTCUSDT", "b": [["99.5", "1"], ["100", "2"]], "a": [["101", "3"]], "u": 177400506, "seq": 1}


def test_the_delta_of_the_samples_changes_a_book() -> None:
    live = Frames("ws", "bybit", "main", [WS])
    snapshot = {"topic": "orderbook.50.BTCUSDT", "type": "snapshot", "ts": 1687940967000, "data": BOOK}
    (book,) = live.decode(json.dumps(snapshot).encode(), LONG)
    assert isinstance(book, BookSnapshot)
    assert list(struct.iter_unpack("<qq", book.bids)) == [(10_000, 2_000_000), (9_950, 1_000_000)]
    assert (list(struct.iter_unpack("<qq", book.asks)), book.last_update_id) == ([(10_100, 3_000_000)], 177400506)
    ((name, delta),) = live.decode(frame("push-orderbook.50-delta"), LONG)  # type: ignore[misc]
    changes = list(struct.iter_unpack("<qqq", delta.changes))
    assert (name, len(changes), delta.last_update_id) == ("BTC-USDT", 12, 177400507)
    assert changes[0] == (1 << 8, 3_024_720, 30_028_000)
    assert changes[4] == (2 << 8, 3_024_000, 0)
    assert changes[-1] == (1 | 1 << 8 | 1 << 25, 3_025_250, 4_591_000)


def test_a_jump_in_the_numbers_of_a_book_is_a_loss_and_one_is_a_new_beginning() -> None:
    live = Frames("ws", "bybit", "main", [WS])

    def said(kind: str, u: int) -> Any:
        text = {"topic": "orderbook.50.BTCUSDT", "type": kind, "ts": 1, "data": {**BOOK, "u": u}}
        return live.decode(json.dumps(text).encode(), LONG)[0]

    assert [isinstance(said(*x), BookSnapshot) for x in (("snapshot", 5), ("delta", 6), ("delta", 1))] == [
        True, False, True,
    ]  # fmt: skip
    assert said("delta", 2)[1].last_update_id == 2
    for u, expected in ((4, "expected 3"), (5, "a snapshot")):
        with pytest.raises(VenueError, match=rf"orderbook\.50\.BTCUSDT: u {u}, {expected}|{expected}"):
            said("delta", u)


def test_the_trade_of_the_samples() -> None:
    (t,) = told(frame("push-publicTrade-snapshot"))
    assert isinstance(t, PublicTrade)
    assert (t.px, t.qty, t.aggressor, t.transact_ns) == (1_657_850, 1_000, "1", 1672304486865000000)
    assert t.trade_id == "20f43950-d8dd-5b31-9112-a178eb6023af"


def test_the_orders_and_executions_of_the_samples_in_their_own_category() -> None:
    option = Instrument("bybit", "O", "ETH-30DEC22-1400-C", 2, 2)
    (o,) = told(frame("push-order"), option, "option")
    assert (o.exec_type, o.ord_status, o.side, o.ord_type, o.time_in_force) == ("I", "2", "2", "1", "3")
    assert (o.order_qty, o.cum_qty, o.leaves_qty, o.price, o.reason_code) == (100, 100, 0, 7_250, "")
    (f,) = told(frame("push-execution"), Instrument("bybit", "P", "BTCUSDT", 2, 3), "linear")
    assert (f.exec_type, f.last_qty, f.last_px, f.side) == ("F", 500, 9_590_010, "2")
    assert (f.trade_id, f.fees, f.liquidity) == (
        "0ab1bdf7-4219-438b-b30a-32ec863018f7", (("USDT", "26.3725275"),), "T",
    )  # fmt: skip
    (fast,) = told(frame("push-execution.fast"), Instrument("bybit", "I", "ICPUSDT", 3, 0), "linear")
    assert (fast.cl_ord_id, fast.last_qty, fast.last_px) == ("test-00001", 3_000, 12_015)
    assert told(frame("push-execution"), WS, "linear") != []
    assert told(frame("push-execution"), WS) == []  # the same symbol, of spot


def test_frames_that_ask_are_what_the_samples_have() -> None:
    outgoing = [json.loads(f.text) for f in frames("bybit") if f.title in ("op-subscribe", "op-auth")]
    for said in outgoing:
        if said["op"] == "subscribe":
            assert json.loads(subscribe_frame(said["args"], said.get("req_id", ""))) == said
    expected = "b38c4f23eca76c513b6542823c0882c502bdea24e31f6d6af028af804c5c850a"  # bybit.md, 4.1
    assert json.loads(auth_frame("k", "testsecret", 1662350400000))["args"] == ["k", 1662350400000, expected]
    assert [f["op"] for f in outgoing].count("subscribe") == 5
    assert [*told(b'{"success":false,"ret_msg":"bad topic","op":"subscribe"}')] == [
        Notice("warning", "refused", "subscribe: bad topic")
    ]


# --- REST samples


def body_of(title: str) -> bytes:
    (found,) = [f for f in frames("bybit") if f.title == f"REST reply {title}"]
    return found.text.encode()


def test_the_rest_answers_of_the_samples() -> None:
    replies = {f.title.removeprefix("REST reply ") for f in frames("bybit") if f.title.startswith("REST reply")}
    assert replies - {"order/cancel-all", "order/cancel-order", "order/execution"} == {  # of calls that are not made
        "order/amend-order", "order/batch-place", "order/batch-amend", "order/batch-cancel", "order/dcp",
        "market/orderbook", "market/time",
    }  # fmt: skip
    assert rest().parse_cancel_all(200, body_of("order/cancel-all")) == 2
    assert rest().parse_cancel_order(200, body_of("order/cancel-order")).outcome is CancelOutcome.CANCELLED
    (trade,) = rest().parse_trades(200, body_of("order/execution")).trades
    assert (trade.trade_id, trade.px, trade.qty, trade.side, trade.liquidity) == (
        "e0cbe81d-0f18-5866-9415-cf319b5dab3b", "1190.15", "0.1", "1", "T",
    )  # fmt: skip
    with pytest.raises(VenueError, match="result"):
        rest().parse_open_orders(200, body_of("order/dcp"))
