"""Crypto.com: signatures, bodies of every request, numbers, reports and refusals, channels, REST, samples."""

import json
from typing import Any

import pytest

from base.config import InstrumentConfig, Kind, RestConfig, SessionConfig, VenueConfig
from base.errors import ConfigError, SessionError, VenueError
from base.instruments import Instrument
from fix.codec import parse_utc_ns
from ipc.books import BookReason, BookState
from ipc.events import CancelReject, ExecutionReport, InstrumentDefinition, MassCancelReport
from ipc.requests import NewOrder
from tests.venues.conformance.live import Books
from tests.venues.kit import SECOND, WALL, Heard, Records, Venue, context
from tests.venues.samples import frames
from venues.crypto_com.rest import envelope
from venues.crypto_com.signing import logon_signature, rest_signature
from venues.interface import CancelOutcome, Disconnect, OpenOrders, Replace, SessionPhase, WorkingOrder
from venues.registry import dialect

D = dialect("crypto_com")
BTC = Instrument("crypto_com", "BTC-USDT", "BTC_USDT", 2, 5)
KEY, SECRET = "example_api_key", "example_api_secret"
OURS = "0f6bb06f-0000-4000-8000-000000000001"
PROMPT = {"quiet_after_logon_ms": 0}


def trading(*, on_stop: str = "cancel", **options: Any) -> tuple[Any, Heard, Venue]:
    heard = Heard()
    ctx = context(
        "crypto_com", Kind.TRADING, [BTC], "DESK", "CDC.UD", venue_options=PROMPT | options, username=KEY,
        password=SECRET, on_stop=on_stop,
    )  # fmt: skip
    session = D.trading(ctx, heard)
    return session, heard, Venue(session, heard, "DESK", "CDC.UD")


def logged_on(**options: Any) -> tuple[Any, Heard, Venue]:
    session, heard, venue = trading(**options)
    venue.logon()
    venue.take()
    return session, heard, venue


def order(**changes: Any) -> NewOrder:
    fields = {
        "client_id": "c", "command_id": "1", "deadline_ns": 0, "venue": "crypto_com", "instrument": "BTC-USDT",
        "side": "1", "ord_type": "2", "order_qty": 150_000, "price": 1_000_050,
    }  # fmt: skip
    return NewOrder(**{**fields, **changes})


def working(**changes: Any) -> WorkingOrder:
    fields = {
        "instrument": BTC, "cl_ord_id": OURS, "order_id": "6530219", "side": "1", "ord_type": "2",
        "time_in_force": "1", "order_qty": 150_000, "price": 1_000_050, "stop_px": None, "leaves_qty": 150_000,
    }  # fmt: skip
    return WorkingOrder(**{**fields, **changes})


def sent(venue: Venue, msg_type: str) -> list[tuple[int, str]]:
    """Body fields of the one message of that type, in the order of the wire."""
    return [(t, v.decode()) for t, v in venue.last(msg_type).fields() if t not in (8, 9, 35, 49, 56, 34, 52, 10)]


def place(session: Any, venue: Venue, **changes: Any) -> list[tuple[int, str]]:
    session.new_order(order(**changes), BTC, OURS, venue.mono, venue.wall)
    return sent(venue, "D")


# --- logon and numbers


@pytest.mark.parametrize(
    ("market_data", "wanted"),
    [(False, "2e52ed1e9bce862135187d60e92e37406f77a88fc8d161119c277cfc47e29406"),
     (True, "5c6f23c04cba6f0e0fa6465169ad3bd0bb7536bcf28154a5b74a5cf4de58c039")],
)  # fmt: skip
def test_the_logon_signature_is_made_as_documented(market_data: bool, wanted: str) -> None:
    assert logon_signature(SECRET, 1, KEY, "1700000000000", market_data=market_data) == wanted


