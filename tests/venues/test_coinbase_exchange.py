"""Coinbase Exchange: signatures, bodies of every request, batches, sequence numbers, reports, market data, REST."""

import re
from base64 import b64decode
from decimal import Decimal
from typing import Any

import pytest

from base.config import Kind, RestConfig, SessionConfig, VenueConfig
from base.errors import ConfigError, SecretError, VenueError
from base.instruments import Instrument
from fix.dictionary import Dictionary
from ipc.events import CancelReject, ExecutionReport, InstrumentDefinition, MassCancelReport
from ipc.requests import NewOrder
from tests.venues.kit import SECOND, WALL, Heard, Records, Venue, context
from tests.venues.samples import FOLDER
from venues.coinbase_exchange.signing import logon_signature, rest_signature
from venues.interface import CancelOutcome, Disconnect, OpenOrders, Replace, SessionPhase, WorkingOrder
from venues.registry import dialect

D = dialect("coinbase_exchange")
BTC = Instrument("coinbase_exchange", "BTC-USD", "BTC-USD", 2, 8)
SECRET = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw=="
KEY = "TESTAPIKEY"
OURS = "0f6bb06f-0000-4000-8000-000000000001"


def trading(**options: Any) -> tuple[Any, Heard, Venue]:
    heard = Heard()
    on_stop = options.pop("on_stop", "cancel")
    ctx = context(
        "coinbase_exchange", Kind.TRADING, [BTC], KEY, "Coinbase", venue_options=options, username=KEY,
        password=SECRET, on_stop=on_stop,
    )  # fmt: skip
    ctx.passphrase = "TESTPASS"
    session = D.trading(ctx, heard)
    return session, heard, Venue(session, heard, KEY, "Coinbase")


def logged_on(**options: Any) -> tuple[Any, Heard, Venue]:
    session, heard, venue = trading(**options)
    venue.logon()
    venue.take()
    return session, heard, venue


def order(**changes: Any) -> NewOrder:
    fields = {
        "client_id": "c", "command_id": "1", "deadline_ns": 0, "venue": "coinbase_exchange", "instrument": "BTC-USD",
        "side": "1", "ord_type": "2", "order_qty": 150_000_000, "price": 1_000_050,
    }  # fmt: skip
    return NewOrder(**{**fields, **changes})


def working(**changes: Any) -> WorkingOrder:
    fields = {
        "instrument": BTC, "cl_ord_id": OURS, "order_id": "V1", "side": "1", "ord_type": "2", "time_in_force": "1",
        "order_qty": 150_000_000, "price": 1_000_050, "stop_px": None, "leaves_qty": 150_000_000,
    }  # fmt: skip
    return WorkingOrder(**{**fields, **changes})


def sent(venue: Venue, msg_type: str) -> list[tuple[int, str]]:
    """Body fields of the one message of that type, in the order of the wire."""
    return [(t, v.decode()) for t, v in venue.last(msg_type).fields() if t not in (8, 9, 35, 49, 56, 34, 52, 10)]


def place(session: Any, venue: Venue, **changes: Any) -> list[tuple[int, str]]:
    session.new_order(order(**changes), BTC, OURS, venue.mono, venue.wall)
    return sent(venue, "D")


# --- logon


def test_the_logon_signature_joins_its_fields_with_soh_and_decodes_the_secret() -> None:
    made = logon_signature(b64decode(SECRET), b"20260127-15:55:05.552", 1, KEY, "Coinbase", "TESTPASS")
    assert made == b"sHseXae03z054W9qNb74DOFUc2RiY01mE78c7LGSffo="


def test_the_logon_is_fix_5_over_fixt_and_signs_what_it_carries() -> None:
    _, _, venue = trading()
    logon = venue.connect()
    assert (logon.begin_string, logon.get(1137), logon.get(98), logon.get(108)) == (b"FIXT.1.1", b"9", b"0", b"30")
    assert (logon.seq_num, logon.get(141), logon.get(553), logon.get(554)) == (1, b"Y", KEY.encode(), b"TESTPASS")
    assert len(logon.need(52).partition(b".")[2]) == 3
    signature = logon_signature(b64decode(SECRET), logon.need(52), 1, KEY, "Coinbase", "TESTPASS")
    assert (logon.get(96), logon.get(95)) == (signature, b"44")


@pytest.mark.parametrize(
    ("options", "said"),
    [({}, b"S"), ({"on_stop": "keep"}, None), ({"on_stop": "keep", "cancel_on_disconnect": "session"}, b"S"),
     ({"cancel_on_disconnect": "profile"}, b"Y"), ({"cancel_on_disconnect": "off"}, None)],
)  # fmt: skip
def test_what_a_lost_connection_cancels_is_said_in_the_logon(options: dict[str, Any], said: bytes | None) -> None:
    _, _, venue = trading(**options)
    assert venue.connect().get(8013) == said


def test_drop_copy_says_that_it_is_one_and_starts_afresh() -> None:
    heard = Heard()
    ctx = context("coinbase_exchange", Kind.DROPCOPY, [BTC], KEY, "Coinbase", username=KEY, password=SECRET)
    logon = Venue(D.dropcopy(ctx, heard), heard, KEY, "Coinbase").connect()
    assert (logon.get(9406), logon.get(141), logon.has(8013)) == (b"Y", b"Y", False)


