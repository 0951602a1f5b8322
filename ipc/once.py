"""Each execution report once, whichever sessions of an account tell it and however often: by the venue's own identity.

The ledger tells fills apart by more than this (risk/ledger_fills.py); here a report is known again, or it is news.
"""

from collections.abc import Hashable
from typing import Final

from ipc.events import ExecutionReport

KEPT: Final = 100_000  # reports remembered


class Once:
    """Remembers the latest reports of one account, or of one session."""

    def __init__(self, *, by_session: bool = False, kept: int = KEPT) -> None:
        """`by_session`: each session numbers its ExecIDs itself, so that two of them share a trade's id alone."""
        self._by_session = by_session
        self._kept = kept
        self._seen: dict[Hashable, None] = {}

    def first(self, report: ExecutionReport) -> bool:
        """Whether it is told for the first time. One that the venue gave no name always is."""
        name = self._name(report)
        if name is None:
            return True
        if name in self._seen:
            return False
        self._seen[name] = None
        if len(self._seen) > self._kept:
            del self._seen[next(iter(self._seen))]
        return True

    def _name(self, report: ExecutionReport) -> Hashable | None:
        exec_id = f"{report.session} {report.exec_id}" if self._by_session and report.exec_id else report.exec_id
        if self._by_session and report.trade_id:
            exec_id = ""
        if not exec_id and not report.trade_id:
            return None
        # Two trades, or a trade and the order's end, under one ExecID are two reports.
        order = report.instrument or report.venue_symbol, report.order_id
        return report.venue, report.account, *order, exec_id, report.trade_id, report.exec_type, report.cum_qty
