"""Plain FIX 4.4: what is sent, and what is made of what comes back."""

from typing import Any

import pytest

from base.config import Kind, RestConfig, SessionConfig, VenueConfig
from base.errors import ConfigError, SessionError, VenueError
from base.instruments import Instrument
from ipc.events import CancelReject, ExecutionReport, MassCancelReport
from ipc.requests import NewOrder
from tests.venues.kit import SECOND, WALL, Heard, Records, Venue, context
from venues.interface import OpenOrders, Replace, SessionPhase, WorkingOrder
from venues.registry import dialect

INST = Instrument("peer", "BTC-USD", "BTCUSD", 2, 4)
D = dialect("fix44")


def trading(**options: Any) -> tuple[Any, Heard, Venue]:
    heard = Heard()
    ctx = context("fix44", Kind.TRADING, [INST], "DESK", "PEER", venue_options=options, username="joe", password="pw")
    session = D.trading(ctx, heard)
    venue = Venue(session, heard, "DESK", "PEER")
    return session, heard, venue


def order(**changes: Any) -> NewOrder:
    fields = {
        "client_id": "c", "command_id": "1", "deadline_ns": 0, "venue": "peer", "instrument": "BTC-USD", "side": "1",
        "ord_type": "2", "order_qty": 12_500, "price": 1_000_050,
    }  # fmt: skip
    return NewOrder(**{**fields, **changes})


def working(**changes: Any) -> WorkingOrder:
    fields = {
        "instrument": INST, "cl_ord_id": "A1", "order_id": "X9", "side": "1", "ord_type": "2", "time_in_force": "1",
        "order_qty": 12_500, "price": 1_000_050, "stop_px": None, "leaves_qty": 12_500,
    }  # fmt: skip
    return WorkingOrder(**{**fields, **changes})


def test_logs_on_with_username_and_password_and_is_ready() -> None:
    session, heard, venue = trading()
    logon = venue.logon()
    assert (logon.get(553), logon.get(554), logon.get(108)) == (b"joe", b"pw", b"30")
    assert session.phase is SessionPhase.READY
    assert [p for p, _ in heard.phases] == [SessionPhase.LOGGING_ON, SessionPhase.READY]


def test_a_refused_logon_is_alerted_and_ends_the_connection() -> None:
    session, heard, venue = trading()
    venue.connect()
    venue.send("5", "58=bad password|")
    assert heard.codes() == ["logon_refused"]
    assert heard.disconnects == ["logon refused: bad password"]
    session.disconnected("closed", venue.mono, venue.wall)
    assert heard.phases[-1][0] is SessionPhase.DISCONNECTED


def test_a_limit_order_carries_exact_decimals() -> None:
    session, _, venue = trading()
    venue.logon()
    session.new_order(order(exec_inst="post_only", display_qty=500), INST, "A1", venue.mono, venue.wall)
    d = venue.last("D")
    fields = dict(d.fields())
    assert {t: fields[t] for t in (11, 55, 54, 38, 40, 44, 59, 18, 111)} == {
        11: b"A1", 55: b"BTCUSD", 54: b"1", 38: b"1.25", 40: b"2", 44: b"10000.5", 59: b"1", 18: b"6", 111: b"0.05",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"ord_type": "P"}, "ord_type"),
        ({"time_in_force": "7"}, "time_in_force"),
        ({"price": None}, "price"),
        ({"ord_type": "3"}, "stop_px"),
        ({"time_in_force": "6"}, "expire_ns"),
        ({"exec_inst": "moon"}, "exec_inst"),
        ({"options": {"leverage": "1"}}, "options"),
    ],
)
def test_what_the_venue_cannot_do_is_named_and_nothing_is_sent(changes: dict[str, Any], named: str) -> None:
    session, _, venue = trading()
    venue.logon()
    venue.take()
    with pytest.raises(VenueError, match=named):
        session.new_order(order(**changes), INST, "A1", venue.mono, venue.wall)
    assert venue.take() == []