def test_a_secret_that_is_not_base64_is_refused_without_being_shown() -> None:
    ctx = context("coinbase_exchange", Kind.TRADING, [BTC], KEY, "Coinbase", password="not base64!")
    with pytest.raises(SecretError) as e:
        D.trading(ctx, Heard())
    assert "not base64!" not in str(e.value)


# --- sequence numbers


def again(session: Any, venue: Venue) -> Any:
    session.disconnected("cut", venue.mono, venue.wall)
    logon = venue.connect()
    venue.send("A", "98=0|108=30|")
    return logon


def test_after_a_break_ours_begin_at_1_and_the_venue_s_go_on() -> None:
    session, heard, venue = logged_on()
    place(session, venue)
    venue.send("8", f"11={OURS}|37=V1|17=E1|150=0|39=0|54=1|55=BTC-USD|38=1.5|14=0|151=1.5|")
    logon = again(session, venue)
    assert (logon.seq_num, logon.get(141)) == (1, b"N")
    assert session.phase is SessionPhase.RECOVERING
    venue.seq = 2
    venue.send("4", "123=Y|36=5|")
    asked = venue.last("2")
    assert (asked.seq_num, asked.get(7), asked.get(16)) == (2, b"3", b"4")
    heard.events.clear()
    venue.seq = 3
    for n in (3, 4):
        venue.send(
            "8", f"11={OURS}|37=V1|17=E{n}|150=F|39=1|54=1|55=BTC-USD|32=0.5|31=10000|1003={n}|", header=b"43=Y\x01"
        )
    assert [e.trade_id for e in heard.events] == ["3", "4"]
    assert all(e.poss_dup for e in heard.events)
    assert session.phase is SessionPhase.READY


def test_orders_wait_until_what_was_missed_has_come() -> None:
    session, _, venue = logged_on()
    again(session, venue)
    venue.seq = 2
    venue.send("4", "123=Y|36=9|")
    assert session.phase is SessionPhase.RECOVERING
    session.cancel_order(working(), OURS, venue.mono, venue.wall)
    assert "F" in [m.msg_type for m in venue.take()]


def test_without_resend_every_logon_starts_afresh() -> None:
    session, _, venue = logged_on(sequence="reset")
    assert again(session, venue).get(141) == b"Y"
    assert not D.capabilities(VenueConfig(dialect="x", instruments=[], options={"sequence": "reset"})).resend


# --- order bodies


def test_a_limit_order_is_as_the_table_has_it() -> None:
    session, _, venue = logged_on()
    assert place(session, venue, exec_inst="post_only") == [
        (11, OURS), (18, "A"), (38, "1.5"), (40, "2"), (44, "10000.5"), (54, "1"), (55, "BTC-USD"), (59, "1"),
        (7928, "N"),
    ]  # fmt: skip


def test_each_kind_of_order_has_its_fields() -> None:
    session, _, venue = logged_on()
    market = dict(place(session, venue, ord_type="1", price=None, options={"cash_order_qty": "250.5"}))
    assert (market[152], 38 in market, 44 in market) == ("250.5", False, False)
    stop = dict(place(session, venue, ord_type="4", stop_px=990_000, options={"trigger_price_direction": "D"}))
    assert (stop[99], stop[1109], stop[44]) == ("9900", "D", "10000.5")
    until = dict(place(session, venue, time_in_force="6", expire_ns=WALL + SECOND))
    assert until[126] == "20260407-14:32:06.000"
    sell = {"ord_type": "O", "side": "2", "price": 978_500, "stop_px": 850_000}
    bracket = dict(place(session, venue, **sell, options={"stop_limit_px": "8245", "self_trade_prevention": "B"}))
    assert (bracket[40], bracket[44], bracket[99], bracket[3040], bracket[7928]) == ("O", "9785", "8500", "8245", "B")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"display_qty": 1}, "display_qty"),
        ({"effective_ns": WALL}, "effective_ns"),
        ({"time_in_force": "6"}, "expire_ns"),
        ({"ord_type": "4"}, "stop_px"),
        ({"options": {"cash_order_qty": "-1"}}, "cash_order_qty"),
        ({"options": {"cash_order_qty": "0.0"}}, "cash_order_qty"),
        ({"ord_type": "4", "stop_px": 1, "options": {"cash_order_qty": "1"}}, "cash_order_qty"),
        ({"options": {"stop_limit_px": "1"}}, "stop_limit_px"),
        ({"ord_type": "O", "stop_px": 1_000_060}, "stop_limit_px"),
        ({"ord_type": "O", "stop_px": 1_000_060, "options": {"stop_limit_px": "x"}}, "stop_limit_px"),
        ({"ord_type": "O", "stop_px": 900_000, "options": {"stop_limit_px": "10001"}}, "price < stop_px"),
        ({"ord_type": "O", "stop_px": 1_000_060, "exec_inst": "post_only", "options": {"stop_limit_px": "10001"}},
         "post-only"),
        ({"ord_type": "O", "time_in_force": "3", "options": {"stop_limit_px": "1"}}, "time_in_force"),
        ({"options": {"trigger_price_direction": "U"}}, "trigger_price_direction"),
        ({"options": {"self_trade_prevention": "Z"}}, "self_trade_prevention"),
        ({"options": {"handl_inst": "E"}}, "sender_sub_id"),
    ],
)  # fmt: skip
def test_what_the_venue_cannot_do_is_refused_by_name(changes: dict[str, Any], words: str) -> None:
    session, _, venue = logged_on()
    with pytest.raises(VenueError, match=words):
        session.new_order(order(**changes), BTC, OURS, venue.mono, venue.wall)
    assert venue.take() == []


