"""The pre-trade checks of one trading process: limits, books and the other processes' rows, brought together."""

from collections.abc import Callable, Iterable, Mapping

from base.clock import Clock
from base.config import DeskConfig, Kind
from base.instruments import Contract
from ipc._words import RowShare
from ipc.book_tops import BookTops
from ipc.exposure import ExposureRow
from ipc.gate import account_scope
from ipc.other_rows import OtherRows
from risk.exposure import ExposureBook
from risk.exposure_sums import Account, ExposureSums
from risk.order import Order
from risk.pretrade import PreTrade
from risk.pretrade_plan import Ours
from venues.opening_positions import opener_of, rule_of

LOOK_NS = 20_000_000
BOOKS_NS = 200_000_000


class SharedMemory:
    """What the checks see of others: risk.pretrade.Outside."""

    def __init__(self, rows: OtherRows, books: BookTops) -> None:
        self.rows, self.books = rows, books
        self.refresh = rows.refresh
        self.best, self.reach = books.best, books.reach
        self._pages = {page.session: page for page in rows.pages}

    @property
    def unknown(self) -> Mapping[str, str]:
        return self.rows.unknown

    @property
    def unheld(self) -> Mapping[str, str]:
        return self.rows.unheld

    @property
    def unpriced(self) -> Mapping[str, str]:
        return self.rows.unpriced

    @property
    def blind(self) -> bool:
        return self.rows.blind

    def sent(self, session: str) -> Callable[[], int]:
        return self._pages[session].sent


class OrderChecks:
    """Judges this session's orders (venues.order_port.Checks) and hears what becomes of them."""

    def __init__(self, desk: DeskConfig, session: str, exposure: ExposureBook, clock: Clock) -> None:
        """ConfigError, naming the limit, for one that cannot be judged."""
        accounts = trading_accounts(desk)
        ours = accounts[session]
        self._session, self._clock = session, clock
        self._sums = ExposureSums(accounts, contracts_of(desk))
        self._ours: dict[str, RowShare] = {}
        names = {i.name for i in desk.venue_instruments(ours.venue)}
        holds = rule_of(desk, ours.venue) == "hold"
        openers = {opener_of(accounts, ours.venue, name) for name in names} if holds else set()
        self._rows = OtherRows(desk, session, self._sums.share, openers - {session})
        self._books = BookTops(desk, ours.venue, desk.session_instruments(session))
        self._rules = PreTrade(
            desk.config.kill.limits, Ours(session, ours.venue, ours.account), accounts, self._sums, exposure,
            SharedMemory(self._rows, self._books),
        )  # fmt: skip
        self.new = self._rules.new
        self.replace = self._rules.replace
        self.sent, self.unsent = self._rules.sent, self._rules.unsent
        self.changed = self._rules.changed
        scope = account_scope(ours.venue, ours.account)
        self._held = {name: self._sums.held(scope, name) for name in names}
        self._open = self._sums.count(scope)
        exposure.market_px = self._market_px
        self._books_ns = 0
        self.look()

    def restored(self, orders: Iterable[Order]) -> None:
        """The orders of the life before, before anything was concluded about them."""
        self._rules.restore(orders, self._clock.mono_ns(), self._clock.wall_ns())

    def moved(self, order: Order, row: ExposureRow) -> None:
        """An order of ours changed, and with it our row."""
        self._rules.moved(order)
        self.row(row)

    def row(self, row: ExposureRow) -> None:
        """A row of ours is now so."""
        self._rows.ours(row.instrument, row.flags)
        share = self._ours.get(row.instrument)
        if share is None:  # its scales do not change while the process lives
            share = self._sums.share(self._session, row.venue, row.instrument, row.qty_scale)
            self._ours[row.instrument] = share
        worth = row.buy_notional + row.sell_notional + row.position_notional
        try:
            share.now(row.open_orders, row.working_buy_qty, row.working_sell_qty, row.position, worth)
        except OverflowError:
            self._sums.feed(self._session, row)

    def look(self) -> None:
        """From a timer, every 20 ms or so."""
        mono_ns = self._clock.mono_ns()
        self._rows.look()
        self._rules.look(mono_ns)
        if mono_ns >= self._books_ns:
            self._books_ns = mono_ns + BOOKS_NS
            self._books.look()

    def account(self) -> tuple[dict[str, int], int]:
        """Of all sessions of our account: position by instrument at 18 decimals, and open orders."""
        self._rows.look()
        value = self._sums.sums.value
        return {name: value(at) for name, at in self._held.items()}, value(self._open)

    def dearest(self, instrument: str) -> int:
        """The best price of the dearer side of the book; 0 without one."""
        top = self._books.best(instrument)
        return max(top[0] if top[1] else 0, top[2] if top[3] else 0) if top is not None else 0

    def _market_px(self, instrument: str, side: str, qty: int) -> int:
        """The worst price that the book has for a market order: of a sale, too, no less than what a purchase pays."""
        return max(self.dearest(instrument), self._books.reach(instrument, side, qty)[0])

    def counters(self) -> dict[str, int]:
        """Orders refused, by the key of the limit; only what happened."""
        return {f"refused_{key}": n for key, n in self._rules.refused.items()}


def contracts_of(desk: DeskConfig) -> dict[tuple[str, str], Contract | None]:
    """What a quantity stands for, by venue and instrument."""
    return {key: i.contract for key, i in desk.instruments.items()}


def trading_accounts(desk: DeskConfig) -> dict[str, Account]:
    """Every trading session that has a process of its own, with where and what it trades."""
    found = {}
    for name in desk.sessions(Kind.TRADING):
        venue = desk.config.session[name].venue
        instruments = frozenset(i.name for i in desk.session_instruments(name))
        found[name] = Account(venue, desk.config.venue[venue].account, instruments)
    return found