def test_each_logon_signs_its_own_number() -> None:
    session, _, venue = trading()
    first = venue.connect()
    nonce = str(WALL // 1_000_000)
    assert (first.seq_num, first.get_str(96), first.get_str(95), first.get_str(553)) == (1, nonce, "13", KEY)
    assert first.get_str(554) == logon_signature(SECRET, 1, KEY, nonce, market_data=False)
    venue.send("A", "98=0|108=30|")
    session.disconnected("cut", venue.mono, venue.wall)
    again = venue.connect()
    assert (again.seq_num, again.get_bool(141)) == (2, None)
    assert again.get_str(554) == logon_signature(SECRET, 2, KEY, nonce, market_data=False)


@pytest.mark.parametrize(
    ("options", "said"),
    [({}, ("Y", "3")), ({"on_stop": "keep"}, (None, "0")), ({"cancel_on_disconnect": "off"}, (None, "0")),
     ({"on_stop": "keep", "cancel_on_disconnect": "session"}, ("Y", "3"))],
)  # fmt: skip
def test_what_a_lost_connection_cancels_is_said_in_each_logon(options: Any, said: tuple[str | None, str]) -> None:
    _, _, venue = trading(**options)
    logon = venue.connect()
    assert (logon.get_str(6867), logon.get_str(35002)) == said


def test_market_data_starts_afresh_and_signs_without_the_label() -> None:
    venue, _, _ = marketdata()
    logon = venue.connect()
    nonce = str(WALL // 1_000_000)
    assert (logon.get_bool(141), logon.has(6867), logon.has(35002)) == (True, False, False)
    assert logon.get_str(554) == logon_signature(SECRET, 1, KEY, nonce, market_data=True)


def test_after_its_logon_the_venue_is_left_alone_for_a_moment_but_for_cancels() -> None:
    session, heard, venue = trading(quiet_after_logon_ms=1_000)
    venue.logon()
    assert (session.phase, heard.phases[-1][1]) == (
        SessionPhase.RECOVERING, "the venue wants a moment of quiet after its Logon",
    )  # fmt: skip
    with pytest.raises(SessionError, match="quiet"):
        session.new_order(order(), BTC, OURS, venue.mono, venue.wall)
    session.cancel_order(working(), "R1", venue.mono, venue.wall)
    assert [m.msg_type for m in venue.take()] == ["F"]
    assert session.deadline_ns <= venue.mono + SECOND
    venue.advance(SECOND)
    assert session.phase is SessionPhase.READY
    place(session, venue)


def test_numbers_begin_anew_with_the_monthly_maintenance() -> None:
    session, _, venue = logged_on()
    venue.wall = parse_utc_ns(b"20260409-07:03:00")
    place(session, venue)
    session.disconnected("07:04", venue.mono, venue.wall)
    venue.wall = parse_utc_ns(b"20260409-07:15:01")
    assert venue.connect().seq_num == 1


def test_numbers_that_the_venue_begins_anew_at_its_cap_are_followed_by_a_reset() -> None:
    session, heard, venue = logged_on()
    for n in range(3):
        venue.send("8", f"11={OURS}|37=1|17=E{n}|150=0|39=0|54=1|55=BTC_USDT|38=1.5|14=0|151=1.5|")
    session.disconnected("cap", venue.mono, venue.wall)
    venue.connect()
    venue.send("A", "98=0|108=30|")  # 1, where 5 is expected
    assert heard.disconnects
    session.disconnected("too low", venue.mono, venue.wall)
    assert venue.connect().get_bool(141) is True


# --- order bodies


def test_a_limit_order_is_as_the_table_has_it() -> None:
    session, _, venue = logged_on(broker_id="B1", receive_window_ms=400)
    assert place(session, venue, exec_inst="post_only") == [
        (11, OURS), (18, "6"), (38, "1.5"), (40, "2"), (44, "10000.5"), (54, "1"), (55, "BTC_USDT"), (59, "1"),
        (60, "20260407-14:32:05.000"), (7933, "B1"), (20100, "400"),
    ]  # fmt: skip


def test_each_kind_of_order_has_its_fields() -> None:
    own = {"self_match_scope": "M", "self_match_instruction": "1"}
    session, _, venue = logged_on(**own)
    funds = dict(place(session, venue, ord_type="1", price=None, options={"cash_order_qty": "250.5"}))
    assert (funds[152], 38 in funds, 44 in funds, 59 in funds) == ("250.5", False, False, False)
    assert (funds[12362], funds[2964], 2362 in funds) == ("M", "1", False)
    sell = dict(place(session, venue, ord_type="1", side="2", time_in_force="3"))
    assert (sell[38], sell[40], sell[54]) == ("1.5", "1", "2")
    more = {"self_match_scope": "S", "self_match_instruction": "3", "self_match_id": "7", "cash_margin": "2"}
    margin = dict(place(session, venue, exec_inst="smart_post_only", options={**more, "commission_currency": "USD"}))
    assert (margin[18], margin[12362], margin[2964], margin[2362]) == ("8", "S", "3", "7")
    assert (margin[544], margin[2643]) == ("2", "USD")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"display_qty": 1}, "display_qty"),
        ({"effective_ns": WALL}, "effective_ns"),
        ({"expire_ns": WALL}, "expire_ns"),
        ({"ord_type": "D"}, "ord_type"),
        ({"ord_type": "1", "time_in_force": "4"}, "time_in_force"),
        ({"exec_inst": "post_only", "time_in_force": "3"}, "exec_inst"),
        ({"options": {"cash_order_qty": "5"}}, "cash_order_qty"),
        ({"ord_type": "1", "side": "2", "options": {"cash_order_qty": "5"}}, "cash_order_qty"),
        ({"ord_type": "1", "options": {"cash_order_qty": "-5"}}, "positive"),
        ({"options": {"self_match_scope": "M"}}, "self_match_instruction"),
        ({"options": {"self_match_id": "1"}}, "self_match_id"),
        ({"options": {"self_match_scope": "M", "self_match_instruction": "1", "self_match_id": "40000"}}, "32767"),
        ({"options": {"self_match_scope": "X", "self_match_instruction": "1"}}, "self_match_scope"),
        ({"options": {"cash_margin": "3"}}, "cash_margin"),
    ],
)
def test_what_the_venue_cannot_do_is_refused_by_name(changes: dict[str, Any], words: str) -> None:
    session, _, venue = logged_on()
    with pytest.raises(VenueError, match=words):
        session.new_order(order(**changes), BTC, OURS, venue.mono, venue.wall)
    assert venue.take() == []


