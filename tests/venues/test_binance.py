"""Binance: signatures, bodies of every request, refusals, maintenance, market data, REST."""

from base64 import b64decode, b64encode
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest

from base.config import Kind, RestConfig, SessionConfig, VenueConfig
from base.errors import ConfigError, SecretError, VenueError
from base.instruments import Instrument
from ipc.events import CancelReject, ExecutionReport, InstrumentDefinition, MassCancelReport
from ipc.requests import NewOrder
from tests.venues.kit import SECOND, WALL, Heard, Records, Venue, context
from venues.binance.settings import MD_REQUESTS_PER_S
from venues.binance.signing import logon_signature
from venues.interface import Disconnect, SessionPhase, WorkingOrder
from venues.registry import dialect
from venues.signing import private_key

D = dialect("binance")
BTC = Instrument("binance", "BTC-USDT", "BTCUSDT", 2, 5)
KEY = "MC4CAQAwBQYDK2VwBCIEIIJEYWtGBrhACmb9Dvy+qa8WEf0lQOl1s4CLIAB9m89u"  # published as an example by the venue
KEY_2 = "MC4CAQAwBQYDK2VwBCIEIJjlVz+AXahN5M3GYOlq7UDSG/XbW1w8mVo2mnp6zCLx"  # published in its connector's unit tests


def make(kind: Kind = Kind.TRADING, *, key: str = KEY, alternate: bool = False, **options: Any) -> tuple[Any, ...]:
    heard, records = Heard(), Records()
    depth = options.pop("depth", 0)
    ctx = context(
        "binance", kind, [BTC], "EXAMPLE", "SPOT", options=options, username="API_KEY", password=key, depth=depth
    )
    ctx.sender_comp_id = "OTHER" if alternate else "EXAMPLE"
    if kind is Kind.TRADING:
        session: Any = D.trading(ctx, heard)
    elif kind is Kind.MARKETDATA:
        session = D.marketdata(ctx, heard, records)
    else:
        session = D.dropcopy(ctx, heard)
    return session, heard, Venue(session, heard, ctx.sender_comp_id, "SPOT"), records


def order(**changes: Any) -> NewOrder:
    fields = {
        "client_id": "c", "command_id": "1", "deadline_ns": 0, "venue": "binance", "instrument": "BTC-USDT",
        "side": "1", "ord_type": "2", "order_qty": 150_000, "price": 6_000_050,
    }  # fmt: skip
    return NewOrder(**{**fields, **changes})


def working(**changes: Any) -> WorkingOrder:
    fields = {
        "instrument": BTC, "cl_ord_id": "A1", "order_id": "76", "side": "1", "ord_type": "2", "time_in_force": "1",
        "order_qty": 150_000, "price": 6_000_050, "stop_px": None, "leaves_qty": 150_000,
    }  # fmt: skip
    return WorkingOrder(**{**fields, **changes})


def body_of(message: Any) -> list[tuple[int, str]]:
    return [(t, v.decode()) for t, v in message.fields() if t not in (8, 9, 35, 34, 49, 56, 52, 10)]


# --- logon


def test_the_logon_signature_follows_the_published_vectors() -> None:
    first = logon_signature(private_key(KEY, "k"), "EXAMPLE", "SPOT", 1, b"20240627-11:17:25.223")
    assert first == b"4MHXelVVcpkdwuLbl6n73HQUXUf1dse2PCgT1DYqW9w8AVZ1RACFGM+5UdlGPrQHrgtS3CvsRURC1oj73j8gCA=="
    second = logon_signature(private_key(KEY_2, "k"), "BMDWATCH", "SPOT", 1, b"20250301-01:00:00.000000")
    assert second == b"23rxWHmfUGML7o9O9lPkedNBj53wcilb9pFuIxc9Q1pGxHFQaBQnuPwj0ueH09t5Gzl3ybOc67wXGzh9Qcl/Aw=="