def test_an_exn_order_names_its_originator_in_every_header() -> None:
    session, _, venue = trading(sender_sub_id="11111111-1111-4111-8111-111111111111")
    assert venue.connect().get_str(50) == "11111111-1111-4111-8111-111111111111"
    venue.send("A", "98=0|108=30|")
    session.new_order(order(options={"handl_inst": "E"}), BTC, OURS, venue.mono, venue.wall)
    assert venue.last("D").get(21) == b"E"


def test_a_cancel_names_the_order_both_ways_and_no_more() -> None:
    session, _, venue = logged_on()
    session.cancel_order(working(), "R1", venue.mono, venue.wall)
    assert sent(venue, "F") == [(11, "R1"), (37, "V1"), (41, OURS), (55, "BTC-USD")]
    session.cancel_order(working(order_id=""), "R2", venue.mono, venue.wall)
    assert sent(venue, "F") == [(11, "R2"), (41, OURS), (55, "BTC-USD")]


def test_a_replace_says_quantity_prices_and_kind() -> None:
    session, _, venue = logged_on()
    session.replace_order(working(), "R1", 100_000_000, 999_900, None, venue.mono, venue.wall)
    assert sent(venue, "G") == [
        (11, "R1"), (37, "V1"), (41, OURS), (38, "1"), (40, "2"), (44, "9999"), (55, "BTC-USD"),
    ]  # fmt: skip
    bracket = working(ord_type="O", stop_px=850_000, options={"stop_limit_px": "8245"})
    session.replace_order(bracket, "R2", 100_000_000, 978_500, 850_000, venue.mono, venue.wall)
    assert sent(venue, "G")[-2:] == [(99, "8500"), (3040, "8245")]


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"order_id": ""}, "OrderID"), ({"ord_type": "1"}, "market"), ({"options": {"cash_order_qty": "5"}}, "cash"),
     ({"ord_type": "O", "stop_px": 1}, "stop_limit_px")],
)  # fmt: skip
def test_what_cannot_be_amended_is_refused_rather_than_lost(changes: dict[str, Any], words: str) -> None:
    session, _, venue = logged_on()
    with pytest.raises(VenueError, match=words):
        session.replace_order(working(**changes), "R1", 1, 1, 1, venue.mono, venue.wall)


def test_a_status_request_goes_by_the_order_s_own_id() -> None:
    session, heard, venue = logged_on()
    session.order_status(working(), "S1", venue.mono, venue.wall)
    assert sent(venue, "H") == [(11, OURS), (37, "V1"), (55, "BTC-USD")]
    venue.send("8", f"11={OURS}|37=0|17=E|150=I|39=8|55=BTC-USD|58=order not found|")
    unknown = heard.one(CancelReject)
    assert (unknown.cl_ord_id, unknown.response_to, unknown.unknown_order) == (OURS, "", True)


def test_a_mass_cancel_is_of_this_session_and_its_answer_only_acknowledges() -> None:
    session, heard, venue = logged_on()
    session.mass_cancel(None, "M1", venue.mono, venue.wall)
    assert sent(venue, "q") == [(11, "M1"), (530, "6"), (60, "20260407-14:32:05.000")]
    venue.send("r", "11=M1|530=6|531=6|")
    told = heard.one(MassCancelReport)
    assert (told.request_id, told.response, told.affected) == ("M1", "6", None)
    with pytest.raises(VenueError, match="whole session"):
        session.mass_cancel(BTC, "M2", venue.mono, venue.wall)


# --- batches of cancels

OTHER = "0f6bb06f-0000-4000-8000-000000000002"


def cancelled(session: Any, venue: Venue) -> tuple[Any, str]:
    """The message that asks for two orders to be cancelled, and its BatchID."""
    orders = [(working(), "R1"), (working(cl_ord_id=OTHER, order_id="V2"), "R2")]
    session.cancel_orders(orders, venue.mono, venue.wall)
    message = venue.last("U4")
    return message, message.need_str(8014)


def test_several_cancels_are_one_message_of_one_symbol() -> None:
    session, _, venue = logged_on()
    message, batch_id = cancelled(session, venue)
    body = [(t, v.decode()) for t, v in message.fields() if t in (8014, 73, 11, 37, 41, 55)]
    assert body == [
        (8014, batch_id), (73, "2"), (11, "R1"), (37, "V1"), (41, OURS), (55, "BTC-USD"), (11, "R2"), (37, "V2"),
        (41, OTHER), (55, "BTC-USD"),
    ]  # fmt: skip
    assert session.owns(batch_id)