def test_messages_that_the_peer_does_not_know_are_refused() -> None:
    session, _, venue = trading(messages=["D"])
    venue.logon()
    venue.take()
    with pytest.raises(VenueError, match="35=F"):
        session.cancel_order(working(), "C1", venue.mono, venue.wall)
    with pytest.raises(VenueError, match="35=q"):
        session.mass_cancel(None, "C1", venue.mono, venue.wall)
    assert venue.take() == []


def test_nothing_is_sent_before_the_logon_is_answered() -> None:
    session, _, venue = trading()
    venue.connect()
    with pytest.raises(SessionError):
        session.new_order(order(), INST, "A1", venue.mono, venue.wall)


def test_a_fill_is_delivered_with_its_numbers_and_ids() -> None:
    _, heard, venue = trading()
    venue.logon()
    venue.send(
        "8",
        "11=A1|37=X9|17=E1|150=F|39=1|54=1|55=BTCUSD|40=2|59=1|38=1.25|44=10000.50|31=10000.25|32=0.25|14=0.25|151=1|"
        "6=10000.25|60=20260407-14:32:05.001|1003=T7|851=1|136=1|137=0.02|138=USD|139=4|",
    )
    report = heard.one(ExecutionReport)
    assert (report.last_px, report.last_qty, report.cum_qty, report.leaves_qty) == (1_000_025, 2_500, 2_500, 10_000)
    assert (report.cl_ord_id, report.order_id, report.exec_id, report.trade_id) == ("A1", "X9", "E1", "T7")
    assert (report.liquidity, report.fees, report.defects) == ("M", (("USD", "0.02"),), ())
    assert report.transact_ns == WALL + 1_000_000
    assert report.recv_ns == venue.wall


def test_a_number_that_does_not_fit_is_a_defect_never_a_wrong_number() -> None:
    _, heard, venue = trading()
    venue.logon()
    venue.send("8", "11=A1|37=X9|17=E1|150=F|39=1|54=1|55=BTCUSD|31=10000.255|32=0.25|14=huge|151=1|")
    report = heard.one(ExecutionReport)
    assert (report.last_px, report.cum_qty, report.last_qty) == (None, None, 2_500)
    assert [d.split(":")[0] for d in report.defects] == ["31", "14"]


def test_a_report_for_an_unknown_symbol_keeps_its_exact_numbers() -> None:
    _, heard, venue = trading()
    venue.logon()
    venue.send("8", "11=Z|37=X9|17=E1|150=F|39=2|54=1|55=DOGEUSD|31=0.12345|32=7|14=7.5|151=0|")
    report = heard.one(ExecutionReport)
    assert (report.instrument, report.venue_symbol) == ("", "DOGEUSD")
    assert (report.px_scale, report.last_px, report.qty_scale, report.cum_qty) == (5, 12_345, 1, 75)
    assert "55" in report.defects[0]


def test_an_old_fill_code_and_missing_fields_still_deliver_the_fill() -> None:
    _, heard, venue = trading()
    venue.logon()
    venue.send("8", "11=A1|150=2|55=BTCUSD|54=1|31=1|32=1|14=1|9999=odd|")
    report = heard.one(ExecutionReport)
    assert (report.exec_type, report.last_qty) == ("F", 10_000)
    assert {d.split(":")[0] for d in report.defects} >= {"17", "37", "39", "150"}


def test_a_cancel_report_names_the_order_by_41_and_the_request_by_11() -> None:
    session, heard, venue = trading()
    venue.logon()
    session.cancel_order(working(), "C1", venue.mono, venue.wall)
    f = venue.last("F")
    assert (f.get(41), f.get(37), f.get(11), f.get(54)) == (b"A1", b"X9", b"C1", b"1")
    venue.send("8", "11=C1|41=A1|37=X9|17=E2|150=4|39=4|54=1|55=BTCUSD|38=1.25|14=0|151=0|")
    report = heard.one(ExecutionReport)
    assert (report.cl_ord_id, report.request_id, report.exec_type) == ("A1", "C1", "4")


