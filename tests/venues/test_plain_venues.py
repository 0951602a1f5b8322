"""Venues that the plain dialect carries, as config/examples has them, held against what is documented of them."""

import os
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from base.config import DeskConfig, Kind, load
from base.errors import ConfigError, VenueError
from fix.codec import Message, encode, parse_utc_ns
from fix.dictionary import Checks
from ipc.events import ExecutionReport, MassCancelReport
from ipc.requests import NewOrder
from tests.venues.kit import SECOND, Heard, Record, Records, Venue, raw
from tests.venues.samples import Sample, samples
from venues.context import dialect_of
from venues.dictionaries import check_dictionary, venue_dictionary
from venues.fix44 import settings as plain
from venues.interface import OpenOrders, SessionContext, SessionPhase, WorkingOrder
from venues.kraken.signing import logon_password
from venues.options import Value

EXAMPLES = Path(__file__).parents[2] / "config" / "examples"
SEED = bytes(range(32))
FILE = Path(os.environ.get("QUARTERDECK_DATA", Path(__file__).parents[3] / "shared" / "data")) / "fix" / "bitfinex.fix"
HEADER = (8, 9, 35, 34, 49, 56, 52, 10)


class Played:
    """A session of an example configuration, and the venue at its other end."""

    def __init__(self, example: str, session: str, *, wall: int = 0) -> None:
        self.desk: DeskConfig = load(EXAMPLES / f"{example}.toml")
        config = self.desk.config.session[session]
        self.heard, self.records = Heard(), Records()
        ctx = SessionContext(
            name=session, config=config, venue=self.desk.config.venue[config.venue],
            instruments=self.desk.session_instruments(session), epoch=wall or 1, username="KEY",
            password=b64encode(SEED).decode(), passphrase="USER",
        )  # fmt: skip
        (self.instrument,) = ctx.instruments
        maker = dialect_of(self.desk, config.venue)
        self.capabilities = maker.capabilities(ctx.venue)
        if config.kind is Kind.MARKETDATA:
            self.session: Any = maker.marketdata(ctx, self.heard, self.records)
        elif config.kind is Kind.DROPCOPY:
            self.session = maker.dropcopy(ctx, self.heard)
        else:
            self.session = maker.trading(ctx, self.heard)
        self.venue = Venue(self.session, self.heard, config.sender_comp_id, config.target_comp_id)
        self.venue.wall = wall or self.venue.wall

    def report(self, body: str) -> ExecutionReport:
        self.heard.events.clear()
        self.venue.send("8", body)
        return self.heard.one(ExecutionReport)  # type: ignore[no-any-return]

    def sent(self, msg_type: str) -> dict[int, str]:
        return body_of(self.venue.last(msg_type))

    def working(self, **changes: Any) -> WorkingOrder:
        fields = {
            "instrument": self.instrument, "cl_ord_id": "2000", "order_id": "77", "side": "2", "ord_type": "2",
            "time_in_force": "1", "order_qty": 10_000_000, "price": 200_000_000, "stop_px": None, "leaves_qty": 1,
        }  # fmt: skip
        return WorkingOrder(**{**fields, **changes})

    def order(self, **changes: Any) -> NewOrder:
        fields = {
            "client_id": "", "command_id": "", "deadline_ns": 0, "venue": self.instrument.venue,
            "instrument": self.instrument.name, "side": "2", "ord_type": "2", "order_qty": 10_000_000,
            "price": 200_000_000,
        }  # fmt: skip
        return NewOrder(**{**fields, **changes})


def body_of(message: Message) -> dict[int, str]:
    return {t: v.decode() for t, v in message.fields() if t not in HEADER}


# --- Bitfinex, from the samples of its gateway's README

MD_TYPES = ("V", "W", "X")


