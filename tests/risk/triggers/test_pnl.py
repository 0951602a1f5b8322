"""Profit and loss since the day began: what positions say, never counted twice, never from zero."""

from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import ConfigError
from base.instruments import Contract
from risk.triggers.days import Days
from risk.triggers.kept import Figures, decode, encode
from risk.triggers.losses import LossBook
from risk.triggers.pnl import Holding, Mark, Place, ProfitBook
from risk.triggers.watch import Reading
from tests.risk.triggers.kit import NOW, SECOND, WALL, limit, position, report

DAY = 86_400 * SECOND
D = Decimal


class Journal:
    """A session's journal, fed as it is written."""

    def __init__(self, book: ProfitBook | None = None, zone: str = "UTC") -> None:
        self.book = book or ProfitBook(Days(ZoneInfo(zone)))
        self.events: list[object] = []

    def write(self, *events: object) -> None:
        for event in events:
            self.events.append(event)
            self.book.event("a", 1, len(self.events), event)

    def fill(self, qty: float, px: float, held: float, **more: object) -> None:
        """As a trading process journals one: the report, then the position."""
        at = {"ts_ns": more.pop("ts_ns", WALL)}
        self.write(
            report(side="1" if qty > 0 else "2", last_qty=round(abs(qty) * 10**8), last_px=round(px * 100), **more),
            position(held, px, **at),
        )

    @property
    def holding(self) -> Holding:
        return self.book.holdings["a", "BTC-USD"]


def mark(bid: str, ask: str | None = None) -> Mark:
    return Mark(D(bid), D(ask or bid), "book")


def test_closing_realises_against_the_average_cost_and_the_rest_is_valued_at_the_book() -> None:
    j = Journal()
    j.write(position(0))
    j.fill(1, 100, 1)
    j.fill(1, 110, 2)
    j.fill(-0.5, 120, 1.5)
    assert (j.holding.cost, j.holding.realised) == (105, D("7.5"))
    assert j.holding.unrealised(mark("104", "999")) == D("-1.5")  # long: what the bid would bring


def test_going_through_zero_costs_what_the_trade_cost_and_a_short_is_valued_at_the_offer() -> None:
    j = Journal()
    j.write(position(0))
    j.fill(1, 100, 1)
    j.fill(-3, 90, -2)
    assert (j.holding.position, j.holding.cost, j.holding.realised) == (-2, 90, -10)
    assert j.holding.unrealised(mark("1", "95")) == -10


def test_an_opening_position_costs_what_it_was_worth_and_is_never_zero() -> None:
    j = Journal()
    j.write(position(3, 100))
    assert (j.holding.opening, j.holding.realised, j.holding.unrealised(mark("90"))) == (3, 0, -30)


def test_an_opening_position_without_any_price_costs_the_first_that_is_known() -> None:
    j = Journal()
    j.write(position(3))
    assert j.holding.unrealised(None) is None
    assert j.holding.unrealised(mark("90")) == 0
    assert j.holding.unrealised(mark("80")) == -30


def test_the_day_rolls_in_its_own_zone_at_the_mark_of_the_moment() -> None:
    j = Journal(zone="America/New_York")
    j.write(position(0))
    j.fill(2, 100, 2)
    midnight_utc, midnight = WALL + 9 * 3600 * SECOND, WALL + 13 * 3600 * SECOND
    assert not j.book.roll(midnight_utc, lambda *_: mark("90"))
    assert j.book.roll(midnight, lambda *_: mark("90"))
    assert (j.holding.opening, j.holding.cost, j.holding.realised) == (2, 90, 0)
    assert j.holding.unrealised(mark("95")) == 10  # of the new day; the loss of the day before is over


def test_a_day_that_began_while_nobody_looked_begins_at_the_last_fill_before() -> None:
    j = Journal()
    j.write(position(0))
    j.fill(2, 100, 2)
    j.fill(1, 50, 3, ts_ns=WALL + DAY)
    assert (j.holding.opening, j.holding.opening_cost, j.holding.position) == (2, 100, 3)
    assert j.holding.unrealised(mark("50")) == -100


def test_fees_come_off_in_quote_and_base_and_others_are_listed() -> None:
    j = Journal()
    j.write(position(0))
    j.fill(1, 100, 1, fees=(("USD", "0.5"), ("BTC", "0.01"), ("BNB", "0.001"), ("XXX", "nonsense")))
    assert (j.holding.fees, j.holding.other_fees) == (D("1.5"), {"BNB": D("0.001")})
    (loss,) = losses(j, max_realised_loss={"USD": "1"})
    assert loss.value == D("1.5")
    assert "fees not counted: 0.001 BNB" in loss.detail


