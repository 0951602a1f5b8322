"""What positions begin with: the venue's word once, the desk's own fills on top, and nothing counted twice."""

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import pytest

from base.config import load
from base.instruments import Contract, Instrument
from ipc.events import AnyEvent
from risk.exposure_sums import Account
from venues.interface import RestRequest, VenueBalance, VenuePosition
from venues.kraken.rest_derivatives import DerivativesRest
from venues.means import Answered
from venues.opening_positions import ANSWER_WITHIN_NS, QUIET_NS, RETRY_NS, OpeningPositions, opener_of, rule_of

BTC = Instrument("v", "BTC-USD", "BTC/USD", 1, 3)
ETH = Instrument("v", "ETH-USD", "ETH/USD", 1, 3)
PERP = Instrument("v", "BTC-USD-PERP", "PF_XBTUSD", 1, 2, contract=Contract(1, 3))  # a contract is of 0.001 BTC
ONE_BTC = 10**18


class Venue:
    """REST side that holds its answers back until the test gives them."""

    def __init__(self, *, tells: bool = True) -> None:
        self.tells = tells
        self.asked: list[Answered] = []
        self.held: tuple[VenueBalance, ...] = ()
        self.at: tuple[VenuePosition, ...] = ()
        self.alerts: list[str] = []

    def balances(self, wall_ns: int) -> RestRequest | None:
        return RestRequest("GET", "/balances") if self.tells else None

    def parse_balances(self, status: int, body: bytes) -> tuple[VenueBalance, ...]:
        return self.held

    def positions(self, wall_ns: int) -> RestRequest | None:
        return RestRequest("GET", "/positions") if self.tells else None

    def parse_positions(self, status: int, body: bytes) -> tuple[VenuePosition, ...]:
        return self.at

    def ask(self, request: RestRequest, answered: Answered) -> None:
        self.asked.append(answered)

    def publish(self, event: AnyEvent) -> None:
        raise AssertionError(event)

    def alert(self, severity: str, code: str, text: str) -> None:
        self.alerts.append(f"{severity} {code}: {text}")

    def answer(self, error: str = "") -> None:
        self.asked.pop(0)(200, b"", error)


class Bench:
    """A session at an account; `fills` is what all sessions' rows add up to, at 18 decimals."""

    def __init__(self, *instruments: Instrument, rule: str = "hold", tells: bool = True, shrug: bool = False) -> None:
        self.venue = Venue(tells=tells)
        self.now = 10 * ANSWER_WITHIN_NS
        self.fills = {i.name: 0 for i in instruments}
        self.working = 0
        self.taken: dict[str, int] = {}
        self.flagged: set[str] | None = None
        self.opening = OpeningPositions(
            "s", self.venue, self.venue, self, self, instruments, rule, lambda: (self.now, self.now), 0,  # type: ignore[arg-type]
            may_shrug=shrug,
        )  # fmt: skip

    def account(self) -> tuple[dict[str, int], int]:
        return dict(self.fills), self.working

    def dearest(self, instrument: str) -> int:
        return 600_000

    def opened(self, instrument: str, opening: int, mark_px: int) -> None:
        assert instrument not in self.taken
        assert mark_px == 600_000
        self.taken[instrument] = opening

    def unknown(self, instruments: Iterable[str]) -> None:
        self.flagged = set(instruments)

    def trade(self, instrument: str, amount: int) -> None:
        self.fills[instrument] += amount
        self.opening.filled()

    def after(self, ns: int) -> None:
        self.now += ns
        self.opening.tick(self.now)


def has(currency: str, total: str) -> VenueBalance:
    return VenueBalance(currency=currency, total=total, available=total, held="0", buying_power=total)