@pytest.mark.parametrize("how", ["U5", "j", "3"])
def test_the_refusal_of_a_batch_reaches_each_of_its_orders_once(how: str) -> None:
    session, heard, venue = logged_on()
    message, batch_id = cancelled(session, venue)
    said = {
        "U5": f"8014={batch_id}|58=order not found|",
        "j": f"45={message.seq_num}|372=U4|379={batch_id}|380=1|58=order not found|",
        "3": f"45={message.seq_num}|372=U4|373=5|58=order not found|",
    }
    venue.send(how, said[how])
    rejects = [(e.cl_ord_id, e.request_id, e.response_to, e.unknown_order, e.origin) for e in heard.events]
    assert rejects == [(OURS, "R1", "1", True, how), (OTHER, "R2", "1", True, how)]
    heard.events.clear()
    venue.send("U5", f"8014={batch_id}|58=again|")
    assert (heard.events, heard.codes()) == ([], ["rejected"])


def test_one_order_of_a_batch_is_answered_by_itself() -> None:
    session, heard, venue = logged_on()
    cancelled(session, venue)
    venue.send("9", f"11=R2|37=V2|41={OTHER}|39=8|102=1|434=1|58=order not found|")
    assert heard.one(CancelReject).cl_ord_id == OTHER


# --- batches of orders


def placed(session: Any, venue: Venue, *orders: NewOrder) -> tuple[Any, str]:
    """The message that places them, the first as OURS, the second as OTHER, and its BatchID."""
    given = list(zip(orders, (OURS, OTHER), strict=True))
    assert session.new_orders(given, BTC, venue.mono, venue.wall) == ["", ""]
    message = venue.last("U6")
    return message, message.need_str(8014)


def test_several_orders_are_one_message_with_the_documented_group() -> None:
    session, _, venue = logged_on()
    market = order(side="2", ord_type="1", price=None, time_in_force="3", options={"cash_order_qty": "25.5"})
    gtd = {"time_in_force": "6", "expire_ns": WALL + SECOND, "options": {"self_trade_prevention": "D"}}
    message, batch_id = placed(
        session, venue, order(ord_type="4", stop_px=990_000, exec_inst="post_only", **gtd), market
    )
    body = [(t, v.decode()) for t, v in message.fields() if t not in (8, 9, 35, 49, 56, 34, 52, 10)]
    assert body == [
        (8014, batch_id), (73, "2"),
        (11, OURS), (18, "A"), (38, "1.5"), (40, "4"), (44, "10000.5"), (54, "1"), (55, "BTC-USD"), (59, "6"),
        (126, "20260407-14:32:06.000"), (99, "9900"), (7928, "D"),
        (11, OTHER), (152, "25.5"), (40, "1"), (54, "2"), (55, "BTC-USD"), (59, "3"), (7928, "N"),
    ]  # fmt: skip
    assert session.owns(batch_id)


@pytest.mark.parametrize(
    "alone",
    [
        {"ord_type": "O", "stop_px": 1, "options": {"stop_limit_px": "1"}},
        {"options": {"cash_order_qty": "1"}},
        {"options": {"handl_inst": "E"}},
        {"ord_type": "4", "stop_px": 1, "options": {"trigger_price_direction": "U"}},
    ],
    ids=["bracket", "limit by funds", "exn", "direction"],
)
def test_what_the_group_has_no_field_for_goes_alone(alone: dict[str, Any]) -> None:
    session, _, _ = logged_on()
    assert not session.may_join(order(**alone))
    assert session.may_join(order())


@pytest.mark.parametrize("how", ["U7", "j", "3"])
def test_the_refusal_of_a_batch_of_orders_ends_each_of_them_once(how: str) -> None:
    session, heard, venue = logged_on()
    message, batch_id = placed(session, venue, order(), order(side="2"))
    said = {
        "U7": f"8014={batch_id}|58=no funds|",
        "j": f"45={message.seq_num}|372=U6|379={batch_id}|380=1|58=no funds|",
        "3": f"45={message.seq_num}|372=U6|373=5|58=no funds|",
    }
    venue.send(how, said[how])
    ends = [(e.cl_ord_id, e.exec_type, e.ord_status, e.side, e.text, e.origin) for e in heard.events]
    assert ends == [(OURS, "8", "8", "1", "no funds", how), (OTHER, "8", "8", "2", "no funds", how)]
    heard.events.clear()
    venue.send("U7", f"8014={batch_id}|58=again|")
    assert (heard.events, heard.codes()) == ([], ["rejected"])


def test_one_refused_order_of_a_batch_is_a_report_of_its_own() -> None:
    session, heard, venue = logged_on()
    placed(session, venue, order(), order())
    venue.send("8", f"11={OTHER}|37=0|17=E|150=8|39=8|55=BTC-USD|103=0|58=price increment|")
    assert heard.one(ExecutionReport).cl_ord_id == OTHER


def test_a_batch_of_orders_is_never_sent_twice() -> None:
    session, _, venue = logged_on()
    placed(session, venue, order(), order())
    venue.send("2", "7=1|16=0|")
    assert [m.msg_type for m in venue.take()] == ["4"]


