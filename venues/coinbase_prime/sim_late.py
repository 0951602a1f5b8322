"""Reports that a session of the simulated Coinbase Prime was not there to hear: a day's, beside all numbers."""

from dataclasses import dataclass

from sim.gateway import SECOND_NS, Seat
from sim.wire import Field

KEPT_NS = 86_400 * SECOND_NS


@dataclass(frozen=True, slots=True)
class Missed:
    """One report."""

    seat: Seat
    time_ns: int
    nobody_there: bool  # no session of the portfolio was up
    msg_type: str
    fields: list[Field]


class LateReports:
    """What is still to be told; to the session that missed it, or (`to_any`) to whichever is back first."""

    def __init__(self, *, to_any: bool) -> None:
        self._to_any = to_any
        self._missed: list[Missed] = []

    def keep(self, missed: Missed) -> None:
        """A report found nobody."""
        self._missed.append(missed)

    def due(self, seat: Seat, now_ns: int) -> list[Missed]:
        """What a session that has come is told, oldest first; it is told once."""
        due: list[Missed] = []
        left: list[Missed] = []
        for missed in self._missed:
            if missed.time_ns >= now_ns - KEPT_NS:
                (due if self._is_for(seat, missed) else left).append(missed)
        self._missed = left
        return due

    def _is_for(self, seat: Seat, missed: Missed) -> bool:
        same_portfolio = missed.seat.grant.account == seat.grant.account
        return missed.seat is seat or (self._to_any and missed.nobody_there and same_portfolio)