def test_a_first_start_begins_with_what_the_account_holds() -> None:
    bench = Bench(BTC, ETH)
    assert bench.opening.awaited == ["BTC-USD", "ETH-USD"]
    assert bench.opening.reason == "what the account held of BTC-USD, ETH-USD is not known yet"
    bench.opening.logged_on()
    bench.venue.held = (has("BTC", "2.5"), has("USD", "1000000"))
    bench.venue.answer()
    assert bench.taken == {"BTC-USD": 2500, "ETH-USD": 0}, "what the venue leaves out is nothing"
    assert (bench.opening.awaited, bench.opening.reason, bench.flagged) == ([], "", set())
    assert bench.venue.alerts == ["info opening: s: the account held 2.5 BTC-USD before this desk's fills"]
    bench.after(ANSWER_WITHIN_NS)
    bench.opening.logged_on()
    assert not bench.venue.asked, "once"


def test_a_desk_that_traded_before_takes_its_own_fills_out() -> None:
    bench = Bench(BTC)
    bench.fills["BTC-USD"] = -ONE_BTC // 2
    bench.opening.logged_on()
    bench.venue.held = (has("BTC", "2.0000001"),)
    bench.venue.answer()
    assert bench.taken == {"BTC-USD": 2001 + 500}, "rounded away from zero: with the fills it is what the venue says"


def test_a_derivative_begins_with_the_venues_position_in_contracts() -> None:
    bench = Bench(PERP)
    bench.fills["BTC-USD-PERP"] = ONE_BTC // 1000  # one contract was bought here
    bench.opening.logged_on()
    bench.venue.at = (VenuePosition(symbol="PF_ETHUSD", qty="3"), VenuePosition(symbol="pf_xbtusd", qty="-7"))
    bench.venue.answer()
    assert bench.taken == {"BTC-USD-PERP": -700 - 100}


def test_spot_and_derivatives_of_one_venue_are_asked_one_after_the_other() -> None:
    bench = Bench(BTC, PERP)
    bench.opening.logged_on()
    bench.venue.at = (VenuePosition(symbol="PF_XBTUSD", qty="5"),)
    bench.venue.answer()
    assert (bench.taken, bench.flagged) == ({"BTC-USD-PERP": 500}, {"BTC-USD"})
    bench.venue.held = (has("BTC", "1"),)
    bench.venue.answer()
    assert bench.taken == {"BTC-USD-PERP": 500, "BTC-USD": 1000}


def test_a_fill_around_the_answer_makes_it_ask_again() -> None:
    """Whether the venue's figure has the fill in it nobody can tell: it would count twice, or not at all."""
    bench = Bench(BTC)
    bench.working = 1
    bench.opening.logged_on()
    bench.venue.held = (has("BTC", "3"),)
    bench.venue.answer()
    assert not bench.taken, "orders work: the report of a fill that is in the figure may be on its way"
    bench.trade("BTC-USD", ONE_BTC)
    bench.after(QUIET_NS)
    assert not bench.taken
    assert len(bench.venue.asked) == 1, "asked again, after the fill"
    bench.trade("BTC-USD", ONE_BTC)
    bench.venue.held = (has("BTC", "4"),)
    bench.venue.answer()
    bench.after(QUIET_NS)
    assert not bench.taken
    bench.venue.held = (has("BTC", "5"),)
    bench.venue.answer()
    bench.after(QUIET_NS)
    assert bench.taken == {"BTC-USD": 3000}, "5 held, 2 of them bought here"


def test_a_fill_just_before_is_waited_out() -> None:
    bench = Bench(BTC)
    bench.trade("BTC-USD", ONE_BTC)
    bench.opening.logged_on()
    assert not bench.venue.asked, "the venue's list may be behind"
    bench.after(QUIET_NS)
    assert len(bench.venue.asked) == 1


def test_what_fails_is_asked_again_and_said_once() -> None:
    bench = Bench(BTC)
    bench.opening.logged_on()
    for _ in range(3):
        bench.venue.answer("no route to host")
        bench.after(RETRY_NS)
    assert bench.venue.alerts == ["warning opening: s: what the account held is not known: no route to host"]
    bench.venue.answer()
    assert bench.taken == {"BTC-USD": 0}


