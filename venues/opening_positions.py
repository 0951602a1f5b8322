"""What an account held before the desk's own fills: asked of the venue once, and the fills counted on top. No I/O.

A spot position begins with what the account holds of the base currency, a derivative's with the venue's own position.
The answer counts when nothing traded on the account from a while before it was asked for until a while after it came:
so no fill is both in it and on top of it. What was told is journalled and never asked again.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import ROUND_UP, Decimal, localcontext
from typing import Final, Literal, Protocol

from base.config import DeskConfig
from base.instruments import Instrument
from risk.exposure_sums import Account, unit_of
from venues.interface import RestApi, RestRequest, VenueBalance, VenuePosition
from venues.means import Asker, ask_rest

Rule = Literal["hold", "zero", "none"]

NEVER: Final = 1 << 62
RETRY_NS: Final = 2_000_000_000
ANSWER_WITHIN_NS: Final = 15_000_000_000
QUIET_NS: Final = 1_000_000_000  # at least, for a fill to be told of
_DIGITS: Final = 80


class Books(Protocol):
    """What the openings are entered into: venues.at_risk.AtRisk."""

    def opened(self, instrument: str, opening: int, mark_px: int) -> None: ...
    def unknown(self, instruments: Iterable[str]) -> None: ...


class AccountView(Protocol):
    """What all sessions of the account have: venues.order_checks.OrderChecks."""

    def account(self) -> tuple[Mapping[str, int], int]:
        """Position by instrument at 18 decimals of what it stands for, as fills add up to it, and open orders."""
        ...

    def dearest(self, instrument: str) -> int:
        """The best price of the dearer side of the book; 0 without one."""
        ...


def rule_of(desk: DeskConfig, venue: str) -> Rule:
    """[venue.X].opening_positions; by default orders wait, but not on a test desk that has nobody to ask."""
    config = desk.config.venue[venue]
    if config.opening_positions:
        return config.opening_positions
    return "hold" if config.rest is not None or desk.config.desk.environment == "production" else "zero"


def opener_of(sessions: Mapping[str, Account], venue: str, instrument: str) -> str:
    """The session that takes up what the account held: the first that trades the instrument; the others' begin at 0."""
    return next((name for name, at in sessions.items() if at.venue == venue and instrument in at.instruments), "")