def test_a_cancel_report_without_41_is_found_by_the_request() -> None:
    session, heard, venue = trading()
    venue.logon()
    session.cancel_order(working(), "C1", venue.mono, venue.wall)
    venue.send("8", "11=C1|37=X9|17=E2|150=4|39=4|54=1|55=BTCUSD|14=0|151=0|")
    report = heard.one(ExecutionReport)
    assert (report.cl_ord_id, report.request_id) == ("A1", "C1")


def test_an_unsolicited_cancel_names_the_order_itself() -> None:
    _, heard, venue = trading()
    venue.logon()
    venue.send("8", "11=A1|37=X9|17=E2|150=4|39=4|54=1|55=BTCUSD|14=0|151=0|")
    report = heard.one(ExecutionReport)
    assert (report.cl_ord_id, report.request_id) == ("A1", "")


def test_a_replaced_order_has_the_requests_id_from_then_on() -> None:
    session, heard, venue = trading()
    venue.logon()
    session.replace_order(working(), "R1", 20_000, 1_000_100, None, venue.mono, venue.wall)
    g = venue.last("G")
    assert (g.get(41), g.get(11), g.get(38), g.get(44)) == (b"A1", b"R1", b"2", b"10001")
    venue.send("8", "11=R1|41=A1|37=X9|17=E3|150=5|39=0|54=1|55=BTCUSD|38=2|44=10001|14=0|151=2|")
    report = heard.one(ExecutionReport)
    assert (report.cl_ord_id, report.orig_cl_ord_id, report.request_id, report.order_qty) == ("R1", "A1", "R1", 20_000)


def test_a_replace_says_every_instruction_of_the_order_again() -> None:
    session, _, venue = trading(times_in_force=["1", "6"])
    venue.logon()
    later = venue.wall + 60 * SECOND
    told = working(
        exec_inst="post_only", display_qty=5_000, time_in_force="6", expire_ns=later, effective_ns=later - SECOND
    )
    session.replace_order(told, "R1", 20_000, 1_000_100, None, venue.mono, venue.wall)
    g = venue.last("G")
    assert (g.get(18), g.get(111), g.get(59)) == (b"6", b"0.5", b"6")
    assert g.has(126)
    assert g.has(168)
    session.replace_order(working(effective_ns=venue.wall - 1), "R2", 20_000, 1_000_100, None, venue.mono, venue.wall)
    assert not venue.last("G").has(168)


def test_a_replace_that_would_lose_an_expiry_or_an_unknown_instruction_is_refused() -> None:
    session, _, venue = trading(times_in_force=["1", "6"])
    venue.logon()
    venue.take()
    with pytest.raises(VenueError, match="expire_ns"):
        session.replace_order(working(time_in_force="6"), "R1", 1, 1, None, venue.mono, venue.wall)
    with pytest.raises(VenueError, match="reduce_only"):
        session.replace_order(working(exec_inst="reduce_only"), "R1", 1, 1, None, venue.mono, venue.wall)
    assert venue.take() == []


def test_a_cancel_reject_knows_the_order_and_whether_the_venue_does() -> None:
    session, heard, venue = trading()
    venue.logon()
    session.cancel_order(working(), "C1", venue.mono, venue.wall)
    venue.send("9", "11=C1|41=A1|37=NONE|39=8|434=1|102=1|58=too late|")
    reject = heard.one(CancelReject)
    assert (reject.cl_ord_id, reject.request_id, reject.order_id) == ("A1", "C1", "X9")
    assert (reject.response_to, reject.reason_code, reject.unknown_order) == ("1", "1", True)
    assert (reject.instrument, reject.origin) == ("BTC-USD", "9")