def test_a_key_may_be_der_or_a_seed_in_hex_or_base64() -> None:
    seed = "8244616b4606b8400a66fd0efcbea9af1611fd2540e975b3808b20007d9bcf6e"
    for text in (KEY, seed, b64encode(bytes.fromhex(seed)).decode()):
        signature = logon_signature(private_key(text, "k"), "EXAMPLE", "SPOT", 1, b"20240627-11:17:25.223")
        assert signature.startswith(b"4MHXelVV")


@pytest.mark.parametrize("text", ["", "zz", "AAAA", KEY[:-8], "-----BEGIN PRIVATE KEY-----"])
def test_another_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(SecretError, match=r"session\.x") as e:
        private_key(text, "session.x")
    assert not text or text not in str(e.value)


def test_the_logon_signs_what_its_header_carries_and_resets() -> None:
    _, _, venue, _ = make()
    logon = venue.connect()
    expected = logon_signature(private_key(KEY, "k"), "EXAMPLE", "SPOT", 1, logon.need(52))
    assert logon.get(96) == expected
    assert body_of(logon) == [
        (98, "0"), (108, "30"), (141, "Y"), (95, "88"), (96, expected.decode()), (553, "API_KEY"), (25035, "2"),
        (25036, "1"),
    ]  # fmt: skip


def test_market_data_and_drop_copy_log_on_with_their_own_flags() -> None:
    _, _, venue, _ = make(Kind.MARKETDATA)
    logon = venue.connect()
    assert not logon.has(25036)
    assert not logon.has(9406)
    _, _, venue, _ = make(Kind.DROPCOPY)
    logon = venue.connect()
    assert (logon.get(9406), logon.get(25036)) == (b"Y", b"1")


def test_unordered_handling_and_a_receive_window_are_options() -> None:
    _, _, venue, _ = make(message_handling="unordered", recv_window_ms=100)
    logon = venue.connect()
    assert logon.get(25035) == b"1"
    tags = [t for t, _ in logon.fields()]
    assert tags[tags.index(52) + 1] == 25000


def test_every_connection_begins_at_one() -> None:
    session, _, venue, _ = make()
    venue.logon()
    session.new_order(order(), BTC, "A1", venue.mono, venue.wall)
    session.disconnected("cut", venue.mono, venue.wall)
    logon = venue.connect()
    assert (logon.seq_num, logon.get_bool(141)) == (1, True)


def test_a_logon_refused_by_reject_is_alerted() -> None:
    _, heard, venue, _ = make()
    venue.connect()
    venue.send("3", "45=1|372=A|373=99|25016=-1034|58=Too many connections.|")
    assert heard.codes() == ["logon_refused"]
    assert "Too many connections" in heard.disconnects[0]


def test_a_gap_ends_the_connection_and_nothing_is_asked_for() -> None:
    _, heard, venue, _ = make()
    venue.logon()
    venue.take()
    venue.seq += 3
    venue.send("0")
    assert heard.disconnects
    assert "2" not in [m.msg_type for m in venue.take()]


