"""Gemini: every request, every ExecType, refusals, market data, drop copy, REST, and the venue's wire samples."""

import hmac
import json
from base64 import b64decode
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from base.config import InstrumentConfig, Kind, RestConfig, SessionConfig, VenueConfig
from base.errors import ConfigError, VenueError
from fix.codec import Message
from fix.dictionary import Checks
from ipc.events import CancelReject, ExecutionReport
from ipc.requests import NewOrder
from risk.order import order_of
from risk.orders import OrderTable
from tests.risk.ledger_kit import Kept
from tests.risk.ledger_world import COPY_SOURCE, ENTRY_SOURCE, placed
from tests.venues.conformance.cases import CASES
from tests.venues.kit import SECOND, WALL, Heard, Records, Venue, context
from tests.venues.samples import FOLDER, Sample, samples
from venues.dictionaries import venue_dictionary
from venues.gemini.signing import rest_headers
from venues.interface import CancelOutcome, Disconnect, OpenOrders, Replace, SessionPhase, WorkingOrder
from venues.registry import dialect
from venues.throttle import Throttle

D = dialect("gemini")
CASE = next(c for c in CASES if c.id == "gemini")
BTC = CASE.instrument
MAKERS = {Kind.TRADING: D.trading, Kind.DROPCOPY: D.dropcopy}
AT = "60=20260407-14:32:05.000"


def made(kind: Kind = Kind.TRADING, ours: str = "DESKOE001", on_stop: str = "cancel", **options: Any) -> Any:
    heard = Heard()
    ctx = context("gemini", kind, [BTC], ours, "GEMINI", venue_options=options, on_stop=on_stop)
    session = MAKERS[kind](ctx, heard)
    return session, heard, Venue(session, heard, ours, "GEMINI")


def ready(kind: Kind = Kind.TRADING, **options: Any) -> Any:
    session, heard, venue = made(kind, **options)
    venue.logon()
    venue.take()
    return session, heard, venue


def reading(depth: int = 0, **options: Any) -> tuple[Any, Heard, Venue, Records]:
    heard, records = Heard(), Records()
    ctx = context("gemini", Kind.MARKETDATA, [BTC], "DESKMD001", "GEMINI", venue_options=options, depth=depth)
    session = D.marketdata(ctx, heard, records)
    return session, heard, Venue(session, heard, "DESKMD001", "GEMINI"), records


def order(**changes: Any) -> NewOrder:
    return CASE.order(**{"order_qty": 150_000_000, "price": 8_400_050, **changes})


def working(**changes: Any) -> WorkingOrder:
    return CASE.working(**{"order_id": "77", "side": "2", **changes})


def body(message: Message) -> str:
    header = {8, 9, 35, 34, 49, 56, 52, 10}
    return "|".join(f"{tag}={value.decode()}" for tag, value in message.fields() if tag not in header)


def sent(**changes: Any) -> str:
    session, _, venue = ready()
    session.new_order(order(**changes), BTC, "A1", venue.mono, venue.wall)
    return body(venue.last("D"))


# --- logon and numbers


@pytest.mark.parametrize(
    ("option", "on_stop", "said"),
    [("on_stop", "cancel", b"Y"), ("on_stop", "keep", b"N"), ("on", "keep", b"Y"), ("off", "cancel", b"N")],
)
def test_every_logon_of_order_entry_says_what_a_lost_connection_does(option: str, on_stop: str, said: bytes) -> None:
    _, _, venue = made(on_stop=on_stop, cancel_on_disconnect=option)
    logon = venue.connect()
    assert [logon.get(tag) for tag in (98, 108, 141, 9001, 56)] == [b"0", b"30", None, said, b"GEMINI"]


def test_other_sessions_say_nothing_of_it_and_nobody_signs_anything() -> None:
    assert body(made(Kind.DROPCOPY)[2].connect()) == "98=0|108=30"
    assert body(reading()[2].connect()) == "98=0|108=30|141=Y"


@pytest.mark.parametrize("kind", [Kind.TRADING, Kind.DROPCOPY])
def test_numbers_go_on_and_what_was_missed_is_asked_for_and_counted_as_a_replay(kind: Kind) -> None:
    session, heard, venue = ready(kind)
    session.disconnected("cut", venue.mono, venue.wall)
    logon = venue.connect()
    assert (logon.has(141), logon.seq_num > 1) == (False, True)
    venue.seq = 3
    venue.send("A", "98=0|108=30|")
    request = venue.last("2")
    assert (request.get(7), session.phase) == (b"2", SessionPhase.RECOVERING)
    venue.seq = 2
    fill = "6=84000.5|11=A1|14=1|17=9|31=84000.5|32=1|37=77|39=1|54=1|55=BTCUSD|150=F|151=0.5|"
    venue.send("8" if kind is Kind.TRADING else "AE", fill if kind is Kind.TRADING else CAPTURE,
               header=b"43=Y\x01122=20260407-14:31:00.000\x01")  # fmt: skip
    assert heard.one(ExecutionReport).poss_dup


