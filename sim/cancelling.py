"""How simulated venues cancel, with all that can go wrong: late, in part, in name only, or not at all."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

from base.clock import Clock
from sim.exchange import Exchange
from sim.faults import Fault, Faults
from sim.orders import Event, Order

SECOND_NS = 1_000_000_000
MS_NS = 1_000_000
CANCELS = frozenset("Fq")  # MsgTypes that cancel


class Cancelling(ABC):
    """What a venue's cancels need of it, and the cancels."""

    no_cancel_text = "cancels are not taken now"
    says_pending = False  # a request is answered by 150=6 before it is done
    exchange: Exchange
    faults: Faults
    clock: Clock

    @abstractmethod
    def after(self, delay_ns: int, callback: Callable[[], object]) -> None:
        """Call back later."""

    @abstractmethod
    def next_id(self) -> int:
        """A number never given before."""

    def takes_no_cancels(self, symbol: str, via: str) -> bool:
        """Whether a fault has every cancel refused now."""
        return self.faults.strike("no_cancel", self.clock.mono_ns(), symbol=symbol, via=via) is not None

    def cancel(self, order: Order, request_id: str, reason: str = "request") -> bool:
        """Cancel one order for a client; False when it cannot be."""
        if order.done:
            return False
        slow = self._slow(order)
        if slow is None:
            return self._cancel_now(order, request_id, reason)
        if slow.kind == "pending_cancel" and self.says_pending:
            self.exchange.announce(
                Event("6", order, self.clock.wall_ns(), "6", order.cum, order.leaves, order.qty, order.notional,
                      request_id=request_id)
            )  # fmt: skip
        self.after(slow.number("ms") * MS_NS, lambda: self._cancel_now(order, request_id, reason))
        return True

    def _slow(self, order: Order) -> Fault | None:
        if not self.faults:
            return None
        now = self.clock.mono_ns()
        facts = {"order_id": order.order_id, "cl_ord_id": order.cl_ord_id, "symbol": order.symbol}
        return self.faults.strike("slow_cancel", now, **facts) or self.faults.strike("pending_cancel", now, **facts)

    def _cancel_now(self, order: Order, request_id: str, reason: str) -> bool:
        now = self.clock.mono_ns()
        if order.done:
            return False
        facts = {"order_id": order.order_id, "cl_ord_id": order.cl_ord_id, "symbol": order.symbol}
        fault = self.faults.strike("late_fill", now, **facts) if self.faults else None
        if fault is not None and fault.parameters["when"] == "before":
            self.exchange.fill(order, order.leaves)
            if order.leaves == 0:
                return False
        left = order.leaves
        done = self.exchange.cancel(order, reason=reason, request_id=request_id)
        if done and fault is not None and fault.parameters["when"] == "after":
            self.after(fault.number("ms") * MS_NS, lambda: self._fill_late(order, left))
        return done

    def _fill_late(self, order: Order, qty: int) -> None:
        px = order.price or self.exchange.markets[order.symbol].last_px or 1
        order.cum, order.notional = order.cum + qty, order.notional + px * qty
        event = Event(
            "F",
            order,
            self.clock.wall_ns(),
            "2",
            order.cum,
            0,
            order.qty,
            order.notional,
            last_px=px,
            last_qty=qty,
            trade_id=1_000_000_000 + self.next_id(),  # the market's own ids are below
        )
        self.exchange.announce(event)

    def cancel_over_rest(self, order: Order, request_id: str) -> bool | None:
        """One cancel over REST: False when the order is over, None when the venue takes none now."""
        if self.faults and self.takes_no_cancels(order.symbol, "rest"):
            return None
        return self.cancel(order, request_id)

    def cancel_many(
        self, orders: Iterable[Order], request_id: str, symbol: str = "", *, via: str = "fix"
    ) -> int | None:
        """A mass cancel: number of orders cancelled (or said to be), None when the venue refuses."""
        targets = [o for o in orders if not o.done]
        now = self.clock.mono_ns()
        if via == "rest" and self.faults and self.takes_no_cancels(symbol, via):  # over FIX refused as it came in
            return None
        if self.faults.strike("mass_cancel_fake", now, symbol=symbol, via=via):
            return len(targets)
        partial = self.faults.strike("mass_cancel_partial", now, symbol=symbol, via=via)
        if partial is not None:
            targets = targets[: max(0, len(targets) - partial.number("leave"))]
        return sum(self.cancel(order, request_id) for order in targets)