# --- requests


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ord_type": "1"}, [(38, "1.5"), (40, "1")]),
        ({}, [(38, "1.5"), (40, "2"), (44, "60000.5"), (59, "1")]),
        ({"time_in_force": "3"}, [(38, "1.5"), (40, "2"), (44, "60000.5"), (59, "3")]),
        ({"time_in_force": "4"}, [(38, "1.5"), (40, "2"), (44, "60000.5"), (59, "4")]),
        ({"exec_inst": "post_only"}, [(38, "1.5"), (40, "2"), (18, "6"), (44, "60000.5")]),
        ({"ord_type": "3", "stop_px": 7_000_000},
         [(38, "1.5"), (40, "3"), (1100, "4"), (1101, "1"), (1102, "70000"), (1107, "2"), (1109, "U")]),
        ({"ord_type": "4", "stop_px": 7_000_000},
         [(38, "1.5"), (40, "4"), (44, "60000.5"), (1100, "4"), (1101, "1"), (1102, "70000"), (1107, "2"), (1109, "U"),
          (59, "1")]),
        ({"ord_type": "R", "stop_px": 5_000_000},
         [(38, "1.5"), (40, "3"), (1100, "4"), (1101, "1"), (1102, "50000"), (1107, "2"), (1109, "D")]),
        ({"ord_type": "T", "stop_px": 5_000_000},
         [(38, "1.5"), (40, "4"), (44, "60000.5"), (1100, "4"), (1101, "1"), (1102, "50000"), (1107, "2"), (1109, "D"),
          (59, "1")]),
        ({"ord_type": "3", "options": {"trigger_trailing_delta_bips": "100"}},
         [(38, "1.5"), (40, "3"), (1100, "4"), (1101, "1"), (1107, "2"), (1109, "U"), (25009, "100")]),
        ({"ord_type": "R", "options": {"trigger_trailing_delta_bips": "100"}},
         [(38, "1.5"), (40, "3"), (1100, "4"), (1101, "1"), (1107, "2"), (25009, "100")]),
        ({"ord_type": "P", "options": {"peg_price_type": "5", "peg_offset_value": "2"}},
         [(38, "1.5"), (40, "P"), (211, "2"), (1094, "5"), (835, "1"), (836, "3"), (59, "1")]),
        ({"display_qty": 50_000, "options": {"self_trade_prevention_mode": "4", "strategy_id": "7", "sor": "Y"}},
         [(38, "1.5"), (40, "2"), (44, "60000.5"), (59, "1"), (111, "0.5"), (7940, "7"), (25001, "4"), (25032, "Y")]),
    ],
)  # fmt: skip
def test_every_order_type_as_the_schema_wants_it(changes: dict[str, Any], expected: list[tuple[int, str]]) -> None:
    session, _, venue, _ = make()
    venue.logon()
    session.new_order(order(**changes), BTC, "A1", venue.mono, venue.wall)
    sent = body_of(venue.last("D"))
    assert sent[0] == (11, "A1")
    assert [p for p in sent[1:] if p[0] not in (54, 55)] == expected
    assert (54, "1") in sent
    assert (55, "BTCUSDT") in sent


def test_a_selling_stop_triggers_downwards_and_its_take_profit_upwards() -> None:
    session, _, venue, _ = make()
    venue.logon()
    for ord_type, direction in (("3", b"D"), ("R", b"U")):
        session.new_order(order(side="2", ord_type=ord_type, stop_px=1), BTC, "A", venue.mono, venue.wall)
        assert venue.last("D").get(1109) == direction


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"ord_type": "U"}, "ord_type"),
        ({"time_in_force": "6"}, "time_in_force"),
        ({"ord_type": "1", "time_in_force": "4"}, "time_in_force"),
        ({"price": None}, "price"),
        ({"ord_type": "3"}, "stop_px"),
        ({"ord_type": "P"}, "peg_price_type"),
        ({"ord_type": "P", "options": {"peg_price_type": "1"}}, "peg_price_type"),
        ({"options": {"peg_price_type": "4"}}, "do not go with"),
        ({"options": {"trigger_trailing_delta_bips": "100"}}, "do not go with"),
        ({"options": {"nonsense": "1"}}, "nonsense"),
        ({"exec_inst": "post_only", "time_in_force": "3"}, "post_only"),
        ({"display_qty": 1, "ord_type": "1"}, "display_qty"),
        ({"expire_ns": 1}, "expire_ns"),
        ({"side": "5"}, "side"),
    ],
)
def test_what_the_venue_does_not_take_is_named_and_not_sent(changes: dict[str, Any], named: str) -> None:
    session, _, venue, _ = make()
    venue.logon()
    venue.take()
    with pytest.raises(VenueError, match=named):
        session.new_order(order(**changes), BTC, "A1", venue.mono, venue.wall)
    assert venue.take() == []


def test_a_cancel_goes_by_order_id_alone_where_it_is_known() -> None:
    session, _, venue, _ = make()
    venue.logon()
    session.cancel_order(working(), "C1", venue.mono, venue.wall)
    assert body_of(venue.last("F")) == [(11, "C1"), (37, "76"), (55, "BTCUSDT")]
    session.cancel_order(working(order_id=""), "C2", venue.mono, venue.wall)
    assert body_of(venue.last("F")) == [(11, "C2"), (41, "A1"), (55, "BTCUSDT")]