def test_the_venues_own_advice_is_an_option() -> None:
    session, _, venue = ready(sequence="reset")
    session.disconnected("cut", venue.mono, venue.wall)
    logon = venue.connect()
    assert (logon.get_bool(141), logon.seq_num) == (True, 1)
    assert not D.capabilities(config(sequence="reset")).numbers_go_on


def test_a_logon_that_is_closed_upon_without_a_word_three_times_begins_numbers_anew() -> None:
    session, heard, venue = ready()
    resets = []
    for _ in range(5):
        session.disconnected("closed", venue.mono, venue.wall)
        resets.append(venue.connect().get_bool(141))
    assert resets == [None, None, None, True, True]
    venue.seq = 1
    venue.send("A", "98=0|108=30|141=Y|")
    assert session.phase is SessionPhase.READY
    assert heard.disconnects == []


def test_a_replay_that_the_venue_cannot_give_is_met_with_a_reset() -> None:
    session, heard, venue = ready()
    session.disconnected("cut", venue.mono, venue.wall)
    venue.connect()
    venue.seq = 5
    venue.send("A", "98=0|108=30|")
    venue.send("j", "45=3|372=2|380=0|58=Unable to process ResendRequest. Please contact support.|")
    for _ in range(4):
        venue.advance(10 * SECOND)
        venue.send("0")
    assert heard.disconnects
    session.disconnected("closed", venue.mono, venue.wall)
    assert venue.connect().get_bool(141)


# --- requests


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, f"11=A1|38=1.5|40=2|44=84000.5|54=1|55=BTCUSD|59=1|{AT}"),
        ({"side": "2", "time_in_force": "3"}, f"11=A1|38=1.5|40=2|44=84000.5|54=2|55=BTCUSD|59=3|{AT}"),
        ({"time_in_force": "4"}, f"11=A1|38=1.5|40=2|44=84000.5|54=1|55=BTCUSD|59=4|{AT}"),
        ({"exec_inst": "post_only"}, f"11=A1|18=6|38=1.5|40=2|44=84000.5|54=1|55=BTCUSD|59=1|{AT}"),
        ({"ord_type": "1", "side": "2", "price": None, "time_in_force": "3"}, f"11=A1|38=1.5|40=1|54=2|55=BTCUSD|{AT}"),
        ({"ord_type": "1", "price": None, "time_in_force": "3", "options": {"cash_order_qty": "500.25"}},
         f"11=A1|40=1|54=1|55=BTCUSD|{AT}|152=500.25"),
        ({"ord_type": "4", "stop_px": 8_300_000}, f"11=A1|38=1.5|40=4|44=84000.5|54=1|55=BTCUSD|59=1|{AT}|99=83000"),
        ({"options": {"min_qty": "0.5", "cash_margin": "1", "risk_liquidity_flag": "Y", "ioi_id": "I9"}},
         f"11=A1|23=I9|38=1.5|40=2|44=84000.5|54=1|55=BTCUSD|59=1|{AT}|110=0.5|544=1|9000=Y"),
        ({"options": {"on_behalf_of_comp_id": "P1"}}, f"115=P1|11=A1|38=1.5|40=2|44=84000.5|54=1|55=BTCUSD|59=1|{AT}"),
    ],
    ids=["limit", "ioc", "fok", "maker-or-cancel", "market-sell", "market-buy", "stop-limit", "options", "third-party"],
)  # fmt: skip
def test_an_order_of_each_kind(changes: dict[str, Any], expected: str) -> None:
    assert sent(**changes) == expected


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"ord_type": "1", "time_in_force": "3"}, "cash_order_qty"), ({"ord_type": "1", "side": "2"}, "time_in_force"),
        ({"options": {"cash_order_qty": "5"}}, "cash_order_qty"), ({"ord_type": "3"}, "ord_type"),
        ({"ord_type": "4", "time_in_force": "3", "stop_px": 1}, "time_in_force"), ({"ord_type": "4"}, "stop_px"),
        ({"price": None}, "price"), ({"time_in_force": "6"}, "time_in_force"), ({"display_qty": 5}, "display_qty"),
        ({"exec_inst": "post_only", "time_in_force": "3"}, "exec_inst"), ({"options": {"min_qty": "-1"}}, "min_qty"),
        ({"options": {"min_qty": "1e1"}}, "min_qty"), ({"options": {"min_qty": "x"}}, "min_qty"),
        ({"side": "2", "options": {"cash_margin": "1"}}, "cash_margin"), ({"options": {"peg": "1"}}, "options"),
        ({"side": "5"}, "side"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)  # fmt: skip