class OpeningPositions:
    """Asks from `logged_on` to `lost` for the instruments whose opening is not known yet."""

    def __init__(
        self, session: str, asker: Asker, rest: RestApi | None, books: Books, account: AccountView,
        instruments: Iterable[Instrument], rule: Rule, clock: Callable[[], tuple[int, int]], lag_ns: int,
        *, may_shrug: bool = False,
    ) -> None:  # fmt: skip
        """`instruments`: those that this session is to open; `lag_ns`: how far the venue's REST side may be behind.

        `may_shrug`: where the venue cannot tell at all, positions begin at zero.
        """
        self._session, self._asker, self._rest = session, asker, rest
        self._books, self._account, self._clock = books, account, clock
        self._missing = {} if rule == "none" else {i.name: i for i in instruments}
        self._holds, self._may_shrug = rule == "hold", may_shrug
        self._quiet_ns = max(lag_ns, QUIET_NS)
        self._question = 0
        self._asked: tuple[Mapping[str, int], int] | None = None  # the account when it was asked about
        self._told: dict[str, Decimal] | None = None  # the answer, while it is waited for late fills
        self._moved_ns = -NEVER
        self._on = self._complained = False
        self.deadline_ns = NEVER

    @property
    def awaited(self) -> list[str]:
        """Instruments whose positions are not known before the venue tells; none where they begin at zero meanwhile."""
        return list(self._missing) if self._holds else []

    @property
    def reason(self) -> str:
        """For people, while something is awaited."""
        names = ", ".join(self.awaited)
        return f"what the account held of {names} is not known yet" if names else ""

    def logged_on(self) -> None:
        """Orders are reconciled: ask."""
        self._on = True
        if self._missing:
            self._ask()

    def lost(self) -> None:
        """The session is gone: answers still to come count for nothing."""
        self._on = False
        self._question += 1
        self._told, self.deadline_ns = None, NEVER

    def filled(self) -> None:
        """One of our orders traded."""
        self._moved_ns = self._clock()[0]

    def tick(self, mono_ns: int) -> None:
        """From a timer."""
        if mono_ns < self.deadline_ns or not self._on:
            return
        if self._told is not None and self._unmoved():
            self._enter(self._told)
        else:
            self._ask()

    def _ask(self) -> None:
        mono_ns, wall_ns = self._clock()
        self._question += 1
        self._told = None
        if mono_ns < self._moved_ns + self._quiet_ns:
            self.deadline_ns = self._moved_ns + self._quiet_ns
            return
        self._asked = self._account.account()
        wants = [i for i in self._missing.values() if i.is_derivative]
        self.deadline_ns = mono_ns + ANSWER_WITHIN_NS
        rest = self._rest
        if rest is None:
            self._cannot("there is no [venue.*.rest]")
        elif wants:
            self._send(rest.positions(wall_ns), rest.parse_positions, lambda said: self._answered(_by_symbol(said)))
        else:
            self._send(rest.balances(wall_ns), rest.parse_balances, lambda said: self._answered(_by_currency(said)))

    def _send(
        self, request: RestRequest | None, parse: Callable[[int, bytes], tuple[object, ...]],
        done: Callable[[tuple[object, ...]], None],
    ) -> None:  # fmt: skip
        if request is None:
            self._cannot("the venue does not tell")
            return
        question = self._question

        def heard(said: tuple[object, ...]) -> None:
            if question == self._question:
                done(said)

        def failed(why: str) -> None:
            if question == self._question:
                self.deadline_ns = self._clock()[0] + RETRY_NS
                self._complain(why)

        ask_rest(self._asker, request, parse, heard, failed)

    def _cannot(self, why: str) -> None:
        self.deadline_ns = NEVER
        if self._holds and self._may_shrug:
            self._holds = False
            self._books.unknown(())
        elif self._holds:
            self._complain(f'{why}; say what positions begin with: opening_positions = "zero"')

    def _complain(self, why: str) -> None:
        if not self._complained:
            self._complained = True
            self._asker.alert("warning", "opening", f"{self._session}: what the account held is not known: {why}")

    def _answered(self, held: dict[str, Decimal]) -> None:
        still = self._unmoved()
        if still and self._asked is not None and not self._asked[1]:
            self._enter(held)  # nothing worked, so nothing can have traded
            return
        self._told = held if still else None
        self.deadline_ns = self._clock()[0] + self._quiet_ns

    def _unmoved(self) -> bool:
        return self._asked is not None and self._account.account() == self._asked

    def _enter(self, held: dict[str, Decimal]) -> None:
        filled = self._account.account()[0]
        derivatives = any(i.is_derivative for i in self._missing.values())
        told = [i for i in self._missing.values() if i.is_derivative == derivatives]
        for i in told:
            del self._missing[i.name]
            amount = held.get(i.symbol.upper() if derivatives else i.name.partition("-")[0], Decimal(0))
            opening = _at_scale(amount, i) - _round_away(filled.get(i.name, 0), unit_of(i.contract, i.qty_scale))
            self._books.opened(i.name, opening, self._account.dearest(i.name))
            if opening:
                text = f"{self._session}: the account held {i.qty_text(opening)} {i.name} before this desk's fills"
                self._asker.alert("info", "opening", text)
        self._told, self.deadline_ns, self._complained = None, NEVER, False
        self._books.unknown(self.awaited)
        if self._missing:
            self._ask()


def _by_symbol(said: Iterable[object]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for line in said:
        if isinstance(line, VenuePosition):
            found[line.symbol.upper()] = found.get(line.symbol.upper(), Decimal(0)) + Decimal(line.qty)
    return found


def _by_currency(said: Iterable[object]) -> dict[str, Decimal]:
    return {line.currency: Decimal(line.total or "0") for line in said if isinstance(line, VenueBalance)}


def _at_scale(amount: Decimal, instrument: Instrument) -> int:
    """At the instrument's qty_scale, away from zero: a limit is never undershot by rounding."""
    with localcontext(prec=_DIGITS):
        return int(amount.scaleb(instrument.qty_scale).to_integral_value(ROUND_UP))


def _round_away(amount: int, unit: int) -> int:
    whole = -(-abs(amount) // unit)
    return whole if amount >= 0 else -whole