def test_a_bust_takes_a_trade_out_at_its_own_price() -> None:
    j = Journal()
    j.write(position(0))
    j.fill(1, 100, 1, exec_id="E1")
    j.fill(1, 200, 2, exec_id="E2")
    j.write(report("H", exec_ref_id="E2", last_px=None, last_qty=None), position(1, 200))
    assert j.holding.realised + (j.holding.unrealised(mark("100")) or 0) == 0


@pytest.mark.parametrize("corrected", [False, True])
def test_a_bust_after_a_restart_takes_a_trade_out_at_its_own_price(corrected: bool) -> None:
    j = Journal()
    j.write(position(0))
    j.fill(1, 100, 1, exec_id="E1")
    j.fill(1, 200, 2, exec_id="E2")
    if corrected:
        j.write(report("G", exec_ref_id="E2", exec_id="E3", last_px=30_000, last_qty=10**8))
    kept = decode(encode(Figures(holdings=list(j.book.holdings.values()), places=j.book.places)))
    j.book = ProfitBook(Days(ZoneInfo("UTC")), kept.holdings, kept.places)
    for n, event in enumerate(j.events, 1):
        j.book.event("a", 1, n, event)
    ref = "E3" if corrected else "E2"
    j.write(report("H", exec_ref_id=ref, last_px=None, last_qty=None), position(1, 200))
    assert j.holding.realised + (j.holding.unrealised(mark("100")) or 0) == 0


def test_a_corrected_price_changes_what_was_paid() -> None:
    j = Journal()
    j.write(position(0))
    j.fill(2, 100, 2, exec_id="E1")
    j.write(report("G", exec_ref_id="E1", last_px=11_000, last_qty=2 * 10**8))
    assert j.holding.realised + (j.holding.unrealised(mark("110")) or 0) == 0


def test_a_fill_without_any_price_realises_nothing_and_is_said() -> None:
    j = Journal()
    j.write(position(0))
    j.write(position(1))
    assert j.holding.unpriced == 1
    (loss,) = losses(j, max_loss={"USD": "1"})
    assert "1 fills without a price" in loss.detail


def test_drop_copies_do_not_count() -> None:
    j = Journal()
    j.write(position(0), report(drop_copy=True, fees=(("USD", "9"),)), position(1, 100))
    assert j.holding.fees == 0


def losses(j: Journal, mid: str = "100", **limits: object) -> list[Reading]:
    return LossBook([limit(**limits)]).readings(j.book.holdings.values(), lambda *_: mark(mid), "2025-06-15")


def test_losses_are_figures_above_zero_and_a_profit_is_none() -> None:
    j = Journal()
    j.write(position(0))
    j.fill(1, 100, 1)
    j.fill(1, 100, 2)
    j.fill(-1, 90, 1)
    every = {k: {"USD": "5"} for k in ("max_realised_loss", "max_unrealised_loss", "max_loss")}
    assert [r.value for r in losses(j, "80", **every)] == [10, 20, 30]
    assert [r.value for r in losses(j, "115", **every)] == [10, 0, 0]
    assert [r.figure for r in losses(j, **every)] == ["realised loss in USD", "unrealised loss in USD", "loss in USD"]


def test_drawdown_counts_from_the_best_of_the_day_and_anew_the_next() -> None:
    j = Journal()
    j.write(position(0))
    j.fill(1, 100, 1)
    book = LossBook([limit(max_drawdown={"USD": "50"})])

    def at(px: str, day: str = "2025-06-15") -> object:
        for _ in range(3):
            (r,) = book.readings(j.book.holdings.values(), lambda *_: mark(px), day)
        return r.value

    assert [at("100"), at("130"), at("110"), at("70")] == [0, 0, 20, 60]
    kept = LossBook(book.limits, book.peaks)
    (r,) = kept.readings(j.book.holdings.values(), lambda *_: mark("70"), "2025-06-15")
    assert r.value == 60  # a restart remembers the best
    assert at("70", "2025-06-16") == 30  # a day that begins at -30 has seen nothing better than 0


def test_one_odd_price_is_no_best_of_the_day() -> None:
    j = Journal()
    j.write(position(0))
    j.fill(1, 100, 1)
    book = LossBook([limit(max_drawdown={"USD": "50"})])
    values = []
    for px in ("100", "100", "100", "100000", "100000", "100", "100"):
        (r,) = book.readings(j.book.holdings.values(), lambda *_, px=px: mark(px), "2025-06-15")  # type: ignore[misc]
        values.append(r.value)
    assert values == [0] * 7