def test_a_session_reject_of_a_new_order_ends_the_order() -> None:
    session, heard, venue = trading()
    venue.logon()
    session.new_order(order(), INST, "A1", venue.mono, venue.wall)
    seq = venue.last("D").seq_num
    venue.send("3", f"45={seq}|371=38|372=D|373=5|58=value is incorrect|")
    report = heard.one(ExecutionReport)
    assert (report.cl_ord_id, report.exec_type, report.ord_status, report.origin) == ("A1", "8", "8", "3")
    assert (report.reason_code, report.order_qty, report.leaves_qty) == ("5", 12_500, 0)
    assert "38" in report.text


def test_a_session_reject_of_a_cancel_is_a_cancel_reject() -> None:
    session, heard, venue = trading()
    venue.logon()
    session.cancel_order(working(), "C1", venue.mono, venue.wall)
    venue.send("3", f"45={venue.last('F').seq_num}|373=1|58=missing|")
    reject = heard.one(CancelReject)
    assert (reject.cl_ord_id, reject.request_id, reject.origin, reject.response_to) == ("A1", "C1", "3", "1")
    assert reject.instrument == "BTC-USD"


def test_a_business_reject_is_matched_by_379_and_survives_a_restart() -> None:
    _, heard, venue = trading()
    venue.logon()
    venue.send("j", "45=0|372=D|379=OLD7|380=0|58=no funds|")
    report = heard.one(ExecutionReport)
    assert (report.cl_ord_id, report.exec_type, report.origin, report.text) == ("OLD7", "8", "j", "no funds")


def test_a_refused_mass_cancel_is_a_report_that_says_rejected() -> None:
    session, heard, venue = trading()
    venue.logon()
    session.mass_cancel(INST, "M1", venue.mono, venue.wall)
    q = venue.last("q")
    assert (q.get(530), q.get(55)) == (b"1", b"BTCUSD")
    venue.send("j", "372=q|379=M1|380=3|58=unsupported|")
    report = heard.one(MassCancelReport)
    assert (report.request_id, report.response, report.instrument) == ("M1", "0", "BTC-USD")


def test_a_mass_cancel_report_is_delivered() -> None:
    session, heard, venue = trading()
    venue.logon()
    session.mass_cancel(None, "M1", venue.mono, venue.wall)
    assert venue.last("q").get(530) == b"7"
    venue.send("r", "11=M1|37=1|530=7|531=7|533=12|")
    report = heard.one(MassCancelReport)
    assert (report.request_id, report.response, report.affected) == ("M1", "7", 12)


def test_a_status_request_is_answered_by_a_report_that_names_the_order() -> None:
    session, heard, venue = trading()
    venue.logon()
    session.order_status(working(), "S1", venue.mono, venue.wall)
    h = venue.last("H")
    assert (h.get(11), h.get(790), h.get(37)) == (b"A1", b"S1", b"X9")
    venue.send("8", "11=A1|790=S1|37=X9|17=0|150=I|39=0|54=1|55=BTCUSD|14=0|151=1.25|")
    assert heard.one(ExecutionReport).cl_ord_id == "A1"


@pytest.mark.parametrize("said", ["37=NONE|103=5|", "37=X9|103=5|", "37=NONE|"])
def test_a_status_request_that_names_nothing_rejects_no_order(said: str) -> None:
    session, heard, venue = trading()
    venue.logon()
    session.order_status(working(), "S1", venue.mono, venue.wall)
    venue.send("8", f"11=A1|790=S1|{said}17=0|150=I|39=8|54=1|55=BTCUSD|14=0|151=0|58=unknown order|")
    reject = heard.one(CancelReject)
    assert (reject.cl_ord_id, reject.request_id, reject.unknown_order, reject.response_to) == ("A1", "S1", True, "")


