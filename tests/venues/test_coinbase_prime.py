"""Coinbase Prime: signatures, bodies of every request, every ExecType, refusals, REST, and the venue's wire samples."""

import json
import re
import struct
from decimal import Decimal
from typing import Any

import pytest

from base.config import Kind, RestConfig, SessionConfig, VenueConfig
from base.errors import ConfigError, SecretError, VenueError
from base.instruments import Instrument
from fix.codec import Message
from ipc.events import CancelReject, ExecutionReport
from ipc.requests import NewOrder
from risk.order import order_of
from risk.orders import OrderTable
from tests.venues.kit import SECOND, WALL, Heard, Records, Venue, context
from tests.venues.samples import Frame, Sample, frames, samples
from venues.calendar import venue_times
from venues.coinbase_prime.signing import logon_signature, rest_signature
from venues.coinbase_prime.websocket import Frames, subscribe_frame
from venues.fix_dialect import Notice
from venues.interface import Disconnect, OpenOrders, Replace, SessionPhase, WorkingOrder
from venues.registry import dialect
from venues.throttle import LATE, Throttle

D = dialect("coinbase_prime")
BTC = Instrument("coinbase_prime", "BTC-USD", "BTC-USD", 2, 8)
KEYS = {"username": "TESTACCESSKEY", "password": "TESTSECRET", "passphrase": "TESTPASS"}
VECTOR = "G4W+hzNNrgqCk0lr7mL/0vxCe2j0SKUVyXS4Mnvl310="  # coinbase-prime.md, 4.3
HOUR = 3600 * SECOND


def made(kind: Kind = Kind.TRADING, **options: Any) -> tuple[Any, Heard, Venue]:
    heard = Heard()
    ctx = context(
        "coinbase_prime", kind, [BTC], "SVC", "COIN", venue_options={"portfolio_id": "PF-1", **options}, **KEYS
    )
    session = D.trading(ctx, heard) if kind is Kind.TRADING else D.dropcopy(ctx, heard)
    return session, heard, Venue(session, heard, "SVC", "COIN")


def ready(kind: Kind = Kind.TRADING, **options: Any) -> tuple[Any, Heard, Venue]:
    session, heard, venue = made(kind, **options)
    venue.logon()
    venue.take()
    return session, heard, venue


def order(**changes: Any) -> NewOrder:
    fields = {
        "client_id": "c", "command_id": "1", "deadline_ns": 0, "venue": "coinbase_prime", "instrument": "BTC-USD",
        "side": "1", "ord_type": "2", "order_qty": 150_000_000, "price": 8_400_050,
    }  # fmt: skip
    return NewOrder(**{**fields, **changes})


def working(**changes: Any) -> WorkingOrder:
    fields = {
        "instrument": BTC, "cl_ord_id": "A1", "order_id": "V1", "side": "2", "ord_type": "2", "time_in_force": "1",
        "order_qty": 150_000_000, "price": 8_400_050, "stop_px": None, "leaves_qty": 150_000_000, "sent_ns": WALL,
    }  # fmt: skip
    return WorkingOrder(**{**fields, **changes})


def body(message: Message) -> str:
    header = {8, 9, 35, 34, 49, 56, 52, 10}
    return "|".join(f"{tag}={value.decode()}" for tag, value in message.fields() if tag not in header)


def sent(**changes: Any) -> str:
    session, _, venue = ready()
    session.new_order(order(**changes), BTC, "A1", venue.mono, venue.wall)
    return body(venue.last("D"))


# --- logon


def test_the_logon_signature_follows_the_vector_of_the_reference() -> None:
    at = b"20260127-15:55:05.552"
    assert logon_signature("TESTSECRET", at, 1, "TESTACCESSKEY", "COIN", "TESTPASS") == VECTOR.encode()


@pytest.mark.parametrize(("kind", "copies"), [(Kind.TRADING, b"N"), (Kind.DROPCOPY, b"Y")])
def test_the_logon_says_whose_reports_it_wants_and_signs_the_time_that_it_carries(kind: Kind, copies: bytes) -> None:
    _, _, venue = made(kind)
    logon = venue.connect()
    assert (logon.begin_string, logon.get_bool(141), logon.seq_num) == (b"FIX.4.2", True, 1)
    assert [logon.get(tag) for tag in (1, 98, 554, 9406, 9407)] == [
        b"PF-1",
        b"0",
        b"TESTPASS",
        copies,
        b"TESTACCESSKEY",
    ]
    signature = logon_signature("TESTSECRET", logon.need_str(52).encode(), 1, "TESTACCESSKEY", "COIN", "TESTPASS")
    assert (logon.get(96), logon.get(95)) == (signature, b"44")


def test_a_resumed_day_goes_on_with_its_numbers() -> None:
    session, _, venue = ready(sequence="resume")
    session.disconnected("cut", venue.mono, venue.wall)
    logon = venue.connect()
    assert (logon.has(141), logon.seq_num > 1) == (False, True)
    assert logon.get(96) == logon_signature(
        "TESTSECRET", logon.need_str(52).encode(), logon.seq_num, "TESTACCESSKEY", "COIN", "TESTPASS"
    )


