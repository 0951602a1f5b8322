"""Orders and their lives, as events tell of them. Pure; bounded.

An order is what OrderState says of it; reports, refused cancels and differences stand in its life. Of those that ended
the newest are kept.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Final

from base.histogram import LogHistogram
from ipc import events as e
from ipc.view import words
from ipc.view.structs import LifePart, OrderLife, OrderPart, RoundTrip

FINISHED_KEPT: Final = 500
OPEN_KEPT: Final = 20_000
FIRST_KEPT, LAST_KEPT = 16, 48  # moments of one order's life
_MS: Final = 1_000_000
Key = tuple[str, str]  # venue, cl_ord_id


class RoundTrips:
    """Durations in ns, and the last of them."""

    def __init__(self) -> None:
        self._histogram = LogHistogram()
        self._last_ns = 0

    def add(self, ns: int) -> None:
        """Count one."""
        self._histogram.add(ns)
        self._last_ns = max(0, ns)

    def part(self) -> RoundTrip:
        """As it is shown."""
        h = self._histogram
        if not h.count:
            return RoundTrip()
        p50, p99 = h.percentile(50) // 1000, h.percentile(99) // 1000
        return RoundTrip(count=h.count, last_us=self._last_ns // 1000, p50_us=p50, p99_us=p99)


class _Life:
    """One order."""

    __slots__ = ("asked_ns", "dropped", "first", "first_ns", "last", "moments", "state")

    def __init__(self, state: e.OrderState) -> None:
        self.state = state
        self.first_ns = state.since_ns
        self.asked_ns = state.since_ns if state.state == "PENDING_NEW" else 0  # until the venue's first word
        self.first: list[LifePart] = []
        self.last: deque[LifePart] = deque(maxlen=LAST_KEPT)
        self.moments = 0

    def add(self, ts_ns: int, what: str, text: str) -> None:
        """A moment; the same said again is none."""
        moment = LifePart(ts_ns=ts_ns, what=what, text=text)
        if moment in self.last or moment in self.first:
            return
        self.moments += 1
        if len(self.first) < FIRST_KEPT:
            self.first.append(moment)
        else:
            self.last.append(moment)


class OrdersSeen:
    """Every open order, and the last that ended. `lost`: open ones that there was no room for."""

    def __init__(self, finished_kept: int = FINISHED_KEPT) -> None:
        self._kept = finished_kept
        self._open: OrderedDict[Key, _Life] = OrderedDict()
        self._finished: OrderedDict[Key, _Life] = OrderedDict()  # in the order in which they ended
        self.trips: dict[str, RoundTrips] = {}  # by session: new order to the venue's first word of it
        self.order_rejects: dict[str, int] = {}
        self.lost = 0

    def hear(self, event: object) -> None:
        """An event of an execution topic; any other is passed over."""
        match event:
            case e.OrderState():
                self._state(event)
            case e.ExecutionReport():
                self._report(event)
            case e.CancelReject():
                self._add(event.venue, event.cl_ord_id, event.recv_ns, "CancelReject", words.reject_text(event))
            case e.Difference():
                self._add(event.venue, event.cl_ord_id, event.ts_ns, "Difference", words.difference_text(event))

    def open_count(self, session: str = "") -> int:
        """Open orders, of one session or all."""
        if not session:
            return len(self._open)
        return sum(x.state.session == session for x in self._open.values())

    def uncertain(self) -> int:
        """Open orders whose fate is not known."""
        return sum(x.state.state == "UNCERTAIN" for x in self._open.values())

    def open(self, wall_ns: int, known: Callable[[str], bool], most: int) -> list[OrderPart]:
        """Open orders, UNCERTAIN ones first, then the newest; at most `most`."""
        lives = sorted(self._open.values(), key=lambda x: (x.state.state != "UNCERTAIN", -x.first_ns))
        return [_part(x, wall_ns, known) for x in lives[:most]]

    def finished(self, wall_ns: int, known: Callable[[str], bool], most: int) -> list[OrderPart]:
        """The last that ended, the newest first; at most `most`."""
        lives = sorted(self._finished.values(), key=lambda x: -x.state.since_ns)
        return [_part(x, wall_ns, known) for x in lives[:most]]

    def life(self, venue: str, cl_ord_id: str, wall_ns: int, known: Callable[[str], bool]) -> OrderLife | None:
        """An order with its events; None when it is not kept."""
        found = self._find(venue, cl_ord_id)
        if found is None:
            return None
        shown = (*found.first, *found.last)
        moments = tuple(sorted(shown, key=lambda m: m.ts_ns))
        return OrderLife(order=_part(found, wall_ns, known), events=moments, dropped=found.moments - len(shown))

    # -- inside ----------------------------------------------------------------------------------------------

    def _find(self, venue: str, cl_ord_id: str) -> _Life | None:
        key = (venue, cl_ord_id)
        return self._open.get(key) or self._finished.get(key)

    def _state(self, event: e.OrderState) -> None:
        key = (event.venue, event.cl_ord_id)
        found = self._open.pop(key, None) or self._finished.pop(key, None)
        if found is None:
            found = _Life(event)
        found.state = event
        found.add(event.since_ns, "OrderState", words.order_text(event))
        if event.state in e.OPEN_STATES:
            self._open[key] = found
            if len(self._open) > OPEN_KEPT:
                self._open.popitem(last=False)
                self.lost += 1
            return
        self._finished[key] = found
        if len(self._finished) > self._kept:
            self._finished.popitem(last=False)

    def _report(self, report: e.ExecutionReport) -> None:
        if report.exec_type == "8" and not e.told_beside(report):
            self.order_rejects[report.session] = self.order_rejects.get(report.session, 0) + 1
        found = self._find(report.venue, report.cl_ord_id)
        if found is None:
            return
        found.add(report.recv_ns, "ExecutionReport", words.report_text(report))
        if found.asked_ns and report.origin == "8" and not e.told_beside(report):
            self.trips.setdefault(report.session, RoundTrips()).add(report.recv_ns - found.asked_ns)
            found.asked_ns = 0

    def _add(self, venue: str, cl_ord_id: str, ts_ns: int, what: str, text: str) -> None:
        found = self._find(venue, cl_ord_id)
        if found is not None:
            found.add(ts_ns, what, text)


def _part(life: _Life, wall_ns: int, known: Callable[[str], bool]) -> OrderPart:
    s = life.state
    px, qty = s.px_scale, s.qty_scale
    return OrderPart(
        session=s.session, venue=s.venue, account=s.account, instrument=s.instrument, cl_ord_id=s.cl_ord_id,
        order_id=s.order_id, strategy=s.strategy, client_id=s.client_id, state=s.state,
        open=s.state in e.OPEN_STATES, side=words.SIDES.get(s.side, s.side), ord_type=s.ord_type,
        time_in_force=s.time_in_force, order_qty=words.number(s.order_qty, qty), price=words.number(s.price, px),
        stop_px=words.number(s.stop_px, px), filled_qty=words.number(s.cum_qty, qty),
        leaves_qty=words.number(s.leaves_qty, qty), reason=s.reason, first_ns=life.first_ns, since_ns=s.since_ns,
        age_ms=max(0, wall_ns - life.first_ns) // _MS, known=known(s.session), events=life.moments,
    )  # fmt: skip


def counted(orders: Iterable[OrderPart]) -> dict[str, int]:
    """How many of these each session has."""
    found: dict[str, int] = {}
    for order in orders:
        found[order.session] = found.get(order.session, 0) + 1
    return found