# --- reports


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ("150=0|39=0|14=0|151=1.5|", "0", "0"),
        ("150=8|39=8|103=1|58=unknown symbol|", "8", "8"),
        ("150=4|39=4|58=102:Self Trade Prevention|", "4", "4"),
        ("150=5|39=5|41=OLD|38=1|", "5", "5"),
        ("150=C|39=C|58=101:Time In Force|", "C", "C"),
        ("150=D|39=0|378=5|38=1|151=1|", "D", "0"),
        ("150=D|39=0|378=3|44=8245|", "D", "0"),
        ("150=I|39=1|14=0.5|151=1|", "I", "1"),
    ],
)
def test_every_exec_type_that_the_venue_documents_is_an_event(body: str, kind: str, status: str) -> None:
    session, heard, venue = logged_on()
    place(session, venue)
    venue.send("8", f"83=77|6=0|11={OURS}|17=E1|37=V1|55=BTC-USD|54=1|40=2|60=20260407-14:32:05.000001|{body}")
    report = heard.one(ExecutionReport)
    assert (report.cl_ord_id, report.exec_type, report.ord_status, report.defects) == (OURS, kind, status, ())


@pytest.mark.parametrize(
    ("fee", "amount"),
    [("137=0.25|138=USD|139=4|891=0|", "0.25"), ("137=0.0025|138=USD|139=4|891=2|", "25.00000"),
     ("137=0.0025|138=BTC|139=4|891=2|", "0.00250")],
)  # fmt: skip
def test_a_fill_tells_liquidity_and_what_it_cost_by_the_basis_of_the_fee(fee: str, amount: str) -> None:
    session, heard, venue = logged_on()
    place(session, venue)
    venue.send("8", f"11={OURS}|17=E1|37=V1|39=1|55=BTC-USD|150=F|32=1.0|31=10000|1003=9|1057=Y|1430=E|136=1|{fee}")
    fill = heard.one(ExecutionReport)
    assert (fill.liquidity, fill.trade_id, fill.last_px) == ("T", "9", 1_000_000)
    assert fill.fees[0][1] == amount


def test_a_cancel_reject_is_no_end_of_the_order_and_code_1_means_unknown() -> None:
    session, heard, venue = logged_on()
    session.cancel_order(working(), "R1", venue.mono, venue.wall)
    venue.send("9", "11=R1|37=V1|41=x|39=8|102=1|434=1|58=order not found|")
    reject = heard.one(CancelReject)
    assert (reject.request_id, reject.unknown_order, reject.response_to) == ("R1", True, "1")
    heard.events.clear()
    session.replace_order(working(), "R2", 1, 1, None, venue.mono, venue.wall)
    venue.send("9", f"11=R2|37=V1|41={OURS}|39=8|102=2|434=2|58=in flight|")
    reject = heard.one(CancelReject)
    assert (reject.cl_ord_id, reject.unknown_order, reject.response_to) == (OURS, False, "2")


def test_business_reject_code_1_is_other_here_and_does_not_say_unknown() -> None:
    session, heard, venue = logged_on()
    session.cancel_order(working(), "R1", venue.mono, venue.wall)
    venue.send("j", "45=2|372=F|379=R1|380=1|58=try again|")
    assert heard.one(CancelReject).unknown_order is False


# --- market data


def marketdata(**options: Any) -> tuple[Venue, Heard, Records]:
    heard, records = Heard(), Records()
    ctx = context(
        "coinbase_exchange", Kind.MARKETDATA, [BTC], KEY, "Coinbase", level=3, venue_options=options, username=KEY,
        password=SECRET,
    )  # fmt: skip
    return Venue(D.marketdata(ctx, heard, records), heard, KEY, "Coinbase"), heard, records


LIST = "320=I|322=R|560=0|893=Y|393=1|146=1|"


def subscribed(**options: Any) -> tuple[Venue, Heard, Records, str]:
    venue, heard, records = marketdata(**options)
    venue.logon()
    venue.take()
    venue.send("y", f"{LIST}55=BTC-USD|15=USD|562=1|969=0.01|29003=0.00000001|1682=full_trading|")
    asked = venue.last("V")
    assert [(t, v) for t, v in asked.fields() if t in (263, 146, 55)] == [(263, b"1"), (146, b"1"), (55, b"BTC-USD")]
    assert records.subscriptions[0][2].fragments
    return venue, heard, records, asked.need_str(262)


def update(req: str, number: int, entry: str) -> str:
    head, _, rest = entry.partition("~")
    return f"262={req}|268=1|{head}83={number}|55=BTC-USD|{rest}60=20260407-14:32:05.000001|"


def test_a_snapshot_in_pieces_is_one_record_with_what_came_between_behind_it() -> None:
    venue, _, records, req = subscribed()
    venue.send("X", update(req, 7, "279=0|269=0|278=B0|~270=98|271=1|"))
    venue.send("W", f"262={req}|83=8|893=N|55=BTC-USD|268=1|1682=full_trading|269=0|278=B1|270=99|271=2|")
    venue.send("X", update(req, 9, "279=0|269=1|278=A2|~270=102|271=1|"))
    assert records.take() == []
    venue.send("W", f"262={req}|83=8|893=Y|55=BTC-USD|268=1|269=1|278=A1|270=101|271=3|")
    snapshot, early, late = records.take()
    assert (snapshot.kind, snapshot.last_id, [c.px for c in snapshot.changes]) == (1, 8, [9_900, 10_100])
    assert (early.kind, early.last_id, late.last_id, snapshot.flags & 256) == (0, 7, 9, 0)
    venue.send("X", update(req, 10, "279=2|269=1|278=A2|~270=102|271=0|58=CANCELED|"))
    assert [r.last_id for r in records.take()] == [10]


