"""Kraken: signatures, bodies of every request, ids, reference data, market data."""

from base64 import b64decode
from typing import Any

import pytest

from base.config import InstrumentConfig, Kind, RestConfig, SessionConfig, VenueConfig
from base.errors import ConfigError, SecretError, VenueError
from base.instruments import Instrument
from fix.store import MemoryStore
from ipc.events import CancelReject, ExecutionReport, InstrumentDefinition, MassCancelReport
from ipc.requests import NewOrder
from tests.venues.kit import SECOND, WALL, Heard, Records, Venue, context
from venues.ids import CombIds, NumberIds
from venues.interface import Disconnect, OpenOrders, Replace, WorkingOrder
from venues.kraken.signing import logon_password, spot_sign
from venues.registry import dialect

D = dialect("kraken")
BTC = Instrument("kraken", "BTC-USD", "BTC/USD", 1, 8)
PERP = Instrument("kraken", "ETH-USD-PERP", "PF_ETHUSD", 1, 3)
SECRET = "c2VjcmV0"  # published in the reference's test vectors


def spot(**options: Any) -> tuple[Any, Heard, Venue]:
    return _trading(BTC, "QD", "KRAKEN-TRD", options)


def derivatives(**options: Any) -> tuple[Any, Heard, Venue]:
    return _trading(PERP, "QD_DRV", "KRAKEN-DRV-TRD", {"market": "derivatives", **options})


def _trading(instrument: Instrument, ours: str, theirs: str, options: dict[str, Any]) -> tuple[Any, Heard, Venue]:
    heard = Heard()
    on_stop = options.pop("on_stop", "cancel")
    ctx = context(
        "kraken", Kind.TRADING, [instrument], ours, theirs, venue_options=options, username="APIKEY", password=SECRET,
        on_stop=on_stop,
    )  # fmt: skip
    session = D.trading(ctx, heard)
    return session, heard, Venue(session, heard, ours, theirs)


def order(**changes: Any) -> NewOrder:
    fields = {
        "client_id": "c", "command_id": "1", "deadline_ns": 0, "venue": "kraken", "instrument": "BTC-USD",
        "side": "1", "ord_type": "2", "order_qty": 100_000, "price": 840_000,
    }  # fmt: skip
    return NewOrder(**{**fields, **changes})


def working(instrument: Instrument = BTC, **changes: Any) -> WorkingOrder:
    fields = {
        "instrument": instrument, "cl_ord_id": "1744036325000000", "order_id": "OQNCZM-NVAVC-AVD2LO", "side": "1",
        "ord_type": "2", "time_in_force": "1", "order_qty": 100_000, "price": 840_000, "stop_px": None,
        "leaves_qty": 100_000,
    }  # fmt: skip
    return WorkingOrder(**{**fields, **changes})


# --- logon


SIGNED_7 = "MwX+M7nvuHXxD5aGI/TFpghXxg2iblxXYyz7lRzLCPMA4UJYI3osNrUKWCiI3fDnOLkEQ5WKSK58Mp3nvu1Klw=="
SIGNED_1 = "dxZYXyzalYF0luIM1TYKLCHWKQOENKk+yByRjOddCzANW6NEqWUPCxssb1cdL7YyYIrXYijVb6As0QBmnJur7A=="


@pytest.mark.parametrize(
    ("seq", "sender", "target", "password"),
    [(7, "CLIENT", "KRAKEN-TRD", SIGNED_7), (1, "CLIENT_DRV", "KRAKEN-DRV-TRD", SIGNED_1)],
)
def test_the_logon_password_follows_the_published_vectors(seq: int, sender: str, target: str, password: str) -> None:
    assert logon_password(b64decode(SECRET), seq, sender, target, "APIKEY", "1724512345678") == password