def test_a_smaller_quantity_is_amended_in_place() -> None:
    session, heard, venue, _ = make()
    venue.logon()
    assert not session.replace_is_new(working(), 100_000, 6_000_050, None)
    session.replace_order(working(), "R1", 100_000, 6_000_050, None, venue.mono, venue.wall)
    assert body_of(venue.last("XAK")) == [(11, "R1"), (37, "76"), (55, "BTCUSDT"), (38, "1")]
    venue.send("8", "17=9|11=R1|41=A1|37=76|38=1.00000000|40=2|54=1|55=BTCUSDT|150=5|39=0|14=0|151=1|32=0|")
    report = heard.one(ExecutionReport)
    assert (report.cl_ord_id, report.request_id, report.order_qty) == ("R1", "R1", 100_000)


def test_the_new_order_of_a_replace_keeps_display_size_and_options() -> None:
    session, _, venue, _ = make()
    venue.logon()
    told = working(display_qty=50_000, options={"self_trade_prevention_mode": "2", "strategy_id": "7", "sor": "N"})
    session.replace_order(told, "R1", 100_000, 6_000_060, None, venue.mono, venue.wall)
    sent = venue.last("XCN")
    assert (sent.get(111), sent.get(25001), sent.get(7940)) == (b"0.5", b"2", b"7")
    with pytest.raises(VenueError, match=r"options\.sor"):
        session.replace_order(working(options={"sor": "Y"}), "R2", 1, 1, None, venue.mono, venue.wall)


def test_any_other_replace_cancels_and_places_anew_only_if_unfilled() -> None:
    session, _, venue, _ = make()
    venue.logon()
    assert session.replace_is_new(working(), 100_000, 6_000_060, None)
    assert session.replace_is_new(working(), 200_000, 6_000_050, None)
    session.replace_order(working(), "R1", 100_000, 6_000_060, None, venue.mono, venue.wall)
    assert body_of(venue.last("XCN")) == [
        (25033, "1"), (37, "76"), (25034, "R1c"), (25002, "1"), (11, "R1"), (38, "1"), (40, "2"), (44, "60000.6"),
        (54, "1"), (55, "BTCUSDT"), (59, "1"),
    ]  # fmt: skip
    with pytest.raises(VenueError, match="partly filled"):
        session.replace_order(working(cum_qty=1), "R2", 200_000, 6_000_050, None, venue.mono, venue.wall)


def test_both_halves_of_a_replace_are_told_apart() -> None:
    session, heard, venue, _ = make()
    venue.logon()
    session.replace_order(working(), "R1", 100_000, 6_000_060, None, venue.mono, venue.wall)
    venue.send("8", "17=1|11=R1c|41=A1|37=76|40=2|54=1|55=BTCUSDT|150=4|39=4|14=0|151=0|32=0|")
    venue.send("8", "17=2|11=R1|37=77|40=2|54=1|55=BTCUSDT|150=0|39=0|14=0|151=1|32=0|")
    old, new = heard.events
    assert isinstance(old, ExecutionReport)
    assert isinstance(new, ExecutionReport)
    assert (old.cl_ord_id, old.request_id, old.exec_type) == ("A1", "R1", "4")
    assert (new.cl_ord_id, new.request_id, new.exec_type, new.order_id) == ("R1", "", "0", "77")


def test_an_order_that_was_placed_anew_ends_under_its_own_name_when_nobody_asked() -> None:
    session, heard, venue, _ = make()
    venue.logon()
    session.replace_order(working(), "R1", 100_000, 6_000_060, None, venue.mono, venue.wall)
    venue.send("8", "17=3|11=R1|37=77|40=2|54=1|55=BTCUSDT|150=4|39=4|14=0|151=0|32=0|")
    end = heard.one(ExecutionReport)
    assert (end.cl_ord_id, end.request_id, end.order_id) == ("R1", "", "77")


