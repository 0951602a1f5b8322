"""Orders as the desk sees them: a state machine over what was asked and what the venue reported. Pure, no I/O.

A report that arrives twice counts once (by ExecID), a trade that two channels tell counts once (risk/trades.py); a
cumulative quantity falls by busts and corrections alone; an order that a report finished stays finished, though a late
fill still counts. One
that was finished by inference (refused here, or absent from the venue's lists) is open again as soon as the venue shows
it alive. What cannot be known is UNCERTAIN, never guessed.
"""

from collections.abc import Callable, Iterator

import msgspec

from ipc.events import CancelReject, ExecutionReport, OrderState
from risk.by_value import is_by_value
from risk.order import Order
from risk.trades import Trades

FINAL_BY_STATUS = {"2": "FILLED", "3": "CANCELED", "4": "CANCELED", "8": "REJECTED", "C": "EXPIRED"}
SHOWS_LIFE = frozenset("05D")  # ExecType(150) of an order that lives, where OrdStatus(39) is not said
AMENDS = frozenset("GH")  # ExecType(150): a trade corrected, a trade busted
FINISHED_KEPT = 20_000  # finished orders remembered for late and doubled reports


class Applied(msgspec.Struct, frozen=True):
    """What a report did: the order (None when nobody here knows it), the fill it added, whether it was news."""

    order: Order | None
    fill_qty: int = 0
    fill_px: int | None = None
    duplicate: bool = False
    changed: bool = False
    revived: str = ""  # the state in which the order was thought to be finished: the report shows that it lives
    untraced: bool = False  # a bust or correction of a trade that is not known here, without a cumulative quantity


def _final(order: Order, report: ExecutionReport) -> str | None:
    """The state in which the report says that the order ended; None when it lives."""
    final = FINAL_BY_STATUS.get(report.ord_status)
    if report.ord_status == "3" and order.cum_qty >= order.order_qty > 0:
        return "FILLED"  # done, as nothing is left
    if final is None and report.exec_type in ("4", "8", "C"):
        final = FINAL_BY_STATUS[report.exec_type]
    by_qty = report.cum_qty is not None and not is_by_value(order.options)
    if final == "FILLED" and by_qty and order.cum_qty < order.order_qty and report.leaves_qty:
        return None  # says filled, yet quantity is left: trust the quantity
    return final