def bitfinex(sample: Sample) -> Played:
    """The sample played to a session of the example that had sent and heard all that was before it."""
    md = sample.get(35) in MD_TYPES
    p = Played("bitfinex", "bitfinex-md" if md else "bitfinex-trd", wall=parse_utc_ns(sample.get(52).encode()))
    p.venue.logon()
    p.venue.take()
    p.venue.seq = int(sample.get(34)) if sample.direction == "in" else p.venue.seq
    store = p.session._store
    store.reset(store.created_ns, store.next_out, p.venue.seq)
    return p


def played(sample: Sample) -> Played:
    """Its body, from our venue to us: the sample's CompIDs are its authors'."""
    p = bitfinex(sample)
    fields = [(t, v) for t, v in sample.fields if t not in HEADER]
    p.venue.send(sample.get(35), "".join(f"{t}={v}|" for t, v in fields))
    return p


REPORTS: dict[str, dict[str, Any]] = {
    "ExecutionReport-New": {
        "exec_type": "0", "ord_status": "0", "cl_ord_id": "2000", "order_id": "1149698709", "side": "2",
        "order_qty": 10_000_000, "price": 200_000_000, "leaves_qty": 10_000_000, "cum_qty": 0, "fees": (),
        "exec_id": "935a0300-2f34-4908-9e03-6b899f9718c6", "ord_type": "2",
    },
    "ExecutionReport-Filled": {
        "exec_type": "F", "ord_status": "2", "cl_ord_id": "2002", "last_qty": 10_000_000, "last_px": 16_635_000,
        "cum_qty": 150_000_000, "leaves_qty": 0, "fees": (("USD", "0.3327"),), "ord_type": "1", "price": None,
    },
    "ExecutionReport-Canceled": {
        "exec_type": "4", "ord_status": "4", "cl_ord_id": "2000", "leaves_qty": 0, "text": "CANCELED", "fees": (),
    },
    "ExecutionReport-New-market": {
        "exec_type": "0", "ord_status": "0", "cl_ord_id": "1", "side": "1", "order_qty": 5_000_000, "ord_type": "1",
    },
    "ExecutionReport-Filled-market": {
        "exec_type": "F", "ord_status": "2", "cl_ord_id": "1", "last_qty": 5_000_000, "last_px": 8_500_000,
        "fees": (("BTC", "0.0001"),), "leaves_qty": 0,
    },
}  # fmt: skip


def bitfinex_samples() -> list[Sample]:
    if not FILE.exists():
        return []
    return [s._replace(title=s.title.partition(" ")[0]) for s in samples("bitfinex")]


def named(title: str) -> Sample:
    if not FILE.exists():
        pytest.skip(f"no wire samples at {FILE}")
    return next(s for s in bitfinex_samples() if s.title == title)


@pytest.mark.parametrize("title", REPORTS)
def test_what_bitfinex_reports_means_what_its_gateway_says(title: str) -> None:
    report = played(named(title)).heard.one(ExecutionReport)
    assert {k: getattr(report, k) for k in REPORTS[title]} == REPORTS[title]
    assert report.instrument == "BTC-USD"
    assert report.defects == ()


def test_every_sample_of_bitfinex_has_its_test() -> None:
    if not FILE.exists():
        pytest.skip(f"no wire samples at {FILE}")
    others = {
        "MarketDataRequest-top-P0", "MarketDataRequest-raw-book-R0", "MarketDataSnapshotFullRefresh",
        "MarketDataIncrementalRefresh-trade", "NewOrderSingle-limit", "NewOrderSingle-market-buy", "OrderCancelRequest",
    }  # fmt: skip
    assert {s.title for s in bitfinex_samples()} == others | set(REPORTS)


def subscribed(sample: Sample) -> tuple[Played, dict[int, str]]:
    p = bitfinex(sample._replace(direction="out"))
    p.session.disconnected("again", p.venue.mono, p.venue.wall)
    p.venue.logon()
    return p, p.sent("V")


def market_data(title: str) -> Record:
    sample = named(title)
    p, v = subscribed(sample)
    fields = [(t, v[262] if t == 262 else said) for t, said in sample.fields if t not in HEADER]
    p.venue.send(sample.get(35), "".join(f"{t}={said}|" for t, said in fields))
    (record,) = p.records.take()
    assert not record.flags & 256
    return record


