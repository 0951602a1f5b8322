"""The kill switch's own view of every owner's orders, from their events, journals and answers. Pure.

It trusts less than an owner does: an order is dead here by a report with a final status, or by the owner's word that it
was never sent. An owner's other conclusions are claims, which the proof of a trip checks for itself.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TypeAlias

import msgspec

from ipc.events import OPEN_STATES, ExecutionReport, OrderState, told_beside
from ipc.once import Once
from risk.kill_plan import Owned
from risk.order import Order
from risk.orders import OrderTable

ABSENT = "absent from two open-orders lists"
BESIDE_KEPT = 10_000  # reports of drop copies, and of sessions that did not place the order
FINISHED_KEPT = 500  # of each session, beside those of trips: an order takes some kilobytes
Life: TypeAlias = Literal["new", "alive", "dead", "held"]
# OrdStatus(39) by which a venue shows an order in its book; pending ones (A, 6, E) only say that a request arrived.
_SHOWS_LIFE = frozenset("0159D")


class Seen(msgspec.Struct, frozen=True):
    """What an event said of an order: first heard of, shown open by the venue, finished, or only held to be open."""

    order: Order
    life: Life
    how: str = ""


def _key(order: Order) -> tuple[str, str]:
    return order.session, order.ids[0]


def owned(order: Order) -> Owned:
    """Whose the order is."""
    return Owned(order.venue, order.account, order.session, order.instrument, order.strategy)


class OrderLedger:
    """Orders of all owners. Feeding the same events twice changes nothing, so journals may be read again."""

    def __init__(self) -> None:
        self._tables: dict[str, OrderTable] = {}
        # By session and first ClOrdID: open by all reports, absent by two lists of a past trip.
        self._absent: dict[tuple[str, str], Order] = {}
        self._strategies: dict[str, set[str]] = {}
        self._beside = Once(kept=BESIDE_KEPT)
        self._look_again: dict[str, int] = {}  # by session: as many finished orders may be before some are let go

    def strategies(self, session: str) -> set[str]:
        """Every strategy that is known to have traded in a session."""
        return self._strategies.get(session, set())

    def forget(self, needed: Callable[[Order], bool]) -> None:
        """Let go of orders that are long over: of each session the latest stay, and those that `needed` says.

        A list that lags may still show what was over lately; whose end an older report tells, it told before. One that
        comes alive again is told by its owner as an order, and counts as new.
        """
        for session, table in self._tables.items():
            if table.finished > self._look_again.get(session, 2 * FINISHED_KEPT):
                self._look_again[session] = table.forget_finished(FINISHED_KEPT, needed) + FINISHED_KEPT

    def open(self) -> Iterator[Order]:
        """Every order that may be working."""
        for table in self._tables.values():
            yield from (o for o in table.open() if _key(o) not in self._absent)

    def open_of(self, session: str) -> list[Order]:
        """Orders of one session that may be working."""
        table = self._tables.get(session)
        return [o for o in table.open() if _key(o) not in self._absent] if table is not None else []

    def finished_ids(self, venue: str) -> set[str]:
        """Every id of orders of this desk that a venue's own word finished; absence from lists is no such word."""
        done = (o for t in self._tables.values() for o in t if not o.is_open and o.venue == venue)
        return {n for o in done for n in (o.order_id, *o.ids) if n}

    def find(self, session: str, cl_ord_id: str, order_id: str = "", instrument: str = "") -> Order | None:
        """An order of one session by any of its ids."""
        table = self._tables.get(session)
        return table.find(cl_ord_id, order_id, instrument) if table else None

    def shown(self, venue: str, ids: Iterable[str]) -> list[Order]:
        """Orders that the venue lists, and that an earlier trip held dead for their absence: they are back."""
        names = set(ids) if self._absent else set()
        back = [o for o in self._absent.values() if o.venue == venue and not names.isdisjoint((o.order_id, *o.ids))]
        for order in back:
            del self._absent[_key(order)]
        return back

    def event(self, event: object, wall_ns: int) -> Seen | None:
        """Take in one event of an owner's stream or journal."""
        seen = self._take(event, wall_ns)
        if seen is not None and (seen.life in ("alive", "dead") or not seen.order.is_open):
            self._absent.pop(_key(seen.order), None)
        return seen

    def _take(self, event: object, wall_ns: int) -> Seen | None:
        if isinstance(event, ExecutionReport):
            return self._beside_told(event) if told_beside(event) else self._report(event, wall_ns)
        if isinstance(event, OrderState):
            return self._state(event, wall_ns)
        return None

    def settle(self, session: str, cl_ord_id: str, how: str, wall_ns: int) -> None:
        """An order that a trip proved dead without a report: finished here, too.

        One that was only absent from lists is left out until the venue shows it again.
        """
        order = self.find(session, cl_ord_id)
        if order is None or not order.is_open:
            return
        if how == ABSENT:
            self._absent[_key(order)] = order
            while len(self._absent) > FINISHED_KEPT:  # whose report never came, nor will
                oldest = self._absent.pop(next(iter(self._absent)))
                self._tables[oldest.session].settle_unknown(oldest, how, wall_ns)
        else:
            self._tables[session].settle_unknown(order, how, wall_ns)

    def inventory(self, session: str, orders: Iterable[OrderState], wall_ns: int) -> tuple[list[Seen], list[Order]]:
        """An owner's list of its open orders: what it says of them, and those open here that it does not list."""
        seen = [s for o in orders if (s := self._state(o, wall_ns)) is not None]
        listed = {id(s.order) for s in seen}
        return seen, [o for o in self.open_of(session) if id(o) not in listed]

    def _report(self, report: ExecutionReport, wall_ns: int) -> Seen | None:
        table = self._tables.setdefault(report.session, OrderTable())
        applied = table.apply(report, wall_ns)
        order = applied.order
        if order is None or applied.duplicate:
            return None
        if order.is_open:
            return Seen(order, "alive" if report.ord_status in _SHOWS_LIFE else "held")
        if report.ord_status in _SHOWS_LIFE and report.exec_type not in ("F", "4", "8", "C"):
            return Seen(order, "held")  # overtaken by the final one that came before it
        return Seen(order, "dead", f"report 39={report.ord_status}")

    def _beside_told(self, report: ExecutionReport) -> Seen | None:
        """Drop copy can only refute: an order that it shows open is alive; what it shows finished proves nothing.

        So can another session of the account, where reports go to more than the one that placed the order. What one of
        them told before is no news of the order when another tells it, or when it is replayed.
        """
        if not self._beside.first(report):
            return None
        for session, table in self._tables.items():
            order = table.find(report.cl_ord_id, report.order_id, report.instrument)
            if order is not None and order.venue == report.venue and session != report.session:
                return Seen(order, "alive" if report.ord_status in _SHOWS_LIFE and order.is_open else "held")
        return None

    def _state(self, event: OrderState, wall_ns: int) -> Seen | None:
        table = self._tables.setdefault(event.session, OrderTable())
        order = table.find(event.cl_ord_id, event.order_id, event.instrument)
        if order is None:
            order = _order(event)
            table.add(order)
            if order.strategy:
                self._strategies.setdefault(order.session, set()).add(order.strategy)
            return Seen(order, "new" if order.is_open else "held")
        order.cum_qty = max(order.cum_qty, event.cum_qty)
        order.order_id = order.order_id or event.order_id
        if not order.is_open:
            return Seen(order, "held")
        if event.state in OPEN_STATES:
            order.state, order.reason, order.cl_ord_id = event.state, event.reason, event.cl_ord_id
            return Seen(order, "held")
        if _never_sent(order, event):
            table.reject(order, event.reason, wall_ns)
            return Seen(order, "dead", "refused before it was sent")
        return Seen(order, "held")


def _never_sent(order: Order, event: OrderState) -> bool:
    """The owner refused the order itself. It says UNCERTAIN first wherever the bytes may have left."""
    return event.state == "REJECTED" and order.state == "PENDING_NEW" and not order.order_id and not order.cum_qty


def _order(e: OrderState) -> Order:
    return Order(
        session=e.session, venue=e.venue, account=e.account, instrument=e.instrument, cl_ord_id=e.cl_ord_id,
        order_id=e.order_id, state=e.state, side=e.side, ord_type=e.ord_type, time_in_force=e.time_in_force,
        px_scale=e.px_scale, qty_scale=e.qty_scale, order_qty=e.order_qty, price=e.price, cum_qty=e.cum_qty,
        leaves_qty=e.leaves_qty, strategy=e.strategy, client_id=e.client_id, command_id=e.command_id,
        since_ns=e.since_ns, reason=e.reason, ids=[e.cl_ord_id],
    )  # fmt: skip