def test_requests_about_an_order_name_it_both_ways() -> None:
    session, _, venue = logged_on()
    session.cancel_order(working(), "R1", venue.mono, venue.wall)
    assert sent(venue, "F") == [(11, "R1"), (37, "6530219"), (41, OURS), (55, "BTC_USDT")]
    session.cancel_order(working(order_id=""), "R2", venue.mono, venue.wall)
    assert sent(venue, "F") == [(11, "R2"), (41, OURS), (55, "BTC_USDT")]
    session.order_status(working(), "S1", venue.mono, venue.wall)
    assert sent(venue, "H") == [(11, OURS), (37, "6530219"), (55, "BTC_USDT")]
    session.mass_cancel(BTC, "M1", venue.mono, venue.wall)
    assert sent(venue, "q") == [(11, "M1"), (55, "BTC_USDT"), (530, "1")]
    with pytest.raises(VenueError, match="one instrument"):
        session.mass_cancel(None, "M2", venue.mono, venue.wall)


def test_an_amended_order_is_a_new_one_and_only_where_asked_for() -> None:
    session, heard, venue = logged_on(amend="cancel_new", self_match_scope="S", self_match_instruction="2")
    assert session.replace_is_new(working(), 100_000, 999_900, None)
    session.replace_order(working(), "R1", 100_000, 999_900, None, venue.mono, venue.wall)
    assert sent(venue, "G") == [
        (11, "R1"), (37, "6530219"), (38, "1"), (41, OURS), (44, "9999"), (60, "20260407-14:32:05.000"), (2964, "2"),
    ]  # fmt: skip
    venue.send("8", f"11=R1|41={OURS}|37=7|17=E1|150=A|39=A|54=1|55=BTC_USDT|38=1|44=9999|14=0|151=1|")
    pending = heard.one(ExecutionReport)
    assert (pending.cl_ord_id, pending.order_id, pending.exec_type, pending.ord_status) == ("R1", "7", "A", "A")
    heard.events.clear()
    venue.send("9", f"11=R1|41={OURS}|37=6530219|39=0|434=2|102=99|58=no|")
    reject, never = heard.events
    assert (reject.cl_ord_id, reject.response_to, reject.unknown_order) == (OURS, "2", False)  # type: ignore[union-attr]
    assert (never.cl_ord_id, never.ord_status) == ("R1", "8")  # type: ignore[union-attr]
    with pytest.raises(VenueError, match="without fills"):
        session.replace_order(working(cum_qty=1), "R2", 1, 1, None, venue.mono, venue.wall)
    off, _, venue = logged_on()
    with pytest.raises(VenueError, match=r"35=G.*option amend"):
        off.replace_order(working(), "R1", 1, 1, None, venue.mono, venue.wall)


# --- reports and refusals


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ("150=A|39=A|14=0|151=1.5|", "A", "A"),
        ("150=0|39=0|14=0|151=1.5|636=Y|6616=20260407-14:32:05.000|544=1|", "0", "0"),
        ("150=6|39=6|14=0|151=1.5|", "6", "6"),
        ("150=4|39=4|14=0.5|151=0|", "4", "4"),
        ("150=8|39=8|14=0|151=0|103=99|58=Too many requests|", "8", "8"),
        ("150=I|39=1|14=0.5|151=1|912=Y|", "I", "1"),
    ],
)
def test_every_exec_type_that_the_venue_documents_is_an_event(body: str, kind: str, status: str) -> None:
    session, heard, venue = logged_on()
    place(session, venue)
    venue.send("8", f"11={OURS}|37=6530219|17=E1|54=1|55=BTC_USDT|38=1.5|44=10000.5|{body}")
    told = heard.one(ExecutionReport)
    assert (told.cl_ord_id, told.exec_type, told.ord_status, told.order_qty) == (OURS, kind, status, 150_000)
    assert told.defects == ()


