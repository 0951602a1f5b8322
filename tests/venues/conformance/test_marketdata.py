"""Market data of every dialect: subscriptions, records, rules, refresh, reference data, as declared."""

from collections.abc import Iterator
from typing import Any

import pytest

from base.config import Kind
from base.instruments import Instrument
from fix.codec import key64
from ipc.events import InstrumentDefinition
from tests.venues.conformance.cases import CASES, Case
from tests.venues.kit import SECOND, Heard, Records, Venue
from venues.interface import SessionPhase

MASK = (1 << 64) - 1
WITH_MD = [c for c in CASES if Kind.MARKETDATA in c.capabilities.kinds]
LEVELS = [(c, level) for c in WITH_MD for level in sorted(c.capabilities.levels)]


def reference_of(case: Case, *, finer: bool = False) -> str:
    """The venue's 35=y for the case's instrument; `finer`: with one decimal of price more than is configured."""
    i = case.instrument
    digits = i.px_scale + finer
    tick = "0." + "0" * (digits - 1) + "1"
    lot = "0." + "0" * (i.qty_scale - 1) + "1"
    if case.name == "kraken":
        return (
            f"320=I|322=1|560=0|146=1|55={i.symbol}|562={lot}|5010={i.qty_scale}|5011={lot}|2349={digits}|5022={tick}|"
            "5032=1|"
        )
    return f"320=I|146=1|55={i.symbol}|15=USD|562={lot}|1140=1000|25039={lot}|969={tick}|29003={lot}|"


def is_book(message: Any) -> bool:
    """Whether this subscribes to a book: it names bids among its entries, or the venue lets nothing be named."""
    entries = [value for tag, value in message.fields() if tag == 269]
    return message.msg_type == "V" and (not entries or b"0" in entries)


class Bench:
    def __init__(self, case: Case, level: int = 2, *, finer: bool = False, told: bool = True) -> None:
        self.case = case
        self.heard, self.records = Heard(), Records()
        self.session: Any = case.dialect.marketdata(
            case.context(Kind.MARKETDATA, level=level), self.heard, self.records
        )
        self.venue = Venue(self.session, self.heard, case.ours, case.target(Kind.MARKETDATA))
        self.venue.logon()
        self.first = self.venue.take()
        if case.capabilities.reference_data and told:
            self.venue.send("y", reference_of(case, finer=finer))
            self.first += self.venue.take()

    @property
    def subscription(self) -> Any:
        """The subscription to the book among what was sent."""
        return next(m for m in self.first if is_book(m))

    def snapshot(self, req_id: str, symbol: str = "") -> None:
        symbol = symbol or self.case.instrument.symbol
        number = "278=5|" if self.case.named_books else ""
        self.venue.send(
            "W",
            f"262={req_id}|{number}55={symbol}|83=5|25044=5|268=2|269=0|278=B1|270=99|271=2|269=1|278=O1|270=101|271=3|",
        )


@pytest.fixture(params=WITH_MD, ids=lambda c: c.id)
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


@pytest.fixture
def bench(case: Case) -> Iterator[Bench]:
    made = Bench(case)
    yield made
    made.session.close()


@pytest.mark.parametrize(("case", "level"), LEVELS, ids=lambda v: v.id if isinstance(v, Case) else str(v))
def test_every_declared_level_is_subscribed_and_decoded(case: Case, level: int) -> None:
    bench = Bench(case, level)
    v = bench.subscription
    assert (v.get(263), v.get_str(55)) == (b"1", case.instrument.symbol)
    bench.snapshot(v.get_str(262))
    (record,) = bench.records.take()
    i = case.instrument
    assert (record.kind, record.instrument) == (1, 0)
    assert [(c.side, c.px, c.qty) for c in record.changes] == [
        (0, 99 * 10**i.px_scale, 2 * 10**i.qty_scale), (1, 101 * 10**i.px_scale, 3 * 10**i.qty_scale),
    ]  # fmt: skip
    assert all(bool(c.key) is (level == 3) for c in record.changes)


def test_the_sink_knows_the_request_before_the_venue_can_answer(bench: Bench) -> None:
    ((index, key, _),) = bench.records.subscriptions
    assert (index, key & MASK) == (0, key64(bench.subscription.get(262)))
    bench.snapshot(bench.subscription.get_str(262))
    (record,) = bench.records.take()
    assert record.req_key & MASK == key & MASK


def test_the_rule_is_what_is_declared(bench: Bench, case: Case) -> None:
    claims = case.capabilities
    rule = bench.records.subscriptions[0][2]
    expected = "checksum" if claims.checksum else "update_ids" if claims.update_ids else "none"
    assert rule.continuity == expected == bench.session.rule.continuity


def test_what_the_rule_needs_is_in_the_records(bench: Bench, case: Case) -> None:
    i = case.instrument
    req = bench.subscription.get_str(262)
    bench.snapshot(req)
    bench.venue.send(
        "X",
        f"262={req}|55={i.symbol}|268=1|279=1|269=0|278=B1|270=99|271=5|55={i.symbol}|25043=6|25044=7|5041=4000000000|"
        if case.name == "binance"
        else f"55={i.symbol}|262={req}|268=1|279=1|269=0|278=B1|270=99|271=5|5041=4000000000|"
        if case.name == "kraken"
        else f"262={req}|278=7|280=5|55={i.symbol}|268=1|279=1|269=0|270=99|271=5|"
        if case.named_books
        else f"262={req}|268=1|279=1|269=0|278=B1|83=7|55={i.symbol}|270=99|271=5|",
    )
    _, update = bench.records.take()
    assert (update.kind, update.changes[0].qty, update.changes[0].action) == (0, 5 * 10**i.qty_scale, 1)
    if case.capabilities.checksum:
        assert (update.flags & 1, update.checksum) == (1, 4_000_000_000)
    if case.capabilities.update_ids:
        assert (update.first_id or 6, update.last_id) == (6, 7)  # where there is one number it is the last


