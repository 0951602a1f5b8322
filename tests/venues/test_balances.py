"""Balances: asked for after each logon and then at an interval; what fails is tried again and said once."""

from collections.abc import Iterable
from typing import Any

from base.clock import ManualClock
from base.errors import VenueError
from base.instruments import Instrument
from ipc.events import AnyEvent, Balance
from venues.balances import RETRY_NS, Balances
from venues.interface import RestRequest, VenueBalance
from venues.means import Answered

EVERY_NS = 60_000_000_000


class Desk:
    def __init__(self, every_ns: int = EVERY_NS, *, tells: bool = True) -> None:
        self.clock = ManualClock()
        self.waiting: list[Answered] = []
        self.published: list[AnyEvent] = []
        self.alerts: list[str] = []
        self.tells = tells
        self.says: tuple[VenueBalance, ...] = (usd("100"),)
        rest: Any = self
        names = ("s", "v", "main")
        self.it = Balances(self, rest, names, lambda: (self.clock.mono_ns(), self.clock.wall_ns()), every_ns)

    def balances(self, wall_ns: int) -> RestRequest | None:
        return RestRequest("GET", "/b") if self.tells else None

    def parse_balances(self, status: int, body: bytes) -> tuple[VenueBalance, ...]:
        if status != 200:
            raise VenueError(f"HTTP status {status}")
        return self.says

    def ask(self, request: RestRequest, answered: Answered) -> None:
        self.waiting.append(answered)

    def publish(self, event: AnyEvent) -> None:
        self.published.append(event)

    def alert(self, severity: str, code: str, text: str) -> None:
        self.alerts.append(text)

    def answer(self, status: int = 200, error: str = "") -> None:
        self.waiting.pop(0)(status, b"", error)

    def turn(self, ns: int) -> None:
        self.clock.advance(ns)
        self.it.tick(self.clock.mono_ns())

    def totals(self) -> list[tuple[str, str]]:
        return [(e.currency, e.total) for e in self.published if isinstance(e, Balance)]


def usd(total: str, currency: str = "USD") -> VenueBalance:
    return VenueBalance(currency=currency, total=total, available=total, held="0", buying_power=total)


def test_balances_are_published_after_the_logon_and_then_at_the_interval() -> None:
    desk = Desk()
    desk.it.logged_on()
    desk.answer()
    desk.turn(EVERY_NS - 1)
    assert desk.waiting == []
    desk.says = (usd("90"),)
    desk.turn(1)
    desk.answer()
    assert desk.totals() == [("USD", "100"), ("USD", "90")]
    assert desk.published[0] == Balance(
        "s", "v", "main", "USD", "100", "100", "0", "100", desk.clock.wall_ns() - EVERY_NS
    )


def test_a_currency_that_the_venue_no_longer_lists_is_said_to_be_nothing_once() -> None:
    desk = Desk()
    desk.says = (usd("5"), usd("1", "BTC"))
    desk.it.logged_on()
    desk.answer()
    desk.says = (usd("5"),)
    for _ in range(2):
        desk.turn(EVERY_NS)
        desk.answer()
    assert desk.totals() == [("USD", "5"), ("BTC", "1"), ("USD", "5"), ("BTC", "0"), ("USD", "5")]


def test_a_failure_is_said_once_and_tried_again_soon() -> None:
    desk = Desk()
    desk.it.logged_on()
    for status, error in ((503, ""), (0, "timed out"), (429, "")):
        desk.answer(status, error)
        desk.turn(RETRY_NS)
    desk.answer()
    assert (len(desk.alerts), desk.totals()) == (1, [("USD", "100")])


def test_a_question_that_nobody_answers_is_asked_again() -> None:
    desk = Desk()
    desk.it.logged_on()
    desk.waiting.clear()
    desk.turn(EVERY_NS)
    desk.answer()
    assert desk.totals() == [("USD", "100")]


def test_an_answer_after_the_session_was_lost_counts_for_nothing() -> None:
    desk = Desk()
    desk.it.logged_on()
    desk.it.lost()
    desk.answer()
    desk.turn(EVERY_NS)
    assert (desk.published, desk.waiting) == ([], [])


def test_where_nothing_is_told_or_wanted_nothing_is_asked() -> None:
    for desk in (Desk(0), Desk(tells=False)):
        desk.it.logged_on()
        desk.turn(EVERY_NS)
        assert desk.waiting == []


# --- buying power that the venue tells apart


class Creditor(Desk):
    """A venue that tells buying power by pair."""

    def __init__(self) -> None:
        super().__init__()
        pairs = [Instrument("v", name, name, 2, 8) for name in ("BTC-USD", "ETH-USD")]
        self.it = Balances(self, self, ("s", "v", "main"), self.it._clock, EVERY_NS, pairs)  # type: ignore[arg-type]
        self.powers = ["500", "250.50"]
        self.says = (usd("100"), usd("2", "BTC"))

    def buying_power(self, wall_ns: int, instruments: Iterable[Instrument]) -> list[RestRequest]:
        return [RestRequest("GET", f"/p?{i.symbol}") for i in instruments]

    def parse_buying_power(self, status: int, body: bytes) -> tuple[str, str]:
        if status != 200:
            raise VenueError(f"HTTP status {status}")
        return "USD", self.powers.pop(0)

    def powered(self) -> list[tuple[str, str]]:
        return [(e.currency, e.buying_power) for e in self.published if isinstance(e, Balance)]


def test_buying_power_is_the_least_of_a_currencys_pairs_and_published_with_its_balance() -> None:
    desk = Creditor()
    desk.it.logged_on()
    desk.answer()
    assert desk.published == []
    desk.answer()
    desk.answer()
    assert desk.powered() == [("USD", "250.50"), ("BTC", "2")]


def test_buying_power_that_is_not_told_is_not_known_and_asked_for_again_soon() -> None:
    desk = Creditor()
    desk.it.logged_on()
    desk.answer()
    desk.answer(503)
    desk.answer(503)
    assert desk.powered() == [("USD", ""), ("BTC", "")]
    assert len(desk.alerts) == 1
    desk.turn(RETRY_NS)
    for _ in range(3):
        desk.answer()
    assert desk.powered()[2:] == [("USD", "250.50"), ("BTC", "2")]


def test_a_late_answer_to_an_old_question_counts_for_nothing() -> None:
    desk = Creditor()
    desk.it.logged_on()
    desk.answer()
    desk.it.lost()
    desk.answer()
    desk.answer()
    assert desk.published == []
