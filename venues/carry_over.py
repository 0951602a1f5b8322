"""What an owner of a journal carries over from one life to the next through it, and from file to file in it."""

from collections.abc import Callable
from pathlib import Path

from ipc.events import AnyEvent, ExecutionReport, OrderState, Position
from ipc.journal import NAME, Journal, OrderId
from ipc.journal_restart import Names, read_restart
from ipc.told import Told, name_of
from risk.orders import OrderTable


def restore(
    folder: Path, table: OrderTable, positions: dict[str, tuple[int, int]],
    scales: dict[str, tuple[int, int]] | None = None, openings: dict[str, int] | None = None, *, whole: bool = False,
    told: Told | None = None,
) -> list[OrderId]:  # fmt: skip
    """Orders and positions (with the last fill's price) as the journal in `folder` left them; the commands whose order
    it does not have.

    The order is journalled before it is sent, so what is returned never left. Read is what came after the newest
    complete writing began, and the file before (Carrier); `whole`: everything that is kept. `scales` takes in the
    (px_scale, qty_scale) of each position: a configuration may have others by now; `openings` what of it was held
    before the desk's own fills, where the venue told; `told` which reports were told, also in older files.
    """
    restored = Restored(table, positions, scales, openings, told)
    for event in read_restart(folder, NAME, whole=whole):
        restored.take(event)
    return list(restored.unsaid.values())


class Restored:
    """What a journal has told so far, event by event; the arguments of `restore` are filled in."""

    def __init__(
        self, table: OrderTable, positions: dict[str, tuple[int, int]],
        scales: dict[str, tuple[int, int]] | None = None, openings: dict[str, int] | None = None,
        told: Told | None = None,
    ) -> None:  # fmt: skip
        self.table = table
        self.positions = positions
        self.unsaid: dict[str, OrderId] = {}  # commands without an order, by ClOrdID
        self._scales = {} if scales is None else scales
        self._openings = {} if openings is None else openings
        self._told = Told() if told is None else told

    def take(self, event: AnyEvent | OrderId | Names) -> None:
        """The next one."""
        match event:
            case OrderId():
                self.unsaid[event.cl_ord_id] = event
            case Names():
                self._told.replace(event.names)
            case OrderState():
                self.table.restore(event)
                self.unsaid.pop(event.cl_ord_id, None)
            case ExecutionReport():
                self._report(event)
            case Position():
                self.positions[event.instrument] = (event.position, event.mark_px)
                self._scales[event.instrument] = (event.px_scale, event.qty_scale)
                if event.opening is not None:
                    self._openings[event.instrument] = event.opening

    def _report(self, event: ExecutionReport) -> None:
        if not event.foreign:
            self._told.note(name_of(event))
        applied = self.table.apply(event, event.recv_ns)
        if applied.order is not None and applied.fill_qty:
            signed = applied.fill_qty if applied.order.side == "1" else -applied.fill_qty
            held, mark_px = self.positions.get(event.instrument, (0, 0))
            self.positions[event.instrument] = (held + signed, applied.fill_px or mark_px)
            self._scales.setdefault(event.instrument, (applied.order.px_scale, applied.order.qty_scale))


def at_scales(held: tuple[int, int], was: tuple[int, int], now: tuple[int, int]) -> tuple[int, int]:
    """Position and price in (px_scale, qty_scale) as they are now; what does not fit is rounded away from zero."""
    return _moved(held[0], now[1] - was[1]), _moved(held[1], now[0] - was[0])


def _moved(value: int, digits: int) -> int:
    unit: int = 10 ** abs(digits)
    if digits >= 0:
        return value * unit
    whole = -(-abs(value) // unit)
    return whole if value >= 0 else -whole


def never_sent(known: OrderId, session: str, venue: str, account: str, wall_ns: int) -> OrderState:
    """An order of which only the command's id was written: its client asks by that id, and gets an end to it."""
    return OrderState(
        session=session, venue=venue, account=account, instrument="", cl_ord_id=known.cl_ord_id,
        order_id="", state="REJECTED", side="", ord_type="", time_in_force="", px_scale=0, qty_scale=0,
        order_qty=0, price=None, cum_qty=0, leaves_qty=0, strategy="", client_id=known.client_id,
        command_id=known.command_id, since_ns=wall_ns, reason="the process ended before the order was sent",
    )  # fmt: skip


class Carrier:
    """Writes what must outlive a journal's files again into newer ones, and marks each writing's end.

    A restart reads from the newest marked writing on, and retention keeps it. A new writing comes when a new file was
    begun: by a timer, or, when that is late, with the first record of the file after it, at once where the file with
    the newest writing is the next to make room on a full disk.
    """

    def __init__(self, journal: Journal, write: Callable[[], None], told: Told | None = None) -> None:
        """`told`: which reports were told; it is carried over with what `write` writes."""
        self._journal = journal
        self._write = write
        self._told = told
        self._began = self._ended = journal.carry()
        self._busy = True

    def begin(self) -> None:
        """All that was restored is in place: write for the first time, unless this file holds a writing already."""
        self._busy = False
        if self._began != self._journal.segment:
            self._again(self._journal.segment)

    def look(self) -> None:
        """From a timer: write when a new file was begun."""
        self._when_behind(1)

    def recorded(self) -> None:
        """After each record: write when the timer is too late."""
        if self._journal.segment != self._ended:
            self._when_behind(2)

    def _when_behind(self, files: int) -> None:
        segment = self._journal.segment
        if segment in (self._began, self._ended) or self._busy:
            return
        if segment - self._began >= files or self._journal.cornered:
            self._again(segment)

    def _again(self, segment: int) -> None:
        self._busy = True
        try:
            self._write()
            self._journal.written(segment, self._told)
        finally:
            self._busy = False
        self._began, self._ended = segment, self._journal.segment