def test_a_refresh_ends_the_old_request_and_begins_another(bench: Bench, case: Case) -> None:
    old = bench.subscription.get_str(262)
    bench.snapshot(old)
    bench.session.refresh(0, bench.venue.mono, bench.venue.wall)
    *off, on = (m for m in bench.venue.take() if m.msg_type == "V")
    ended = [(old, b"2")] if case.ends_subscriptions else []
    assert ([(m.get_str(262), m.get(263)) for m in off], on.get(263)) == (ended, b"1")
    new = on.get_str(262)
    assert (new == old) is bench.case.named_books
    if bench.case.named_books:
        return  # the venue's numbers tell its old updates from the new ones
    assert bench.records.subscriptions[-1][1] & MASK == key64(new.encode())
    bench.records.take()
    bench.snapshot(old)  # still on its way when the venue read the unsubscribe
    bench.snapshot(new)
    stale, fresh = bench.records.take()
    assert stale.req_key != fresh.req_key
    assert fresh.req_key & MASK == bench.records.subscriptions[-1][1] & MASK


def test_a_number_too_fine_is_a_defect_of_its_record(bench: Bench, case: Case) -> None:
    fine = "0." + "0" * case.instrument.px_scale + "5"
    req = bench.subscription.get_str(262)
    bench.venue.send("W", f"262={req}|55={case.instrument.symbol}|83=5|25044=5|268=1|269=0|278=B1|270={fine}|271=1|")
    (record,) = bench.records.take()
    assert (record.flags & 256, record.defect_tag) == (256, 270)


def test_an_unknown_symbol_is_no_ones_record(bench: Bench) -> None:
    bench.snapshot("whatever", "NO/SUCH")
    assert [r.instrument for r in bench.records.take()] == [-1]


def test_a_refused_subscription_is_alerted_and_tried_again(bench: Bench) -> None:
    bench.venue.send("Y", f"262={bench.subscription.get_str(262)}|281=0|58=no such thing|")
    assert bench.heard.codes() == ["md_rejected"]
    bench.venue.advance(3 * SECOND)
    assert [m.get(263) for m in bench.venue.take() if m.msg_type == "V"][:1] == [b"1"]


def test_reference_data_is_as_declared(case: Case) -> None:
    bench = Bench(case, told=False)
    asked = [m for m in bench.first if m.msg_type == "x"]
    if not case.capabilities.reference_data:
        assert bool(asked) is case.lists_names
        assert bench.subscription
        return
    assert asked
    assert not [m for m in bench.first if m.msg_type == "V"]
    bench.venue.send("y", reference_of(case))
    definition = bench.heard.one(InstrumentDefinition)
    assert (definition.instrument, definition.confirmed) == (case.instrument.name, True)
    assert definition.px_scale == case.instrument.px_scale


def test_a_finer_venue_precision_halts_the_instrument_and_never_makes_a_book(case: Case) -> None:
    if not case.capabilities.reference_data:
        pytest.skip(f"{case.id}: declares no reference data")
    bench = Bench(case, finer=True)
    assert bench.heard.one(InstrumentDefinition).status == "HALTED"
    assert ("critical", "scale") in [(s, c) for s, c, _ in bench.heard.alerts]
    bench.venue.advance(70 * SECOND)
    assert bench.records.subscriptions == []


def test_a_changed_increment_is_said_and_taken_from_the_venue(case: Case) -> None:
    if not case.capabilities.reference_data:
        pytest.skip(f"{case.id}: declares no reference data")
    i = case.instrument
    mine = Instrument(i.venue, i.name, i.symbol, i.px_scale, i.qty_scale, tick_size=50)
    heard, context = Heard(), case.context(Kind.MARKETDATA)
    context.instruments = [mine]
    venue = Venue(case.dialect.marketdata(context, heard, Records()), heard, case.ours, case.target(Kind.MARKETDATA))
    venue.logon()
    venue.send("y", reference_of(case))
    definition = heard.one(InstrumentDefinition)
    assert (definition.confirmed, definition.tick_size, definition.status == "HALTED") == (False, 1, False)
    assert "reference" in heard.codes()


def test_trading_status_is_as_declared(bench: Bench, case: Case) -> None:
    assert bool([m for m in bench.first if m.msg_type == "g"]) is case.capabilities.trading_status
    if case.capabilities.trading_status:
        bench.venue.send("h", "335=S|336=SESSION|340=1|")
        last = [e for e in bench.heard.events if isinstance(e, InstrumentDefinition)][-1]
        assert last.status == "HALTED"


def test_a_lost_connection_ends_every_subscription(bench: Bench, case: Case) -> None:
    session, venue = bench.session, bench.venue
    session.disconnected("cut", venue.mono, venue.wall)
    assert session.phase is SessionPhase.DISCONNECTED
    session.refresh(0, venue.mono, venue.wall)
    session.tick(venue.mono + SECOND, venue.wall + SECOND)
    again = Venue(session, bench.heard, case.ours, case.target(Kind.MARKETDATA))
    again.seq = 1
    again.logon()
    if case.capabilities.reference_data:
        again.send("y", reference_of(case))
    assert [m.get(263) for m in again.take() if is_book(m)] == [b"1"]