def test_pieces_that_disagree_are_no_snapshot() -> None:
    venue, _, records, req = subscribed()
    venue.send("W", f"262={req}|83=8|893=N|55=BTC-USD|268=1|269=0|278=B1|270=99|271=2|")
    venue.send("W", f"262={req}|83=9|893=Y|55=BTC-USD|268=1|269=1|278=A1|270=101|271=3|")
    (snapshot,) = records.take()
    assert (snapshot.flags & 256, snapshot.defect_tag) == (256, 83)


def live(**options: Any) -> tuple[Venue, Heard, Records, str]:
    venue, heard, records, req = subscribed(**options)
    venue.send("W", f"262={req}|83=8|893=Y|55=BTC-USD|268=1|269=0|278=B1|270=99|271=2|")
    records.take()
    return venue, heard, records, req


def test_an_acknowledgement_counts_and_is_no_entry_of_the_book() -> None:
    venue, _, records, req = live()
    venue.send("X", update(req, 9, "279=0|269=0|~270=99|271=1|40=2|11=x|37=y|"))
    (record,) = records.take()
    assert (record.last_id, record.changes, record.flags & 256) == (9, [], 0)


def test_a_trade_takes_its_size_from_the_order_that_rested_unless_told_otherwise() -> None:
    venue, _, records, req = live()
    trade = update(req, 9, "279=0|269=2|278=B1|~270=99|271=0.5|5797=2|1003=77|")
    venue.send("X", trade)
    (record,) = records.take()
    told, taken = record.changes
    assert (told.side, told.qty, told.key, told.aggressor, bool(told.time_ns)) == (2, 50_000_000, 77, 2, True)
    assert (taken.side, taken.action, taken.qty) == (0, 3, 50_000_000)
    venue, _, records, req = live(trade_reduces=False)
    venue.send("X", trade.replace(trade.partition("|")[0], f"262={req}"))
    assert [c.side for c in records.take()[0].changes] == [2]


def test_a_status_message_has_a_number_of_the_book_and_changes_the_instrument() -> None:
    venue, heard, records, req = live()
    heard.events.clear()
    venue.send("f", f"262={req}|83=9|55=BTC-USD|1682=cancel_only|")
    (record,) = records.take()
    assert (record.instrument, record.last_id, record.flags, record.changes) == (0, 9, 4, [])
    definition = heard.one(InstrumentDefinition)
    assert (definition.status, definition.confirmed, definition.min_notional) == ("CANCEL_ONLY", True, "1")


@pytest.mark.parametrize(
    ("entries", "statuses"),
    [
        ("55=BTC-USD|969=0.01|1682=post_only|55=X-USD|969=1|1682=full_trading|", ["POST_ONLY"]),
        ("1682=post_only|55=BTC-USD|969=0.01|1682=full_trading|55=X-USD|969=1|", ["POST_ONLY"]),
        ("55=BTC-USD|969=0.01|", ["UNKNOWN"]),
        ("1682=auction_mode|55=BTC-USD|15=USD|969=0.01|", ["HALTED"]),
    ],
)
def test_a_security_s_status_is_its_own_wherever_it_stands(entries: str, statuses: list[str]) -> None:
    venue, heard, _ = marketdata()
    venue.logon()
    assert dict(sent(venue, "x"))[559] == "4"
    venue.send("y", f"{LIST}{entries}")
    assert [e.status for e in heard.events if isinstance(e, InstrumentDefinition)] == statuses


def test_a_refused_list_is_told() -> None:
    venue, heard, _ = marketdata()
    venue.logon()
    venue.send("y", "320=I|560=1|")
    assert heard.codes() == ["security_list"]


# --- REST, plan, configuration


def rest() -> Any:
    venue = VenueConfig(dialect="coinbase_exchange", instruments=[], rest=RestConfig(address="https://127.0.0.1:1"))
    return D.rest(venue, "K", SECRET, "PASS")


def test_a_rest_request_is_signed_over_time_method_target_and_body() -> None:
    request = rest().cancel_all(WALL, [BTC])[0]
    headers = dict(request.headers)
    wanted = rest_signature(b64decode(SECRET), "1775572325", "DELETE", "/orders", b"")
    assert (request.method, request.target, request.body) == ("DELETE", "/orders", b"")
    assert headers == {
        "CB-ACCESS-KEY": "K", "CB-ACCESS-SIGN": wanted, "CB-ACCESS-TIMESTAMP": "1775572325",
        "CB-ACCESS-PASSPHRASE": "PASS",
    }  # fmt: skip
    listed = rest().open_orders(WALL)
    signed = rest_signature(b64decode(SECRET), "1775572325", "GET", listed.target, b"")
    assert dict(listed.headers)["CB-ACCESS-SIGN"] == signed


def test_a_full_page_of_orders_has_another_behind_it_that_overlaps_by_a_moment() -> None:
    line = (
        '{"id":"%d","product_id":"BTC-USD","side":"buy","status":"open","size":"1","price":"2",'
        '"created_at":"2026-04-07T14:32:05.000100Z"}'
    )
    page = rest().parse_open_orders(200, f"[{','.join(line % n for n in range(1000))}]".encode())
    assert page.cursor == "2026-04-07T14:32:05.001100Z"
    assert "end_date=2026-04-07T14%3A32%3A05.001100Z" in rest().open_orders(WALL, page.cursor).target
    assert rest().parse_open_orders(200, b"[]").cursor == ""