@pytest.mark.parametrize("how", ["logon refused", "resend rejected", "logged out in the gap", "silence"])
def test_a_resumption_that_the_venue_does_not_grant_is_given_up_for_a_reset(how: str) -> None:
    session, heard, venue = ready(sequence="resume")
    session.disconnected("cut", venue.mono, venue.wall)
    logon = venue.connect()
    assert not logon.has(141)
    venue.seq = 2
    if how == "logon refused":
        venue.send("5", "58=a new session must reset|")
    else:
        venue.seq = 9
        venue.send("A", "98=0|108=30|")
        assert "2" in [m.msg_type for m in venue.take()]
        assert session.phase is SessionPhase.RECOVERING
    if how == "resend rejected":
        venue.send("3", "45=2|372=2|58=not supported|")
    elif how == "logged out in the gap":
        venue.send("5", "58=not supported|")
    elif how == "silence":
        for _ in range(5):  # it is alive, and says nothing of what was asked
            venue.advance(10 * SECOND)
            venue.send("0")
    assert heard.disconnects
    session.disconnected("closed", venue.mono, venue.wall)
    logon = venue.connect()
    assert (logon.get_bool(141), logon.seq_num) == (True, 1)


def test_the_day_ends_at_five_in_new_york_and_the_calendar_keeps_away_for_five_minutes() -> None:
    (window,) = [r for r in venue_times("coinbase-prime").rules if r.name == "daily-window"]
    assert (window.zone.key, window.start_s, window.end_s) == ("America/New_York", 17 * 3600, 17 * 3600 + 300)


FIVE = 1_775_595_600_000_000_000  # 2026-04-07 17:00 New York


@pytest.mark.parametrize("sequence", ["reset", "resume"])
def test_after_the_window_numbers_begin_anew_in_both_readings(sequence: str) -> None:
    session, heard, venue = made(sequence=sequence)
    venue.wall = FIVE - 60 * SECOND
    venue.logon()
    venue.take()
    venue.wall += 60 * SECOND
    venue.send("5", "58=end of day|")
    assert heard.disconnects
    session.disconnected("closed", venue.mono, venue.wall)
    venue.wall += 306 * SECOND
    logon = venue.connect()
    assert (logon.get_bool(141), logon.seq_num) == (True, 1)
    venue.send("A", "98=0|108=30|141=Y|")
    assert session.phase is SessionPhase.READY


# --- requests


GTD = {"time_in_force": "6", "expire_ns": WALL + HOUR}
UNTIL, FROM = "126=20260407-15:32:05.000", "168=20260407-14:32:05.000"
SLICED = {**GTD, "effective_ns": WALL}
PEGGED = {"peg_offset_type": "1", "peg_offset_value": "-5"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "1=PF-1|11=A1|38=1.5|40=2|44=84000.5|54=1|55=BTC-USD|59=1|847=L"),
        ({"side": "2", "time_in_force": "3"}, "1=PF-1|11=A1|38=1.5|40=2|44=84000.5|54=2|55=BTC-USD|59=3|847=L"),
        ({"exec_inst": "post_only", "display_qty": 10_000_000},
         "1=PF-1|11=A1|18=A|38=1.5|40=2|44=84000.5|54=1|55=BTC-USD|59=1|210=0.1|847=L"),
        (GTD, f"1=PF-1|11=A1|38=1.5|40=2|44=84000.5|54=1|55=BTC-USD|59=6|{UNTIL}|847=L"),
        ({"ord_type": "1", "price": None, "time_in_force": "3"}, "1=PF-1|11=A1|38=1.5|40=1|54=1|55=BTC-USD|59=3|847=M"),
        ({"ord_type": "4", "stop_px": 8_300_000},
         "1=PF-1|11=A1|38=1.5|40=2|44=84000.5|54=1|55=BTC-USD|59=1|99=83000|847=SL"),
        ({"ord_type": "P", "options": {**PEGGED, "wig_level": "84100"}},
         "1=PF-1|11=A1|38=1.5|40=P|44=84000.5|54=1|55=BTC-USD|59=1|211=-5|836=1|8007=84100|847=P"),
        ({**SLICED, "options": {"target_strategy": "T"}},
         f"1=PF-1|11=A1|38=1.5|40=2|44=84000.5|54=1|55=BTC-USD|59=6|{UNTIL}|{FROM}|847=T"),
        ({**SLICED, "options": {"target_strategy": "V", "participation_rate": "0.1"}},
         f"1=PF-1|11=A1|38=1.5|40=2|44=84000.5|54=1|55=BTC-USD|59=6|{FROM}|849=0.1|847=V"),
        ({"options": {"settl_currency": "USDC"}},
         "1=PF-1|11=A1|38=1.5|40=2|44=84000.5|54=1|55=BTC-USD|59=1|120=USDC|847=L"),
    ],
    ids=["limit", "ioc", "post-only-iceberg", "gtd", "market", "stop-limit", "peg", "twap", "vwap-pov", "usdc"],
)  # fmt: skip
def test_an_order_of_each_strategy(changes: dict[str, Any], expected: str) -> None:
    assert sent(**changes) == expected


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"ord_type": "1"}, "time_in_force"), ({"ord_type": "4", "time_in_force": "3"}, "time_in_force"),
        ({"ord_type": "D"}, "ord_type"), ({"ord_type": "4"}, "stop_px"), ({"price": None}, "price"),
        ({"time_in_force": "6"}, "expire_ns"), ({"effective_ns": WALL}, "effective_ns"),
        ({**GTD, "options": {"target_strategy": "T"}}, "effective_ns"), ({"options": {"target_strategy": "R"}}, "R"),
        ({"ord_type": "P", "options": {"peg_offset_value": "1"}}, "peg_offset_type"),
        ({"ord_type": "P", "options": {**PEGGED, "peg_offset_type": "3"}}, "peg_offset_type"),
        ({"exec_inst": "post_only", "time_in_force": "3"}, "exec_inst"), ({"options": {"wig_level": "1"}}, "options"),
        ({"ord_type": "1", "time_in_force": "3", "display_qty": 5}, "display_qty"),
        ({"options": {"settl_currency": "EUR"}}, "settl_currency"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)  # fmt: skip