def test_bitfinex_books_and_trades_are_read() -> None:
    book = market_data("MarketDataSnapshotFullRefresh")
    assert book.kind == 1
    assert [(c.side, c.px, c.qty) for c in book.changes] == [(0, 16_639_000, 4_000_000), (1, 16_708_000, 10_000_000)]
    trade = market_data("MarketDataIncrementalRefresh-trade")
    assert [(c.side, c.px, c.qty) for c in trade.changes] == [(2, 16_710_000, 10_000_000)]


@pytest.mark.parametrize("title", ["MarketDataRequest-top-P0", "MarketDataRequest-raw-book-R0"])
def test_books_are_asked_for_as_bitfinex_wants_it(title: str) -> None:
    sample = named(title)
    _, mine = subscribed(sample)
    theirs = {t: v for t, v in sample.fields if t not in HEADER}
    changed = {262: mine[262], 264: "1", 55: "tBTCUSD", 20003: "P0"}  # of the second sample: no raw books here
    assert mine == theirs | changed


def test_orders_and_cancels_are_bitfinexs() -> None:
    p = bitfinex(named("NewOrderSingle-limit"))
    ours = p.session.make_cl_ord_id(p.venue.wall)
    assert (ours.isdecimal(), len(ours)) == (True, 18)
    for title in ("NewOrderSingle-limit", "NewOrderSingle-market-buy"):
        sample = named(title)
        priced = sample.get(40) == "2"
        order = p.order(
            side=sample.get(54), ord_type=sample.get(40), order_qty=p.instrument.qty(sample.get(38)),
            price=p.instrument.px(sample.get(44)) if priced else None,
        )  # fmt: skip
        p.session.new_order(order, p.instrument, sample.get(11), p.venue.mono, parse_utc_ns(sample.get(60).encode()))
        theirs = {t: v for t, v in sample.fields if t not in HEADER} | {59: "1"}
        mine = p.sent("D")
        for tag in (38, 44):
            assert mine.pop(tag, "0").rstrip("0") == (theirs.pop(tag, "0").rstrip("0").rstrip(".") or "0").rstrip("0")
        assert mine == theirs
    sample = named("OrderCancelRequest")
    wall = parse_utc_ns(sample.get(60).encode())
    p.session.cancel_order(p.working(), sample.get(11), p.venue.mono, wall)
    assert p.sent("F") == {t: v for t, v in sample.fields if t not in HEADER}


def test_the_samples_pass_the_dictionary() -> None:
    named("OrderCancelRequest")
    d = venue_dictionary("bitfinex", "FIX.4.2")
    assert d.notes == ()
    assert {s.title: d.faults(s.raw, Checks(group_order=False)) for s in bitfinex_samples()} == {
        s.title: [] for s in bitfinex_samples()
    }


def test_bitfinex_is_told_key_secret_and_user_in_the_clear_and_logs_mask_them() -> None:
    p = Played("bitfinex", "bitfinex-trd")
    logon = body_of(p.venue.connect())
    assert {t: logon[t] for t in (20000, 20001, 20002, 8013)} == {
        20000: "KEY", 20001: b64encode(SEED).decode(), 20002: "USER", 8013: "Y",
    }  # fmt: skip
    assert p.session.secret_tags == (20001, 20002)
    assert p.capabilities.open_orders is OpenOrders.NONE


def test_a_delete_that_names_no_price_makes_the_book_begin_anew() -> None:
    p = Played("bitfinex", "bitfinex-md")
    p.venue.logon()
    first = p.sent("V")[262]
    p.venue.send("W", f"262={first}|55=tBTCUSD|268=1|269=0|270=1|271=1|")
    p.records.take()
    p.venue.send("X", f"262={first}|268=1|279=2|269=0|55=tBTCUSD|270=0.0000|271=1|")
    assert p.records.take() == []
    p.venue.advance(SECOND)
    assert [(m.get_str(263), m.get_str(262) == first) for m in p.venue.take() if m.msg_type == "V"] == [
        ("2", True), ("1", False),
    ]  # fmt: skip
    assert len(p.records.subscriptions) == 2