class OrderTable:
    """All orders of one or more sessions, found by any id they ever had."""

    def __init__(self, *, shared_trade_ids: bool = True) -> None:
        """`shared_trade_ids`: the venue's REST side names a trade as its session does."""
        self._shared_trade_ids = shared_trade_ids
        self._by_id: dict[str, Order] = {}
        self._by_order_id: dict[tuple[str, str], Order | None] = {}  # None: two instruments share the OrderID
        self._orders: dict[str, Order] = {}  # by first ClOrdID, insertion order
        self._open: dict[str, Order] = {}
        self._finished: dict[str, None] = {}
        self.untold: dict[str, Order] = {}  # by first ClOrdID: orders with fills that are not known one by one

    def __iter__(self) -> Iterator[Order]:
        return iter(list(self._orders.values()))

    def __len__(self) -> int:
        return len(self._orders)

    def open(self) -> list[Order]:
        """Orders that may be working, UNCERTAIN ones included, oldest first."""
        return list(self._open.values())

    def find(self, cl_ord_id: str = "", order_id: str = "", instrument: str = "") -> Order | None:
        """The order known by a ClOrdID it ever had, or by (instrument, OrderID).

        OrderIDs are a venue's per instrument: without an instrument one is taken only if no two orders share it.
        """
        order = self._by_id.get(cl_ord_id) if cl_ord_id else None
        if order is None and order_id:
            order = self._by_order_id.get((instrument, order_id))
        return order

    def add(self, order: Order) -> None:
        """Take an order in before its bytes leave. ValueError when its ClOrdID is taken."""
        if order.cl_ord_id in self._by_id:
            raise ValueError(f"cl_ord_id {order.cl_ord_id} is taken")
        key = order.cl_ord_id
        self._orders[key] = order
        for known in order.ids or [key]:
            self._by_id[known] = order
        order.ids = order.ids or [key]
        self._index_order_id(order)
        if order.is_open:
            self._open[key] = order
        else:
            self._finish(order)

    def request(
        self, order: Order, request_id: str, kind: str, now_ns: int, terms: tuple[int, int | None] | None = None
    ) -> None:
        """A cancel, replace or status request is about to leave for `order`; `terms`: what a replace asks for."""
        if kind == "status":
            self._only_status(order, request_id)
        order.requests[request_id] = kind
        if terms is not None:
            order.asked[request_id] = terms
        order.ids.append(request_id)
        self._by_id[request_id] = order
        pending = {"cancel": "PENDING_CANCEL", "replace": "PENDING_REPLACE"}.get(kind)
        if pending and order.state in ("NEW", "PARTIALLY_FILLED", "PENDING_NEW", "PENDING_REPLACE"):
            self._move(order, pending, "", now_ns)

    def _only_status(self, order: Order, request_id: str) -> None:
        """An order that is asked for again and again keeps the latest of those ids alone."""
        former, order.status_id = order.status_id, request_id
        if former and former in order.ids[1:]:
            order.requests.pop(former, None)
            order.ids.remove(former)
            self._by_id.pop(former, None)

    def disown(self, order: Order, request_id: str) -> None:
        """`request_id` becomes the ClOrdID of another order: it no longer leads to this one."""
        order.requests[request_id] = "successor"
        order.asked.pop(request_id, None)
        order.ids.remove(request_id)
        del self._by_id[request_id]

    def withdraw(self, order: Order, request_id: str, now_ns: int) -> None:
        """A request that was taken in did not leave after all."""
        order.requests.pop(request_id, None)
        order.asked.pop(request_id, None)
        if order.state != "UNCERTAIN":
            self._settle_pending(order, now_ns)

    def reject(self, order: Order, reason: str, now_ns: int) -> None:
        """The order did not leave: refused here."""
        self._infer(order, "REJECTED", reason, now_ns)

    def uncertain(self, order: Order, reason: str, now_ns: int) -> None:
        """Nobody knows the order's fate: it stays open and is followed."""
        if order.is_open:
            self._move(order, "UNCERTAIN", reason, now_ns)

    def settle_unknown(self, order: Order, reason: str, now_ns: int) -> None:
        """The venue's lists, beyond their lag, do not have the order: finished until a report shows it alive."""
        if order.is_open:
            filled = order.cum_qty >= order.order_qty > 0
            ended = "CANCELED" if order.order_id or order.cum_qty else "REJECTED"
            self._infer(order, "FILLED" if filled else ended, reason, now_ns)

    def name(self, order: Order, order_id: str) -> None:
        """The venue calls the order so; the first name stays."""
        if order_id and not order.order_id:
            order.order_id = order_id
            self._index_order_id(order)

    def revive(self, order: Order, now_ns: int) -> None:
        """An order thought finished by inference lives: nothing but the venue's word counts now."""
        order.inferred = False
        self._move(order, "UNCERTAIN", f"was thought {order.state}, and the venue reports it", now_ns)

    def stands(self, order: Order, reason: str, now_ns: int) -> None:
        """Nothing happened to an UNCERTAIN order since the venue last spoke of it: it is open."""
        order.leaves_qty = max(order.order_qty - order.cum_qty, 0)
        self._move(order, "PARTIALLY_FILLED" if order.cum_qty else "NEW", reason, now_ns)

    def _infer(self, order: Order, state: str, reason: str, now_ns: int) -> None:
        order.leaves_qty = 0
        order.requests.clear()
        order.inferred = True
        self._move(order, state, reason, now_ns)

    def apply_reject(self, report: CancelReject, now_ns: int) -> Order | None:
        """A cancel or replace was refused; the order goes on, or is UNCERTAIN when the venue does not know it."""
        order = self._by_id.get(report.request_id)
        placed_anew = order is not None and order.ids[0] == report.request_id != report.cl_ord_id
        if order is None or placed_anew:  # the refusal is about the order that was to make room for that one
            order = self.find(report.cl_ord_id, report.order_id, report.instrument)
        if order is None:
            return None
        order.requests.pop(report.request_id, None)
        order.asked.pop(report.request_id, None)
        if order.is_open:
            if report.unknown_order and order.state != "UNCERTAIN":
                self._move(order, "UNCERTAIN", f"venue does not know the order: {report.text}", now_ns)
            elif (
                not report.unknown_order and order.state != "UNCERTAIN"
            ):  # a refusal, of a throttle say, does not tell how the order is
                self._settle_pending(order, now_ns)
        return order

    def apply(self, report: ExecutionReport, now_ns: int) -> Applied:
        """Take in a report; never raises for what a venue says."""
        order = self._find_for(report)
        if order is None:
            return Applied(None)
        if report.exec_id:
            # Two trades, or a trade and the order's end, under one ExecID are two reports.
            mark = (report.exec_id, report.trade_id, report.exec_type)
            if mark in order.seen:
                return Applied(order, duplicate=True)
            order.seen.add(mark)
        self.name(order, report.order_id)
        before, was = (order.cum_qty, order.state, order.order_qty), "" if order.is_open else order.state
        if report.exec_type in AMENDS:
            return self._amended(order, report, now_ns)
        known = report.exec_type == "F" and self._told_before(order, report)
        self._quantities(order, report, known)
        if not (known and order.inferred):
            self._advance(order, report, now_ns)
        self._count_untold(order)
        revived = was if order.is_open else ""
        changed = not known or before != (order.cum_qty, order.state, order.order_qty)
        filled = order.cum_qty - before[0]
        return Applied(order, filled, report.last_px, duplicate=known, changed=changed, revived=revived)

    def _amended(self, order: Order, report: ExecutionReport, now_ns: int) -> Applied:
        """A bust or correction: what is filled moves by what the trade counts less or more.

        Of a trade that is not known here the venue's CumQty says what is left, if it is told.
        """
        before, was = order.cum_qty, "" if order.is_open else order.state
        qty = 0 if report.exec_type == "H" else report.last_qty
        change = None
        if qty is not None:
            change = order.trades.amend(report.exec_ref_id, report.trade_id, report.exec_id, qty)
        if change is not None:
            order.cum_qty = max(order.cum_qty + change, order.trades.qty, 0)
        elif report.cum_qty is not None:
            order.cum_qty = report.cum_qty
            order.trades.qty = min(order.trades.qty, order.cum_qty)
        self._after_amendment(order, report, now_ns)
        self._count_untold(order)
        untraced = change is None and report.cum_qty is None
        revived = was if order.is_open else ""
        return Applied(order, order.cum_qty - before, revived=revived, changed=True, untraced=untraced)

    def _after_amendment(self, order: Order, report: ExecutionReport, now_ns: int) -> None:
        """What is left of the order: one that was filled may be open again, if the venue says so."""
        if report.ord_status in ("0", "1") and report.leaves_qty:
            if order.is_open:
                self._settle_pending(order, now_ns)
            else:
                order.inferred = False
                self.stands(order, f"was {order.state}, and is open again after 150={report.exec_type}", now_ns)
        elif order.is_open and (final := _final(order, report)) is not None:
            order.requests.clear()
            order.asked.clear()
            self._move(order, final, report.text, now_ns)
        elif order.is_open and order.state != "UNCERTAIN":
            self._settle_pending(order, now_ns)
        order.leaves_qty = max(order.order_qty - order.cum_qty, 0) if order.is_open else 0

    def _count_untold(self, order: Order) -> None:
        if order.untold:
            self.untold[order.ids[0]] = order
        else:
            self.untold.pop(order.ids[0], None)

    def _told_before(self, order: Order, report: ExecutionReport) -> bool:
        """Whether the trade is known; if not, it is from now on."""
        name = report.trade_id or report.exec_id
        if not name or not report.last_qty:
            return False
        named = bool(report.trade_id) and self._shared_trade_ids
        rest = report.origin == "rest"
        new = order.trades.add(name, report.last_qty, report.last_px, rest=rest, named=named)
        # Where REST names trades otherwise its ids mean nothing to the session, which tells of busts.
        order.trades.name(report.last_qty, report.exec_id, report.trade_id if named or not rest else "", new=new)
        return not new

    def restore(self, event: OrderState) -> Order:
        """Take an order's state over from the journal, as it was written."""
        order = self.find(event.cl_ord_id, event.order_id, event.instrument)
        if order is None:
            order = Order(
                session=event.session, venue=event.venue, account=event.account, instrument=event.instrument,
                cl_ord_id=event.cl_ord_id, side=event.side, ord_type=event.ord_type,
                time_in_force=event.time_in_force, px_scale=event.px_scale, qty_scale=event.qty_scale,
                order_qty=event.order_qty, strategy=event.strategy, client_id=event.client_id,
                command_id=event.command_id, exec_inst=event.exec_inst, sent_ns=event.since_ns, ids=[event.cl_ord_id],
                display_qty=event.display_qty, expire_ns=event.expire_ns, effective_ns=event.effective_ns,
                options=event.options,
            )  # fmt: skip
            self.add(order)
        if event.cl_ord_id != order.cl_ord_id:
            self._rename(order, event.cl_ord_id)
        order.order_id = event.order_id or order.order_id
        order.order_qty, order.price, order.stop_px = event.order_qty, event.price, event.stop_px
        order.cum_qty, order.leaves_qty = event.cum_qty, event.leaves_qty
        order.inferred = event.inferred
        if event.trades:
            order.trades = Trades.from_kept(event.trades)
        order.trades.qty = order.cum_qty - event.untold  # trades told before the journal begins count as told
        self._index_order_id(order)
        self._count_untold(order)
        self._move(order, event.state, event.reason, event.since_ns)
        return order

    def _find_for(self, report: ExecutionReport) -> Order | None:
        for known in (report.cl_ord_id, report.orig_cl_ord_id, report.request_id):
            if known and known in self._by_id:
                return self._by_id[known]
        return self.find(order_id=report.order_id, instrument=report.instrument or report.venue_symbol)

    @staticmethod
    def _quantities(order: Order, report: ExecutionReport, known: bool) -> None:
        if report.cum_qty is not None:
            order.cum_qty = max(order.cum_qty, report.cum_qty)
        elif report.exec_type == "F" and report.last_qty and report.origin != "rest" and not known:
            order.cum_qty += report.last_qty
        # A trade had over REST may be one that a cumulative quantity has counted already.
        order.cum_qty = max(order.cum_qty, order.trades.qty)
        if report.exec_type in ("5", "D", "I"):
            if report.order_qty is not None:
                order.order_qty = report.order_qty
            if report.price is not None:
                order.price = report.price
            if report.stop_px is not None:
                order.stop_px = report.stop_px
        order.leaves_qty = max(order.order_qty - order.cum_qty, 0)

    def _advance(self, order: Order, report: ExecutionReport, now_ns: int) -> None:
        request = order.requests.get(report.request_id)
        if report.exec_type == "5":
            if report.request_id and report.cl_ord_id in ("", report.request_id):  # some venues leave the name as it is
                self._rename(order, report.request_id)
            order.requests = {k: v for k, v in order.requests.items() if v != "replace"}
            if order.asked.pop(report.request_id, None) is None:
                order.asked.clear()
        elif report.exec_type == "I" and report.order_qty is not None and "replace" not in order.requests.values():
            order.asked.clear()  # no replace is on its way: these are the terms
        if request is not None and report.exec_type in ("4", "I"):
            order.requests.pop(report.request_id, None)
        final = _final(order, report)
        # A trade alone, or a quantity alone, says nothing of what became of the rest.
        silent = not report.ord_status and report.exec_type in ("F", "I")
        alive = final or report.ord_status or report.exec_type in SHOWS_LIFE or report.exec_type == "F"
        if order.inferred and not order.is_open and alive:
            self.revive(order, now_ns)
        if not order.is_open:
            if order.cum_qty >= order.order_qty > 0 and order.state in ("CANCELED", "EXPIRED"):
                self._move(order, "FILLED", "filled before the cancel", now_ns)
            order.leaves_qty = 0
            return
        # An open status with quantity left: our order_qty is out of date.
        left = report.ord_status in ("0", "1") and bool(report.leaves_qty)
        by_value = is_by_value(order.options)  # its quantity is the desk's own figure: the venue alone knows its end
        told = report.exec_type in ("F", "I") and not left
        complete = told and not by_value and order.cum_qty >= order.order_qty > 0
        # Some venues' last trade still says 39=1. Whether 151=0 of such an order means that, the venue has to say.
        spent = by_value and final is None and report.exec_type == "F" and report.leaves_qty == 0
        if spent or (silent and (complete or order.state == "UNCERTAIN")):
            # The quantity may have been raised meanwhile: what became of the order the venue has to say.
            if order.state != "UNCERTAIN":
                self._move(order, "UNCERTAIN", "all of it is filled, as its trades say", now_ns)
            return
        if final is not None or complete:
            order.leaves_qty = 0
            order.requests.clear()
            order.asked.clear()
            self._move(order, final or "FILLED", report.text, now_ns)
            return
        if report.exec_type == "A" or report.ord_status == "A":
            return
        self._settle_pending(order, now_ns)

    def _settle_pending(self, order: Order, now_ns: int) -> None:
        if not order.is_open:
            return
        kinds = set(order.requests.values())
        if "cancel" in kinds:
            state = "PENDING_CANCEL"
        elif "replace" in kinds:
            state = "PENDING_REPLACE"
        else:
            state = "PARTIALLY_FILLED" if order.cum_qty else "NEW"
        self._move(order, state, "", now_ns)

    def _rename(self, order: Order, cl_ord_id: str) -> None:
        order.cl_ord_id = cl_ord_id
        if cl_ord_id not in order.ids:
            order.ids.append(cl_ord_id)
        self._by_id[cl_ord_id] = order

    def _index_order_id(self, order: Order) -> None:
        if order.order_id:
            self._by_order_id[order.instrument, order.order_id] = order
            only = self._by_order_id.setdefault(("", order.order_id), order)
            if only is not order:
                self._by_order_id["", order.order_id] = None

    def _move(self, order: Order, state: str, reason: str, now_ns: int) -> None:
        if order.state == state and order.reason == reason:
            return
        order.state, order.reason, order.since_ns = state, reason, now_ns
        if order.is_open:
            self._open.setdefault(order.ids[0], order)
            self._finished.pop(order.ids[0], None)
        else:
            self._open.pop(order.ids[0], None)
            self._finish(order)

    def _finish(self, order: Order) -> None:
        self._finished[order.ids[0]] = None
        while len(self._finished) > FINISHED_KEPT:
            oldest = next(iter(self._finished))
            del self._finished[oldest]
            self._forget(self._orders.pop(oldest))

    def forget_finished(self, kept: int, needed: Callable[[Order], bool]) -> int:
        """Forget finished orders but the `kept` latest and those needed; answers how many are left."""
        for key in list(self._finished)[: max(len(self._finished) - kept, 0)]:
            if not needed(self._orders[key]):
                del self._finished[key]
                self._forget(self._orders.pop(key))
        return len(self._finished)

    @property
    def finished(self) -> int:
        """How many finished orders are remembered."""
        return len(self._finished)

    def _forget(self, order: Order) -> None:
        self.untold.pop(order.ids[0], None)
        for known in order.ids:
            if self._by_id.get(known) is order:
                del self._by_id[known]
        for key in ((order.instrument, order.order_id), ("", order.order_id)):
            if self._by_order_id.get(key) is order:
                del self._by_order_id[key]
