"""Which reports of a venue the owner of a journal has told: by name, and over restarts.

A report is journalled before the session counts the message that carried it. When the process dies between the two, or
the host and with it what was counted last, the venue tells the report again. It is known again by its name. The names
of the latest reports stand in each writing of what a journal's owner carries over (ipc/journal_restart.py), so that it
does not matter how many files were begun since.
"""

from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Final, TypeAlias

import msgspec

from ipc.events import ExecutionReport

Name: TypeAlias = tuple[str, str, str, str, str, int | None]
"""Symbol, OrderID (ClOrdID where there is none), ExecID, trade id, ExecType, CumQty: the venue's words alone."""

KEPT: Final = 2_000  # names in a writing; not counted at a death is one message, after a power cut a second's
_OURS: Final = ("rest", "local")  # origins of reports that no session carried

_encode: Final = msgspec.msgpack.Encoder().encode


class Told:
    """The names of the latest reports. A report without a name (`name_of`) was never told and leaves nothing behind."""

    def __init__(self, kept: int = KEPT) -> None:
        """`kept`: names known at once; a writing has the latest of them, at most KEPT."""
        self._kept = kept
        self._names: set[Name] = set()
        self._order: deque[Name] = deque()  # oldest first

    def __contains__(self, name: Name | None) -> bool:
        """Whether it was told before."""
        return name in self._names

    def note(self, name: Name | None) -> None:
        """It is about to be told."""
        names = self._names
        if name is None or name in names:
            return
        names.add(name)
        self._order.append(name)
        if len(names) > self._kept:
            names.remove(self._order.popleft())

    def replace(self, names: Iterable[Name]) -> None:
        """These are the latest, oldest first, as a writing has them."""
        self._order = deque(dict.fromkeys(names))
        self._names = set(self._order)

    def latest(self, room: int) -> list[Name]:
        """Those that fit into so many bytes of a record, oldest first."""
        found: list[Name] = []
        for name in islice(reversed(self._order), KEPT):
            room -= len(_encode(name))
            if room < 0:
                break
            found.append(name)
        found.reverse()
        return found


def name_of(report: ExecutionReport, *, copied: bool = False) -> Name | None:
    """None where the venue gave it none, where it answers a question of ours (150=I, unless it is the `copied` answer
    to another session's), and where no session carried it.
    """
    exec_id, trade_id, exec_type = report.exec_id, report.trade_id, report.exec_type
    if not (exec_id or trade_id) or (exec_type == "I" and not copied) or report.origin in _OURS:
        return None
    symbol = report.venue_symbol or report.instrument
    return symbol, report.order_id or report.cl_ord_id, exec_id, trade_id, exec_type, report.cum_qty
