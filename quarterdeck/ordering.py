"""A client's orders: which process takes them, exact numbers, answers into results or errors. Steps; nothing waits."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final, TypedDict

import msgspec

from base.config import DeskConfig, Kind
from base.decimals import to_scaled
from base.errors import CommandError, ConfigError, NumberError, OrderRejected
from base.instruments import Instrument
from ipc.events import OrderState
from ipc.requests import (
    TOGETHER_MOST,
    Answer,
    AnyCommand,
    CancelOrder,
    ListOrders,
    MassCancel,
    NewOrder,
    NewOrders,
    Ops,
    ReplaceOrder,
)  # fmt: skip
from quarterdeck.steps import Ask, Steps

REMEMBER: Final = 50_000  # orders whose session is kept in mind; of others, every session is asked
Number = str | Decimal | int


class Terms(TypedDict, total=False):
    """What may be said of a new order beside its quantity and price. Codes are FIX values, as in docs/commands.md."""

    ord_type: str  # OrdType(40); limit with a price, market without one
    time_in_force: str  # TimeInForce(59): "1" GTC, "3" IOC, "4" FOK, "6" GTD
    stop_px: Number
    exec_inst: str  # "post_only", ...
    display_qty: Number
    expire_ns: int  # ExpireTime(126), UTC
    effective_ns: int
    options: dict[str, str]  # further ones by FIX name, as the venue's page lists them
    session: str  # where several order-entry sessions have the instrument
    command_id: str  # to ask again for what was not answered


class OrderTerms(msgspec.Struct, frozen=True):
    """One order of Desk.new_orders. Terms as in Desk.new_order; `options`: as the venue's page in docs/venues lists."""

    venue: str
    instrument: str
    side: str
    qty: Number
    price: Number | None = None
    ord_type: str = ""
    time_in_force: str = "1"
    stop_px: Number | None = None
    exec_inst: str = ""
    options: dict[str, str] = {}
    display_qty: Number | None = None
    expire_ns: int = 0
    effective_ns: int = 0