def test_the_status_of_an_order_that_was_rejected_is_its_status() -> None:
    session, heard, venue = trading()
    venue.logon()
    session.order_status(working(), "S1", venue.mono, venue.wall)
    venue.send("8", "11=A1|790=S1|37=X9|17=0|150=I|39=8|54=1|55=BTCUSD|14=0|151=0|103=3|")
    assert heard.one(ExecutionReport).ord_status == "8"


def test_old_sequence_numbers_name_nothing_after_a_reset() -> None:
    session, heard, venue = trading(sequence="reset")
    venue.logon()
    session.new_order(order(), INST, "A1", venue.mono, venue.wall)
    seq = venue.last("D").seq_num
    session.disconnected("gone", venue.mono, venue.wall)
    venue.logon()
    venue.send("3", f"45={seq}|58=who knows|")
    assert not [e for e in heard.events if isinstance(e, ExecutionReport)]
    assert "rejected" in heard.codes()


def test_ids_are_unique_over_restarts_and_a_clock_that_steps_back() -> None:
    session, _, _ = trading()
    ids = [session.make_cl_ord_id(t) for t in (WALL, WALL, WALL - 3600 * SECOND, WALL + 5)]
    assert len(set(ids)) == 4
    assert all(session.owns(i) for i in ids)
    assert not session.owns("manual-1")


def test_market_data_is_subscribed_and_delivered_as_records() -> None:
    heard, records = Heard(), Records()
    ctx = context("fix44", Kind.MARKETDATA, [INST], "DESK", "PEER")
    venue = Venue(D.marketdata(ctx, heard, records), heard, "DESK", "PEER")
    venue.logon()
    v = venue.last("V")
    req = v.get_str(262)
    assert (v.get(263), v.get(264), v.get(55)) == (b"1", b"0", b"BTCUSD")
    venue.send("W", f"262={req}|55=BTCUSD|268=2|269=0|270=100.5|271=2|269=1|270=101|271=0.5|")
    venue.send("X", f"262={req}|268=1|279=1|269=0|55=BTCUSD|270=100.5|271=3|")
    snapshot, update = records.take()
    assert (snapshot.kind, snapshot.instrument, len(snapshot.changes)) == (1, 0, 2)
    assert [(c.side, c.px, c.qty) for c in update.changes] == [(0, 10_050, 30_000)]
    assert records.subscriptions[0][1] & (2**64 - 1) == snapshot.req_key & (2**64 - 1)


def test_capabilities_follow_the_messages() -> None:
    few = D.capabilities(VenueConfig(dialect="fix44", instruments=[], options={"messages": ["D", "F"]}))
    assert (few.replace, few.mass_cancel, few.status_request) == (Replace.NONE, False, False)
    assert (few.open_orders, few.levels) == (OpenOrders.NONE, frozenset())
    assert Kind.MARKETDATA not in few.kinds


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"messages": ["D", "Z"]}, "messages"),
        ({"mesages": ["D"]}, "mesages"),
        ({"reset_at": ["25:00:00"]}, "reset_at"),
        ({"on_disconnect": "explodes"}, "on_disconnect"),
        ({"orders_per_s": "many"}, "orders_per_s"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        D.check(VenueConfig(dialect="fix44", instruments=[], options=options), {}, "venue.peer")


def test_rest_needs_an_address_and_level_3_needs_to_be_known() -> None:
    venue = VenueConfig(dialect="fix44", instruments=[], options={"rest": True})
    with pytest.raises(ConfigError, match="rest"):
        D.check(venue, {}, "venue.peer")
    venue = VenueConfig(dialect="fix44", instruments=[], rest=RestConfig(address="https://x"))
    session = SessionConfig(
        venue="peer", kind=Kind.MARKETDATA, address="x:1", sender_comp_id="A", target_comp_id="B", level=3
    )
    with pytest.raises(ConfigError, match="level"):
        D.check(venue, {"md": session}, "venue.peer")