def test_scopes_take_what_is_theirs_and_quotes_do_not_mix() -> None:
    book = ProfitBook(Days(ZoneInfo("UTC")))
    held = [("a", "BTC-USD"), ("b", "BTC-USD"), ("b", "ETH-USDT")]
    for n, (session, instrument) in enumerate(held):
        book.event(session, 1, 2 * n + 1, position(0, session=session, instrument=instrument))
        book.event(session, 1, 2 * n + 2, position(1, 100, session=session, instrument=instrument))

    def loss(scope: str, quote: str) -> object:
        (r,) = LossBook([limit(scope, max_loss={quote: "1"})]).readings(
            book.holdings.values(), lambda *_: mark("90"), "2025-06-15"
        )
        return r.value

    found = [loss("desk", "USD"), loss("session:a", "USD"), loss("instrument:BTC-USD", "USD"), loss("venue:x", "USDT")]
    assert found == [20, 10, 20, 10]
    assert loss("session:a", "USDT") == 0


def test_profit_is_not_kept_by_strategy() -> None:
    with pytest.raises(ConfigError, match=r"kill.limits\[0\].scope: strategy:mm"):
        LossBook([limit("strategy:mm", max_loss={"USD": "1"})])


FILLS = st.lists(
    st.tuples(st.integers(-3, 3).filter(bool), st.integers(1, 20), st.sampled_from(["", "0.25"])), max_size=20
)


def run(fills: list[tuple[int, int, str]], book: ProfitBook | None = None) -> Journal:
    j, held = Journal(book), 0
    j.write(position(0))
    for qty, px, fee in fills:
        held += qty
        j.fill(qty, px, held, fees=((("USD", fee),) if fee else ()))
    return j


@given(FILLS, st.integers(1, 20))
def test_realised_and_unrealised_add_up_to_cash_and_what_is_held(fills: list[tuple[int, int, str]], px: int) -> None:
    j = run(fills)
    cash = sum((D(-qty * at) - D(fee or 0) for qty, at, fee in fills), D(0))
    worth = sum(qty for qty, _, _ in fills) * D(px)
    total = j.holding.realised - j.holding.fees + (j.holding.unrealised(mark(str(px))) or 0)
    assert abs(total - cash - worth) < D("1e-20")


@given(FILLS, st.integers(0, 60), st.integers(0, 60))
def test_no_fill_counts_twice_whatever_is_kept_and_read_again(
    fills: list[tuple[int, int, str]], cut: int, again: int
) -> None:
    """Kept after any event, restarted, and the journal read from any place up to the last that was counted."""
    whole = run(fills)
    cut = min(cut, len(whole.events))
    first = ProfitBook(Days(ZoneInfo("UTC")))
    for n, event in enumerate(whole.events[:cut], 1):
        first.event("a", 1, n, event)
    data = encode(Figures(holdings=list(first.holdings.values()), places=first.places))
    kept = decode(data)
    second = ProfitBook(Days(ZoneInfo("UTC")), kept.holdings, kept.places)
    for n, event in enumerate(whole.events, 1):
        if n > min(again, kept.places["a"].seq if kept.places else 0):
            second.event("a", 1, n, event)
    if whole.book.holdings:
        assert second.holdings["a", "BTC-USD"] == whole.holding


def test_another_life_of_the_owner_counts_from_its_own_first_number() -> None:
    book = ProfitBook(Days(ZoneInfo("UTC")), [], {"a": Place(1, 500)})
    assert not book.event("a", 1, 500, position(1, 100))
    assert book.event("a", 2, 1, position(1, 100))


def test_what_was_kept_by_another_schema_or_is_torn_is_an_error() -> None:
    assert decode(None) == Figures()
    for data in (b"{", msgspec.json.encode({"schema": 99})):
        with pytest.raises(Exception, match="kept figures"):
            decode(data)
    assert NOW


def test_contracts_realise_what_they_are_of_and_no_result_is_made_up_for_those_nobody_can_tell() -> None:
    name = "BTC-USD-PERP"
    kinds = {"linear": Contract(1, 1), "inverse": Contract(1, 0, inverse=True), "unknown": None}
    for kind, contract in kinds.items():
        book = ProfitBook(Days(ZoneInfo("UTC")), contracts={("x", name): contract})
        for seq, (qty, px) in enumerate(((0.0, 0.0), (10.0, 100.0), (0.0, 90.0)), 1):
            book.event("a", 1, seq, position(qty, px, instrument=name))
        losses = LossBook([limit(max_realised_loss={"USD": "5"})])
        (reading,) = losses.readings(book.holdings.values(), lambda venue, instrument: None, "2025-06-15")
        if kind == "linear":
            assert (reading.value, reading.over) == (10, True)
        else:
            assert reading.value == 0
            assert f"no mark for {name} ({'inverse' if contract else 'no contract_value'})" in reading.detail
