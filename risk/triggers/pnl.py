"""Profit and loss since the desk's day began: average cost, by session and instrument, in decimals. Pure.

The quantity is what the owner of the position says (Position events: absolute, said at its start and after each fill),
so nothing is counted twice whatever is read again, and nothing begins at zero that was not zero. A position carried
over the start of the day costs what it was worth then: the mark at that moment, else the price of the last fill before.
Fees reduce the realised part where they are in the quote or the base currency; others are listed beside it.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

import msgspec

from base.instruments import ONE, Contract
from ipc.events import ExecutionReport, Position, told_beside
from risk.ledger_positions import is_amount
from risk.triggers.days import Days

ZERO = Decimal(0)
TRADES_KEPT = 20_000  # of one session, by which busts and corrections are priced
AMENDS = frozenset("GH")


class Mark(msgspec.Struct, frozen=True):
    """What a position can be closed at. `source` says where it comes from."""

    bid: Decimal
    ask: Decimal
    source: str

    def of(self, position: Decimal) -> Decimal:
        """The side at which it would be closed."""
        return self.bid if position > 0 else self.ask


class Holding(msgspec.Struct):
    """One session's position in one instrument. Money is in the quote currency."""

    session: str
    venue: str
    account: str
    instrument: str
    day: str
    since_ns: int  # UTC; from when on it is known: the start of the day, or the first word of it
    position: Decimal = ZERO
    paid: Decimal | None = ZERO  # for all that is held, without its sign; None: held, and no price is known yet
    opening: Decimal = ZERO
    opening_cost: Decimal | None = None
    realised: Decimal = ZERO  # without fees
    fees: Decimal = ZERO
    other_fees: dict[str, Decimal] = {}
    last_px: Decimal | None = None
    fills: int = 0
    unpriced: int = 0  # changes of the position without a price of their own
    untold: str = ""  # why price times quantity is no money here, and no result is told

    @property
    def quote(self) -> str:
        """Currency of its money."""
        return self.instrument.split("-")[1] if "-" in self.instrument else ""

    @property
    def cost(self) -> Decimal | None:
        """Average price of what is held; None where nothing is, or no price is known."""
        return self.paid / abs(self.position) if self.position and self.paid is not None else None

    def begin(self, day: str, wall_ns: int, mark: Decimal | None) -> None:
        """A new day: what is carried costs what it is worth now."""
        px = mark if mark is not None else self.last_px if self.last_px is not None else self.cost
        self.day, self.since_ns = day, wall_ns
        self.opening, self.opening_cost = self.position, px if self.position else None
        self.paid = None if px is None and self.position else abs(self.position) * (px or ZERO)
        self.realised = self.fees = ZERO
        self.other_fees = {}
        self.fills = self.unpriced = 0

    def trade(self, qty: Decimal, px: Decimal | None) -> None:
        """The position changes by `qty` (signed) at a price; None: it is not known, and realises nothing."""
        self.fills += 1
        if px is None:
            self.unpriced += 1
            px = self.cost if self.cost is not None else self.last_px
        else:
            self.last_px = px
        held = self.position
        self.position = held + qty
        if px is None:
            self.paid = None if self.position else ZERO
            return
        paid = self.paid if self.paid is not None else abs(held) * px
        if not held or (held > 0) == (qty > 0):
            self.paid = paid + abs(qty) * px
            return
        closed = min(abs(held), abs(qty))
        part = paid if closed == abs(held) else paid * closed / abs(held)
        self.realised += (closed * px - part) * (1 if held > 0 else -1)
        self.paid = abs(self.position) * px if abs(qty) > abs(held) else paid - part

    def fee(self, currency: str, amount: Decimal, px: Decimal | None) -> None:
        """A fee that was paid (negative: a rebate)."""
        base = self.instrument.split("-", maxsplit=1)[0]
        if currency == self.quote:
            self.fees += amount
        elif currency == base and px is not None:
            self.fees += amount * px
        else:
            self.other_fees[currency] = self.other_fees.get(currency, ZERO) + amount

    def unrealised(self, mark: Mark | None) -> Decimal | None:
        """What closing it now would bring; None when nothing says what it is worth."""
        if not self.position:
            return ZERO
        px = mark.of(self.position) if mark is not None else self.last_px
        if px is None:
            return None
        if self.paid is None:  # the first price that is known of it
            self.paid, self.opening_cost = abs(self.position) * px, px
        return self.position * px - (self.paid if self.position > 0 else -self.paid)


class _Trade(msgspec.Struct):
    qty: Decimal  # signed; 0 once busted
    px: Decimal


class Place(msgspec.Struct, array_like=True, frozen=True):
    """The last event of a session's journal that was counted."""

    epoch: int = 0
    seq: int = 0