def test_a_fill_is_named_by_its_id_and_says_who_took_and_what_it_cost() -> None:
    session, heard, venue = logged_on()
    place(session, venue)
    venue.send(
        "8",
        f"11={OURS}|37=6530219|17=F77|54=1|55=BTC_USDT|38=1.5|44=10000.5|150=F|39=1|14=0.5|151=1|31=10000.25|32=0.5|"
        "851=2|6=10000.25|12=3.75|2643=USDT|13=3|880=m9|10060=20260407-14:32:05.000|20101=2|544=1|",
    )
    fill = heard.one(ExecutionReport)
    assert (fill.trade_id, fill.liquidity, fill.fees) == ("F77", "T", (("USDT", "3.75"),))
    assert (fill.last_px, fill.last_qty, fill.cum_qty, fill.leaves_qty) == (1_000_025, 50_000, 50_000, 100_000)


def test_a_cancel_is_pending_and_then_done_under_the_order_s_id() -> None:
    session, heard, venue = logged_on()
    place(session, venue)
    session.cancel_order(working(), "R1", venue.mono, venue.wall)
    for kind, leaves in (("6", "1.5"), ("4", "0")):
        venue.send("8", f"11=R1|41={OURS}|37=6530219|17=E{kind}|54=1|55=BTC_USDT|38=1.5|150={kind}|39={kind}|14=0|"
                        f"151={leaves}|")  # fmt: skip
    pending, done = heard.events
    assert [(e.cl_ord_id, e.request_id, e.ord_status) for e in (pending, done)] == [  # type: ignore[union-attr]
        (OURS, "R1", "6"), (OURS, "R1", "4"),
    ]  # fmt: skip


def test_a_status_request_that_finds_nothing_says_that_and_no_more() -> None:
    session, heard, venue = logged_on()
    place(session, venue)
    said = f"11={OURS}|37=NONE|17=E|54=1|55=BTC_USDT|38=0|150=I|39=8|14=0|151=0|"
    venue.send("8", f"{said}103=5|911=0|912=Y|")
    unknown = heard.one(CancelReject)
    assert (unknown.cl_ord_id, unknown.response_to, unknown.unknown_order) == (OURS, "", True)
    heard.events.clear()
    for doubt in ("8", "13", "99"):  # the request was refused: of the order that says nothing
        venue.send("8", f"{said}103={doubt}|58=later|")
    assert (heard.events, heard.codes()) == ([], ["rejected"] * 3)


@pytest.mark.parametrize(
    ("said", "unknown"),
    [("102=1|", True), ("102=316|58=NO_ACTIVE_ORDER|", True), ("102=99|58=Too many requests|", False),
     ("102=99|58=Unknown order|", True)],
)  # fmt: skip
def test_a_refused_cancel_tells_whether_the_order_is_known(said: str, unknown: bool) -> None:
    session, heard, venue = logged_on()
    session.cancel_order(working(), "R1", venue.mono, venue.wall)
    venue.send("9", f"11=R1|41={OURS}|37=6530219|39=8|434=1|{said}")
    reject = heard.one(CancelReject)
    assert (reject.cl_ord_id, reject.request_id, reject.unknown_order) == (OURS, "R1", unknown)


@pytest.mark.parametrize(("final", "events", "codes"), [(False, 0, ["rejected"]), (True, 1, [])])
def test_a_session_reject_does_not_end_an_order_unless_told_that_it_does(
    final: bool, events: int, codes: list[str]
) -> None:
    session, heard, venue = logged_on(reject_is_final=final)
    session.new_order(order(), BTC, OURS, venue.mono, venue.wall)
    venue.send("3", f"45={venue.last('D').seq_num}|372=D|373=5|371=38|58=no|")
    assert (len(heard.events), heard.codes()) == (events, codes)
    session.cancel_order(working(), "R1", venue.mono, venue.wall)
    heard.events.clear()
    venue.send("3", f"45={venue.last('F').seq_num}|373=5|58=no|")
    assert heard.one(CancelReject).unknown_order is False


def test_a_mass_cancel_is_accepted_by_its_echo_alone() -> None:
    session, heard, venue = logged_on()
    session.mass_cancel(BTC, "M1", venue.mono, venue.wall)
    venue.send("r", "11=M1|530=1|531=1|19=x|")
    assert heard.one(MassCancelReport).response == "1"
    heard.events.clear()
    venue.send("r", "11=M1|530=1|532=1|")
    refused = heard.one(MassCancelReport)
    assert (refused.response, refused.reason_code) == ("0", "1")


