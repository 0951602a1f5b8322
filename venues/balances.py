"""Balances and buying power, learnt where a venue tells them: after each logon, then at an interval. No I/O."""

from collections.abc import Callable, Iterable
from decimal import Decimal

from msgspec.structs import replace

from base.instruments import Instrument
from ipc.events import Balance
from venues.interface import RestApi, TellsBuyingPower, VenueBalance
from venues.means import Asker, ask_rest

NEVER = 1 << 62
RETRY_NS = 5_000_000_000
ANSWER_WITHIN_NS = 15_000_000_000


class Balances:
    """Asks from `logged_on` to `lost`; publishes a Balance for each currency. What fails is tried again sooner."""

    def __init__(
        self,
        asker: Asker,
        rest: RestApi | None,
        names: tuple[str, str, str],
        clock: Callable[[], tuple[int, int]],
        every_ns: int,
        instruments: Iterable[Instrument] = (),
    ) -> None:
        """`names`: (session, venue, account); `clock`: (monotonic, UTC); `every_ns` 0: never.

        `instruments`: whose buying power is asked for, where the venue tells it apart.
        """
        self._asker = asker
        self._rest = rest
        self._session, self._venue, self._account = names
        self._clock = clock
        self._every_ns = every_ns
        self._instruments = tuple(instruments)
        self._question = 0
        self._failing = False
        self.deadline_ns = NEVER
        self.latest: dict[str, Balance] = {}  # by currency

    def logged_on(self) -> None:
        """Orders are reconciled: ask."""
        if self._rest is not None and self._every_ns:
            self._ask(*self._clock())

    def lost(self) -> None:
        """The session is gone: answers still to come count for nothing."""
        self._question += 1
        self.deadline_ns = NEVER

    def tick(self, mono_ns: int) -> None:
        """Ask when it is time."""
        if mono_ns >= self.deadline_ns:
            self._ask(*self._clock())

    def _ask(self, mono_ns: int, wall_ns: int) -> None:
        assert self._rest is not None
        self._question += 1
        question = self._question
        request = self._rest.balances(wall_ns)
        if request is None:
            self.deadline_ns = NEVER
            return
        self.deadline_ns = mono_ns + max(self._every_ns, ANSWER_WITHIN_NS)

        def done(said: tuple[VenueBalance, ...]) -> None:
            if question == self._question:
                self._ask_power(question, wall_ns, said)

        def failed(why: str) -> None:
            if question == self._question:
                self._missed(why)

        ask_rest(self._asker, request, self._rest.parse_balances, done, failed)

    def _ask_power(self, question: int, wall_ns: int, said: tuple[VenueBalance, ...]) -> None:
        """What may be spent with credit counted in; not known ("") for a currency that no answer told of."""
        rest: object = self._rest
        if not isinstance(rest, TellsBuyingPower) or not (requests := rest.buying_power(wall_ns, self._instruments)):
            self._told(said)
            return
        least: dict[str, Decimal] = {}
        left, failures = len(requests), list[str]()

        def one_less() -> None:
            nonlocal left
            left -= 1
            if left or question != self._question:
                return
            self._told(tuple(_powered(b, least, failed=bool(failures)) for b in said))
            if failures:
                self._missed(failures[0])

        def done(told: tuple[str, str]) -> None:
            currency, amount = told[0], Decimal(told[1])
            least[currency] = min(least.get(currency, amount), amount)
            one_less()

        def failed(why: str) -> None:
            failures.append(why)
            one_less()

        for request in requests:
            ask_rest(self._asker, request, rest.parse_buying_power, done, failed)

    def _told(self, said: tuple[VenueBalance, ...]) -> None:
        mono_ns, wall_ns = self._clock()
        self._failing = False
        self.deadline_ns = mono_ns + self._every_ns
        # A currency that the venue leaves out from now on holds nothing any more.
        gone = self.latest.keys() - {b.currency for b in said}
        nothing = [VenueBalance(currency=c, total="0", available="0", held="0", buying_power="0") for c in sorted(gone)]
        for balance in [*said, *nothing]:
            event = self._event(balance, wall_ns)
            self.latest[balance.currency] = event
            self._asker.publish(event)
        for currency in gone:
            del self.latest[currency]

    def _event(self, said: VenueBalance, wall_ns: int) -> Balance:
        return Balance(
            session=self._session, venue=self._venue, account=self._account, currency=said.currency, total=said.total,
            available=said.available, held=said.held, buying_power=said.buying_power, ts_ns=wall_ns,
        )  # fmt: skip

    def _missed(self, why: str) -> None:
        self.deadline_ns = self._clock()[0] + min(self._every_ns, RETRY_NS)
        if not self._failing:
            self._asker.alert("warning", "balances", f"{self._session}: {why}")
        self._failing = True


def _powered(balance: VenueBalance, least: dict[str, Decimal], *, failed: bool) -> VenueBalance:
    if balance.currency in least:
        return replace(balance, buying_power=f"{least[balance.currency]:f}")
    return replace(balance, buying_power="") if failed else balance