@pytest.mark.parametrize("channel", ["9", "3"])
def test_a_refused_replace_ends_the_order_that_it_would_have_placed(channel: str) -> None:
    session, heard, venue, _ = make()
    venue.logon()
    session.replace_order(working(), "R1", 100_000, 6_000_060, None, venue.mono, venue.wall)
    seq = venue.last("XCN").seq_num
    if channel == "9":
        venue.send("9", "11=R1c|37=76|55=BTCUSDT|434=1|25016=-2011|58=Unknown order sent.|")
    else:
        venue.send("3", f"45={seq}|372=XCN|373=5|25016=-1130|58=bad|")
    reject, end = heard.events
    assert isinstance(reject, CancelReject)
    assert isinstance(end, ExecutionReport)
    assert (reject.cl_ord_id, reject.request_id, reject.unknown_order) == ("A1", "R1", channel == "9")
    assert (end.cl_ord_id, end.exec_type, end.ord_status, end.origin) == ("R1", "8", "8", channel)


def test_a_refused_amend_comes_as_xar() -> None:
    session, heard, venue, _ = make()
    venue.logon()
    session.replace_order(working(), "R1", 100_000, 6_000_050, None, venue.mono, venue.wall)
    text = "The requested action would change no state; rejecting."
    venue.send("XAR", f"11=R1|37=76|55=BTCUSDT|38=1|25016=-2038|58={text}|")
    (reject,) = heard.events
    assert isinstance(reject, CancelReject)
    assert (reject.cl_ord_id, reject.response_to, reject.reason_code) == ("A1", "2", "-2038")
    assert not reject.unknown_order


def test_mass_cancel_takes_one_symbol_a_request_and_is_answered() -> None:
    session, heard, venue, _ = make()
    venue.logon()
    with pytest.raises(VenueError, match="one instrument"):
        session.mass_cancel(None, "M1", venue.mono, venue.wall)
    session.mass_cancel(BTC, "M1", venue.mono, venue.wall)
    assert body_of(venue.last("q")) == [(11, "M1"), (55, "BTCUSDT"), (530, "1")]
    venue.send("8", "17=1|11=M1|41=A1|37=76|40=2|54=1|55=BTCUSDT|150=4|39=4|14=0|151=0|32=0|")
    venue.send("r", "55=BTCUSDT|11=M1|530=1|531=1|533=1|")
    report, answer = heard.events
    assert isinstance(report, ExecutionReport)
    assert isinstance(answer, MassCancelReport)
    assert (report.cl_ord_id, report.request_id) == ("A1", "M1")
    assert (answer.instrument, answer.response, answer.affected) == ("BTC-USDT", "1", 1)


def test_the_limits_in_force_are_asked_for_and_fewer_than_reckoned_with_are_said() -> None:
    _, heard, venue, _ = make()
    venue.logon()
    assert body_of(venue.last("XLQ")) == [(6136, "limits")]
    entry = "25004={}|25005=1|25006={}|25007=10|25008=s|"
    venue.send("XLR", "6136=limits|25003=2|" + entry.format(2, 10_000) + entry.format(1, 200))
    assert heard.alerts == []
    venue.send("XLR", "6136=limits|25003=1|" + entry.format(2, 1_000))
    assert heard.codes() == ["limits"]


def test_there_is_no_status_request() -> None:
    session, _, venue, _ = make()
    venue.logon()
    with pytest.raises(VenueError, match="REST"):
        session.order_status(working(), "S1", venue.mono, venue.wall)


# --- what comes back


def test_reports_of_others_are_delivered_and_counted() -> None:
    session, heard, venue, _ = make()
    venue.logon()
    own = session.make_cl_ord_id(WALL)
    for cl_ord_id in (own, "web_1234"):
        venue.send("8", f"17=1|11={cl_ord_id}|37=76|40=2|54=1|55=BTCUSDT|150=0|39=0|14=0|151=1|32=0|")
    assert [session.owns(e.cl_ord_id) for e in heard.events if isinstance(e, ExecutionReport)] == [True, False]
    assert session.counters()["foreign"] == 1


def test_both_connections_of_a_move_make_ids_that_never_meet() -> None:
    old, new = make()[0], make(alternate=True)[0]
    first, second = old.make_cl_ord_id(WALL), new.make_cl_ord_id(WALL)
    assert first != second
    assert old.owns(second)
    assert new.owns(first)
    assert len(first) < 36


