"""One order's life, from what the desk's streams say of it. Pure: events in, figures out; nothing is guessed.

Where a venue replaces an order by a new one, both are this order: what each of them filled counts, and what works is
the newest of them that the venue took. An event that is told twice, by a replay say, counts once.
"""

from decimal import Decimal
from fractions import Fraction
from typing import Final

import msgspec

from base.decimals import format_scaled
from base.errors import OrderRejected, OrderTimeout
from ipc.events import OPEN_STATES, CancelReject, ExecutionReport, OrderState
from ipc.requests import NewOrder

TRADES: Final = frozenset({"F", "1", "2"})  # ExecType(150) of a trade, in FIX 4.4 and before
CORRECTED, BUSTED = "G", "H"
UNCERTAIN: Final = "UNCERTAIN"

Place = tuple[int, int]  # (epoch, sequence number) in the session's topic


class Fill(msgspec.Struct, frozen=True):
    """One trade of an order, at the order's scales."""

    cl_ord_id: str
    qty: int
    px: int | None  # None: the venue did not say
    exec_id: str
    trade_id: str
    liquidity: str  # "M" maker, "T" taker, "" unknown
    fees: tuple[tuple[str, str], ...]  # (currency, exact decimal text); positive is paid
    transact_ns: int
    recv_ns: int


class Part(msgspec.Struct):
    """One order at the venue."""

    cl_ord_id: str
    state: str
    order_qty: int
    price: int | None
    order_id: str = ""
    cum_qty: int = 0
    leaves_qty: int = 0
    reason: str = ""
    since_ns: int = 0

    @property
    def is_open(self) -> bool:
        """It may be working at the venue."""
        return self.state in OPEN_STATES