def test_an_answer_that_comes_after_the_session_was_lost_counts_for_nothing() -> None:
    bench = Bench(BTC)
    bench.opening.logged_on()
    bench.opening.lost()
    bench.venue.held = (has("BTC", "3"),)
    bench.venue.answer()
    bench.after(ANSWER_WITHIN_NS)
    assert not bench.taken
    assert bench.opening.awaited == ["BTC-USD"]
    bench.opening.logged_on()
    bench.venue.answer()
    assert bench.taken == {"BTC-USD": 3000}


def test_a_venue_that_cannot_tell_holds_orders_unless_the_desk_may_shrug() -> None:
    bench = Bench(BTC, tells=False)
    bench.opening.logged_on()
    assert bench.opening.awaited == ["BTC-USD"]
    assert 'say what positions begin with: opening_positions = "zero"' in bench.venue.alerts[0]
    shrugs = Bench(BTC, tells=False, shrug=True)
    shrugs.opening.logged_on()
    assert (shrugs.opening.awaited, shrugs.flagged, shrugs.venue.alerts) == ([], set(), [])


def test_zero_asks_too_but_holds_nothing_and_none_never_asks() -> None:
    bench = Bench(BTC, rule="zero")
    assert (bench.opening.awaited, bench.opening.reason) == ([], "")
    bench.opening.logged_on()
    bench.venue.held = (has("BTC", "1"),)
    bench.venue.answer()
    assert bench.taken == {"BTC-USD": 1000}
    none = Bench(BTC, rule="none")
    none.opening.logged_on()
    assert not none.venue.asked
    assert not none.opening.awaited


def test_one_session_of_an_account_takes_it_up() -> None:
    at = {
        "a": Account("v", "main", frozenset({"BTC-USD"})),
        "b": Account("v", "main", frozenset({"BTC-USD", "ETH-USD"})),
        "c": Account("w", "main", frozenset({"ETH-USD"})),
    }
    assert [opener_of(at, "v", "BTC-USD"), opener_of(at, "v", "ETH-USD"), opener_of(at, "w", "ETH-USD")] == [
        "a", "b", "c",
    ]  # fmt: skip


CONFIG = """
[desk]
name = "t"
environment = "{environment}"
[venue.v]
dialect = "fix44"
{key}
instruments = [{{ name = "BTC-USD", symbol = "B", px_scale = 1, qty_scale = 3 }}]
[session.s]
venue = "v"
kind = "trading"
address = "127.0.0.1:1"
sender_comp_id = "A"
target_comp_id = "V"
"""


@pytest.mark.parametrize(
    ("environment", "key", "rule"),
    [
        ("production", "", "hold"), ("test", "", "zero"), ("production", 'opening_positions = "zero"', "zero"),
        ("test", 'rest = { address = "127.0.0.1:1" }', "hold"), ("test", 'opening_positions = "none"', "none"),
    ],
)  # fmt: skip
def test_a_production_desk_holds_unless_it_is_told_otherwise(
    tmp_path: Path, environment: str, key: str, rule: str
) -> None:
    path = tmp_path / "desk.toml"
    path.write_text(CONFIG.format(environment=environment, key=key))
    assert rule_of(load(path), "v") == rule


def test_kraken_derivatives_tells_positions_with_their_side() -> None:
    rest = DerivativesRest("k", "c2VjcmV0")
    request = rest.positions(1)
    assert request is not None
    assert request.target == "/derivatives/api/v3/openpositions"
    body = (
        b'{"result": "success", "openPositions": [{"symbol": "PF_XBTUSD", "side": "short", "size": 1.5, "price": 9},'
        b' {"symbol": "pi_xbtusd", "side": "long", "size": 100}]}'
    )
    said = rest.parse_positions(200, body)
    assert [(p.symbol, Decimal(p.qty)) for p in said] == [("PF_XBTUSD", Decimal("-1.5")), ("PI_XBTUSD", Decimal(100))]