def test_a_rejected_order_has_no_exec_id_and_that_is_no_defect() -> None:
    _, heard, venue, _ = make()
    venue.logon()
    venue.send("8", "11=A1|40=2|54=1|55=BTCUSDT|150=8|39=8|14=0|32=0|25016=-1013|58=Filter failure: LOT_SIZE|")
    report = heard.one(ExecutionReport)
    assert (report.exec_type, report.reason_code, report.exec_id, report.defects) == ("8", "-1013", "", ())


def test_an_unknown_symbol_comes_by_35_3_and_ends_the_order() -> None:
    session, heard, venue, _ = make()
    venue.logon()
    session.new_order(order(), BTC, "A1", venue.mono, venue.wall)
    venue.send("3", f"45={venue.last('D').seq_num}|371=55|372=D|373=5|25016=-1121|58=Invalid symbol.|")
    report = heard.one(ExecutionReport)
    assert (report.cl_ord_id, report.reason_code, report.origin) == ("A1", "-1121", "3")


@pytest.mark.parametrize(("flag", "liquidity"), [("Y", "T"), ("N", "M")])
def test_who_took_is_read_on_trades_only(flag: str, liquidity: str) -> None:
    _, heard, venue, _ = make()
    venue.logon()
    for exec_type in ("0", "F"):
        venue.send(
            "8",
            f"17=1|11=A1|37=76|40=2|54=1|55=BTCUSDT|150={exec_type}|39=1|14=0.1|151=1|32=0.1|31=60000|1057={flag}|"
            "1003=5|136=1|137=0.00001|138=BNB|139=4|",
        )
    new, trade = heard.events
    assert isinstance(new, ExecutionReport)
    assert isinstance(trade, ExecutionReport)
    assert (new.liquidity, trade.liquidity, trade.trade_id) == ("", liquidity, "5")
    assert trade.fees == (("BNB", "0.00001"),)


@pytest.mark.parametrize(
    ("headline", "seconds"),
    [("You'll be disconnected in 600 seconds. Please reconnect.", 600),
     ("Your connection is about to be closed. Please reconnect.", 10)],
)  # fmt: skip
@pytest.mark.parametrize("kind", list(Kind))
def test_maintenance_is_a_planned_move(kind: Kind, headline: str, seconds: int) -> None:
    _, heard, venue, _ = make(kind)
    venue.logon()
    venue.send("B", f"148={headline}|")
    assert heard.moves == [(seconds, headline)]
    assert heard.phases[-1][0] is SessionPhase.READY


def test_other_news_is_told_to_people() -> None:
    _, heard, venue, _ = make()
    venue.logon()
    venue.send("B", "148=Happy new year|")
    assert (heard.moves, heard.codes()) == ([], ["news"])


def test_list_status_is_read_and_only_refusals_are_said() -> None:
    _, heard, venue, _ = make()
    venue.logon()
    venue.send("N", "66=25|73=2|11=w|55=BTCUSDT|37=52|11=p|55=BTCUSDT|37=53|429=4|431=3|1385=2|25014=x|")
    assert heard.alerts == []
    venue.send("N", "429=2|431=7|25014=x|58=no|")
    assert heard.codes() == ["list_status"]


def test_drop_copy_marks_its_reports() -> None:
    _, heard, venue, _ = make(Kind.DROPCOPY)
    venue.logon()
    venue.send("8", "17=1|11=A1|37=76|40=2|54=1|55=BTCUSDT|150=F|39=2|14=1|151=0|32=1|31=60000|1003=5|")
    assert heard.one(ExecutionReport).drop_copy is True


# --- market data


Y = "320=I|146=1|55=BTCUSDT|15=USDT|562=0.00001000|1140=9000.00000000|25039=0.00001000|25040=0.00000001|969=0.01000000|"