# --- HTX


def test_htx_is_met_with_the_signature_that_its_page_describes() -> None:
    p = Played("htx", "htx-trd")
    message = p.venue.connect()
    logon = body_of(message)
    assert (message.seq_num, logon[141], logon[553], message.get_str(56)) == (1, "Y", "KEY", "spot")
    signed = "\x01".join(["YOURDESKORDERS01", "spot", "1", message.get_str(52) or "", ""]).encode()
    key = Ed25519PrivateKey.from_private_bytes(SEED).public_key()
    key.verify(b64decode(logon[96]), signed)
    assert int(logon[95]) == len(logon[96])


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("150=creation|39=3|", ("0", "0")), ("150=rejected|39=1|58=no|", ("8", "8")),
        ("150=cancellation|39=7|", ("4", "4")), ("150=cancellation|39=6|", ("4", "4")),
        ("150=cancellation|39=2|", ("4", "4")), ("150=clearing|39=5|1003=T1|", ("I", "2")),
        ("150=trade|39=4|1003=T1|31=9|32=1|", ("F", "1")), ("150=trade|39=5|1003=T1|31=9|32=1|1057=true|", ("F", "2")),
    ],
)  # fmt: skip
def test_htxs_words_and_numbers_are_read_as_the_standards(said: str, means: tuple[str, str]) -> None:
    p = Played("htx", "htx-trd")
    p.venue.logon()
    report = p.report(f"11=A1|37=5|55=btcusdt|54=1|40=buy-limit|38=2|151=1|14=1|{said}")
    assert (report.exec_type, report.ord_status) == means
    traded = "150=trade" in said
    assert (report.exec_id, report.trade_id) == (("T1", "T1") if traded else ("", ""))
    assert report.liquidity == ("T" if "1057=true" in said else "")
    assert report.defects == (() if traded else ("17: is missing",))


def test_htx_cancels_by_the_venues_id_and_the_whole_account_at_once() -> None:
    p = Played("htx", "htx-trd")
    p.venue.logon()
    now = p.venue.mono, p.venue.wall
    p.session.cancel_order(p.working(), "C1", *now)
    assert p.sent("F") == {11: "C1", 37: "77"}
    p.session.cancel_order(p.working(order_id=""), "C2", *now)
    assert p.sent("F") == {11: "C2", 41: "2000"}
    p.session.mass_cancel(None, "M1", *now)
    assert p.sent("q") == {11: "M1", 530: "1"}
    with pytest.raises(VenueError, match="every instrument"):
        p.session.mass_cancel(p.instrument, "M2", *now)
    with pytest.raises(VenueError, match="35=D"):
        p.session.new_order(p.order(), p.instrument, "A1", *now)
    p.venue.send("r", "11=M1|531=1|533=3|534=0|")
    report = p.heard.one(MassCancelReport)
    assert (report.response, report.affected) == ("1", 3)


def test_htxs_books_are_whole_and_count_under_whatever_id() -> None:
    p = Played("htx", "htx-md")
    p.venue.logon()
    v = p.sent("V")
    assert v == {262: v[262], 263: "0", 264: "20", 146: "1", 55: "btcusdt"}
    p.venue.send("W", "262=1|83=7|55=btcusdt|268=2|269=0|270=9|271=1|269=1|270=10|271=2|")
    p.venue.send("X", "262=1|268=1|269=2|279=0|55=btcusdt|278=44|270=9.5|271=1|60=20260407-14:32:05.001000|54=1|")
    book, trade = p.records.take()
    assert (book.kind, book.last_id, len(book.changes), trade.changes[0].key) == (1, 7, 2, 44)
    assert {book.req_key, trade.req_key} == {p.session._subscriptions[0]._key}
    assert p.session.counters()["snapshots"] == 1


