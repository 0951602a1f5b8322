"""A client's orders: which process takes them, exact numbers, answers into results or errors."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from base.config import DeskConfig, Kind
from base.decimals import to_scaled
from base.errors import CommandError, ConfigError, NumberError
from base.instruments import Instrument
from ipc.command_client import CommandClient
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

REMEMBER: Final = 50_000  # orders whose session is kept in mind; of others, every session is asked
Number = str | Decimal | int


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


class Ordering:
    """Sends commands and waits for their answers."""

    def __init__(
        self, desk: DeskConfig, client_id: str, strategy: str, client: Callable[[str], CommandClient], timeout: float
    ) -> None:
        self._desk = desk
        self._client_id = client_id
        self._strategy = strategy
        self._timeout = timeout
        self._open = client
        self._clients: dict[str, CommandClient] = {}
        self._placed: OrderedDict[str, tuple[str, Instrument]] = OrderedDict()

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()

    def instrument(self, venue: str, name: str) -> Instrument:
        """ConfigError names what there is."""
        found = self._desk.instruments.get((venue, name))
        if found is None:
            there = sorted(f"{v} {n}" for v, n in self._desk.instruments)
            raise ConfigError(f"{self._desk.path}: no instrument {venue} {name}; there are {', '.join(there)}")
        return found

    def new(
        self,
        venue: str,
        instrument: str,
        side: str,
        qty: Number,
        price: Number | None,
        *,
        ord_type: str,
        time_in_force: str,
        stop_px: Number | None,
        exec_inst: str,
        session: str,
        command_id: str,
    ) -> str:
        """Place an order; see Desk.new_order."""
        terms = OrderTerms(venue, instrument, side, qty, price, ord_type, time_in_force, stop_px, exec_inst)
        inst = self.instrument(venue, instrument)
        process = self._session(inst, session)
        command = self._command(terms, inst, command_id or self._client(process).next_command_id())
        answer = self._accepted(process, command)
        self._remember(answer, process, inst)
        return answer.cl_ord_id

    def new_orders(self, orders: Sequence[OrderTerms], session: str, command_id: str) -> list[Answer]:
        """Place several; see Desk.new_orders."""
        placed = [self.instrument(terms.venue, terms.instrument) for terms in orders]
        if not 1 <= len(orders) <= TOGETHER_MOST:
            raise ConfigError(f"new_orders: {len(orders)} orders; a call has 1 to {TOGETHER_MOST}")
        process, *others = dict.fromkeys(self._session(inst, session) for inst in placed)
        if others:
            raise ConfigError(f"new_orders: one trading session a call; these are for {', '.join([process, *others])}")
        whole = command_id or self._client(process).next_command_id()
        each = enumerate(zip(orders, placed, strict=True))
        commands = tuple(self._command(terms, inst, f"{whole}/{n}") for n, (terms, inst) in each)
        answer = self.request(process, NewOrders(self._client_id, whole, self._deadline(), commands), self._timeout)
        if not answer.answers:
            raise CommandError(f"{process}: {answer.reason}")
        for told, inst in zip(answer.answers, placed, strict=True):
            if told.accepted:
                self._remember(told, process, inst)
        return list(answer.answers)

    def _command(self, terms: OrderTerms, inst: Instrument, command_id: str) -> NewOrder:
        return NewOrder(
            client_id=self._client_id,
            command_id=command_id,
            deadline_ns=self._deadline(),
            venue=terms.venue,
            instrument=terms.instrument,
            side=terms.side,
            ord_type=terms.ord_type or ("1" if terms.price is None else "2"),
            order_qty=_scaled("qty", terms.qty, inst.qty_scale, inst),
            price=None if terms.price is None else _scaled("price", terms.price, inst.px_scale, inst),
            stop_px=None if terms.stop_px is None else _scaled("stop_px", terms.stop_px, inst.px_scale, inst),
            time_in_force=terms.time_in_force,
            strategy=self._strategy,
            exec_inst=terms.exec_inst,
            options=terms.options,
        )

    def _remember(self, answer: Answer, process: str, inst: Instrument) -> None:
        self._placed[answer.cl_ord_id] = process, inst
        if len(self._placed) > REMEMBER:
            self._placed.popitem(last=False)

    def arm(self, reason: str) -> None:
        """See Desk.arm."""
        if not self._strategy:
            raise CommandError("arm: connect(strategy=...) says which strategy it is")
        command_id = self._client("killswitch").next_command_id()
        args = {"scope": f"strategy:{self._strategy}", "reason": reason, "by": self._client_id}
        self._accepted("killswitch", Ops(self._client_id, command_id, 0, "arm", args))

    def replace(self, cl_ord_id: str, qty: Number, price: Number | None) -> None:
        """See Desk.replace."""
        process, inst = self._placed.get(cl_ord_id) or self._look_for(cl_ord_id)
        self._accepted(
            process,
            ReplaceOrder(
                self._client_id,
                self._client(process).next_command_id(),
                self._deadline(),
                cl_ord_id,
                _scaled("qty", qty, inst.qty_scale, inst),
                None if price is None else _scaled("price", price, inst.px_scale, inst),
            ),
        )

    def cancel(self, cl_ord_id: str) -> None:
        """See Desk.cancel. Without a deadline: a cancel is never too late."""
        process, inst = self._placed.get(cl_ord_id) or self._look_for(cl_ord_id)
        command_id = self._client(process).next_command_id()
        self._accepted(process, CancelOrder(self._client_id, command_id, 0, cl_ord_id=cl_ord_id, instrument=inst.name))

    def cancel_all(self, processes: list[str], instrument: str) -> None:
        """See Desk.cancel_all: every session is asked before one that refused is told."""
        refused = []
        for process in processes:
            try:
                command_id = self._client(process).next_command_id()
                self._accepted(process, MassCancel(self._client_id, command_id, 0, instrument=instrument))
            except CommandError as e:
                refused.append(str(e))
        if refused:
            raise CommandError("; ".join(refused))

    def orders(self, processes: list[str], *, open_only: bool) -> list[OrderState]:
        """See Desk.orders."""
        found: list[OrderState] = []
        for process in processes:
            command_id = self._client(process).next_command_id()
            answer = self._accepted(process, ListOrders(self._client_id, command_id, self._deadline(), open_only))
            found += answer.orders
        return found

    def request(self, process: str, command: AnyCommand, timeout: float) -> Answer:
        """See Desk.request."""
        return self._client(process).request(command, int(timeout * 1000))

    def _accepted(self, process: str, command: AnyCommand) -> Answer:
        answer = self.request(process, command, self._timeout)
        if not answer.accepted:
            raise CommandError(f"{process}: {answer.reason}")
        return answer

    def _client(self, process: str) -> CommandClient:
        if process not in self._clients:
            self._clients[process] = self._open(process)
        return self._clients[process]

    def _deadline(self) -> int:
        """A command that is not read before its asker stops waiting is better not acted on."""
        return time.time_ns() + int(self._timeout * 1e9)

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

    def _look_for(self, cl_ord_id: str) -> tuple[str, Instrument]:
        """The session of an order that this client did not place itself."""
        for process in self._desk.sessions(Kind.TRADING):
            for order in self.orders([process], open_only=False):
                if order.cl_ord_id == cl_ord_id:
                    return process, self.instrument(order.venue, order.instrument)
        raise CommandError(f"no trading process knows an order {cl_ord_id!r}")


def _scaled(name: str, value: Number, scale: int, inst: Instrument) -> int:
    """NumberError names the argument and the instrument."""
    if isinstance(value, float):
        raise NumberError(f"{name}: {value!r} is a float, which is not exact; give text or a Decimal")
    try:
        return to_scaled(value, scale)
    except NumberError as e:
        raise NumberError(f"{name} of {inst.venue} {inst.name}: {e}") from None