def test_the_logon_signs_the_number_and_nonce_that_it_carries() -> None:
    _, _, venue = spot()
    logon = venue.connect()
    nonce = logon.need_str(5025)
    assert nonce == str(WALL // 1_000_000)
    expected = logon_password(b64decode(SECRET), logon.seq_num, "QD", "KRAKEN-TRD", "APIKEY", nonce)
    assert logon.get_str(554) == expected
    assert (logon.get(553), logon.get(98), logon.get(108)) == (b"APIKEY", b"0", b"30")


def test_the_nonce_rises_though_the_clock_steps_back() -> None:
    session, _, venue = spot()
    first = int(venue.connect().need_str(5025))
    session.disconnected("cut", venue.mono, venue.wall)
    venue.wall -= 3 * SECOND
    assert int(venue.connect().need_str(5025)) > first


@pytest.mark.parametrize(
    ("options", "said"),
    [({}, b"0"), ({"on_stop": "keep"}, b"1"), ({"on_stop": "keep", "cancel_on_disconnect": True}, b"0"),
     ({"cancel_on_disconnect": False}, b"1")],
)  # fmt: skip
def test_what_a_lost_connection_does_is_always_said(options: dict[str, Any], said: bytes) -> None:
    _, _, venue = spot(**options)
    assert venue.connect().get(8674) == said


def test_market_data_sends_no_credentials_and_starts_afresh() -> None:
    venue, _, _ = marketdata()
    logon = venue.connect()
    assert not any(logon.has(tag) for tag in (553, 554, 5025, 8674))
    assert logon.get_bool(141) is True


def test_a_secret_that_is_not_base64_is_refused_without_being_shown() -> None:
    ctx = context("kraken", Kind.TRADING, [BTC], "QD", "KRAKEN-TRD", username="K", password="not base64!")
    with pytest.raises(SecretError) as e:
        D.trading(ctx, Heard())
    assert "not base64!" not in str(e.value)


def test_the_rollover_ends_the_session_and_the_next_logon_resets() -> None:
    session, heard, venue = spot()
    venue.wall = WALL // (86_400 * SECOND) * 86_400 * SECOND + (22 * 3600 - 2) * SECOND
    venue.logon()
    venue.advance(3 * SECOND)
    assert "5" in [m.msg_type for m in venue.take()]
    venue.send("5")
    assert heard.disconnects
    session.disconnected("closed", venue.mono, venue.wall)
    logon = venue.connect()
    assert logon.get_bool(141) is True
    assert logon.seq_num == 1


# --- ids


def test_spot_ids_are_rising_numbers_of_18_digits_with_lane_and_check() -> None:
    store = MemoryStore(0)
    ids = NumberIds(store, "kraken-oe", 7)
    made = [ids.next(t) for t in (WALL, WALL, WALL + 100_000, WALL - 10 * SECOND)]
    numbers = [int(text) for text in made]
    assert numbers == sorted(set(numbers))
    assert all(len(text) == 18 and text[14:16] == "07" and ids.owns(text) for text in made)
    assert 0 <= int(made[0][:14]) - WALL // 100_000 < 100
    assert int(NumberIds(store, "kraken-oe", 7).next(WALL - 3600 * SECOND)) > numbers[-1]


def test_spot_ids_go_on_above_those_of_16_digits_that_were_made_before() -> None:
    store = MemoryStore(0)
    store.set_meta("venue.clordid", b"%d" % (WALL // 1_000 + 5_000_000))
    assert int(NumberIds(store, "s", 7).next(WALL)) > WALL // 1_000 + 5_000_000


def test_ids_of_strangers_are_not_taken_for_our_own() -> None:
    ids = NumberIds(MemoryStore(0), "kraken-oe", 7)
    microseconds = [str(WALL // 1_000 + n) for n in range(1_000)]
    wider = [str(WALL // 10 + n * 1_234_567) for n in range(20_000)]
    other_lane, renamed = NumberIds(MemoryStore(0), "kraken-oe", 8), NumberIds(MemoryStore(0), "other", 7)
    assert not any(map(ids.owns, microseconds))
    assert len(wider[0]) == 18
    assert sum(map(ids.owns, wider)) < 20  # one in ten thousand is to be expected
    assert not any(ids.owns(other_lane.next(WALL)) for _ in range(100))
    assert sum(ids.owns(renamed.next(WALL)) for _ in range(1_000)) < 50
    assert not ids.owns("\u0661" * 18)


def test_derivatives_ids_are_uuids_that_begin_with_time_in_10_microseconds() -> None:
    store = MemoryStore(0)
    ids = CombIds(store, "drv")
    made = [ids.next(WALL) for _ in range(100)]
    assert int(made[0].replace("-", "")[:12], 16) == WALL // 10_000
    assert made == sorted(set(made))
    assert all(m[14] == "4" and m[19] in "89ab" and len(m) == 36 for m in made)
    assert CombIds(store, "drv").next(WALL - SECOND) > made[-1]
    assert all(ids.owns(m) for m in made)
    assert not any(CombIds(MemoryStore(0), "another").owns(m) for m in made)


# --- requests


@pytest.mark.parametrize("ord_type", sorted("1234RTUV"))
def test_every_spot_order_type_carries_its_prices(ord_type: str) -> None:
    session, _, venue = spot()
    venue.logon()
    session.new_order(order(ord_type=ord_type, stop_px=830_000), BTC, "1", venue.mono, venue.wall)
    d = venue.last("D")
    assert d.get(40) == ord_type.encode()
    assert d.get(44) == (b"84000" if ord_type in "24TV" else None)
    assert d.get(99) == (b"83000" if ord_type in "34RTUV" else None)
    assert [t for t, _ in d.fields()][7:-1] == sorted(t for t, _ in d.fields()[7:-1])


def test_a_spot_order_with_everything() -> None:
    session, _, venue = spot(alloc_account="sub1")
    venue.logon()
    wanted = order(
        exec_inst="post_only fee_quote", display_qty=10_000, time_in_force="6", expire_ns=WALL + 86_400 * SECOND,
        effective_ns=WALL + 5 * SECOND,
        options={"leverage": "1", "self_trade_prevention": "2", "valid_for_s": "10", "discretion_inst": "1"},
    )  # fmt: skip
    session.new_order(wanted, BTC, "1", venue.mono, venue.wall)
    fields = dict(venue.last("D").fields())
    assert {t: fields[t] for t in (18, 38, 62, 78, 79, 126, 168, 388, 1138, 5001, 7928)} == {
        18: b"P q", 38: b"0.001", 62: b"20260407-14:32:15.000", 78: b"1", 79: b"sub1", 126: b"20260408-14:32:05",
        168: b"20260407-14:32:10.000", 388: b"1", 1138: b"0.0001", 5001: b"1", 7928: b"2",
    }  # fmt: skip


def test_a_derivatives_order_is_the_documents_sample() -> None:
    session, _, venue = derivatives()
    venue.logon()
    new = order(instrument="ETH-USD-PERP", order_qty=100, price=10_000)
    session.new_order(new, PERP, "9e58120f-182b-4dce-9609-8ca7cdd174f0", venue.mono, venue.wall)
    d = venue.last("D").fields()
    assert [(t, v) for t, v in d if t not in (8, 9, 34, 49, 52, 56, 60, 10)] == [
        (35, b"D"), (11, b"9e58120f-182b-4dce-9609-8ca7cdd174f0"), (18, b"s"), (38, b"0.1"), (40, b"2"),
        (44, b"1000"), (54, b"1"), (55, b"PF_ETHUSD"), (59, b"1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"ord_type": "V", "stop_px": 1}, "ord_type"),
        ({"time_in_force": "6"}, "time_in_force"),
        ({"time_in_force": "4"}, "time_in_force"),
        ({"display_qty": 1}, "display_qty"),
        ({"effective_ns": WALL}, "effective_ns"),
        ({"options": {"leverage": "1"}}, "leverage"),
    ],
)
def test_what_only_spot_has_is_refused_on_derivatives(changes: dict[str, Any], named: str) -> None:
    session, _, venue = derivatives()
    venue.logon()
    with pytest.raises(VenueError, match=named):
        session.new_order(order(**changes), PERP, "1", venue.mono, venue.wall)
    assert [m for m in venue.take() if m.msg_type == "D"] == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"display_qty": 6_000}, "1/15"),
        ({"display_qty": 50_000, "ord_type": "1"}, "display_qty"),
        ({"options": {"valid_for_s": "61"}}, "valid_for_s"),
        ({"options": {"leverage": "5"}}, "leverage"),
        ({"ord_type": "V"}, "stop_px"),
        ({"ord_type": "T", "price": None, "stop_px": 5}, "price"),
        ({"exec_inst": "v"}, "exec_inst"),
    ],
)
def test_a_wrong_spot_order_is_named(changes: dict[str, Any], named: str) -> None:
    session, _, venue = spot()
    venue.logon()
    with pytest.raises(VenueError, match=named):
        session.new_order(order(**changes), BTC, "1", venue.mono, venue.wall)


def test_a_cancel_names_the_order_by_37_once_it_is_known() -> None:
    session, _, venue = spot()
    venue.logon()
    session.cancel_order(working(), "2", venue.mono, venue.wall)
    f = venue.last("F")
    assert (f.get(37), f.get(41), f.get(11)) == (b"OQNCZM-NVAVC-AVD2LO", None, b"2")
    session.cancel_order(working(order_id=""), "3", venue.mono, venue.wall)
    f = venue.last("F")
    assert (f.get(37), f.get(41), f.get(54), f.get(55)) == (None, b"1744036325000000", b"1", b"BTC/USD")


def test_an_amend_restates_the_order_and_says_post_only_again() -> None:
    session, heard, venue = spot()
    venue.logon()
    session.new_order(order(exec_inst="post_only"), BTC, "1744036325000000", venue.mono, venue.wall)
    session.replace_order(working(), "2", 200_000, 850_000, None, venue.mono, venue.wall)
    g = venue.last("G")
    assert (g.get(18), g.get(37), g.get(41), g.get(38), g.get(44), g.get(40)) == (
        b"P", b"OQNCZM-NVAVC-AVD2LO", b"1744036325000000", b"0.002", b"85000", b"2",
    )  # fmt: skip
    venue.send(
        "8",
        "11=2|41=1744036325000000|37=OQNCZM-NVAVC-AVD2LO|17=E|150=5|39=5|54=1|55=BTC/USD|40=2|38=0.002|14=0|151=0.002|",
    )
    report = heard.one(ExecutionReport)
    assert (report.cl_ord_id, report.leaves_qty, report.ord_status) == ("2", 200_000, "5")
    session.replace_order(working(cl_ord_id="2"), "3", 200_000, 860_000, None, venue.mono, venue.wall)
    assert venue.last("G").get(18) == b"P"


def test_an_amend_says_display_size_and_validity_again() -> None:
    session, _, venue = spot()
    venue.logon()
    told = working(display_qty=50_000, options={"valid_for_s": "5", "leverage": "1"})
    session.replace_order(told, "2", 200_000, 850_000, None, venue.mono, venue.wall)
    g = venue.last("G")
    assert g.get(1138) == b"0.0005"
    assert g.has(62)
    with pytest.raises(VenueError, match="display_qty"):
        session.replace_order(told, "3", 16 * 50_000, 850_000, None, venue.mono, venue.wall)


@pytest.mark.parametrize(
    ("lost", "name"),
    [
        ({"exec_inst": "post_only reduce_only"}, "exec_inst reduce_only"),
        ({"exec_inst": "fee_quote"}, "exec_inst fee_quote"),
        ({"options": {"self_trade_prevention": "1"}}, "options.self_trade_prevention"),
    ],
)
def test_an_amend_that_could_lose_an_instruction_is_refused_by_name(lost: dict[str, Any], name: str) -> None:
    session, _, venue = spot()
    venue.logon()
    venue.take()
    with pytest.raises(VenueError, match=name):
        session.replace_order(working(**lost), "2", 200_000, 850_000, None, venue.mono, venue.wall)
    assert venue.take() == []


def test_amends_and_status_requests_need_the_venues_order_id_and_market() -> None:
    session, _, venue = spot()
    venue.logon()
    for act in (
        lambda: session.replace_order(working(order_id=""), "2", 1, 1, None, venue.mono, venue.wall),
        lambda: session.order_status(working(order_id=""), "2", venue.mono, venue.wall),
    ):
        with pytest.raises(VenueError, match="37"):
            act()
    session, _, venue = derivatives()
    venue.logon()
    with pytest.raises(VenueError, match="35=G"):
        session.replace_order(working(PERP), "2", 1, 1, None, venue.mono, venue.wall)
    with pytest.raises(VenueError, match="35=H"):
        session.order_status(working(PERP), "2", venue.mono, venue.wall)


@pytest.mark.parametrize(("option", "named"), [("order", b"1744036325000000"), ("request", b"2")])
def test_whose_id_a_status_request_carries_is_an_option(option: str, named: bytes) -> None:
    session, _, venue = spot(status_id=option)
    venue.logon()
    session.order_status(working(), "2", venue.mono, venue.wall)
    assert venue.last("H").get(11) == named


def test_mass_cancel_types() -> None:
    session, _, venue = spot()
    venue.logon()
    session.mass_cancel(None, "2", venue.mono, venue.wall)
    q = venue.last("q")
    assert (q.get(530), q.get(55), q.get(11)) == (b"7", None, b"2")
    session.mass_cancel(BTC, "3", venue.mono, venue.wall)
    q = venue.last("q")
    assert (q.get(530), q.get(55)) == (b"1", b"BTC/USD")


def test_a_mass_cancel_that_acts_first_is_written_before_it_is_stored() -> None:
    session, _, venue = spot()
    venue.logon()
    fix = session._fix
    written: list[tuple[str, int]] = []
    fix._write = lambda raw: written.append(("write", fix._store.next_out))
    first = fix._store.next_out
    session.mass_cancel(None, "2", venue.mono, venue.wall, act_first=True)
    session.mass_cancel(None, "3", venue.mono, venue.wall)
    assert written == [("write", first), ("write", first + 2)]
    assert fix._store.next_out == first + 2


def test_reports_of_a_mass_cancel_are_found_by_41_and_37() -> None:
    session, heard, venue = spot()
    venue.logon()
    session.mass_cancel(None, "9", venue.mono, venue.wall)
    venue.send("8", "11=9|41=5|37=O1|17=E1|150=4|39=4|40=2|54=1|55=BTC/USD|14=0|151=0|")
    venue.send("8", "11=9|37=O2|17=E2|150=4|39=4|40=2|54=1|55=BTC/USD|14=0|151=0|")
    first, second = heard.events
    assert isinstance(first, ExecutionReport)
    assert isinstance(second, ExecutionReport)
    assert (first.cl_ord_id, first.request_id, first.order_id) == ("5", "9", "O1")
    assert (second.cl_ord_id, second.request_id, second.order_id) == ("", "9", "O2")


# --- refusals


@pytest.mark.parametrize(
    ("code", "text", "unknown"),
    [("101", "whatever", True), ("1", "", True), ("0", "Open Order to cancel not found", True),
     ("0", "EOrder:Rate limit exceeded", False)],
)  # fmt: skip
def test_a_business_reject_of_a_cancel(code: str, text: str, unknown: bool) -> None:
    session, heard, venue = spot()
    venue.logon()
    session.cancel_order(working(), "2", venue.mono, venue.wall)
    venue.send("j", f"45=0|372=F|379=2|380={code}|" + (f"58={text}|" if text else ""))
    reject = heard.one(CancelReject)
    assert (reject.request_id, reject.cl_ord_id, reject.origin) == ("2", "1744036325000000", "j")
    assert reject.unknown_order is unknown


def test_a_business_reject_of_an_order_is_its_end() -> None:
    session, heard, venue = spot()
    venue.logon()
    session.new_order(order(), BTC, "7", venue.mono, venue.wall)
    venue.send("j", "45=0|372=D|379=7|380=0|58=EOrder:Insufficient funds|")
    report = heard.one(ExecutionReport)
    assert (report.cl_ord_id, report.ord_status, report.exec_type, report.text) == (
        "7", "8", "8", "EOrder:Insufficient funds",
    )  # fmt: skip


def test_a_status_request_that_finds_nothing_says_unknown_never_rejected() -> None:
    session, heard, venue = spot()
    venue.logon()
    session.order_status(working(), "2", venue.mono, venue.wall)
    venue.send("j", "45=0|372=H|379=2|380=101|58=unknown|")
    reject = heard.one(CancelReject)
    assert (reject.response_to, reject.unknown_order, reject.cl_ord_id) == ("", True, "1744036325000000")


def test_a_status_request_refused_for_another_reason_changes_no_order() -> None:
    session, heard, venue = spot()
    venue.logon()
    session.order_status(working(), "2", venue.mono, venue.wall)
    venue.send("j", "45=0|372=H|379=2|380=4|58=application not available|")
    assert heard.events == []
    assert heard.codes() == ["rejected"]


def test_a_refused_mass_cancel_is_told() -> None:
    session, heard, venue = spot()
    venue.logon()
    session.mass_cancel(None, "2", venue.mono, venue.wall)
    venue.send("3", f"45={venue.last('q').seq_num}|372=q|373=5|371=530|58=bad|")
    assert heard.one(MassCancelReport).response == "0"


# --- market data and reference data


def marketdata(
    *instruments: Instrument, level: int = 2, depth: int = 0, **options: Any
) -> tuple[Venue, Heard, Records]:
    heard, records = Heard(), Records()
    ctx = context(
        "kraken", Kind.MARKETDATA, list(instruments or (BTC,)), "QD", "KRAKEN-MD", venue_options=options, level=level,
        depth=depth,
    )  # fmt: skip
    return Venue(D.marketdata(ctx, heard, records), heard, "QD", "KRAKEN-MD"), heard, records


def listed(symbol: str = "BTC/USD", px: int = 1, qty: int = 8, status: int = 1, tick: str = "0.1") -> str:
    lot = f"0.{'0' * (qty - 1)}1"
    return f"320=I|322=1|560=0|146=1|55={symbol}|562={lot}|5010={qty}|5011=0.0001|2349={px}|5022={tick}|5032={status}|"


def test_reference_data_comes_before_subscriptions() -> None:
    venue, heard, records = marketdata()
    venue.logon()
    x, g = (m for m in venue.take() if m.msg_type in ("x", "g", "V"))
    assert (x.msg_type, x.get(55), x.get(559), x.get(263)) == ("x", b"BTC/USD", b"0", b"1")
    assert (g.msg_type, g.get(336)) == ("g", b"SESSION")
    venue.send("y", listed())
    definition = heard.one(InstrumentDefinition)
    assert (definition.status, definition.confirmed, definition.min_qty) == ("TRADING", True, 10_000)
    v = venue.last("V")
    assert (v.get(266), v.get(264), v.get(267)) == (b"Y", b"0", b"3")
    assert [e for t, e in v.fields() if t == 269] == [b"0", b"1", b"2"]
    rule = records.subscriptions[0][2]
    assert (rule.continuity, rule.checksum_px_digits, rule.checksum_qty_digits, rule.window) == ("checksum", 1, 8, 1000)


def test_a_precision_finer_than_the_configured_scale_halts_the_instrument() -> None:
    venue, heard, records = marketdata()
    venue.logon()
    venue.take()
    venue.send("y", listed(px=2, tick="0.01"))
    definition = heard.one(InstrumentDefinition)
    assert (definition.status, definition.confirmed) == ("HALTED", False)
    assert ("critical", "scale") in [(s, c) for s, c, _ in heard.alerts]
    assert records.subscriptions == []
    venue.advance(20 * SECOND)
    assert not [m for m in venue.take() if m.msg_type == "V"]


def test_a_precision_coarser_than_the_scale_sets_the_checksums_digits() -> None:
    coarse = Instrument("kraken", "BTC-USD", "BTC/USD", 4, 8)
    venue, _, records = marketdata(coarse)
    venue.logon()
    venue.send("y", listed())
    assert records.subscriptions[0][2].checksum_px_digits == 1


def test_no_reference_data_in_time_subscribes_all_the_same_and_says_so() -> None:
    venue, heard, records = marketdata()
    venue.logon()
    venue.advance(6 * SECOND)
    assert venue.last("V")
    assert "reference" in heard.codes()
    assert heard.one(InstrumentDefinition).status == "UNKNOWN"
    assert len(records.subscriptions) == 1


@pytest.mark.parametrize(
    ("code", "status"),
    [(0, "HIDDEN"), (1, "TRADING"), (2, "HALTED"), (3, "CANCEL_ONLY"), (4, "POST_ONLY"), (5, "LIMIT_ONLY"),
     (6, "HALTED"), (7, "REDUCE_ONLY"), (9, "UNKNOWN")],
)  # fmt: skip
def test_pair_status(code: int, status: str) -> None:
    venue, heard, _ = marketdata()
    venue.logon()
    venue.send("y", listed(status=code))
    assert heard.one(InstrumentDefinition).status == status


def test_the_trading_session_status_covers_every_instrument() -> None:
    venue, heard, _ = marketdata()
    venue.logon()
    venue.send("y", listed())
    for code in (1, 101, 102, 2):
        venue.send("h", f"335=S|336=SESSION|340={code}|")
    statuses = [e.status for e in heard.events if isinstance(e, InstrumentDefinition)]
    assert statuses == ["TRADING", "HALTED", "CANCEL_ONLY", "POST_ONLY", "TRADING"]


def test_level_3_asks_for_orders_and_keys_them() -> None:
    venue, _, records = marketdata(level=3)
    venue.logon()
    venue.send("y", listed())
    v = venue.last("V")
    assert (v.get(266), v.get(267)) == (b"N", b"2")
    req = v.get_str(262)
    venue.send(
        "W",
        f"55=BTC/USD|262={req}|268=1|269=1|278=OA|270=2043.1|271=2.05|273=15:25:09.883|"
        "5060=2026-02-03T10:24:34.650069468Z|5273=2026-02-03T10:24:34.600000000Z|",
    )
    (record,) = records.take()
    (change,) = record.changes
    assert (change.side, change.px, change.qty) == (1, 20_431, 205_000_000)
    assert change.key != 0
    assert change.time_ns == 1_770_114_274_600_000_000


def test_refresh_takes_a_new_request_id_and_is_asked_once() -> None:
    venue, _, records = marketdata()
    venue.logon()
    venue.send("y", listed())
    first = venue.last("V").get_str(262)
    session = venue.session
    session.refresh(0, venue.mono, venue.wall)  # its snapshot is still on its way: nothing to ask for
    assert venue.take() == []
    venue.send("W", f"55=BTC/USD|262={first}|268=0|")
    session.refresh(0, venue.mono, venue.wall)
    session.refresh(0, venue.mono, venue.wall)
    off, on = (m for m in venue.take() if m.msg_type == "V")
    assert (off.get(263), off.get_str(262), on.get(263)) == (b"2", first, b"1")
    assert on.get_str(262) != first
    assert records.subscriptions[0][1] != records.subscriptions[1][1]


def test_a_missing_snapshot_is_asked_for_again() -> None:
    venue, heard, _ = marketdata()
    venue.logon()
    venue.send("y", listed())
    venue.take()
    venue.advance(17 * SECOND)
    assert [m.get(263) for m in venue.take() if m.msg_type == "V"] == [b"2", b"1"]
    assert "no_snapshot" in heard.codes()


def test_a_refused_subscription_is_tried_again_ever_more_slowly() -> None:
    venue, heard, _ = marketdata()
    venue.logon()
    venue.send("y", listed())
    tries = 0
    for _ in range(4):
        for v in (m for m in venue.take() if m.msg_type == "V"):
            tries += 1
            venue.send("Y", f"262={v.get_str(262)}|281=0|58=unsupported symbol|")
        venue.advance(2 * SECOND)
    assert 2 <= tries <= 4
    assert heard.codes().count("md_rejected") == tries


def test_subscriptions_keep_to_the_rate() -> None:
    many = [Instrument("kraken", f"A{n}-USD", f"A{n}/USD", 1, 8) for n in range(50)]
    venue, _, _ = marketdata(*many, subscriptions_per_s=10)
    venue.logon()
    assert [m.get(559) for m in venue.take() if m.msg_type == "x"] == [b"4"]
    venue.advance(5_100_000_000)
    sent = 0
    for _ in range(4):
        venue.advance(SECOND)
        burst = len([m for m in venue.take() if m.msg_type == "V"])
        assert burst <= 21  # a second's worth saved up, and a second's worth
        sent += burst
    venue.advance(3 * SECOND)
    assert sent + len([m for m in venue.take() if m.msg_type == "V"]) >= 50


def test_after_a_reconnect_everything_is_asked_for_anew() -> None:
    venue, _, records = marketdata()
    venue.logon()
    venue.send("y", listed())
    first = venue.last("V").get_str(262)
    venue.session.disconnected("cut", venue.mono, venue.wall)
    venue.logon()
    venue.send("y", listed())
    again = [m for m in venue.take() if m.msg_type == "V"]
    assert [m.get(263) for m in again] == [b"1"]
    assert again[0].get_str(262) != first
    assert len(records.subscriptions) == 2


# --- REST and configuration


def test_the_spot_rest_signature_follows_the_published_vector() -> None:
    secret = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
    body = b"nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
    expected = "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
    assert spot_sign(b64decode(secret), "/0/private/AddOrder", "1616492376594", body) == expected


def venue_config(**options: Any) -> VenueConfig:
    rest = RestConfig(address="https://x") if options.pop("rest", True) else None
    return VenueConfig(dialect="kraken", instruments=[], rest=rest, options=options)


def test_spot_orders_are_listed_with_the_fix_symbol() -> None:
    config = VenueConfig(
        dialect="kraken", rest=RestConfig(address="https://x"),
        instruments=[InstrumentConfig(name="BTC-USD", symbol="BTC/USD", px_scale=1, qty_scale=8)],
    )  # fmt: skip
    rest = D.rest(config, "K", SECRET)
    assert rest is not None
    request = rest.open_orders(WALL)
    assert (request.method, request.target) == ("POST", "/0/private/OpenOrders")
    assert request.body == b"nonce=%d" % (WALL // 1_000)
    page = rest.parse_open_orders(
        200,
        b'{"error":[],"result":{"open":{"OQCLML-BW3P3-BUCMWZ":{"refid":null,"userref":0,"cl_ord_id":"17",'
        b'"status":"open","opentm":1688666559.8974,"descr":{"pair":"XBTUSD","type":"buy","ordertype":"limit",'
        b'"price":"30010.0","price2":"0"},"vol":"1.25000000","vol_exec":"0.37500000"}}}}',
    )
    (open_order,) = page.orders
    assert (open_order.symbol, open_order.side, open_order.status) == ("BTC/USD", "1", "1")
    assert (open_order.order_qty, open_order.cum_qty, open_order.price) == ("1.25000000", "0.37500000", "30010.0")
    assert (open_order.cl_ord_id, open_order.transact_ns, page.cursor) == ("17", 1_688_666_559_897_400_000, "")


def test_rest_errors_are_the_venues_words_and_unknown_orders_are_none() -> None:
    rest = D.rest(venue_config(), "K", SECRET)
    assert rest is not None
    with pytest.raises(VenueError, match="EAPI:Invalid nonce"):
        rest.parse_open_orders(200, b'{"error":["EAPI:Invalid nonce"]}')
    assert rest.parse_order(200, b'{"error":["EOrder:Unknown order"]}') is None
    assert rest.parse_order(200, b'{"error":[],"result":{"closed":{},"count":0}}') is None
    assert rest.parse_cancel_all(200, b'{"error":[],"result":{"count":4}}') == 4
    with pytest.raises(VenueError, match="status 502"):
        rest.parse_cancel_all(502, b"<html>")


def test_derivatives_rest() -> None:
    rest = D.rest(venue_config(market="derivatives"), "K", SECRET)
    assert rest is not None
    request = rest.open_orders(WALL)
    assert (request.method, request.target) == ("GET", "/derivatives/api/v3/openorders")
    assert {"APIKey", "Authent", "Nonce"} <= {k for k, _ in request.headers}
    page = rest.parse_open_orders(
        200,
        b'{"result":"success","openOrders":[{"order_id":"59302619-41d2-4f0b-941f-7e7914760ad3","symbol":"PF_XBTUSD",'
        b'"side":"sell","orderType":"lmt","limitPrice":10640.5,"unfilledSize":304,"receivedTime":'
        b'"2019-09-05T17:01:17.410Z","status":"untouched","filledSize":1.25,"reduceOnly":true,'
        b'"lastUpdateTime":"2019-09-05T17:01:17.410Z"}],"serverTime":"2019-09-05T17:08:18.138Z"}',
    )
    (one,) = page.orders
    assert (one.side, one.order_qty, one.cum_qty, one.price, one.status) == ("2", "305.25", "1.25", "10640.5", "1")
    assert one.transact_ns == 1_567_702_877_410_000_000
    assert rest.parse_order(200, b'{"result":"success","orders":[]}') is None
    assert rest.parse_cancel_all(200, b'{"result":"success","cancelStatus":{"status":"noOrdersToCancel"}}') is None
    with pytest.raises(VenueError, match="apiLimitExceeded"):
        rest.parse_open_orders(200, b'{"result":"error","error":"apiLimitExceeded"}')
    body = rest.order(WALL, working(PERP, order_id="abc")).body
    assert body == b"orderIds=abc"


def test_capabilities_by_market() -> None:
    s, d = D.capabilities(venue_config()), D.capabilities(venue_config(market="derivatives", rest=False))
    assert (s.replace, d.replace) == (Replace.IN_PLACE, Replace.NONE)
    assert (s.open_orders, d.open_orders) == (OpenOrders.REST, OpenOrders.NONE)
    assert s.disconnect is Disconnect.UNKNOWN
    assert "V" in s.new_types
    assert "V" not in d.new_types


@pytest.mark.parametrize(
    ("options", "symbol", "session", "named"),
    [
        ({"market": "prime"}, "BTC/USD", {}, "market"),
        ({}, "PF_XBTUSD", {}, "symbol"),
        ({"market": "derivatives"}, "BTC/USD", {}, "symbol"),
        ({}, "BTC/USD", {"kind": Kind.DROPCOPY}, "drop copy"),
        ({}, "BTC/USD", {"depth": 50}, "depth"),
        ({}, "BTC/USD", {"options": {"colour": "red"}}, "colour"),
    ],
)
def test_a_wrong_configuration_is_named(
    options: dict[str, Any], symbol: str, session: dict[str, Any], named: str
) -> None:
    venue = VenueConfig(
        dialect="kraken", options=options,
        instruments=[InstrumentConfig(name="BTC-USD", symbol=symbol, px_scale=1, qty_scale=8)],
    )  # fmt: skip
    fields = {"venue": "kraken", "kind": Kind.MARKETDATA, "address": "x:1", "sender_comp_id": "A",
              "target_comp_id": "B", **session}  # fmt: skip
    with pytest.raises(ConfigError, match=named):
        D.check(venue, {"s": SessionConfig(**fields)}, "venue.kraken")
