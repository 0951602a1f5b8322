"""What a trading process has at risk, where others see it: exposure rows of its page, positions in its journal."""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from ipc.events import AnyEvent, Position
from ipc.exposure import ExposureRow, ExposureWriter
from risk.exposure import ExposureBook, Figures
from risk.order import Order
from risk.orders import Applied
from venues.carry_over import at_scales
from venues.order_port import Times

HELD_ROWS = 4  # for positions in instruments that are configured no more

Scales = tuple[int, int]
"""px_scale, qty_scale"""


class Judge(Protocol):
    """Who adds up our rows with the others'."""

    def moved(self, order: Order, row: ExposureRow) -> None: ...
    def row(self, row: ExposureRow) -> None: ...


class AtRisk:
    """Keeps figures and rows up with every order and fill."""

    def __init__(
        self,
        names: tuple[str, str, str],
        book: ExposureBook,
        rows: ExposureWriter,
        judge: Judge,
        record: Callable[[AnyEvent], None],
        clock: Times,
    ) -> None:
        """`names`: session, venue, account."""
        self.session, self.venue, self.account = names
        self.book = book
        self._rows, self._judge, self._record, self._clock = rows, judge, record, clock

    def begin(
        self,
        present: Mapping[str, Scales],
        positions: Mapping[str, tuple[int, int]],
        scales: Mapping[str, Scales],
        working: list[Order],
        openings: Mapping[str, int] | None = None,
        awaited: Iterable[str] = (),
    ) -> list[str]:
        """Take up what the journal left, all of it before a row is shown: positions (with the last fill's price), what
        of them was there before our own fills, and working orders; `awaited`: whose opening is to come.

        Answers the instruments in which something is held that are not in `present` any more.
        """
        held = {name: at for name, at in scales.items() if positions[name][0] and name not in present}
        awaited, openings = set(awaited), openings or {}
        for name, now in {**present, **held}.items():
            figures, was = self.book.of(name, *now), scales.get(name, now)
            figures.position, figures.mark_px = at_scales(positions.get(name, (0, 0)), was, now)
            figures.opening = at_scales((openings[name], 0), was, now)[0] if name in openings else None
            figures.awaits_opening = name in awaited
        shown = {*present, *list(held)[:HELD_ROWS]}
        for order in working:
            self.book.update(order)
            shown.add(order.instrument)
        rows = [self._row(name, figures) for name, figures in self.book.figures.items() if name in shown]
        self._rows.begin(rows)
        for row in rows:
            self._judge.row(row)
        return list(held)

    def filled(self, order: Order, applied: Applied) -> Position:
        """A fill moves the position, which is to be recorded as it is now."""
        return self.position(order.instrument, self.book.filled(order, applied.fill_qty, applied.fill_px))

    def moved(self, order: Order) -> None:
        """An order changed: so does what it puts at risk."""
        row = self._row(order.instrument, self.book.update(order))
        self._rows.set(row)
        self._judge.moved(order, row)

    def opened(self, instrument: str, opening: int, mark_px: int) -> None:
        """The venue told what was held before our own fills; `mark_px`: what that is worth, 0: nobody knows."""
        figures = self.book.figures[instrument]
        figures.opening, figures.position = opening, figures.position + opening
        figures.mark_px = figures.mark_px or (mark_px if opening else 0)
        figures.awaits_opening = False
        self._record(self.position(instrument, figures))
        self._show(instrument, figures)

    def unknown(self, instruments: Iterable[str]) -> None:
        """Of these positions, and no others, the opening is awaited."""
        awaited = set(instruments)
        for name, figures in self.book.figures.items():
            if figures.awaits_opening != (name in awaited):
                figures.awaits_opening = name in awaited
                self._show(name, figures)

    def price(self, best: Callable[[str], int]) -> None:
        """What is held and has no price gets the book's, once there is one."""
        for name, figures in self.book.figures.items():
            if figures.position and not figures.mark_px and (px := best(name)):
                figures.mark_px = px
                self._record(self.position(name, figures))
                self._show(name, figures)

    def _show(self, instrument: str, figures: Figures) -> None:
        row = self._row(instrument, figures)
        self._rows.set(row)
        self._judge.row(row)

    def say_all(self) -> None:
        """Every position again, for a new file of the journal."""
        for name, figures in self.book.figures.items():
            self._record(self.position(name, figures))

    def position(self, instrument: str, figures: Figures) -> Position:
        """The position as an event."""
        return Position(
            self.session, self.venue, self.account, instrument, figures.position, figures.qty_scale,
            self._clock.wall_ns(), figures.mark_px, figures.px_scale, figures.opening,
        )  # fmt: skip

    def _row(self, instrument: str, figures: Figures) -> ExposureRow:
        buy_notional, sell_notional = figures.counted()
        return ExposureRow(
            venue=self.venue,
            instrument=instrument,
            px_scale=figures.px_scale,
            qty_scale=figures.qty_scale,
            open_orders=figures.open_orders,
            uncertain=figures.uncertain,
            working_buy_qty=figures.working_buy_qty,
            working_sell_qty=figures.working_sell_qty,
            position=figures.position,
            buy_notional=buy_notional,
            sell_notional=sell_notional,
            position_notional=figures.position_notional,
            updated_mono_ns=self._clock.mono_ns(),
            flags=figures.flags,
        )