def test_what_the_strategy_does_not_take_is_refused_by_name(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(VenueError, match=what):
        sent(**changes)


def test_a_cancel_names_the_order_by_both_ids_and_its_size() -> None:
    session, _, venue = ready()
    session.cancel_order(working(), "C1", venue.mono, venue.wall)
    assert body(venue.last("F")) == "1=PF-1|11=C1|37=V1|41=A1|38=1.5|54=2|55=BTC-USD"


@pytest.mark.parametrize("call", ["cancel_order", "order_status"])
def test_an_order_that_no_report_has_named_can_neither_be_cancelled_nor_asked_for(call: str) -> None:
    session, _, venue = ready()
    before = session.numbers()
    with pytest.raises(VenueError, match=r"OrderID\(37\), which has not come yet"):
        getattr(session, call)(working(order_id=""), "C1", venue.mono, venue.wall)
    assert session.numbers() == before


def test_a_status_request_goes_by_the_orders_own_id() -> None:
    session, _, venue = ready()
    session.order_status(working(), "S1", venue.mono, venue.wall)
    assert body(venue.last("H")) == "11=A1|37=V1|54=2|55=BTC-USD"


def replaced(target: WorkingOrder, **options: Any) -> str:
    session, _, venue = ready(**{"amend": True, **options})
    session.replace_order(target, "R1", 200_000_000, 8_500_000, target.stop_px, venue.mono, venue.wall)
    return body(venue.last("G"))


AT = "60=20260407-14:32:05.000"


def test_a_replace_says_the_new_total_where_the_account_is_enabled_for_it() -> None:
    with pytest.raises(VenueError, match="option amend"):
        replaced(working(), amend=False)
    head = "1=PF-1|11=R1|37=V1|41=A1|21=1|38=2"
    assert replaced(working(display_qty=10_000_000)) == f"{head}|40=2|44=85000|54=2|55=BTC-USD|{AT}|210=0.1"
    stop = working(ord_type="4", stop_px=8_300_000)
    assert replaced(stop) == f"{head}|40=2|44=85000|54=2|55=BTC-USD|{AT}|99=83000"
    peg = working(ord_type="P", options=PEGGED)
    assert replaced(peg) == f"{head}|40=P|44=85000|54=2|55=BTC-USD|{AT}|211=-5"


@pytest.mark.parametrize("lost", [{"exec_inst": "post_only"}, {"options": {"settl_currency": "USDC"}}])
def test_what_a_replace_could_lose_is_refused(lost: dict[str, Any]) -> None:
    with pytest.raises(VenueError, match="could be lost"):
        replaced(working(**lost))


# --- reports


def report(more: str, *, kind: Kind = Kind.TRADING, exec_id: str = "E1", **options: Any) -> ExecutionReport:
    _, heard, venue = ready(kind, **options)
    venue.send("8", f"1=PF-1|11=A1|17={exec_id}|37=V1|54=1|55=BTC-USD|{more}|")
    return heard.one(ExecutionReport)  # type: ignore[no-any-return]


FILL = "6=100|14=0.5|20=0|30=otc|31=100|32=0.5|38=1.5|44=100|60=20260407-14:32:05.123|151=1"


@pytest.mark.parametrize("said", ["1", "2"])
def test_a_fill_of_fix_4_2_is_a_fill_and_no_defect(said: str) -> None:
    fees = "12=0.03|13=3|136=2|137=0.02|138=USD|139=7|137=0.01|138=USD|139=4"
    r = report(f"150={said}|39={said}|{FILL}|{fees}")
    assert (r.exec_type, r.ord_status, r.last_qty, r.last_px, r.defects) == ("F", said, 50_000_000, 10_000, ())
    assert (r.cum_qty, r.leaves_qty, r.trade_id, r.exec_id) == (50_000_000, 100_000_000, "E1", "E1")
    assert (r.fees, r.venue_symbol, r.account) == ((("USD", "0.02"), ("USD", "0.01")), "BTC-USD", "main")


def test_a_commission_without_its_parts_is_in_quote_currency() -> None:
    assert report(f"150=1|39=1|{FILL}|12=0.03|13=3").fees == (("USD", "0.03"),)


@pytest.mark.parametrize("exec_type", list("034678ACDE5"))
def test_each_exec_type_arrives_as_it_is_documented(exec_type: str) -> None:
    status = {"D": "0"}.get(exec_type, exec_type)
    r = report(f"150={exec_type}|39={status}|20=0|14=0|32=0|151=1.5|38=1.5|58=why|103=99")
    assert (r.exec_type, r.ord_status, r.cl_ord_id, r.text, r.defects) == (exec_type, status, "A1", "why", ())


@pytest.mark.parametrize(
    "said", ["150=I|39=4|20=0", "150=4|39=4|20=1", "150=2|39=2|20=1|31=100|32=0.5", "150=4|39=4|20=3"]
)
def test_both_forms_of_a_status_answer_are_a_status_and_no_news(said: str) -> None:
    r = report(f"{said}|14=0.5|151=0")
    assert (r.exec_type, r.ord_status, r.cum_qty) == ("I", said.split("|")[1][3:], 50_000_000)


def test_only_a_report_that_names_an_execution_is_a_bust_or_a_correction() -> None:
    assert report("150=1|39=1|20=1|19=E0|32=0.5|31=100|14=0").exec_type == "H"
    assert report("150=1|39=1|20=2|19=E0|32=0.5|31=99|14=0.5").exec_type == "G"


def test_a_report_of_another_portfolio_says_whose_it_is() -> None:
    r = report(f"150=1|39=1|{FILL}", kind=Kind.DROPCOPY, portfolio_id="PF-9")
    assert (r.account, r.defects) == ("PF-1", ("1: 'PF-1' is not the account of this venue",))


def test_drop_copy_tells_everybodys_orders() -> None:
    assert report(f"150=2|39=2|{FILL}", kind=Kind.DROPCOPY).drop_copy


def table() -> OrderTable:
    t = OrderTable(shared_trade_ids=False)
    t.add(order_of(order(), "s", "main", "A1", (2, 8), WALL))
    return t


def play(t: OrderTable, *reports: str) -> Any:
    for n, text in enumerate(reports):
        t.apply(report(text, exec_id=f"E{n}"), WALL)
    return t.find("A1")


def test_the_last_of_several_fills_says_partial_and_completes_the_order_all_the_same() -> None:
    last = "14=1.5|20=0|31=100|32=1|38=1.5|151=0"
    done = play(table(), f"150=1|39=1|{FILL}", f"150=1|39=1|{last}")
    assert (done.state, done.cum_qty) == ("FILLED", 150_000_000)


def test_done_for_the_day_is_filled_when_nothing_is_left_and_cancelled_otherwise() -> None:
    assert play(table(), "150=3|39=3|20=0|14=1.5|151=0").state == "FILLED"
    assert play(table(), "150=3|39=3|20=0|14=0.5|151=0").state == "CANCELED"


def test_a_late_burst_counts_nothing_twice_and_moves_no_order_back() -> None:
    t = table()
    pending, new, fill = "150=A|39=A|20=0|14=0|151=1.5", "150=0|39=0|20=0|14=0|151=1.5", f"150=1|39=1|{FILL}"
    found = play(t, fill)
    assert (found.state, found.cum_qty) == ("PARTIALLY_FILLED", 50_000_000)
    for n, text in enumerate((pending, new)):  # what was said before comes after it, under ExecIDs of its own
        assert t.apply(report(text, exec_id=f"L{n}"), WALL).fill_qty == 0
    again = t.apply(report(fill, exec_id="E0"), WALL)
    assert (again.duplicate, found.state, found.cum_qty) == (True, "PARTIALLY_FILLED", 50_000_000)


# --- refusals on each channel


def test_a_refused_order_says_why() -> None:
    r = report("150=8|39=8|20=0|103=6|58=duplicate|14=0|151=0")
    assert (r.exec_type, r.ord_status, r.reason_code, r.text) == ("8", "8", "6", "duplicate")


def test_a_status_request_that_names_nothing_is_unknown_and_never_a_rejected_order() -> None:
    session, heard, venue = ready()
    session.order_status(working(), "S1", venue.mono, venue.wall)
    venue.send("8", "11=A1|37=NONE|17=E9|20=1|150=8|39=8|103=5|54=2|55=BTC-USD|58=unknown order|")
    r = heard.one(CancelReject)
    assert (r.cl_ord_id, r.unknown_order, r.response_to) == ("A1", True, "")


@pytest.mark.parametrize(
    ("refusal", "unknown"),
    [("102=1|58=?", True), ("102=0|58=?", True), ("102=99|58=Unknown order", True), ("102=99|58=rate", False)],
    ids=["unknown", "too-late", "in-words", "other"],
)
def test_a_refused_cancel_tells_whether_the_venue_knows_the_order(refusal: str, unknown: bool) -> None:
    session, heard, venue = ready()
    session.cancel_order(working(), "C1", venue.mono, venue.wall)
    venue.send("9", f"11=C1|37=V1|41=A1|39=8|434=1|{refusal}|")
    r = heard.one(CancelReject)
    assert (r.cl_ord_id, r.request_id, r.order_id, r.unknown_order) == ("A1", "C1", "V1", unknown)


def test_maintenance_refuses_by_35_j_which_names_only_a_number() -> None:
    session, heard, venue = ready()
    session.new_order(order(), BTC, "A1", venue.mono, venue.wall)
    session.cancel_order(working(cl_ord_id="B1"), "C1", venue.mono, venue.wall)
    for m in venue.take():
        venue.send("j", f"45={m.seq_num}|58=System is under maintenance|372={m.msg_type}|380=4|")
    refused, cancel = heard.one(ExecutionReport), heard.one(CancelReject)
    assert (refused.cl_ord_id, refused.ord_status, refused.origin) == ("A1", "8", "j")
    assert (cancel.cl_ord_id, cancel.origin, cancel.unknown_order) == ("B1", "j", False)
    assert D.cancel_plan(config()).refuses_cancels(cancel.reason_code, cancel.text)


# --- market data, where the beta is asked for


def market() -> tuple[Any, Heard, Venue, Records]:
    heard, records = Heard(), Records()
    options = {"portfolio_id": "PF-1", "market_data_beta": True}
    ctx = context("coinbase_prime", Kind.MARKETDATA, [BTC], "SVCMD", "COIN", venue_options=options, depth=20, **KEYS)
    session = D.marketdata(ctx, heard, records)
    return session, heard, Venue(session, heard, "SVCMD", "COIN"), records


def subscribed() -> tuple[Any, Heard, Venue, Records, str]:
    session, heard, venue, records = market()
    venue.logon()
    return session, heard, venue, records, venue.last("V").need_str(262)


BID, OFFER, PAST = "269=0|278=b|83=1|270=100|271=2|", "269=1|278=o|83=2|270=101|271=3|", "269=2|278=t|270=99|271=1|"


def piece(req_id: str, n: int, of: int, *entries: str) -> str:
    return f"262={req_id}|55=BTC-USD|911={of}|963={n}|268={len(entries)}|{''.join(entries)}"


def levels(record: Any) -> list[tuple[int, int, int]]:
    return [(c.side, c.px, c.qty) for c in record.changes]


def test_market_data_is_another_protocol_with_the_key_in_553() -> None:
    _, _, venue, _ = market()
    logon = venue.connect()
    said = [logon.get(tag) for tag in (141, 553, 554, 1137, 9406)]
    assert (logon.begin_string, said) == (b"FIXT.1.1", [b"Y", b"TESTACCESSKEY", b"TESTPASS", b"9", b"N"])
    assert not (logon.has(9407))
    assert not (logon.has(1))
    signature = logon_signature("TESTSECRET", logon.need_str(52).encode(), 1, "TESTACCESSKEY", "COIN", "TESTPASS")
    assert logon.get(96) == signature
    venue.send("A", "98=0|108=30|141=Y|1137=9|")
    assert body(venue.last("V")).partition("|")[2] == "263=1|264=20|265=0|267=3|269=0|269=1|269=2|146=1|55=BTC-USD"


def test_a_book_is_shown_when_all_pieces_of_its_snapshot_have_come_and_past_trades_are_left_out() -> None:
    _, _, venue, records, req_id = subscribed()
    venue.send("W", piece(req_id, 1, 3, BID))
    venue.send("X", f"262={req_id}|55=BTC-USD|268=1|279=1|269=0|278=b|83=4|270=100|271=5|")
    venue.send("W", piece(req_id, 3, 3, PAST))
    assert records.take() == []
    venue.send("W", piece(req_id, 2, 3, OFFER))
    book, update = records.take()
    assert (book.kind, sorted(levels(book))) == (1, [(0, 10_000, 200_000_000), (1, 10_100, 300_000_000)])
    assert (update.kind, levels(update)) == (0, [(0, 10_000, 500_000_000)])
    venue.send("X", f"262={req_id}|55=BTC-USD|268=1|279=0|{PAST}2446=1|")
    (trade,) = records.take()
    assert (levels(trade), trade.changes[0].aggressor) == ([(2, 9_900, 100_000_000)], 1)


def test_a_snapshot_in_one_piece_is_shown_at_once() -> None:
    for head in ("911=1|963=1|", ""):
        _, _, venue, records, req_id = subscribed()
        venue.send("W", f"262={req_id}|55=BTC-USD|{head}268=2|{BID}{OFFER}")
        (book,) = records.take()
        assert len(book.changes) == 2


def test_a_connection_lost_amid_the_pieces_begins_with_the_first_again() -> None:
    session, _, venue, records, req_id = subscribed()
    venue.send("W", piece(req_id, 1, 2, BID))
    session.disconnected("cut", venue.mono, venue.wall)
    venue.logon()
    again = venue.last("V").need_str(262)
    assert again != req_id
    venue.send("W", piece(again, 2, 2, OFFER))
    assert records.take() == []
    venue.send("W", piece(again, 1, 2, BID))
    (book,) = records.take()
    assert len(book.changes) == 2


@pytest.mark.parametrize("status", ["999", "3"])
def test_a_feed_that_stopped_or_goes_on_is_subscribed_to_anew(status: str) -> None:
    _, heard, venue, records, req_id = subscribed()
    venue.send("W", piece(req_id, 1, 1, BID, OFFER))
    venue.send("f", f"55=BTC-USD|326={status}|58=bid/offer|")
    off, on = venue.take()
    assert (off.get_str(262), off.get(263), on.get(263)) == (req_id, b"2", b"1")
    assert heard.codes() == ["security_status"]
    assert len(records.subscriptions) == 2


def test_the_beta_wants_level_two_and_a_heartbeat_that_the_venue_takes() -> None:
    for changes, said in (({"level": 3}, "level: .* no level 3"), ({"heartbeat_s": 301}, "more than 300")):
        session = session_config(kind=Kind.MARKETDATA, **changes)
        with pytest.raises(ConfigError, match=said):
            D.check(config(market_data_beta=True), {"a": session}, "venue.p")


# --- what is declared


def config(rest: bool = True, **options: Any) -> VenueConfig:
    keys = {"key": "env:A", "secret": "env:B", "passphrase": "env:C"}
    side = RestConfig(address="https://x", lag_ms=2000, **keys) if rest else None  # type: ignore[arg-type]
    return VenueConfig(dialect="coinbase_prime", instruments=[], rest=side, options={"portfolio_id": "PF-1", **options})


def session_config(**changes: Any) -> SessionConfig:
    fields = {
        "venue": "p", "kind": Kind.TRADING, "address": "x:1", "sender_comp_id": "SVC", "target_comp_id": "COIN",
        "username": "env:A", "password": "env:B", "passphrase": "env:C",
    }  # fmt: skip
    return SessionConfig(**{**fields, **changes})


def test_what_the_venue_has_not_is_declared_so() -> None:
    claims = D.capabilities(config())
    assert (claims.mass_cancel, claims.mass_cancel_report, claims.disconnect) == (False, False, Disconnect.UNKNOWN)
    assert (claims.kinds, claims.levels) == (frozenset({Kind.TRADING, Kind.DROPCOPY}), frozenset())
    beta = D.capabilities(config(market_data_beta=True))
    assert (beta.kinds, beta.levels) == (frozenset(Kind), frozenset({2}))
    assert not (beta.checksum)
    assert not (beta.update_ids)
    assert not (beta.reference_data)
    assert not (beta.trading_status)
    assert (claims.replace, claims.open_orders, claims.resend) == (Replace.NONE, OpenOrders.REST, False)
    other = D.capabilities(config(rest=False, amend=True, sequence="resume"))
    assert (other.replace, other.open_orders, other.resend) == (Replace.IN_PLACE, OpenOrders.STATUS_EACH, True)


@pytest.mark.parametrize(
    ("sessions", "said"),
    [
        ({"a": {"target_comp_id": "X"}}, r"session\.a\.target_comp_id: 'X' is not 'COIN'"),
        ({"a": {"kind": Kind.MARKETDATA}}, r"session\.a\.kind: .*market data"),
        ({"a": {}, "b": {}}, r"session\.b\.username: the key of session\.a"),
        ({n: {"username": f"env:{n}"} for n in "abcdefgh"}, "7 sessions at most"),
        ({"a": {"passphrase": ""}}, r"session\.a\.passphrase: missing"),
    ],
    ids=["target", "market-data", "one-key", "eight", "passphrase"],
)
def test_sessions_that_the_venue_does_not_take_are_refused(sessions: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        D.check(config(), {name: session_config(**changes) for name, changes in sessions.items()}, "venue.p")


@pytest.mark.parametrize(
    ("keys", "said"),
    [({"key": "env:A", "secret": "env:B"}, r"rest\.passphrase: missing"),
     ({"key": "env:A", "secret": "env:B", "passphrase": "env:C", "kill_key": "env:D", "kill_secret": "env:E"},
      r"rest\.kill_passphrase: missing")],
    ids=["desk", "kill"],
)  # fmt: skip
def test_every_key_comes_with_its_passphrase(keys: dict[str, str], said: str) -> None:
    venue = VenueConfig(
        dialect="coinbase_prime", instruments=[], options={"portfolio_id": "P"},
        rest=RestConfig(address="https://x", **keys),  # type: ignore[arg-type]
    )  # fmt: skip
    with pytest.raises(ConfigError, match=said):
        D.check(venue, {}, "venue.p")


@pytest.mark.parametrize("missing", ["username", "password", "passphrase"])
def test_a_session_without_one_of_its_secrets_is_not_made(missing: str) -> None:
    keys = {**KEYS, missing: ""}
    ctx = context("coinbase_prime", Kind.TRADING, [BTC], "SVC", "COIN", venue_options={"portfolio_id": "P"}, **keys)
    with pytest.raises(SecretError, match=rf"\.{missing}: missing"):
        D.trading(ctx, Heard())


def test_the_portfolio_must_be_named() -> None:
    with pytest.raises(ConfigError, match=r"venue\.p\.options\.portfolio_id"):
        D.check(VenueConfig(dialect="coinbase_prime", instruments=[]), {}, "venue.p")


@pytest.mark.parametrize(("counted", "cost"), [(True, 1), (False, 0)])
def test_fifty_messages_a_session_and_fifty_orders_a_portfolio(counted: bool, cost: int) -> None:
    limits = D.capabilities(config(cancels_count=counted)).limits
    messages, orders = limits.orders
    assert [(x.most, x.per_s, x.scope) for x in (messages, orders)] == [(50, 1, "session"), (50, 1, "account")]
    assert [orders.cost(what).fixed for what in ("new", "cancel", "status")] == [1, cost, 0]
    assert [messages.cost(what).fixed for what in ("new", "cancel", "status")] == [1, 1, 1]


def test_cancels_have_room_that_orders_leave_and_wait_rather_than_be_refused() -> None:
    throttle = Throttle(D.capabilities(config()).limits.orders)
    sent = [
        what for what in ("new", "cancel") for _ in range(60) if not throttle.take(what, 1, 1, urgent=what == "cancel")
    ]
    assert (sent.count("new"), sent.count("new") + sent.count("cancel")) == (36, 48)
    assert throttle.take("cancel", 2, 2, urgent=True).startswith(LATE)
    assert throttle.take("cancel", 1 + 2 * SECOND, 1 + 2 * SECOND, urgent=True) == ""


# --- REST


def rest() -> Any:
    return D.rest(config(), "KEY", "TESTSECRET", "PHRASE")


def headers(request: Any) -> dict[str, str]:
    return dict(request.headers)


def test_a_request_is_signed_without_its_query() -> None:
    request = rest().balances(WALL)
    assert request.target == "/v1/portfolios/PF-1/balances?balance_type=TRADING_BALANCES"
    said = headers(request)
    seconds = str(WALL // SECOND)
    expected = rest_signature("TESTSECRET", seconds, "GET", "/v1/portfolios/PF-1/balances", b"")
    assert said["X-CB-ACCESS-SIGNATURE"] == expected
    assert (said["X-CB-ACCESS-KEY"], said["X-CB-ACCESS-PASSPHRASE"], said["X-CB-ACCESS-TIMESTAMP"]) == (
        "KEY", "PHRASE", seconds,
    )  # fmt: skip


def listed(**changes: Any) -> dict[str, Any]:
    return {"id": "V1", "product_id": "BTC-USD", "side": "SELL", "status": "OPEN", "client_order_id": "A1"} | changes


def test_an_order_without_order_id_is_looked_for_among_those_that_are_over() -> None:
    request = rest().order(WALL, working(order_id=""))
    assert request.target == (
        "/v1/portfolios/PF-1/orders?product_ids=BTC-USD&order_side=SELL&start_date=2026-04-07T14%3A31%3A55Z"
        "&sort_direction=ASC&limit=3000"
    )
    page = {"orders": [listed(client_order_id="Z", status="FILLED"), listed(status="CANCELLED")]}
    found = rest().parse_order(200, json.dumps(page).encode(), "A1")
    assert (found.order_id, found.status, found.cl_ord_id) == ("V1", "4", "A1")
    assert rest().parse_order(200, json.dumps(page).encode(), "B7") is None
    more = {**page, "pagination": {"next_cursor": "x", "has_next": True}}
    with pytest.raises(VenueError, match="there are more"):
        rest().parse_order(200, json.dumps(more).encode(), "B7")


def test_an_order_by_its_id_is_unknown_only_where_the_venue_says_so() -> None:
    assert rest().order(WALL, working()).target == "/v1/portfolios/PF-1/orders/V1"
    assert rest().parse_order(404, b'{"message":"order not found"}') is None
    with pytest.raises(VenueError):
        rest().parse_order(500, b"{}")
    with pytest.raises(VenueError, match="neither an order nor a list"):
        rest().parse_order(200, b"{}")


@pytest.mark.parametrize(("rows", "proof"), [(0, True), (999, True), (1000, False), (1001, True), (5000, False)])
def test_a_list_that_may_have_been_cut_proves_nothing(rows: int, proof: bool) -> None:
    page = json.dumps({"orders": [listed() for _ in range(rows)]}).encode()
    if proof:
        assert len(rest().parse_open_orders(200, page).orders) == rows
        return
    with pytest.raises(VenueError, match="not a proof"):
        rest().parse_open_orders(200, page)


def test_balances_say_what_is_held_and_what_is_free() -> None:
    (usd,) = rest().parse_balances(200, b'{"balances":[{"symbol":"usd","amount":"10.5","holds":"0.5"}]}')
    assert (usd.currency, usd.total, usd.held, Decimal(usd.available)) == ("USD", "10.5", "0.5", Decimal(10))


def test_buying_power_is_asked_for_by_pair_where_the_portfolio_has_credit() -> None:
    assert rest().buying_power(WALL, [BTC]) == []
    api: Any = D.rest(config(buying_power=True), "KEY", "TESTSECRET", "PHRASE")
    (request,) = api.buying_power(WALL, [BTC])
    assert request.target == "/v1/portfolios/PF-1/buying_power?base_currency=BTC&quote_currency=USD"
    said = {"base_currency": "BTC", "quote_currency": "usd", "base_buying_power": "1", "quote_buying_power": "84000.5"}
    assert api.parse_buying_power(200, json.dumps({"buying_power": said}).encode()) == ("USD", "84000.5")
    with pytest.raises(VenueError, match="HTTP status 403"):
        api.parse_buying_power(403, b"{}")


@pytest.mark.parametrize(
    ("status", "said", "outcome"),
    [(200, {"id": "V1"}, "CANCELLED"), (404, {"message": "order not found"}, "NOT_FOUND"), (429, {}, "RATE_LIMITED"),
     (400, {"message": "order is not open"}, "DONE"), (403, {"message": "no"}, "REFUSED"), (500, {}, "UNKNOWN"),
     (503, {"message": "under maintenance"}, "REFUSED"), (200, {}, "UNKNOWN"), (502, "<html>", "UNKNOWN")],
)  # fmt: skip
def test_a_single_cancel_goes_by_order_id_and_its_answer_is_never_a_proof(status: int, said: Any, outcome: str) -> None:
    assert rest().cancel_order(WALL, BTC, "", "A1") is None
    request = rest().cancel_order(WALL, BTC, "V1", "A1")
    assert (request.method, request.target) == ("POST", "/v1/portfolios/PF-1/orders/V1/cancel")
    assert json.loads(request.body) == {"portfolio_id": "PF-1", "order_id": "V1"}
    signed = rest_signature("TESTSECRET", str(WALL // SECOND), "POST", request.target, request.body)
    assert headers(request)["X-CB-ACCESS-SIGNATURE"] == signed
    text = said if isinstance(said, str) else json.dumps(said)
    assert rest().parse_cancel_order(status, text.encode()).outcome.name == outcome


def test_nothing_cancels_more_than_one_order() -> None:
    assert rest().cancel_all(WALL, [BTC]) == []
    assert rest().cancel_after(WALL, 60) is None
    plan = D.cancel_plan(config())
    assert [step.action for step in plan.steps if "all" in step.action or "mass" in step.action] == []
    assert plan.dead_man is None


# --- the samples of the venue's documentation


def by_title(part: str) -> Sample:
    (found,) = [s for s in samples("coinbase-prime") if part in s.title]
    return found


def test_every_sample_has_an_expectation_here() -> None:
    assert [s.get(35) for s in samples("coinbase-prime")] == ["H", "8", "W"]


def test_the_status_request_is_what_the_sample_says() -> None:
    sample = by_title("OrderStatusRequest")
    session, _, venue = ready()
    doge = Instrument("coinbase_prime", "DOGE-USD", "DOGE-USD", 5, 1)
    named = working(instrument=doge, cl_ord_id=sample.get(11), order_id=sample.get(37), side=sample.get(54))
    session.order_status(named, "S1", venue.mono, venue.wall)
    assert body(venue.last("H")) == "|".join(f"{t}={v}" for t, v in sample.body)


def test_the_answer_to_it_is_the_orders_state_and_not_a_bust() -> None:
    sample = by_title("answer to H")
    _, heard, venue = ready()
    venue.send("8", "".join(f"{t}={v}|" for t, v in sample.body))
    r = heard.one(ExecutionReport)
    assert (r.exec_type, r.ord_status, r.cl_ord_id, r.order_id, r.exec_id) == ("I", "4", "CLOrdID", "OrderID", "ExecID")
    assert (r.venue_symbol, r.side, r.order_qty, r.cum_qty, r.leaves_qty) == ("DOGE-USD", "1", 1000, 0, 1000)


def test_the_snapshot_of_the_sample_is_a_book() -> None:
    """The sample client's own fixture: FIX.4.4 and a time of whole seconds, which the venue does not send."""
    sample = by_title("MarketDataSnapshotFullRefresh")
    _, _, venue, records, req_id = subscribed()
    venue.send("W", f"262={req_id}|" + "".join(f"{t}={v}|" for t, v in sample.body))
    (book,) = records.take()
    assert (book.kind, levels(book)) == (1, [(0, 5_000_000, 150_000_000), (1, 4_999_900, 200_000_000)])


# --- WebSocket frames


def mended(frame: Frame) -> bytes:
    """A published example as JSON: without its comments and slips of the pen."""
    text = re.sub(r"/\*.*?\*/|//(?:field not present if empty|present if [a-z -]+)", "", frame.text)
    text = text.replace('"client_id: "",', "").replace('"buy" "fees"', '"buy", "fees"')
    text = re.sub(r",(\s*})", r"\1", text.strip())
    return (text[1:-1] if text.startswith("[") else text).encode()


def heard_frames(title: str) -> list[Any]:
    (frame,) = [f for f in frames("coinbase-prime") if f.title == title and f.direction == "in"]
    return list(Frames("ws", "coinbase_prime", "main", [BTC]).decode(mended(frame), WALL))


def test_every_frame_that_comes_in_is_read_and_every_one_that_subscribes_is_written() -> None:
    found = frames("coinbase-prime")
    silent = {f.title for f in found if f.direction == "in" and not heard_frames(f.title)}
    assert silent == {f"subscriptions {c}" for c in ("heartbeat", "products", "orders", "l2_data")}
    spoken = {f.title for f in found if f.direction == "in"} - silent
    assert spoken == {"error", "orders snapshot", "l2_data snapshot", "l2_data update, two products"}
    subscribing = [f for f in found if f.direction == "out" and '"type": "subscribe"' in f.text]
    keys = "ACCESS_KEY", "secret", "PASSPHRASE"
    for f in subscribing:
        said = json.loads(f.text)
        portfolio, products = said["portfolio_id"], said["product_ids"]
        ours = json.loads(subscribe_frame(said["channel"], products, keys, said["api_key_id"], portfolio, 1))
        assert {**ours, "timestamp": said["timestamp"], "signature": said["signature"]} == said
    assert len(subscribing) == 3


def test_an_error_is_for_people() -> None:
    assert heard_frames("error") == [Notice("warning", "refused", "error message")]


def test_a_snapshot_of_orders_is_the_state_of_each() -> None:
    ((name, r),) = heard_frames("orders snapshot")
    assert (name, r.exec_type, r.ord_status, r.origin, r.drop_copy) == ("BTC-USD", "I", "0", "ws", False)
    assert (r.order_id, r.cl_ord_id) == (
        "4c62681b-be8a-439c-af2b-5f0100386cc0", "20a8cbe0-7680-4eba-9ffd-f9c2de89035d",
    )  # fmt: skip
    assert (r.side, r.ord_type, r.order_qty, r.cum_qty, r.leaves_qty) == ("1", "1", 300_000_000, 0, 300_000_000)
    assert r.price is None


def test_levels_arrive_as_books_and_changes_of_absolute_size() -> None:
    ((name, book),) = heard_frames("l2_data snapshot")
    assert (name, book.level, book.last_update_id) == ("BTC-USD", 2, 1)
    assert struct.unpack("<qq", book.bids) == (2_214_530, 1_083_825)
    assert struct.unpack("<qq", book.asks) == (2_214_926, 3_450_782)
    (_, delta), strange = heard_frames("l2_data update, two products")
    bid, offer = struct.iter_unpack("<qqq", delta.changes)
    assert (bid, offer) == ((1 << 8, 2_214_530, 1_083_825), (1 | 1 << 8 | 1 << 25, 2_214_926, 3_450_782))
    assert strange.code == "unknown_symbol"


def test_a_size_of_nothing_takes_the_level_away_and_a_hole_in_the_numbers_is_an_error() -> None:
    told = Frames("ws", "coinbase_prime", "main", [BTC])
    level = {"side": "offer", "px": "101", "qty": "0"}
    update = {"type": "update", "product_id": "BTC-USD", "updates": [level]}
    frame = {"channel": "l2_data", "sequence_num": 4, "events": [update]}
    ((_, delta),) = told.decode(json.dumps(frame).encode(), WALL)
    assert struct.unpack("<qqq", delta.changes) == (1 | 2 << 8 | 1 << 25, 10_100, 0)
    with pytest.raises(VenueError, match="sequence_num 6, expected 5"):
        told.decode(json.dumps({**frame, "sequence_num": 6}).encode(), WALL)


@pytest.mark.parametrize("bad", [{"side": "up"}, {"px": "x"}, {"qty": "0.123456789"}], ids=["side", "px", "qty"])
def test_a_level_that_cannot_be_read_is_an_error_that_names_it(bad: dict[str, str]) -> None:
    level = {"side": "bid", "px": "1", "qty": "1"} | bad
    frame = {"channel": "l2_data", "sequence_num": 0, "events": [{"product_id": "BTC-USD", "updates": [level]}]}
    with pytest.raises(VenueError, match=r"events\[0\]\.updates\[0\]"):
        Frames("ws", "v", "main", [BTC]).decode(json.dumps(frame).encode(), WALL)


def test_the_subscription_is_signed_as_the_vector_says() -> None:
    keys = "TESTACCESSKEY", "TESTSECRET", "TESTPASS"
    said = json.loads(subscribe_frame("l2_data", ["BTC-USD", "ETH-USD"], keys, "TESTSVCACCOUNT", "", 1_769_529_305))
    assert said["signature"] == "CnOrZJX7g8YGnvLtc9JM8/YkMV9tEfcZXDBGquxUEas="