class OrderLife:
    """An order as this client knows it. Quantities and prices are integers at `qty_scale` and `px_scale`."""

    def __init__(self, command: NewOrder, session: str, px_scale: int, qty_scale: int) -> None:
        self.session = session
        self.venue = command.venue
        self.instrument = command.instrument
        self.side = command.side
        self.px_scale, self.qty_scale = px_scale, qty_scale
        self.client_id, self.command_id = command.client_id, command.command_id
        self.deadline_ns = command.deadline_ns
        self.fills: list[Fill] = []  # in the order in which they became known
        self.reason_code = ""  # of the last refusal, as the venue gave it
        self.cancel_reject: CancelReject | None = None  # the last refusal of a cancel or replace
        self.answered = False  # the process said that it took the order, or an event told of it
        self.doubt = ""  # why what is known may be out of date: events were lost, no answer came
        self.forgotten = False  # the process has no such order any more, nor its end: nobody can be asked
        self.loading = False  # its history is being read; what comes meanwhile waits
        self._parts = [Part("", "PENDING_NEW", command.order_qty, command.price, leaves_qty=command.order_qty)]
        self._names: set[str] = set()
        self._at: Place = (0, 0)
        self._reason = ""

    # -- what it is --------------------------------------------------------------------------------------------

    @property
    def parts(self) -> tuple[Part, ...]:
        """The orders at the venue that it was, oldest first: more than one after replaces that place a new one."""
        return tuple(self._parts)

    @property
    def _now(self) -> Part:
        """The part that counts: the newest that the venue took, or may have taken."""
        for older, part in reversed(list(zip([None, *self._parts], self._parts, strict=False))):
            asked = part.state == "PENDING_NEW" and older is not None and older.is_open
            if part.state != "REJECTED" and not asked:
                return part
        return self._parts[0]

    @property
    def cl_ord_id(self) -> str:
        """ClOrdID(11) by which the venue knows it now; "" before the process answered."""
        return self._now.cl_ord_id

    @property
    def order_id(self) -> str:
        """OrderID(37)."""
        return self._now.order_id

    @property
    def state(self) -> str:
        """One of ORDER_STATES (docs/concepts.md). UNCERTAIN as long as anything about it is in doubt."""
        if self.doubt and (self._now.is_open or not self._now.cl_ord_id):
            return UNCERTAIN
        return self._now.state

    @property
    def reason(self) -> str:
        """Why it is in this state, in words, as far as anybody said."""
        return self.doubt or self._now.reason or self._reason

    @property
    def is_open(self) -> bool:
        """It may be working at the venue."""
        return (bool(self.doubt) and not self.cl_ord_id) or any(part.is_open for part in self._parts)

    @property
    def done(self) -> bool:
        """It works no more: FILLED, CANCELED, REJECTED or EXPIRED."""
        return not self.is_open

    @property
    def order_qty(self) -> int:
        """What was asked for, after the last replace that the venue took."""
        return self._now.order_qty

    @property
    def price(self) -> int | None:
        """Limit price, after the last replace that the venue took; None at market."""
        return self._now.price

    @property
    def filled(self) -> int:
        """Filled quantity, as the desk counts it."""
        return sum(part.cum_qty for part in self._parts)

    @property
    def remaining(self) -> int:
        """What may still be filled."""
        return self._now.leaves_qty if self._now.is_open else 0

    @property
    def untold(self) -> int:
        """Of `filled`: what no fill here accounts for (yet). Average price and fees are without it."""
        return max(self.filled - sum(fill.qty for fill in self.fills), 0)

    @property
    def notional(self) -> Decimal | None:
        """Exact sum of quantity times price of the fills; None when the price of one is not known."""
        worth = self._worth()
        return None if worth is None else Decimal(worth).scaleb(-self.px_scale - self.qty_scale)

    @property
    def avg_px(self) -> Fraction | None:
        """Exact average price of the fills; None without a fill, or when not every filled quantity has a price."""
        worth, qty = self._worth(), sum(fill.qty for fill in self.fills)
        return None if worth is None or not qty or self.untold else Fraction(worth, qty * 10**self.px_scale)

    def _worth(self) -> int | None:
        worth = 0
        for fill in self.fills:
            if fill.px is None:
                return None
            worth += fill.qty * fill.px
        return worth

    @property
    def fees(self) -> dict[str, Decimal]:
        """What was paid, by currency; what was received is negative."""
        paid: dict[str, Decimal] = {}
        for fill in self.fills:
            for currency, amount in fill.fees:
                paid[currency] = paid.get(currency, Decimal(0)) + Decimal(amount)
        return paid

    def __repr__(self) -> str:
        side = {"1": "buy", "2": "sell"}.get(self.side, self.side)
        qty, filled = (format_scaled(n, self.qty_scale) for n in (self.order_qty, self.filled))
        at = "" if self.price is None else f" at {format_scaled(self.price, self.px_scale)}"
        why = f" ({self.reason})" if self.reason else ""
        name = self.cl_ord_id or f"command {self.command_id}"
        return f"<{name}: {side} {qty} {self.instrument}{at} on {self.venue}: {self.state}{why}, filled {filled}>"

    def arrived(self, states: tuple[str, ...]) -> bool:
        """Whether it is in one of `states`, or ended; () is for its end. OrderRejected when it ended REJECTED and that
        is not what was waited for.
        """
        if self.state in states:
            return True
        if self.done and self.state == "REJECTED":
            why = f" ({self.reason_code})" if self.reason_code else ""
            text = f"{self.session}: {self.cl_ord_id or self.command_id}: {self.reason or 'rejected'}{why}"
            raise OrderRejected(text, self.reason, self.reason_code, self)
        return self.done

    def overdue(self, states: tuple[str, ...], timeout: float) -> OrderTimeout:
        """What to raise when it did not arrive in time."""
        return OrderTimeout(f"not {' or '.join(states) or 'ended'} within {timeout:g} s: {self!r}")

    # -- what happens to it ------------------------------------------------------------------------------------

    def taken(self, cl_ord_id: str) -> None:
        """The process took the order, under this ClOrdID. Its events may have told more by now."""
        self.answered, self.doubt = True, ""
        if not self._parts[0].cl_ord_id:
            self._parts[0].cl_ord_id = cl_ord_id

    def refused(self, reason: str) -> None:
        """The process did not take it, which is certain."""
        self.answered, self.doubt = True, ""
        self._move(self._parts[0], "REJECTED", reason, 0, 0)

    def unsure(self, why: str) -> None:
        """Something about it may have happened that is not known here."""
        if self.is_open:
            self.doubt = why

    def state_event(self, at: Place, event: OrderState) -> bool:
        """The desk's view after a change; False when it was told before."""
        if not self._newer(at):
            return False
        self.listed(event)
        return True

    def listed(self, event: OrderState) -> None:
        """The order as the process has it now."""
        self.answered, self.doubt = True, ""
        part = self._part_of(event)
        part.order_id = event.order_id or part.order_id
        if event.order_qty:
            part.order_qty, part.price = event.order_qty, event.price
        part.cum_qty = event.cum_qty
        self._move(part, event.state, event.reason, event.leaves_qty, event.since_ns)

    def _part_of(self, event: OrderState) -> Part:
        """The part that an event is about: by its ClOrdID or OrderID, else a new one that a replace placed."""
        for part in self._parts:
            if event.cl_ord_id in ("", part.cl_ord_id):
                return part
        first, last = self._parts[0], self._parts[-1]
        if not first.cl_ord_id:
            first.cl_ord_id = event.cl_ord_id
            return first
        other = event.order_id and last.order_id and event.order_id != last.order_id
        if event.state == "PENDING_NEW" or other:
            self._parts.append(Part(event.cl_ord_id, event.state, event.order_qty, event.price))
            return self._parts[-1]
        last.cl_ord_id = event.cl_ord_id  # the venue renames it with each replace
        return last

    def _move(self, part: Part, state: str, reason: str, leaves_qty: int, since_ns: int) -> None:
        part.state, part.reason, part.since_ns = state, reason, since_ns
        part.leaves_qty = leaves_qty if part.is_open else 0

    def report(self, at: Place, event: ExecutionReport) -> bool:
        """What the venue said of it: trades, their corrections and busts, reasons; False when it was told before."""
        if not self._newer(at):
            return False
        if event.exec_type in TRADES and event.last_qty:
            return self._trade(event, event.last_qty)
        if event.exec_type in (CORRECTED, BUSTED):
            self._amend(event)
        if event.reason_code or (event.text and (event.exec_type == "8" or event.ord_status == "8")):
            self.reason_code, self._reason = event.reason_code, event.text
        return True

    def reject(self, at: Place, event: CancelReject) -> bool:
        """A cancel or replace was refused; False when it was told before."""
        if not self._newer(at):
            return False
        self.cancel_reject = event
        return True

    def _newer(self, at: Place) -> bool:
        """Whether an event comes after what is known."""
        if at <= self._at:
            return False
        self._at = at
        return True

    def _trade(self, event: ExecutionReport, qty: int) -> bool:
        # A process that starts again without its oldest journal may tell a trade once more, under the same name.
        name = f"t{event.trade_id}" if event.trade_id else f"x{event.exec_id}" if event.exec_id else ""
        if name and name in self._names:
            return False
        self._names.add(name)
        self.fills.append(
            Fill(
                event.cl_ord_id, qty, event.last_px, event.exec_id, event.trade_id, event.liquidity, event.fees,
                event.transact_ns, event.recv_ns,
            )
        )  # fmt: skip
        return True

    def _amend(self, event: ExecutionReport) -> None:
        """A trade was corrected or busted: found by the execution that it refers to, else by the trade's id."""
        for i, fill in enumerate(self.fills):
            meant = event.exec_ref_id and fill.exec_id == event.exec_ref_id
            if meant or (not event.exec_ref_id and event.trade_id and fill.trade_id == event.trade_id):
                if event.exec_type == BUSTED:
                    del self.fills[i]
                else:
                    qty = fill.qty if event.last_qty is None else event.last_qty
                    px = fill.px if event.last_px is None else event.last_px
                    self.fills[i] = msgspec.structs.replace(fill, qty=qty, px=px, exec_id=event.exec_id or fill.exec_id)
                return