def test_drop_copy_hears_reports_and_is_not_alarmed_by_refused_cancels() -> None:
    heard = Heard()
    ctx = context("crypto_com", Kind.DROPCOPY, [BTC], "DESK", "CDC.DC", username=KEY, password=SECRET)
    session = D.dropcopy(ctx, heard)
    venue = Venue(session, heard, "DESK", "CDC.DC")
    logon = venue.logon()
    assert (logon.has(6867), logon.get_bool(141), session.phase) == (False, None, SessionPhase.READY)
    assert logon.get_str(554) == logon_signature(SECRET, 1, KEY, logon.get_str(96) or "", market_data=False)
    venue.send("8", f"11={OURS}|37=1|17=E1|150=0|39=0|54=1|55=BTC_USDT|38=1.5|14=0|151=1.5|")
    venue.send("9", f"11=R1|41={OURS}|37=1|39=0|434=1|")
    assert (heard.one(ExecutionReport).drop_copy, heard.alerts) == (True, [])


# --- market data


def marketdata(sink: Any = None, *, depth: int = 0, **options: Any) -> tuple[Venue, Heard, Any]:
    heard, records = Heard(), sink or Records()
    ctx = context(
        "crypto_com", Kind.MARKETDATA, [BTC], "DESK", "CDC.MD", venue_options=PROMPT | options, username=KEY,
        password=SECRET, depth=depth,
    )  # fmt: skip
    return Venue(D.marketdata(ctx, heard, records), heard, "DESK", "CDC.MD"), heard, records


def requests(venue: Venue) -> list[dict[int, str]]:
    """Market-data requests that left, each by tag (of a repeated one the last)."""
    return [{t: v.decode() for t, v in m.fields()} for m in venue.take() if m.msg_type == "V"]


BOOK = "book.BTC_USDT.150"


def update(number: int, before: str, *entries: str, channel: str = BOOK) -> str:
    """Body of 35=X or W; an entry is TYPE PX QTY or TYPE PX (gone)."""
    rows = [e.split() for e in entries]
    body = "".join(
        f"279={0 if len(r) > 2 else 2}|269={r[0]}|270={r[1]}|271={r[2] if len(r) > 2 else 0}|346=1|" for r in rows
    )
    head = f"262={channel}|278={number}|{f'280={before}|' if before else ''}55=BTC_USDT|10273=1775572325123|"
    return f"{head}268={len(rows)}|{body}"


def test_book_and_trades_are_channels_of_their_own() -> None:
    venue, _, _ = marketdata(depth=1)
    venue.logon()
    book, trades = requests(venue)
    wanted = {263: "1", 265: "1", 547: "N", 146: "1", 55: "BTC_USDT"}
    assert book.items() >= (wanted | {262: "book.BTC_USDT.1", 264: "1", 266: "Y", 267: "2"}).items()
    assert trades.items() >= (wanted | {262: "trade.BTC_USDT", 264: "0", 266: "N", 267: "1", 269: "2"}).items()
    quiet, _, _ = marketdata(trades=False)
    quiet.logon()
    assert [r[262] for r in requests(quiet)] == [BOOK]


def live(**options: Any) -> tuple[Venue, Heard, Books]:
    venue, heard, books = marketdata(Books(2, [(2, 5)]), **options)
    venue.logon()
    venue.take()
    if options.get("first_refresh") != "update":
        venue.send("W", update(10, "", "0 99 2", "1 101 3"))
        assert books.live()
    return venue, heard, books


def levels(books: Books) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    book = books.builder.books.book(0)
    return [level[:2] for level in book.side(0)], [level[:2] for level in book.side(1)]


def test_updates_follow_each_other_by_name_whatever_their_numbers() -> None:
    venue, _, books = live()
    venue.send("X", update(17, "10", "0 99.5 1"))
    venue.send("X", update(40, "17", "1 101"))
    assert (books.breaks, books.builder.books.last_id(0)) == ([], 40)
    assert levels(books) == ([(9_950, 100_000), (9_900, 200_000)], [])


@pytest.mark.parametrize(("number", "before"), [(20, "18"), (20, "11"), (20, "5")], ids=["hole", "inside", "older"])
def test_an_update_that_does_not_name_the_last_one_breaks_the_book(number: int, before: str) -> None:
    venue, _, books = live()
    venue.send("X", update(17, "10", "0 99.5 1"))
    venue.send("X", update(number, before, "0 99.4 1"))
    assert books.builder.state(0) == (BookState.STALE, BookReason.GAP)