class ProfitBook:
    """Every owner's holdings, fed with their journals."""

    def __init__(
        self, days: Days, holdings: Iterable[Holding] = (), places: dict[str, Place] | None = None,
        contracts: Mapping[tuple[str, str], Contract | None] | None = None,
    ) -> None:  # fmt: skip
        """`holdings`, `places`: as they were kept; what lies at or before a place is not counted again.

        `contracts`: what a quantity stands for, by venue and instrument; spot where it is silent.
        """
        self._contracts = contracts or {}
        self.holdings = {(h.session, h.instrument): h for h in holdings}
        self.places = dict(places or {})
        self._days = days
        self._reports: dict[tuple[str, str], ExecutionReport] = {}  # the last one of each, until a position follows
        self._trades: dict[str, dict[str, _Trade]] = {}

    def event(self, session: str, epoch: int, seq: int, event: object) -> bool:
        """Take in an event of a session's journal; whether a holding changed."""
        if not isinstance(event, Position | ExecutionReport):
            return False
        if isinstance(event, ExecutionReport) and told_beside(event):
            return False
        place = self.places.get(session)
        if place is not None and (epoch, seq) <= (place.epoch, place.seq):
            if isinstance(event, ExecutionReport):
                self._recall(event)
            return False
        if isinstance(event, Position):
            self.places[session] = Place(epoch, seq)
            return self._position(event)
        # A report is only held until the position says what became of it, so it may be read again; not so a new price.
        amended = event.exec_type == "G" and self._amend(event)
        if amended:
            self.places[session] = Place(epoch, seq)
        if event.exec_type == "F" or event.exec_type in AMENDS:
            self._reports[event.session, event.instrument] = event
        return amended

    def roll(self, wall_ns: int, mark: Callable[[str, str], Mark | None]) -> bool:
        """Begin the new day where it has come; call it now and then, once all journals are read."""
        day = self._days.day(wall_ns)
        late = [h for h in self.holdings.values() if h.day < day]
        for holding in late:
            now = mark(holding.venue, holding.instrument) if holding.position else None
            holding.begin(day, wall_ns, now.of(holding.position) if now is not None else None)
        return bool(late)

    def _position(self, event: Position) -> bool:
        key = (event.session, event.instrument)
        held, untold = self._quantity(event.venue, event.instrument, event.position, event.qty_scale)
        px = Decimal(event.mark_px).scaleb(-event.px_scale) if event.mark_px else None
        report = self._reports.pop(key, None)
        holding = self.holdings.get(key)
        day = self._days.day(event.ts_ns)
        if holding is None:
            self.holdings[key] = Holding(
                event.session, event.venue, event.account, event.instrument, day, event.ts_ns, held,
                None if held and px is None else abs(held) * (px or ZERO), held, px if held else None, last_px=px,
                untold=untold,
            )  # fmt: skip
            return True
        holding.untold = untold
        if day > holding.day:
            holding.begin(day, event.ts_ns, None)
        change = held - holding.position
        if not change:
            return False
        priced = self._price(event.session, report, change, px)
        holding.trade(change, priced)
        if report is not None and report.exec_type == "F":
            for currency, amount in report.fees:
                if is_amount(amount):
                    holding.fee(currency, Decimal(amount), priced)
            self._remember(event.session, report, change, priced)
        return True

    def _quantity(self, venue: str, instrument: str, qty: int, scale: int) -> tuple[Decimal, str]:
        """What a quantity stands for, in base currency; and why it times a price is no money."""
        contract = self._contracts.get((venue, instrument), ONE)
        if contract is None or contract.inverse:
            return Decimal(qty).scaleb(-scale), "inverse" if contract else "no contract_value"
        return Decimal(qty * contract.value).scaleb(-scale - contract.scale), ""

    def _price(
        self, session: str, report: ExecutionReport | None, change: Decimal, px: Decimal | None
    ) -> Decimal | None:
        """A fill's price is the position's own mark; a busted trade goes out at what it came in for."""
        if report is None or report.exec_type not in AMENDS:
            return px
        known = self._known(session, report)
        said = Decimal(report.last_px).scaleb(-report.px_scale) if report.last_px else None
        if known is None:
            return said
        at = known.px
        known.qty += change
        return at

    def _amend(self, report: ExecutionReport) -> bool:
        """A corrected price (150=G) changes what was paid for the quantity that stays."""
        known = self._known(report.session, report)
        holding = self.holdings.get((report.session, report.instrument))
        if known is None or holding is None or not report.last_px:
            return False
        px = Decimal(report.last_px).scaleb(-report.px_scale)
        holding.realised -= (px - known.px) * known.qty
        known.px = px
        if report.exec_id:
            self._trades[report.session].setdefault(f"x{report.exec_id}", known)
        return True

    def _recall(self, report: ExecutionReport) -> None:
        """A trade that is counted already: a later bust or correction has to find it."""
        px = Decimal(report.last_px).scaleb(-report.px_scale) if report.last_px else None
        known = self._known(report.session, report) if report.exec_type in AMENDS else None
        if report.exec_type == "F" and report.last_qty:
            qty, _ = self._quantity(report.venue, report.instrument, report.last_qty, report.qty_scale)
            self._remember(report.session, report, qty if report.side == "1" else -qty, px)
        elif known is not None and report.exec_type == "H":
            known.qty = ZERO
        elif known is not None and px is not None:
            known.px = px
            if report.exec_id:
                self._trades[report.session].setdefault(f"x{report.exec_id}", known)

    def _known(self, session: str, report: ExecutionReport) -> _Trade | None:
        known = self._trades.get(session, {})
        found = known.get(f"x{report.exec_ref_id}") if report.exec_ref_id else None
        return found or (known.get(f"t{report.trade_id}") if report.trade_id else None)

    def _remember(self, session: str, report: ExecutionReport, qty: Decimal, px: Decimal | None) -> None:
        if px is None:
            return
        trade, known = _Trade(qty, px), self._trades.setdefault(session, {})
        for mark, name in (("x", report.exec_id), ("t", report.trade_id)):
            if name:
                known[mark + name] = trade
        while len(known) > TRADES_KEPT:
            del known[next(iter(known))]