@pytest.mark.parametrize(
    ("said", "status"),
    [('"open","filled_size":"0.00000000"', "0"), ('"open","filled_size":"0.5"', "1"), ('"pending"', "0"),
     ('"done","done_reason":"filled"', "2"), ('"done","done_reason":"canceled"', "4"), ('"rejected"', "8")],
)  # fmt: skip
def test_rest_states_are_those_of_fix(said: str, status: str) -> None:
    body = f'{{"id":"1","product_id":"BTC-USD","side":"sell","created_at":"2026-04-07T14:32:05Z","status":{said}}}'
    assert rest().parse_order(200, body.encode()).status == status


def test_an_order_that_the_venue_forgot_is_not_found_and_an_unknown_state_is_an_error() -> None:
    assert rest().parse_order(404, b'{"message":"NotFound"}') is None
    with pytest.raises(VenueError, match=r"order\.status"):
        rest().parse_order(
            200, b'{"id":"1","product_id":"B","side":"buy","created_at":"2026-04-07T14:32:05Z","status":"odd"}'
        )


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [(200, b'"V1"', "CANCELLED"), (404, b'{"message":"order not found"}', "NOT_FOUND"),
     (400, b'{"message":"Order already done"}', "DONE"), (400, b'{"message":"no"}', "REFUSED"),
     (429, b"<html>", "RATE_LIMITED"), (500, b'{"message":"oops"}', "UNKNOWN"), (200, b"[]", "UNKNOWN")],
)  # fmt: skip
def test_an_answer_to_a_single_cancel_is_an_outcome(status: int, body: bytes, outcome: str) -> None:
    assert rest().parse_cancel_order(status, body).outcome is CancelOutcome[outcome]


def test_capabilities_and_plan_follow_the_configuration() -> None:
    bare = VenueConfig(dialect="coinbase_exchange", instruments=[], options={"cancel_on_disconnect": "profile"})
    claims, plan = D.capabilities(bare), D.cancel_plan(bare)
    assert (claims.replace, claims.disconnect, claims.open_orders) == (
        Replace.IN_PLACE, Disconnect.CANCELS, OpenOrders.STATUS_EACH,
    )  # fmt: skip
    reaches = {s.action: s.reaches for s in plan.steps}
    assert reaches == {
        "owner_mass_cancel": "connection", "owner_cancel_each": "session", "owner_disconnect": "account",
    }  # fmt: skip
    keeps = VenueConfig(dialect="coinbase_exchange", instruments=[], options={"cancel_on_disconnect": "off"})
    assert "owner_disconnect" not in [s.action for s in D.cancel_plan(keeps).steps]


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"target_comp_id": "X"}, "target_comp_id"), ({"heartbeat_s": 31}, "heartbeat_s"),
     ({"kind": Kind.MARKETDATA}, r"level.*2"), ({"kind": Kind.MARKETDATA, "level": 3, "depth": 5}, "depth"),
     ({"options": {"self_trade_prevention": "X"}}, "self_trade_prevention"),
     ({"passphrase": ""}, "passphrase: missing")],
)  # fmt: skip
def test_what_the_venue_does_not_take_is_a_config_error_with_its_path(changes: dict[str, Any], words: str) -> None:
    fields = {
        "venue": "v", "kind": Kind.TRADING, "address": "x:1", "sender_comp_id": "A", "target_comp_id": "Coinbase",
        "username": "env:U", "password": "env:P", "passphrase": "env:Q",
    }  # fmt: skip
    session = SessionConfig(**{**fields, **changes})
    with pytest.raises(ConfigError, match=rf"session\.s\..*{words}"):
        D.check(VenueConfig(dialect="coinbase_exchange", instruments=[]), {"s": session}, "venue.v")


def test_two_sessions_of_one_key_are_refused() -> None:
    one = SessionConfig(
        venue="v", kind=Kind.TRADING, address="x:1", sender_comp_id="A", target_comp_id="Coinbase", username="env:U",
        password="env:P", passphrase="env:Q",
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"session\.b\.sender_comp_id: the API key of session\.a"):
        D.check(VenueConfig(dialect="coinbase_exchange", instruments=[]), {"a": one, "b": one}, "venue.v")


# --- wire samples of the documentation

ETH = Instrument("coinbase_exchange", "ETH-USD", "ETH-USD", 2, 8)
FINE = Instrument("coinbase_exchange", "BTC-USD", "BTC-USD", 4, 8)  # the samples print average prices
NAMES = {name: tag for tag in range(1, 1500) if (name := Dictionary.standard("4.2").field_name(tag))}
NAMES |= {"MiscFeeBasis": 891, "AggressorIndicator": 1057, "NoMiscFees": 136, "1003": 1003, "CashOrderQty": 152}
NAMES |= {"MiscFeeAmt": 137, "MiscFeeCurr": 138, "MiscFeeType": 139}
WORDS = {
    "ORDER_SINGLE": "D", "EXECUTION_REPORT": "8", "LIMIT": "2", "BUY": "1", "SELL": "2", "GOOD_TILL_CANCEL": "1",
    "NEW": "0", "PARTIAL_FILL": "1", "PARTIALLY_FILLED": "1", "CANCELED": "4", "EXCHANGE_FEES": "4",
    "Percentage": "2", "YES": "Y", "NO": "N",
}  # fmt: skip