def test_depth_is_subscribed_after_reference_data_and_trades_beside_it() -> None:
    _, heard, venue, records = make(Kind.MARKETDATA)
    venue.logon()
    assert body_of(venue.last("x"))[1:] == [(559, "0"), (55, "BTCUSDT")]
    venue.send("y", Y)
    definition = heard.one(InstrumentDefinition)
    assert (definition.confirmed, definition.tick_size, definition.max_qty) == (True, 1, 900_000_000)
    depth, trades = (m for m in venue.take() if m.msg_type == "V")
    assert body_of(depth)[1:] == [
        (263, "1"), (264, "5000"), (266, "Y"), (146, "1"), (55, "BTCUSDT"), (267, "2"), (269, "0"), (269, "1"),
    ]  # fmt: skip
    assert body_of(trades)[1:] == [
        (263, "1"), (264, "1"), (266, "Y"), (146, "1"), (55, "BTCUSDT"), (267, "1"), (269, "2"),
    ]  # fmt: skip
    req = depth.get_str(262)
    venue.send("W", f"262={req}|55=BTCUSDT|25044=10|268=2|269=0|270=100.01000000|271=2.00000000|269=1|270=101|271=1|")
    venue.send("X", f"262={req}|268=2|279=1|269=0|270=100.01|271=3|55=BTCUSDT|25043=11|25044=13|279=2|269=1|270=101|")
    snapshot, update = records.take()
    assert (snapshot.kind, snapshot.last_id, len(snapshot.changes)) == (1, 10, 2)
    assert (update.first_id, update.last_id) == (11, 13)
    assert [(c.side, c.action, c.px) for c in update.changes] == [(0, 1, 10_001), (1, 2, 10_100)]
    assert records.subscriptions[0][2].continuity == "update_ids"


def test_a_refresh_does_not_ask_for_trades_again() -> None:
    session, _, venue, _ = make(Kind.MARKETDATA)
    venue.logon()
    venue.send("y", Y)
    depth, _ = (m for m in venue.take() if m.msg_type == "V")
    venue.send("W", f"262={depth.get_str(262)}|55=BTCUSDT|25044=0|268=0|")
    session.refresh(0, venue.mono, venue.wall)
    off, on = (m for m in venue.take() if m.msg_type == "V")
    assert body_of(off) == [(262, depth.get_str(262)), (263, "2"), (264, "5000")]
    assert on.get(263) == b"1"


def test_book_ticker_is_a_book_of_one_level_that_is_replaced() -> None:
    _, _, venue, records = make(Kind.MARKETDATA, stream="book_ticker", trades=False)
    venue.logon()
    venue.send("y", Y)
    assert venue.last("V").get(264) == b"1"
    rule = records.subscriptions[0][2]
    assert (rule.top_only, rule.window, rule.continuity) == (True, 1, "newest")


def test_a_finer_tick_than_the_scale_halts_the_instrument() -> None:
    _, heard, venue, records = make(Kind.MARKETDATA)
    venue.logon()
    venue.send("y", Y.replace("969=0.01000000", "969=0.00100000"))
    assert heard.one(InstrumentDefinition).status == "HALTED"
    assert records.subscriptions == []


def test_a_rejected_stream_is_tried_again() -> None:
    _, heard, venue, _ = make(Kind.MARKETDATA, trades=False)
    venue.logon()
    venue.send("y", Y)
    venue.send("Y", f"262={venue.last('V').get_str(262)}|281=2|25016=-1191|58=Similar subscription is already active.|")
    venue.advance(3 * SECOND)
    assert venue.last("V").get(263) == b"1"
    assert "md_rejected" in heard.codes()


# --- REST and configuration


def rest() -> Any:
    return D.rest(VenueConfig(dialect="binance", instruments=[], rest=RestConfig(address="https://x")), "API", KEY)