def test_a_broken_book_is_left_and_had_again_on_the_same_channel() -> None:
    venue, heard, books = live()
    session = venue.session
    session.refresh(0, venue.mono, venue.wall)  # type: ignore[attr-defined]
    off, on = requests(venue)
    assert (off[262], off[263], on[262], on[263]) == (BOOK, "2", BOOK, "1")
    venue.send("X", update(12, "10", "0 99.5 1"))  # still of the old subscription
    venue.send("W", update(12, "", "0 98 1", "1 102 1"))
    venue.send("X", update(15, "12", "0 98.5 1"))
    assert (books.live(), heard.codes()) == (True, [])
    assert levels(books)[0] == [(9_850, 100_000), (9_800, 100_000)]


def test_an_empty_book_is_said_by_an_entry_of_its_own() -> None:
    venue, _, books = live()
    body = update(17, "10", "0 99.5 1").replace("268=1|", "268=3|") + "279=0|269=J|279=0|269=1|270=103|271=1|"
    venue.send("X", body)
    assert (books.live(), levels(books)) == (True, ([], [(10_300, 100_000)]))
    venue.send("X", update(18, "17", "0 99 1"))
    assert (books.live(), levels(books)[0]) == (True, [(9_900, 100_000)])


def test_an_update_that_names_none_before_it_begins_the_book() -> None:
    venue, _, books = live()
    venue.send("X", update(50, "", "0 97 1", "1 103 1"))
    assert (books.live(), levels(books)) == (True, ([(9_700, 100_000)], [(10_300, 100_000)]))


def test_the_first_update_may_be_the_whole_book_where_that_is_configured() -> None:
    first = update(17, "16", "0 97 1", "1 103 1")
    venue, _, books = live(first_refresh="update")
    venue.send("X", first)
    venue.send("X", update(18, "17", "0 97"))
    assert (books.live(), levels(books)) == (True, ([], [(10_300, 100_000)]))
    venue, _, waiting = marketdata(Books(2, [(2, 5)]))
    venue.logon()
    venue.send("X", first)
    assert not waiting.live()


@pytest.mark.parametrize("number", ["", "278=abc|"])
def test_a_book_without_a_number_is_not_to_be_believed(number: str) -> None:
    venue, _, books = live()
    venue.send("X", update(17, "10", "0 99.5 1").replace("278=17|", number))
    assert books.builder.state(0) == (BookState.STALE, BookReason.NUMBER)


def test_a_trade_has_its_id_its_time_and_who_took() -> None:
    venue, _, records = marketdata()
    venue.logon()
    body = update(991, "", "2 100.5 0.25", channel="trade.BTC_USDT")
    venue.send("X", body + "10851=2|880=m5|")
    (record,) = records.take()
    (trade,) = record.changes
    assert (trade.side, trade.px, trade.qty, trade.key, trade.aggressor) == (2, 10_050, 25_000, 991, 2)
    assert trade.time_ns == 1_775_572_325_123_000_000


def test_a_refused_channel_is_tried_again() -> None:
    venue, heard, _ = marketdata()
    venue.logon()
    venue.take()
    venue.send("Y", f"262={BOOK}|281=0|58=no such channel|")
    assert heard.codes() == ["md_rejected"]
    venue.advance(2 * SECOND)
    assert [r[262] for r in requests(venue)] == [BOOK]


ATTRIBUTES = ["px_digits=5", "qty_digits=4", "tick_size=6", "lot_size=7", "tradable=9"]


@pytest.mark.parametrize(
    ("said", "status", "confirmed"),
    [("871=5|872=2|871=4|872=5|871=6|872=0.01|871=9|872=true|", "TRADING", True),
     ("871=6|872=0.05|871=7|872=0.00001|871=9|872=N|871=77|872=?|", "HALTED", True),
     ("871=5|872=3|", "HALTED", False)],
)  # fmt: skip
def test_reference_data_is_read_where_its_codes_are_configured(said: str, status: str, confirmed: bool) -> None:
    venue, heard, _ = marketdata(instrument_attributes=ATTRIBUTES)
    venue.logon()
    assert {t: v for t, v in sent(venue, "x") if t != 320} == {263: "1", 559: "0"}
    venue.send("y", "320=I|322=1|560=0|893=N|146=1|55=ETH_USDT|870=1|871=5|872=9|")
    venue.send("y", f"320=I|322=2|560=0|893=Y|146=1|55=BTC_USDT|870=3|{said}")
    definition = heard.one(InstrumentDefinition)
    assert (definition.instrument, definition.status, definition.confirmed) == ("BTC-USDT", status, confirmed)
    venue.send("y", "320=I|322=1|560=3|")
    assert "security_list" in heard.codes()


# --- REST


def rest() -> Any:
    venue = VenueConfig(dialect="crypto_com", instruments=[], rest=RestConfig(address="https://127.0.0.1:1"))
    return D.rest(venue, KEY, SECRET)