def test_what_the_venue_does_not_take_is_refused_by_name(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(VenueError, match=what):
        sent(**changes)


def test_a_cancel_names_the_order_by_41() -> None:
    session, _, venue = ready()
    session.cancel_order(working(order_id=""), "C1", venue.mono, venue.wall)
    assert body(venue.last("F")) == f"11=C1|41=A1|54=2|55=BTCUSD|{AT}"


# --- reports


def report(more: str, exec_id: str = "E1") -> ExecutionReport:
    _, heard, venue = ready()
    venue.send("8", f"6=0|11=A1|17={exec_id}|37=77|54=1|55=BTCUSD|60=20260407-14:32:05.123|{more}|")
    return heard.one(ExecutionReport)  # type: ignore[no-any-return]


def test_a_fill_tells_who_took_what_it_cost_and_its_id_is_its_exec_id() -> None:
    fill = "14=0.5|31=84000.5|32=0.5|38=1.5|39=1|44=84000.5|59=1|150=F|151=1|12=-4.2|13=3|479=USD|851=1"
    r = report(fill)
    assert (r.exec_type, r.ord_status, r.last_qty, r.last_px, r.defects) == ("F", "1", 50_000_000, 8_400_050, ())
    assert (r.trade_id, r.exec_id, r.liquidity, r.fees) == ("E1", "E1", "M", (("USD", "-4.2"),))
    assert report(fill.replace("851=1", "851=2")).liquidity == "T"
    assert report(fill.replace("13=3", "13=1")).fees == ()  # per unit: never documented, never guessed at


@pytest.mark.parametrize(
    ("exec_type", "status", "state"),
    [("0", "0", "NEW"), ("0", "1", "PARTIALLY_FILLED"), ("0", "2", "FILLED"), ("0", "8", "REJECTED"),
     ("F", "1", "PARTIALLY_FILLED"), ("F", "2", "FILLED"), ("4", "4", "CANCELED"), ("8", "8", "REJECTED")],
)  # fmt: skip
def test_each_documented_pair_of_exec_type_and_status_leads_to_its_state(
    exec_type: str, status: str, state: str
) -> None:
    table = OrderTable()
    table.add(order_of(order(), "s", "main", "A1", (2, 8), WALL))
    cum = {"1": "0.5", "2": "1.5"}.get(status, "0")
    trade = f"31=84000.5|32={cum}|" if exec_type == "F" else ""
    leaves = {"0": "1.5", "1": "1"}.get(status, "0")
    r = report(f"14={cum}|{trade}38=1.5|39={status}|58=why|150={exec_type}|151={leaves}")
    assert (r.exec_type, r.ord_status, r.text, r.defects) == (exec_type, status, "why", ())
    table.apply(r, WALL)
    assert next(iter(table)).state == state


def test_a_stop_that_triggers_is_told_as_new_once_more_and_changes_nothing() -> None:
    table = OrderTable()
    table.add(order_of(order(ord_type="4", stop_px=1), "s", "main", "A1", (2, 8), WALL))
    for exec_id in ("E1", "E2"):
        table.apply(report("14=0|38=1.5|39=0|99=1|150=0|151=1.5", exec_id), WALL)
    (one,) = table
    assert (one.state, one.leaves_qty) == ("NEW", 150_000_000)


@pytest.mark.parametrize(("code", "unknown"), [("0", True), ("1", True), ("3", False), ("", False)])
def test_a_refused_cancel_says_whether_the_order_is_known(code: str, unknown: bool) -> None:
    session, heard, venue = ready()
    session.cancel_order(working(), "C1", venue.mono, venue.wall)
    more = f"102={code}|" if code else ""
    venue.send("9", f"11=C1|37=NONE|39=8|41=A1|{AT}|434=1|{more}58=no|")
    r = heard.one(CancelReject)
    assert (r.cl_ord_id, r.request_id, r.order_id, r.unknown_order) == ("A1", "C1", "77", unknown)


def test_a_breach_of_the_throttle_is_a_refusal_of_its_order_and_fills_the_limit() -> None:
    session, heard, venue = ready()
    session.new_order(order(), BTC, "A1", venue.mono, venue.wall)
    seq = venue.last("D").seq_num
    venue.send("3", f"45={seq}|372=D|373=99|58=System Error: Message rate exceeded allocated throttle|")
    r = heard.one(ExecutionReport)
    assert (r.cl_ord_id, r.exec_type, r.origin) == ("A1", "8", "3")
    (limit,) = D.capabilities(config()).limits.orders
    assert limit.refusals[0].matches(r.reason_code, r.text)


# --- drop copy

# In the layout of the venue's own examples, with the commission of a maker.
CAPTURE = (
    "31=84000.5|32=0.001|55=BTCUSD|60=20260407-14:32:05.123|75=20260407|570=N|571=335278183|552=1|54=2|37=77|11=A1|"
    "453=1|448=DESKOE001|447=D|452=11|12=-0.0084|13=3|479=USD|58=MAKER|"
)


def captured(text: str) -> list[ExecutionReport]:
    _, heard, venue = ready(Kind.DROPCOPY)
    venue.send("AE", text)
    return [e for e in heard.events if isinstance(e, ExecutionReport)]


def test_a_trade_capture_is_a_fill_by_the_same_id_as_order_entrys() -> None:
    (r,) = captured(CAPTURE)
    assert (r.drop_copy, r.exec_type, r.origin, r.instrument, r.venue_symbol) == (True, "F", "AE", "BTC-USD", "BTCUSD")
    assert (r.last_px, r.last_qty, r.side, r.cl_ord_id, r.order_id) == (8_400_050, 100_000, "2", "A1", "77")
    assert (r.exec_id, r.trade_id, r.liquidity, r.fees) == ("335278183", "335278183", "M", (("USD", "-0.0084"),))
    assert (r.cum_qty, r.leaves_qty, r.ord_status, r.text) == (None, None, "", "placed by DESKOE001")
    assert (r.transact_ns % SECOND, r.defects) == (123_000_000, ())


def test_price_and_quantity_may_stand_within_the_side_and_a_ui_order_has_no_name() -> None:
    side = "552=1|54=1|37=77|31=84000.5|32=0.001|453=2|448=UI|447=D|452=11|448=X|447=D|452=12|58=TAKER|"
    (r,) = captured(f"55=BTCUSD|60=20260407-14:32:05|571=9|570=N|75=20260407|{side}")
    assert (r.last_px, r.last_qty, r.cl_ord_id, r.liquidity) == (8_400_050, 100_000, "", "T")
    assert (r.text, r.fees, r.defects) == ("placed by UI", (), ())


def test_each_side_of_a_capture_is_a_fill_and_an_odd_one_is_told_with_its_defects() -> None:
    both = captured("31=1|32=2|55=BTCUSD|571=9|552=2|54=1|37=7|11=A|58=TAKER|54=2|37=8|11=B|58=MAKER|")
    assert [(r.side, r.order_id, r.cl_ord_id, r.liquidity) for r in both] == [
        ("1", "7", "A", "T"),
        ("2", "8", "B", "M"),
    ]
    (odd,) = captured("31=1.5|32=2|55=???|")
    assert (odd.instrument, odd.last_px, odd.px_scale) == ("", 15, 1)
    assert {d.partition(":")[0] for d in odd.defects} == {"55", "552", "571"}


def test_the_ledger_counts_a_fill_of_both_views_once_and_misses_nothing(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    fill = "14=0.001|31=84000.5|32=0.001|38=0.001|39=2|150=F|151=0|12=-0.0084|13=3|479=USD|851=1"
    kept.take(ENTRY_SOURCE, placed(cl_ord_id="A1", px_scale=2, qty_scale=8), report(fill, "335278183"))
    kept.take(COPY_SOURCE, *captured(CAPTURE.replace("54=2", "54=1")))
    (one,) = kept.fills()
    assert (one.trade_id, one.qty, one.entry is not None, one.copy is not None) == ("335278183", 100_000, True, True)
    kept.tick(WALL + 3600 * SECOND)
    assert [b.kind for b in kept.breaks()] == []
    kept.close()


# --- market data


def test_the_book_is_subscribed_to_as_published_and_missing_symbols_are_told() -> None:
    _, heard, venue, _ = reading()
    venue.logon()
    names, book = venue.take()
    assert (names.msg_type, book.msg_type) == ("x", "V")
    assert body(book).partition("|")[2] == "263=1|264=0|146=1|55=BTCUSD|267=3|269=0|269=1|269=2"
    venue.send("y", f"320={names.get_str(320)}|322=1|560=0|146=2|55=BTCUSD|55=ETHUSD|")
    assert heard.alerts == []
    venue.send("y", "320=I|322=1|560=0|146=1|55=ETHUSD|")
    venue.send("y", "320=I|322=1|560=1|")
    assert [text.partition(": ")[2] for _, _, text in heard.alerts] == [
        "not among the venue's 1 symbols: BTCUSD", "refused: 560=1",
    ]  # fmt: skip


def snapshot(venue: Venue, past: str = "") -> str:
    req_id = next(m for m in venue.take() if m.msg_type == "V").need_str(262)
    entries = f"269=0|270=100|271=1|269=1|270=101|271=2|{past}"
    venue.send("W", f"55=BTCUSD|262={req_id}|268={3 if past else 2}|{entries}")
    return req_id


def test_levels_go_by_price_and_trades_come_without_a_side() -> None:
    _, _, venue, records = reading()
    venue.logon()
    req_id = snapshot(venue)
    bid, offer = "279=1|269=0|55=BTCUSD|270=100|271=3|", "279=2|269=1|55=BTCUSD|270=101|271=0|"
    trade = "279=0|269=2|55=BTCUSD|270=100|271=1|273=14:32:05.000|9002=1|"
    venue.send("X", f"262={req_id}|9008=7|268=3|{bid}{offer}{trade}")
    book, update = records.take()
    assert (book.kind, len(book.changes), update.kind, update.flags & 256) == (1, 2, 0, 0)
    assert [(c.side, c.action, c.px, c.qty, c.aggressor) for c in update.changes] == [
        (0, 1, 10_000, 300_000_000, 0), (1, 2, 10_100, 0, 0), (2, 0, 10_000, 100_000_000, 0),
    ]  # fmt: skip


def test_mark_prices_and_funding_pass_without_touching_the_book() -> None:
    _, _, venue, records = reading()
    venue.logon()
    req_id = snapshot(venue)
    records.take()
    venue.send("X", f"262={req_id}|268=1|279=0|269=S|55=BTCUSD|270=0.01|271=1|9009=Y|")
    assert [c.side for r in records.take() for c in r.changes] == [255]


def test_the_top_alone_replaces_its_side() -> None:
    session, _, venue, records = reading(depth=1, trades=False)
    venue.logon()
    (book,) = (m for m in venue.take() if m.msg_type == "V")
    assert body(book).partition("|")[2] == "263=1|264=1|146=1|55=BTCUSD|267=2|269=0|269=1"
    assert (session.rule.top_only, records.subscriptions[0][2].window) == (True, 1)


def test_a_hole_in_the_numbers_ends_the_connection_and_books_begin_anew() -> None:
    session, heard, venue, records = reading()
    venue.logon()
    first = snapshot(venue)
    venue.seq += 1
    venue.send("X", f"262={first}|268=1|279=1|269=0|55=BTCUSD|270=100|271=9|")
    assert "2" not in [m.msg_type for m in venue.take()]
    assert heard.disconnects
    session.disconnected("gap", venue.mono, venue.wall)
    assert venue.logon().get_bool(141)
    assert snapshot(venue) != first
    assert [r.kind for r in records.take()] == [1, 1]


def test_refreshes_go_on_beside_what_they_replace_and_then_another_connection_is_made() -> None:
    session, heard, venue, records = reading(refreshes_beside=2)
    venue.logon()
    old = snapshot(venue)
    for _ in range(2):
        session.refresh(0, venue.mono, venue.wall)
        venue.advance(SECOND)
        assert snapshot(venue) != old
    assert heard.disconnects == []
    assert len({key for _, key, _ in records.subscriptions}) == 3
    session.refresh(0, venue.mono, venue.wall)
    venue.advance(SECOND)
    assert ["subscriptions that cannot be ended" in d for d in heard.disconnects] == [True]


def test_no_trade_is_told_twice_and_none_that_was_before_the_subscription() -> None:
    session, _, venue, records = reading()
    venue.logon()
    trade = "269=2|55=BTCUSD|270=100|271=1|"
    old = snapshot(venue, trade)
    (book,) = records.take()
    assert [c.side for c in book.changes] == [0, 1]
    session.refresh(0, venue.mono, venue.wall)
    venue.advance(SECOND)
    new = next(m for m in venue.take() if m.msg_type == "V").need_str(262)
    for req_id in (old, new, old):
        venue.send("X", f"262={req_id}|268=1|279=0|{trade}")
    assert [[c.side for c in r.changes] for r in records.take()] == [[], [2], []]
    venue.send("W", f"55=BTCUSD|262={new}|268=2|269=0|270=100|271=1|{trade}")
    venue.send("X", f"262={old}|268=1|279=1|269=0|55=BTCUSD|270=100|271=9|")
    fresh, stale = records.take()
    assert ([c.side for c in fresh.changes], fresh.req_key == stale.req_key) == ([0], False)


def test_a_connection_lost_before_the_snapshot_has_it_asked_for_again() -> None:
    session, _, venue, records = reading()
    venue.logon()
    venue.take()
    session.disconnected("cut", venue.mono, venue.wall)
    venue.logon()
    snapshot(venue)
    (book,) = records.take()
    assert book.kind == 1


# --- what is declared


def config(rest: bool = True, symbol: str = "BTCUSD", **options: Any) -> VenueConfig:
    side = RestConfig(address="https://x", key="env:A", secret="env:B", lag_ms=2000) if rest else None
    item = InstrumentConfig(name="BTC-USD", symbol=symbol, px_scale=2, qty_scale=8)
    return VenueConfig(dialect="gemini", instruments=[item], rest=side, options=options)


def session_config(**changes: Any) -> SessionConfig:
    fields = {
        "venue": "g", "kind": Kind.TRADING, "address": "x:1", "sender_comp_id": "OE1", "target_comp_id": "GEMINI",
    }  # fmt: skip
    return SessionConfig(**{**fields, **changes})


def test_what_the_venue_has_not_is_declared_so() -> None:
    claims = D.capabilities(config())
    assert (claims.mass_cancel, claims.replace, claims.open_orders) == (False, Replace.NONE, OpenOrders.REST)
    assert (claims.levels, claims.update_ids, claims.checksum, claims.reference_data) == ({2}, False, False, False)
    assert (claims.status_request, claims.drop_copy_fills_only, claims.shared_trade_ids) == (True, True, True)
    bare = D.capabilities(config(rest=False))
    assert (bare.status_request, bare.open_orders) == (False, OpenOrders.NONE)


@pytest.mark.parametrize(
    ("option", "disconnect", "certain"),
    [("on_stop", Disconnect.UNKNOWN, False), ("on", Disconnect.CANCELS, True), ("off", Disconnect.KEEPS, None)],
)
def test_the_plan_hangs_up_where_the_logon_asked_for_it(option: str, disconnect: Disconnect, certain: Any) -> None:
    venue = config(cancel_on_disconnect=option)
    plan = D.cancel_plan(venue)
    assert D.capabilities(venue).disconnect is disconnect
    assert [s.action for s in plan.steps][:3] == ["owner_cancel_each", "rest_cancel_all", "rest_cancel_each"]
    assert [s.certain for s in plan.steps if s.action == "owner_disconnect"] == ([] if certain is None else [certain])
    bare = D.cancel_plan(config(rest=False))
    assert {s.action for s in bare.steps} == {"owner_cancel_each", "owner_disconnect"}
    assert any("no REST" in u for u in bare.unproven)


@pytest.mark.parametrize(
    ("sessions", "said"),
    [
        ({"a": {"target_comp_id": "X"}}, r"session\.a\.target_comp_id: 'X' is not 'GEMINI'"),
        ({"a": {"heartbeat_s": 20}}, r"session\.a\.heartbeat_s: 20; the venue takes 30"),
        ({"a": {}, "b": {}}, r"session\.b\.sender_comp_id: 'OE1' is session\.a's"),
        ({"a": {"kind": Kind.MARKETDATA, "level": 3}}, r"session\.a\.level: .*no level 3"),
        ({"a": {"kind": Kind.MARKETDATA, "depth": 10}}, r"session\.a\.depth: 10"),
        ({"a": {"options": {"sequence": "x"}}}, r"session\.a\.options\.sequence"),
    ],
    ids=["target", "heartbeat", "one-id", "level", "depth", "option"],
)
def test_sessions_that_the_venue_does_not_take_are_refused(sessions: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        D.check(config(), {name: session_config(**changes) for name, changes in sessions.items()}, "venue.g")


def test_symbols_are_upper_case_and_run_together() -> None:
    D.check(config(), {"a": session_config()}, "venue.g")
    with pytest.raises(ConfigError, match=r"venue\.g\.instruments\[0\]\.symbol: 'btcusd'"):
        D.check(config(symbol="btcusd"), {}, "venue.g")


def test_cancels_have_room_below_the_throttle_and_wait_for_it() -> None:
    throttle = Throttle(D.capabilities(config(messages_per_s=20)).limits.orders)
    kinds = ["new"] * 30 + ["cancel"] * 30
    passed = [what for what in kinds if not throttle.take(what, 1, 1, urgent=what == "cancel")]
    assert (passed.count("new"), len(passed)) == (14, 19)


# --- REST


def rest(**options: Any) -> Any:
    return D.rest(config(**options), "account-KEY", "SECRET")


def payload(request: Any) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(b64decode(dict(request.headers)["X-GEMINI-PAYLOAD"]))
    return said


def test_a_call_is_signed_over_its_payload_and_has_no_body() -> None:
    request = rest().open_orders(WALL)
    headers = dict(request.headers)
    assert (request.method, request.target, request.body) == ("POST", "/v1/orders", b"")
    assert payload(request) == {"request": "/v1/orders", "nonce": WALL // 1_000_000}
    wanted = hmac.new(b"SECRET", headers["X-GEMINI-PAYLOAD"].encode(), "sha384").hexdigest()
    assert (headers["X-GEMINI-SIGNATURE"], headers["X-GEMINI-APIKEY"]) == (wanted, "account-KEY")


def test_the_signature_follows_a_vector_reckoned_with_openssl() -> None:
    headers = dict(rest_headers("K", "1234abcd", {"request": "/v1/order/status", "nonce": 123456, "order_id": 18834}))
    assert headers["X-GEMINI-PAYLOAD"] == VECTOR[0]
    assert headers["X-GEMINI-SIGNATURE"] == VECTOR[1]


VECTOR = (
    "eyJyZXF1ZXN0IjogIi92MS9vcmRlci9zdGF0dXMiLCAibm9uY2UiOiAxMjM0NTYsICJvcmRlcl9pZCI6IDE4ODM0fQ==",
    "b7bb3a39d0005c86c3e9b49892e866e3e0a071c5868cda185727affa1632ebca3451c8c35ab71f1ffdc2c000602f6f03",
)


def test_nonces_rise_or_are_the_time_as_the_key_wants_them() -> None:
    rising, timed = rest(), rest(rest_nonce="time")
    assert [payload(rising.open_orders(WALL))["nonce"] - WALL // 1_000_000 for _ in range(3)] == [0, 1, 2]
    assert {payload(timed.open_orders(WALL))["nonce"] for _ in range(3)} == {WALL // SECOND}


def test_an_order_is_asked_for_by_its_number_else_by_our_name() -> None:
    side = rest()
    assert payload(side.order(WALL, working()))["order_id"] == 77
    assert payload(side.order(WALL, working(order_id="")))["client_order_id"] == "A1"
    assert payload(side.trades(WALL, working(), 0))["include_trades"] is True
    assert payload(side.cancel_order(WALL, BTC, "77", "A1"))["order_id"] == 77
    assert side.cancel_order(WALL, BTC, "", "A1") is None


ONE = {
    "order_id": "77", "symbol": "btcusd", "side": "buy", "type": "exchange limit", "timestampms": 1547220404836,
    "is_live": True, "is_cancelled": False, "executed_amount": "0", "remaining_amount": "5", "original_amount": "5",
    "price": "3633.00", "client_order_id": "A1",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "status"),
    [({}, "0"), ({"executed_amount": "1"}, "1"), ({"is_live": False, "is_cancelled": True}, "4"),
     ({"is_live": False, "executed_amount": "5"}, "2"),
     ({"is_live": False, "original_amount": None, "executed_amount": "0.02"}, "2")],
    ids=["open", "partly", "cancelled", "filled", "market buy"],
)  # fmt: skip
def test_the_state_of_an_order_over_rest(changes: dict[str, Any], status: str) -> None:
    found = rest().parse_order(200, json.dumps({**ONE, **changes}).encode())
    assert (found.status, found.symbol, found.cl_ord_id, found.side) == (status, "BTCUSD", "A1", "1")


def test_only_the_venues_own_word_makes_an_order_unknown() -> None:
    side = rest()
    gone = json.dumps({"result": "error", "reason": "OrderNotFound", "message": "no"}).encode()
    assert (side.parse_order(404, gone), side.parse_trades(404, gone).trades) == (None, ())
    for body_ in (gone.replace(b"OrderNotFound", b"EndpointNotFound"), b"<html>"):
        for parse in (side.parse_order, side.parse_trades):
            with pytest.raises(VenueError):
                parse(404, body_)
    with pytest.raises(VenueError, match="is_live"):
        side.parse_order(200, json.dumps({**ONE, "is_live": False}).encode())


def test_broken_trades_are_left_out_and_fills_that_were_not_sent_are_an_error() -> None:
    fill = {"tid": 9, "price": "100", "amount": "1", "timestampms": 1547220404836, "aggressor": False,
            "fee_currency": "USD", "fee_amount": "-0.1"}  # fmt: skip
    said = {**ONE, "trades": [fill, {**fill, "tid": 10, "break": "full"}, {**fill, "tid": 11, "break": "manual"}]}
    page = rest().parse_trades(200, json.dumps(said).encode())
    assert [(t.trade_id, t.liquidity, t.fees) for t in page.trades] == [
        ("9", "M", (("USD", "-0.1"),)), ("11", "M", (("USD", "-0.1"),)),
    ]  # fmt: skip
    with pytest.raises(VenueError, match="trades"):
        rest().parse_trades(200, json.dumps(ONE).encode())


@pytest.mark.parametrize(
    ("status", "said", "outcome"),
    [
        (200, {**ONE, "is_live": False, "is_cancelled": True}, CancelOutcome.CANCELLED),
        (200, ONE, CancelOutcome.CANCELLED),
        (200, {**ONE, "is_live": False, "executed_amount": "5"}, CancelOutcome.DONE),
        (404, {"reason": "OrderNotFound"}, CancelOutcome.NOT_FOUND),
        (429, {"reason": "RateLimit"}, CancelOutcome.RATE_LIMITED),
        (403, {"reason": "MissingRole"}, CancelOutcome.REFUSED),
        (503, {"reason": "Maintenance"}, CancelOutcome.REFUSED),
        (500, {"reason": "System"}, CancelOutcome.UNKNOWN), (502, "<html>", CancelOutcome.UNKNOWN),
    ],
    ids=["cancelled", "going", "filled", "unknown", "rate", "role", "maintenance", "error", "gateway"],
)  # fmt: skip
def test_each_answer_to_a_single_cancel(status: int, said: Any, outcome: CancelOutcome) -> None:
    answer = rest().parse_cancel_order(status, json.dumps(said).encode())
    assert answer.outcome is outcome
    if status == 503:
        assert D.cancel_plan(config()).refuses_cancels("", answer.text)


def test_balances_may_be_numbers_or_texts() -> None:
    said = b'[{"type":"exchange","currency":"btc","amount":10.5,"available":"9.5"}]'
    (btc,) = rest().parse_balances(200, said)
    assert (btc.currency, btc.total, btc.available, Decimal(btc.held)) == ("BTC", "10.5", "9.5", 1)


# --- the venue's wire samples


def sample(part: str) -> Sample:
    (found,) = [s for s in samples("gemini") if part in s.title]
    return found


def fields_of(message: Message) -> list[tuple[int, str]]:
    return [(tag, value.decode()) for tag, value in message.fields() if tag not in (8, 9, 35, 34, 49, 56, 52, 10)]


def played(part: str) -> ExecutionReport:
    session, heard, venue = ready(ours=sample(part).get(56))
    store = session._store
    store.reset(store.created_ns, store.next_out, int(sample(part).get(34)))
    venue.wall = 1_524_679_079_000_000_000 if "REQUESTED" in part else 1_527_693_913_000_000_000
    venue.feed(sample(part).raw)
    return heard.one(ExecutionReport)  # type: ignore[no-any-return]


def test_every_sample_has_its_test() -> None:
    assert [(s.get(35), s.direction) for s in samples("gemini")] == [
        ("V", "out"), ("W", "in"), ("D", "out"), ("D", "out"), ("8", "in"), ("8", "in"), ("u", "out"),
    ]  # fmt: skip


def test_the_published_cancel_is_of_the_order_in_41_and_names_its_request() -> None:
    r = played("canceled-REQUESTED")
    assert (r.cl_ord_id, r.request_id, r.exec_type, r.ord_status) == (
        "z35u64KR1gen7f2SpB",
        "GHDzdNUUXaMMDZdfwe",
        "4",
        "4",
    )
    assert (r.order_id, r.exec_id, r.side, r.text) == ("335278128", "335278132", "2", "REQUESTED")
    assert (r.order_qty, r.price, r.cum_qty, r.leaves_qty) == (100_000_000, 9_339_264, 0, 0)
    assert r.defects == ()


def test_the_published_maker_or_cancel_ends_the_order_by_its_own_name() -> None:
    r = played("maker-or-cancel")
    assert (r.cl_ord_id, r.request_id, r.exec_type, r.text) == (
        "GHDzdNUUXaMMDZdfwe", "", "4", "MAKER_OR_CANCEL_WOULD_TAKE",
    )  # fmt: skip
    assert (r.order_qty, r.price, r.leaves_qty, r.defects) == (1_000_000_000, 44_801, 0, ())


def test_the_published_snapshot_is_a_book_of_one_bid() -> None:
    s = sample("SnapshotFullRefresh")
    heard, records = Heard(), Records()
    ctx = context("gemini", Kind.MARKETDATA, [BTC], s.get(56), "GEMINI", depth=1)
    session = D.marketdata(ctx, heard, records)
    venue = Venue(session, heard, s.get(56), "GEMINI")
    venue.wall = 1_524_678_700_000_000_000
    venue.logon()
    venue.feed(s.raw)
    (book,) = records.take()
    assert (book.kind, book.instrument, book.flags & 256) == (1, 0, 0)
    assert [(c.side, c.px, c.qty) for c in book.changes] == [(0, 849_007, 100_000_000)]


def test_the_published_orders_and_subscription_are_what_we_send() -> None:
    session, _, venue = ready()
    third = order(side="2", order_qty=1_000_000_000, price=849_044, options={"on_behalf_of_comp_id": "AA1AA1AAA1"})
    funds = {"cash_order_qty": "500.0"}
    market = order(ord_type="1", price=None, time_in_force="3", options=funds)
    for part, mine in (("on-behalf-of", third), ("market-buy", market)):
        session.new_order(mine, BTC, sample(part).get(11), venue.mono, venue.wall)
        said, wanted = fields_of(venue.last("D")), sample(part).body
        assert [f for f in said if f[0] != 60] == [f for f in wanted if f[0] != 60]
        assert [t for t, _ in said] == [t for t, _ in wanted]
    _, _, reader, _ = reading(depth=1)
    reader.logon()
    said = fields_of(next(m for m in reader.take() if m.msg_type == "V"))
    wanted = sample("MarketDataRequest").body
    kinds = (262, 267, 269)  # ours asks for both sides and trades
    assert [f for f in said if f[0] not in kinds] == [f for f in wanted if f[0] not in kinds]
    assert [t for t, _ in said[:-2]] == [t for t, _ in wanted]


def test_what_is_published_passes_the_dictionary_but_for_clearing_which_we_never_send() -> None:
    d = venue_dictionary("gemini", "FIX.4.4")
    for s in samples("gemini"):
        assert bool(d.faults(s.raw, Checks(group_order=False))) is (s.get(35) == "u"), s.title
    head = b"8=FIX.4.4\x019=5\x0135=AE\x0134=2\x0149=GEMINI\x0152=20260407-14:32:05.123\x0156=DC\x01"
    assert d.faults(head + CAPTURE.replace("|", "\x01").encode() + b"10=000\x01", Checks(group_order=False)) == []


def test_published_bytes_whose_length_and_sum_are_wrong_are_garbled_and_what_follows_is_read() -> None:
    path = FOLDER / "gemini.fix"
    if not path.exists():
        pytest.skip(f"no wire samples at {path}")
    wrong = [line for line in path.read_text().splitlines() if line.startswith("8=") and "|9=220|" in line]
    session, heard, venue = ready(ours="TRADEBOTOE002")
    venue.feed(wrong[0].replace("|", "\x01").encode())
    venue.send("8", "11=A1|14=0|17=1|37=77|39=0|54=1|55=BTCUSD|150=0|151=1|")
    assert heard.one(ExecutionReport).cl_ord_id == "A1"
    assert session.counters()["garbled"] >= 1
