"""What a trading process carries over from one life to the next through its journal, and from file to file in it."""

from collections.abc import Callable
from pathlib import Path

from ipc.events import ExecutionReport, OrderState, Position
from ipc.journal import RECENT_SEGMENTS, Journal, OrderId, read_recent
from risk.orders import OrderTable

EVERY_FILE = 1 << 30


def restore(
    folder: Path, table: OrderTable, positions: dict[str, tuple[int, int]], files: int = EVERY_FILE
) -> list[OrderId]:
    """Orders and positions (with the last fill's price) as the journal in `folder` left them; the commands whose order
    it does not have.

    The order is journalled before it is sent, so what is returned never left. All files are read: lives that end while
    they write again can, one after the other, push the last complete writing out of the latest ones (Carrier).
    """
    unsaid: dict[str, OrderId] = {}
    for found in read_recent(folder, files):
        if isinstance(found, OrderId):
            unsaid[found.cl_ord_id] = found
            continue
        event = found.event
        if isinstance(event, OrderState):
            table.restore(event)
            unsaid.pop(event.cl_ord_id, None)
        elif isinstance(event, ExecutionReport):
            applied = table.apply(event, event.recv_ns)
            if applied.order is not None and applied.fill_qty:
                signed = applied.fill_qty if applied.order.side == "1" else -applied.fill_qty
                held, mark_px = positions.get(event.instrument, (0, 0))
                positions[event.instrument] = (held + signed, event.last_px or mark_px)
        elif isinstance(event, Position):
            positions[event.instrument] = (event.position, event.mark_px)
    return list(unsaid.values())


class Carrier:
    """Writes what must outlive a journal's files again into newer ones, before retention drops the old.

    Whenever the process dies, the last complete writing began at most RECENT_SEGMENTS - 1 files ago, as long as one
    writing fits a file.
    """

    def __init__(self, journal: Journal, write: Callable[[], None]) -> None:
        self._journal = journal
        self._write = write
        self._began = self._ended = 0
        self._busy = True

    def begin(self) -> None:
        """Write for the first time: all that was restored is in place."""
        self._busy = False
        self._again(self._journal.segment)

    def look(self) -> None:
        """From a timer: write when a new file was begun."""
        self._when_behind(1)

    def recorded(self) -> None:
        """After each record: write when the timer is too late."""
        self._when_behind(RECENT_SEGMENTS - 1)

    def _when_behind(self, files: int) -> None:
        segment = self._journal.segment
        if segment - self._began >= files and segment != self._ended and not self._busy:
            self._again(segment)

    def _again(self, segment: int) -> None:
        self._busy = True
        try:
            self._write()
        finally:
            self._busy = False
        self._began, self._ended = segment, self._journal.segment