def test_a_request_is_a_signed_envelope() -> None:
    request = rest().cancel_order(WALL, BTC, "18342311", "")
    assert (request.method, request.target) == ("POST", "/exchange/v1/private/cancel-order")
    said = json.loads(request.body)
    wanted = rest_signature(SECRET, "private/cancel-order", said["id"], KEY, {"order_id": "18342311"}, said["nonce"])
    assert (said["sig"], said["api_key"], said["nonce"]) == (wanted, KEY, WALL // 1_000_000)
    params = {"b": "2", "a": "1"}
    assert rest_signature("secretKey", "m", 11, "token", params, 7) == (
        "06e6690c73cbf84a3c07ad3a729e841c67c868af4c91b0dd8b1493de9f876451"
    )


TRADE = {
    "trade_id": "38554669", "order_id": "19708564", "instrument_name": "BTC_USDT", "side": "BUY",
    "traded_price": "51278.5", "traded_quantity": "0.05", "fees": "-1.025570", "fee_instrument_name": "USD",
    "taker_side": "MAKER", "create_time_ns": "1613570791060827635",
}  # fmt: skip


def answer(result: Any = None, code: int | str = 0, message: str = "") -> bytes:
    said = {"id": 1, "method": "private/x", "code": code, "message": message}
    return json.dumps(said | ({"result": result} if result is not None else {})).encode()


def test_trades_go_back_in_time_by_pages_that_overlap_by_a_nanosecond() -> None:
    ns = 1_613_570_791_060_827_635
    page = rest().parse_trades(200, answer({"data": [TRADE | {"create_time_ns": str(ns + n)} for n in range(100)]}))
    assert (page.newest_first, page.cursor, page.trades[0].transact_ns) == (True, str(ns + 1), ns + 99)
    assert (page.trades[0].fees, page.trades[0].liquidity) == ((("USD", "1.025570"),), "M")
    params = json.loads(rest().trades(WALL, working(), 0, page.cursor).body)["params"]
    assert (params["end_time"], params["instrument_name"]) == (page.cursor, "BTC_USDT")
    assert int(params["start_time"]) == ns + 1 - 7 * 86_400 * SECOND
    assert rest().parse_trades(200, answer({"data": [TRADE]})).cursor == ""


ORDER = {
    "order_id": "19848525", "client_oid": "x", "instrument_name": "BTC_USDT", "side": "SELL", "quantity": "0.0100",
    "limit_price": "50000.0", "cumulative_quantity": "0.0000", "status": "ACTIVE", "update_time": "1613575617173",
}  # fmt: skip


@pytest.mark.parametrize(
    ("said", "status"),
    [({}, "0"), ({"cumulative_quantity": "0.005"}, "1"), ({"status": "FILLED"}, "2"), ({"status": "CANCELED"}, "4"),
     ({"status": "EXPIRED"}, "C"), ({"status": "REJECTED"}, "8"), ({"status": "PENDING"}, "A")],
)  # fmt: skip
def test_rest_states_are_those_of_fix(said: dict[str, str], status: str) -> None:
    assert rest().parse_order(200, answer(ORDER | said)).status == status


def test_what_the_venue_says_of_an_order_that_is_not_there() -> None:
    assert rest().parse_order(200, answer(code=40401, message="NOT_FOUND")) is None
    with pytest.raises(VenueError, match="42901 TOO_MANY_REQUESTS"):
        rest().parse_order(429, answer(code="42901", message="TOO_MANY_REQUESTS"))
    with pytest.raises(VenueError, match=r"order\.status"):
        rest().parse_order(200, answer(ORDER | {"status": "ODD"}))


@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [(200, 0, "CANCELLED"), (500, 316, "DONE"), (200, "40401", "NOT_FOUND"), (429, 42901, "RATE_LIMITED"),
     (500, 309, "REFUSED"), (400, 50001, "UNKNOWN"), (408, 40801, "UNKNOWN")],
)  # fmt: skip
def test_an_answer_to_a_single_cancel_is_an_outcome(status: int, code: int | str, outcome: str) -> None:
    assert rest().parse_cancel_order(status, answer(code=code, message="words")).outcome is CancelOutcome[outcome]
    assert rest().parse_cancel_order(429, b"<html>").outcome is CancelOutcome.RATE_LIMITED


def test_positions_keep_their_sign() -> None:
    said = {"data": [{"instrument_name": "BTCUSD-PERP", "quantity": "-0.1984", "type": "PERPETUAL_SWAP"}]}
    (position,) = rest().parse_positions(200, answer(said))
    assert (position.symbol, position.qty) == ("BTCUSD-PERP", "-0.1984")


# --- plan and configuration