def test_rest_signs_the_percent_encoded_query() -> None:
    request = rest().order(WALL, working(order_id="", cl_ord_id="a+b/c"))
    path, _, query = request.target.partition("?")
    signed, _, signature = query.partition("&signature=")
    assert path == "/api/v3/order"
    assert "origClientOrderId=a%2Bb%2Fc" in signed
    assert dict(parse_qsl(signed))["timestamp"] == str(WALL // 1_000_000)
    private_key(KEY, "k").public_key().verify(b64decode(unquote(signature)), signed.encode())
    assert request.headers == (("X-MBX-APIKEY", "API"),)


def test_open_orders_of_the_account() -> None:
    assert rest().open_orders(WALL).target.startswith("/api/v3/openOrders?recvWindow=")
    page = rest().parse_open_orders(
        200,
        b'[{"symbol":"BTCUSDT","orderId":1,"orderListId":-1,"clientOrderId":"x1","price":"0.1","origQty":"1.0",'
        b'"executedQty":"0.5","status":"PARTIALLY_FILLED","side":"BUY","time":1499827319559,"updateTime":0}]',
    )
    (one,) = page.orders
    assert (one.order_id, one.cl_ord_id, one.symbol, one.side, one.status) == ("1", "x1", "BTCUSDT", "1", "1")
    assert (one.order_qty, one.cum_qty, one.price) == ("1.0", "0.5", "0.1")
    assert one.transact_ns == 1_499_827_319_559_000_000


def test_cancel_all_goes_by_symbol_and_nothing_open_is_no_failure() -> None:
    (request,) = rest().cancel_all(WALL, [BTC])
    assert request.method == "DELETE"
    assert "symbol=BTCUSDT" in request.target
    assert rest().parse_cancel_all(200, b'[{"orderId":1},{"orderListId":2,"orderReports":[{},{}]}]') == 3
    assert rest().parse_cancel_all(400, b'{"code":-2011,"msg":"Unknown order sent."}') == 0
    with pytest.raises(VenueError, match="-2015"):
        rest().parse_cancel_all(401, b'{"code":-2015,"msg":"Invalid API-key."}')


def test_an_order_that_does_not_exist_is_none() -> None:
    assert rest().parse_order(400, b'{"code":-2013,"msg":"Order does not exist."}') is None


def test_no_more_sessions_than_the_venue_takes_at_once() -> None:
    venue = VenueConfig(dialect="binance", instruments=[])
    sessions = {
        f"s{n:02}": SessionConfig(
            venue="b", kind=Kind.TRADING, address="h:1", sender_comp_id=f"S{n}", target_comp_id="SPOT"
        )
        for n in range(11)
    }
    with pytest.raises(ConfigError, match=r"session\.s10\.kind: venue\.b takes 10 trading sessions"):
        D.check(venue, sessions, "venue.b")
    del sessions["s10"]
    D.check(venue, sessions, "venue.b")


def test_subscriptions_leave_more_slowly_than_the_venue_allows() -> None:
    allowed = D.capabilities(VenueConfig(dialect="binance", instruments=[])).limits.market_data[0]
    assert MD_REQUESTS_PER_S * (allowed.per_s + 1) <= allowed.most - allowed.spare


def test_capabilities() -> None:
    claims = D.capabilities(VenueConfig(dialect="binance", instruments=[]))
    assert (claims.resend, claims.planned_moves, claims.account_wide_reports) == (False, True, True)
    assert (claims.disconnect, claims.status_request) == (Disconnect.UNKNOWN, False)
    assert [str(limit) for limit in claims.limits.orders] == [
        "messages: 10000 in 10 s", "unfilled_10s: 200 in 10 s", "unfilled_day: 200000 in a UTC day",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"sender_comp_id": "TOOLONGID"}, "sender_comp_id"),
        ({"alternate_sender_comp_id": "a b"}, "alternate_sender_comp_id"),
        ({"alternate_sender_comp_id": "A"}, "still in use"),
        ({"target_comp_id": "BINANCE"}, "target_comp_id"),
        ({"heartbeat_s": 61}, "heartbeat_s"),
        ({"level": 3}, "level"),
        ({"depth": 6_000}, "depth"),
        ({"depth": 1}, "depth"),
        ({"options": {"stream": "l3"}}, "stream"),
        ({"options": {"cl_ord_id_prefix": "no spaces"}}, "cl_ord_id_prefix"),
    ],
)
def test_a_wrong_configuration_is_named(changes: dict[str, Any], named: str) -> None:
    fields = {"venue": "binance", "kind": Kind.MARKETDATA, "address": "x:1", "sender_comp_id": "A",
              "target_comp_id": "SPOT", **changes}  # fmt: skip
    with pytest.raises(ConfigError, match=named):
        D.check(VenueConfig(dialect="binance", instruments=[]), {"s": SessionConfig(**fields)}, "venue.binance")