def test_several_instruments_in_one_of_htxs_sessions_are_refused() -> None:
    desk = load(EXAMPLES / "htx.toml")
    venue = desk.config.venue["htx"]
    two = [*venue.instruments, *venue.instruments]
    with pytest.raises(ConfigError, match=r"htx-md\.instruments: one a session"):
        _check(desk, "htx", instruments=two)
    with pytest.raises(ConfigError, match=r"htx-md\.depth: 20 is not one of \[1\]"):
        _check(desk, "htx", options={**venue.options, "depths": ["1"]})


def _check(desk: DeskConfig, name: str, **changes: Any) -> None:
    venue = replace(desk.config.venue[name], **changes)
    sessions = {n: s for n, s in desk.config.session.items() if s.venue == name}
    dialect_of(desk, name).check(venue, sessions, f"venue.{name}")


# --- Kraken's drop copy


def test_krakens_drop_copy_is_met_with_the_signature_of_its_trading_sessions() -> None:
    p = Played("kraken_us_perps", "perps-dc")
    message = p.venue.logon()
    logon = body_of(message)
    comp_ids = "YOUR-COMP-ID", "KRAKEN-PERPS-DC"
    assert logon[554] == logon_password(SEED, message.seq_num, *comp_ids, "KEY", logon[5025])
    assert int(logon[5025]) == p.venue.wall // 1_000_000
    assert p.session.phase is SessionPhase.READY


def test_a_copy_is_told_as_one_and_what_comes_again_carries_its_mark() -> None:
    p = Played("kraken_us_perps", "perps-dc")
    p.venue.logon()
    body = (
        "37=O1|11=9|17=E1|150=F|39=1|55=YOUR-SYMBOL|48=3|54=1|38=2|31=100|32=1|151=1|14=1|6=100|136=1|137=0.1|138=USD|"
    )
    report = p.report(body)
    assert (report.drop_copy, report.exec_type, report.last_qty, report.fees) == (
        True, "F", 10_000, (("USD", "0.1"),),
    )  # fmt: skip
    p.heard.events.clear()
    p.venue.send("8", body, header=b"97=Y\x01")
    again = p.heard.one(ExecutionReport)
    assert (again.exec_id, again.poss_resend) == ("E1", True)
    assert p.capabilities.kinds == {Kind.DROPCOPY}


# --- Bitstamp, CEX.IO


@pytest.mark.parametrize(("example", "session"), [("bitstamp", "bitstamp-trd"), ("cex_io", "cex-trd")])
def test_where_little_is_known_the_standard_is_spoken_and_nothing_relied_on(example: str, session: str) -> None:
    p = Played(example, session)
    logon = body_of(p.venue.logon())
    assert (logon[141], logon[553]) == ("Y", "KEY")
    assert (p.capabilities.resend, p.capabilities.disconnect) == (False, "unknown")
    p.session.new_order(p.order(), p.instrument, "A1", p.venue.mono, p.venue.wall)
    assert p.sent("D")[40] == "2"
    with pytest.raises(VenueError, match="35=G"):
        p.session.replace_order(p.working(), "R1", 1, 1, None, p.venue.mono, p.venue.wall)


def test_news_of_the_venue_reaches_a_person() -> None:
    p = Played("bitstamp", "bitstamp-trd")
    p.venue.logon()
    p.venue.send("B", "148=Sequence number limit|33=1|58=reconnect within 5 s|")
    assert p.heard.alerts == [("warning", "news", "bitstamp-trd: Sequence number limit: reconnect within 5 s")]


# --- the options themselves


def rules(**options: Value) -> plain.Settings:
    return plain.read(options, "options")


def test_the_last_rule_that_holds_counts_and_all_look_at_the_message_as_it_was() -> None:
    writes = rules(writes=["D 40=3 when 40=2", "D 40=9 when 40=3", "D,G 58=x when -58", "D 40=4 when 40=2 54=2"]).writes
    assert writes.written("D", b"40=2\x0154=1\x01") == b"40=3\x0154=1\x0158=x\x01"
    assert writes.written("D", b"40=2\x0154=2\x0158=y\x01") == b"40=4\x0154=2\x0158=y\x01"
    assert writes.written("G", b"40=2\x01") == b"40=2\x0158=x\x01"
    assert writes.written("F", b"40=2\x01") == b"40=2\x01"
    with pytest.raises(VenueError, match="refuse when 54=2"):
        rules(writes=["D refuse when 54=2"]).writes.written("D", b"54=2\x01")


_WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=12)
_ODD = st.lists(st.tuples(st.sampled_from((6, 11, 17, 20, 37, 39, 40, 54, 150, 1003, 1057, 9999)), _WORDS), max_size=20)


@settings(max_examples=100)
@given(fields=_ODD)
@pytest.mark.parametrize("example", ["bitfinex", "htx"])
def test_no_report_is_lost_to_its_rules_nor_a_field_that_none_is_about(
    example: str, fields: list[tuple[int, str]]
) -> None:
    (venue,) = load(EXAMPLES / f"{example}.toml").config.venue.values()
    reads = plain.read(dict(venue.options), "options").reads
    body = b"".join(f"{tag}={value}\x01".encode() for tag, value in fields)
    message = Message.parse(encode("FIX.4.4", "8", "V", "D", 7, 10**18, body))
    read = reads.read(message)
    about = {17, 20, 39, 40, 150, 851}
    assert [f for f in read.fields() if f[0] not in {9, 10} | about] == [
        f for f in message.fields() if f[0] not in {9, 10} | about
    ]
    assert (read.seq_num, read.msg_type) == (7, "8")
    assert len(reads.read(read)) == len(read)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"writes": ["D"]}, "writes: 'D' is not"),
        ({"writes": ["D 40=2 when x"]}, "writes"),
        ({"writes": ["D 49=me"]}, "'49=me' cannot be changed"),
        ({"reads": ["8 refuse"]}, "cannot be refused"),
        ({"reads": ["X 270=1"]}, "35=X is decoded in batches"),
        ({"logon": ["553=@me"], "signature": "ed25519"}, "signature: goes with"),
        ({"logon": ["553={key}"]}, "logon: no placeholder 'key'"),
        ({"logon": ["key"]}, "logon: 'key' is not TAG=TEXT"),
        ({"logon": ["96={signature}"], "signature": "ed25519", "signed": "{password}"}, "signed: no placeholder"),
        ({"depths": ["top"]}, "depths: 'top'"),
        ({"begin_string": "FIX.4.3"}, "begin_string"),
    ],
)
def test_an_option_that_cannot_be_is_named(options: dict[str, Value], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        rules(**options)


def test_a_report_with_a_field_that_cannot_be_read_survives_its_rules() -> None:
    body = raw("35=8|34=1|49=V|56=D|52=20260407-14:32:05|11=A|odd|17=E|20=3|150=2|39=2|")
    data = raw(f"8=FIX.4.2|9={len(body)}|") + body
    message = Message.parse(data + raw(f"10={sum(data) % 256:03}|"))
    read = rules(reads=["8 -20 when 20=3", "8 150=F when 150=2"]).reads.read(message)
    assert [v for t, v in read.fields() if t == 0] == [b"odd"]
    assert (read.get(150), read.has(20), read.get(17), read.begin_string) == (b"F", False, b"E", b"FIX.4.2")


def test_a_dictionary_of_nobody_and_a_missing_secret_are_named() -> None:
    desk = load(EXAMPLES / "bitfinex.toml")
    venue = replace(desk.config.venue["bitfinex"], dictionary="nobody")
    with pytest.raises(ConfigError, match=r"venue\.bitfinex\.dictionary: 'nobody' has none; there are \['binance'"):
        check_dictionary(venue, "venue.bitfinex")
    check_dictionary(desk.config.venue["bitfinex"], "venue.bitfinex")
    session = replace(desk.config.session["bitfinex-trd"], passphrase="")
    with pytest.raises(ConfigError, match=r"bitfinex-trd\.passphrase: missing"):
        dialect_of(desk, "bitfinex").check(desk.config.venue["bitfinex"], {"bitfinex-trd": session}, "venue.bitfinex")