def test_capabilities_and_plan_follow_the_configuration() -> None:
    bare = VenueConfig(dialect="crypto_com", instruments=[], options={"cancel_on_disconnect": "session"})
    claims, plan = D.capabilities(bare), D.cancel_plan(bare)
    assert (claims.replace, claims.disconnect, claims.open_orders, claims.reference_data) == (
        Replace.NONE, Disconnect.CANCELS, OpenOrders.STATUS_EACH, False,
    )  # fmt: skip
    assert {s.action: (s.reaches, s.certain) for s in plan.steps} == {
        "own_mass_cancel": ("account", False), "owner_mass_cancel": ("account", False),
        "owner_cancel_each": ("session", True), "owner_disconnect": ("connection", True),
    }  # fmt: skip
    amends = VenueConfig(dialect="crypto_com", instruments=[], options={"amend": "cancel_new"})
    assert D.capabilities(amends).replace is Replace.CANCEL_NEW
    keeps = VenueConfig(dialect="crypto_com", instruments=[], options={"cancel_on_disconnect": "off"})
    assert "owner_disconnect" not in [s.action for s in D.cancel_plan(keeps).steps]


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"username": ""}, "username"), ({"password": ""}, "password"), ({"kind": Kind.MARKETDATA, "level": 3}, "level"),
     ({"kind": Kind.MARKETDATA, "depth": 50}, "depth"), ({"options": {"amend": "yes"}}, "amend"),
     ({"options": {"receive_window_ms": 50}}, "receive_window_ms"),
     ({"options": {"self_match_scope": "M"}}, "self_match_scope"),
     ({"options": {"instrument_attributes": ["tick_size"]}}, "instrument_attributes"),
     ({"kind": Kind.MARKETDATA, "sender_comp_id": "PRD3.DESK_ETH.MD.00"}, "BTC-USDT is had from the venue's BTC")],
)  # fmt: skip
def test_what_the_venue_does_not_take_is_a_config_error_with_its_path(changes: dict[str, Any], words: str) -> None:
    fields = {
        "venue": "v", "kind": Kind.TRADING, "address": "x:1", "sender_comp_id": "A", "target_comp_id": "B",
        "username": "env:U", "password": "env:P",
    }  # fmt: skip
    btc = InstrumentConfig(name="BTC-USDT", symbol="BTC_USDT", px_scale=2, qty_scale=5)
    with pytest.raises(ConfigError, match=rf"session\.s\..*{words}"):
        D.check(
            VenueConfig(dialect="crypto_com", instruments=[btc]), {"s": SessionConfig(**{**fields, **changes})}, "v"
        )


def test_each_symbol_is_had_from_its_own_servers() -> None:
    names = {"BTC": ["BTC-USDT", "BTC-USD-PERP"], "ETH": ["ETH-BTC", "ETH-USDT"], "OTHERS": ["CRO-USDT"]}
    items = [
        InstrumentConfig(name=n, symbol=n, px_scale=2, qty_scale=5) for found in names.values() for n in found
    ]  # fmt: skip
    venue = VenueConfig(dialect="crypto_com", instruments=items)
    for part, found in names.items():
        session = SessionConfig(
            venue="v", kind=Kind.MARKETDATA, address="x:1", sender_comp_id=f"UAT1.DESK_{part}.MD.00",
            target_comp_id="UAT1.CDC.MD", username="env:U", password="env:P", instruments=found,
        )  # fmt: skip
        D.check(venue, {"s": session}, "v")


# --- wire samples of the documentation (REST and WebSocket share their frames)


def test_requests_are_framed_as_the_documentation_has_them() -> None:
    asked = [json.loads(f.text) for f in frames("crypto-com") if f.direction == "out"]
    assert len(asked) == 4
    for wanted in asked:
        made = envelope(KEY, SECRET, wanted["method"], wanted["id"], wanted.get("params", {}), 1_611_169_184_000)
        assert {name: json.loads(made)[name] for name in wanted} == wanted


def test_answers_mean_what_the_documentation_says() -> None:
    said = {f.title.removesuffix("-response"): f.text.encode() for f in frames("crypto-com") if f.direction == "in"}
    assert set(said) == {"private-cancel-all-orders", "private-set-cancel-on-disconnect", "private-cancel-order"}
    assert rest().parse_cancel_all(200, said["private-cancel-all-orders"]) is None
    one = rest().parse_cancel_order(200, said["private-cancel-order"])
    assert (one.outcome, one.text) == (CancelOutcome.CANCELLED, "0 NO_ERROR")
    # The setting of WebSocket sessions, which are not used here: the envelope is the same, and no list of orders.
    with pytest.raises(VenueError, match="data"):
        rest().parse_open_orders(200, said["private-set-cancel-on-disconnect"])