class Ordering:
    """Makes commands, and sense of their answers."""

    def __init__(
        self,
        desk: DeskConfig,
        client_id: str,
        strategy: str,
        timeout: float,
        command_id: Callable[[], str],
        most_s: float = math.inf,
    ) -> None:
        """`command_id` gives a new one each time; `timeout`: s for an answer; `most_s`: a deadline is no further."""
        self._desk = desk
        self._client_id = client_id
        self._strategy = strategy
        self.timeout = timeout
        self._most_s = most_s
        self.command_id = command_id
        self._placed: OrderedDict[str, tuple[str, Instrument]] = OrderedDict()

    def instrument(self, venue: str, name: str) -> Instrument:
        """ConfigError names what there is."""
        found = self._desk.instruments.get((venue, name))
        if found is None:
            there = sorted(f"{v} {n}" for v, n in self._desk.instruments)
            raise ConfigError(f"{self._desk.path}: no instrument {venue} {name}; there are {', '.join(there)}")
        return found

    def command(
        self, venue: str, instrument: str, side: str, qty: Number, price: Number | None, terms: Terms
    ) -> tuple[str, NewOrder]:
        """The process that takes a new order, and the command. ConfigError, NumberError."""
        inst = self.instrument(venue, instrument)
        given = OrderTerms(
            venue, instrument, side, qty, price, terms.get("ord_type", ""), terms.get("time_in_force", "1"),
            terms.get("stop_px"), terms.get("exec_inst", ""), terms.get("options", {}), terms.get("display_qty"),
            terms.get("expire_ns", 0), terms.get("effective_ns", 0),
        )  # fmt: skip
        command = self._command(given, inst, terms.get("command_id", "") or self.command_id())
        return self._session(inst, terms.get("session", "")), command

    def _command(self, terms: OrderTerms, inst: Instrument, command_id: str) -> NewOrder:
        def scaled(name: str, value: Number | None, scale: int) -> int | None:
            return None if value is None else _scaled(name, value, scale, inst)

        return NewOrder(
            client_id=self._client_id,
            command_id=command_id,
            deadline_ns=self.deadline(),
            venue=terms.venue,
            instrument=terms.instrument,
            side=terms.side,
            ord_type=terms.ord_type or ("1" if terms.price is None else "2"),
            order_qty=_scaled("qty", terms.qty, inst.qty_scale, inst),
            price=scaled("price", terms.price, inst.px_scale),
            stop_px=scaled("stop_px", terms.stop_px, inst.px_scale),
            time_in_force=terms.time_in_force,
            strategy=self._strategy,
            exec_inst=terms.exec_inst,
            display_qty=scaled("display_qty", terms.display_qty, inst.qty_scale),
            expire_ns=terms.expire_ns,
            effective_ns=terms.effective_ns,
            options=terms.options,
        )

    def new(
        self, venue: str, instrument: str, side: str, qty: Number, price: Number | None, terms: Terms
    ) -> Steps[str]:
        """Place an order; see Desk.new_order."""
        process, command = self.command(venue, instrument, side, qty, price, terms)
        answer = yield Ask(process, command, self.timeout)
        if not answer.accepted:
            raise OrderRejected(f"{process}: {answer.reason}", answer.reason)
        self.placed(answer.cl_ord_id, process, self.instrument(venue, instrument))
        return answer.cl_ord_id

    def new_orders(self, orders: Sequence[OrderTerms], session: str, command_id: str) -> Steps[list[Answer]]:
        """Place several; see Desk.new_orders."""
        placed = [self.instrument(terms.venue, terms.instrument) for terms in orders]
        if not 1 <= len(orders) <= TOGETHER_MOST:
            raise ConfigError(f"new_orders: {len(orders)} orders; a call has 1 to {TOGETHER_MOST}")
        process, *others = dict.fromkeys(self._session(inst, session) for inst in placed)
        if others:
            raise ConfigError(f"new_orders: one trading session a call; these are for {', '.join([process, *others])}")
        whole = command_id or self.command_id()
        each = enumerate(zip(orders, placed, strict=True))
        commands = tuple(self._command(terms, inst, f"{whole}/{n}") for n, (terms, inst) in each)
        answer = yield Ask(process, NewOrders(self._client_id, whole, self.deadline(), commands), self.timeout)
        if not answer.answers:
            raise CommandError(f"{process}: {answer.reason}")
        for told, inst in zip(answer.answers, placed, strict=True):
            if told.accepted:
                self.placed(told.cl_ord_id, process, inst)
        return list(answer.answers)

    def placed(self, cl_ord_id: str, process: str, instrument: Instrument) -> None:
        """Keep in mind whose an order is."""
        self._placed[cl_ord_id] = process, instrument
        if len(self._placed) > REMEMBER:
            self._placed.popitem(last=False)

    def arm(self, reason: str) -> Steps[None]:
        """See Desk.arm."""
        if not self._strategy:
            raise CommandError("arm: connect(strategy=...) says which strategy it is")
        args = {"scope": f"strategy:{self._strategy}", "reason": reason, "by": self._client_id}
        yield from self.accepted("killswitch", Ops(self._client_id, self.command_id(), self.deadline(), "arm", args))

    def replace(self, cl_ord_id: str, qty: Number, price: Number | None) -> Steps[None]:
        """See Desk.replace."""
        process, inst = self._placed.get(cl_ord_id) or (yield from self._look_for(cl_ord_id))
        yield from self.replace_at(process, cl_ord_id, inst, qty, price)

    def replace_at(
        self, process: str, cl_ord_id: str, inst: Instrument, qty: Number, price: Number | None
    ) -> Steps[None]:
        """Replace an order of a session."""
        command = ReplaceOrder(
            self._client_id,
            self.command_id(),
            self.deadline(),
            cl_ord_id,
            _scaled("qty", qty, inst.qty_scale, inst),
            None if price is None else _scaled("price", price, inst.px_scale, inst),
        )
        yield from self.accepted(process, command)

    def cancel(self, cl_ord_id: str) -> Steps[None]:
        """See Desk.cancel."""
        process, inst = self._placed.get(cl_ord_id) or (yield from self._look_for(cl_ord_id))
        yield from self.cancel_at(process, cl_ord_id, inst.name)

    def cancel_at(self, process: str, cl_ord_id: str, instrument: str) -> Steps[None]:
        """Cancel an order of a session. Without a deadline: a cancel is never too late."""
        command = CancelOrder(self._client_id, self.command_id(), 0, cl_ord_id=cl_ord_id, instrument=instrument)
        yield from self.accepted(process, command)

    def cancel_all(self, processes: list[str], instrument: str) -> Steps[None]:
        """See Desk.cancel_all: every session is asked before one that refused is told."""
        refused = []
        for process in processes:
            try:
                yield from self.accepted(process, MassCancel(self._client_id, self.command_id(), 0, instrument))
            except CommandError as e:
                refused.append(str(e))
        if refused:
            raise CommandError("; ".join(refused))

    def orders(self, processes: list[str], *, open_only: bool) -> Steps[list[OrderState]]:
        """See Desk.orders."""
        found: list[OrderState] = []
        for process in processes:
            answer = yield from self.listed(process, open_only=open_only)
            found += answer.orders
        return found

    def listed(self, process: str, *, open_only: bool) -> Steps[Answer]:
        """One process's orders, with their place in its topic."""
        command = ListOrders(self._client_id, self.command_id(), self.deadline(), open_only)
        return (yield from self.accepted(process, command))

    def accepted(self, process: str, command: AnyCommand) -> Steps[Answer]:
        """The answer; CommandError when it is a refusal."""
        answer = yield Ask(process, command, self.timeout)
        if not answer.accepted:
            raise CommandError(f"{process}: {answer.reason}")
        return answer

    def deadline(self) -> int:
        """A command that is not read before its asker stops waiting is better not acted on."""
        return time.time_ns() + int(min(self.timeout, self._most_s) * 1e9)

    def _session(self, inst: Instrument, session: str) -> str:
        sessions = self._desk.config.session
        fit = [
            n
            for n in self._desk.sessions(Kind.TRADING)
            if sessions[n].venue == inst.venue and inst in self._desk.session_instruments(n)
        ]
        if session in fit or (not session and len(fit) == 1):
            return session or fit[0]
        if not fit:
            raise ConfigError(f"{self._desk.path}: no trading session takes orders for {inst.venue} {inst.name}")
        raise ConfigError(f"session {session!r}: expected one of {', '.join(fit)} for {inst.venue} {inst.name}")

    def _look_for(self, cl_ord_id: str) -> Steps[tuple[str, Instrument]]:
        """The session of an order that this client did not place itself."""
        process, order = yield from self.look_up(cl_ord_id)
        return process, self.instrument(order.venue, order.instrument)

    def look_up(self, cl_ord_id: str) -> Steps[tuple[str, OrderState]]:
        """An order that any session of the desk knows; open ones are looked through first. CommandError."""
        for open_only in (True, False):
            for process in self._desk.sessions(Kind.TRADING):
                for order in (yield from self.listed(process, open_only=open_only)).orders:
                    if order.cl_ord_id == cl_ord_id:
                        return process, order
        raise CommandError(f"no trading process knows an order {cl_ord_id!r}")


def _scaled(name: str, value: Number, scale: int, inst: Instrument) -> int:
    """NumberError names the argument and the instrument."""
    if isinstance(value, float):
        raise NumberError(f"{name}: {value!r} is a float, which is not exact; give text or a Decimal")
    try:
        return to_scaled(value, scale)
    except NumberError as e:
        raise NumberError(f"{name} of {inst.venue} {inst.name}: {e}") from None