def printed(title: str) -> dict[int, str]:
    """An example that the documentation prints with names, as fields; of those with the title the first."""
    path = FOLDER / "coinbase-exchange.fix"
    if not path.exists():
        pytest.skip(f"no wire samples at {path}")
    lines = path.read_text().splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith(f"# {title}"))
    pairs = re.findall(r"(\w+)=(.*?)(?= \w+=|$)", lines[at + 1].removeprefix("#~ "))
    return {NAMES[name]: WORDS.get(value, value) for name, value in pairs}


def told(title: str) -> ExecutionReport:
    """The event that a printed report becomes."""
    fields = printed(title)
    heard = Heard()
    ctx = context("coinbase_exchange", Kind.TRADING, [FINE, ETH], KEY, "Coinbase", username=KEY, password=SECRET)
    venue = Venue(D.trading(ctx, heard), heard, KEY, "Coinbase")
    venue.logon()
    venue.send("8", "".join(f"{t}={v}|" for t, v in fields.items() if t not in (8, 9, 35, 34, 49, 52, 10, 20)))
    return heard.one(ExecutionReport)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("title", "wanted"),
    [
        ("ExecutionReport new, limit with funds", ("0", "0", "1", 33_740_512, 0, 33_740_512, 295_200)),
        ("ExecutionReport taker fill 2", ("F", "1", "1", 33_740_512, 3_000_000, 30_740_512, 295_192)),
        ("ExecutionReport maker fill", ("F", "1", "1", 33_740_512, 4_000_000, 29_740_512, 295_200)),
        ("ExecutionReport new with OrderQty 0", ("0", "0", "1", 0, 0, 0, 100)),
        ("ExecutionReport IOC canceled", ("4", "4", "1", 0, 0, 0, 100)),
        ("ExecutionReport new (partial", ("0", "0", "2", 25_030_000, 0, 25_030_000, 399_440_000)),
        ("ExecutionReport fill before STP", ("F", "1", "2", 25_030_000, 5_000_000, 20_030_000, 399_493_007)),
        ("ExecutionReport canceled by STP", ("4", "4", "1", 2_500_000, 0, 0, 399_450_000)),
    ],
)
def test_each_printed_report_is_the_event_that_a_reader_expects(title: str, wanted: tuple[Any, ...]) -> None:
    r = told(title)
    assert (r.exec_type, r.ord_status, r.side, r.order_qty, r.cum_qty, r.leaves_qty, r.price) == wanted


def test_the_printed_fills_tell_who_took_and_what_it_cost() -> None:
    taker, maker = told("ExecutionReport taker fill 2"), told("ExecutionReport maker fill")
    assert (taker.last_qty, taker.last_px, taker.trade_id, taker.liquidity) == (600_000, 295_192, "1267479", "T")
    assert Decimal(taker.fees[0][1]) == Decimal("0.004") * Decimal("0.006") * Decimal("2951.92")
    assert (maker.liquidity, Decimal(maker.fees[0][1])) == ("M", Decimal("0.0025") * Decimal("0.01") * 2952)
    assert told("ExecutionReport canceled by STP").text == "102:Self Trade Prevention"


def test_the_printed_order_by_funds_is_what_we_send() -> None:
    wanted = printed("NewOrderSingle limit with funds")
    session, heard, venue = logged_on()
    sample = order(instrument="ETH-USD", price=ETH.px("2952"), options={"cash_order_qty": "1000"})
    session.new_order(sample, ETH, OURS, venue.mono, venue.wall)
    mine = dict(sent(venue, "D"))
    assert {t: v for t, v in mine.items() if t not in (11, 7928)} == {
        t: v for t, v in wanted.items() if t not in (8, 35, 10)
    }  # fmt: skip
    assert heard.alerts == []


def test_the_documented_rfq_fill_is_read_whole() -> None:
    path = FOLDER / "coinbase-exchange.fix"
    if not path.exists():
        pytest.skip(f"no wire samples at {path}")
    line = next(text for text in path.read_text().splitlines() if text.startswith("8=FIXT.1.1"))
    fields = [p.partition("=")[::2] for p in line.strip().split("|") if p]
    _, heard, venue = logged_on()
    body = "|".join(f"{t}={v}" for t, v in fields if t not in ("8", "9", "35", "34", "49", "56", "52", "10"))
    venue.send("8", f"{body}|")
    fill = heard.one(ExecutionReport)
    assert (fill.cl_ord_id, fill.order_id, fill.exec_id) == ("CLIENT_ORDER_ID", "ORDER_ID", "EXEC_ID")
    assert (fill.exec_type, fill.ord_status, fill.side, fill.ord_type, fill.time_in_force) == ("F", "2", "2", "2", "4")
    assert (fill.last_qty, fill.last_px, fill.cum_qty, fill.leaves_qty) == (1_428_000, 7_000_000, 1_428_000, None)
    assert fill.fees == (("USD", "0.249900039985"),)
    assert fill.transact_ns % SECOND == 784_254_000
