"""What order entry asks of the process that runs it."""

from collections.abc import Iterable
from typing import Protocol

from base.instruments import Instrument
from ipc.events import AnyEvent
from ipc.requests import NewOrder
from risk.order import Order
from risk.orders import Applied


class Times(Protocol):
    """Both clocks."""

    def mono_ns(self) -> int: ...
    def wall_ns(self) -> int: ...


class Port(Protocol):
    """What the process does for order entry."""

    def record(self, *events: AnyEvent) -> None:
        """Journal, then publish. Raises StoreError when the journal cannot take it."""
        ...

    def remember(self, command: NewOrder, cl_ord_id: str) -> None:
        """Journal which ClOrdID stands for (client_id, command_id), before anything is sent."""
        ...

    def may_send_new(self) -> str:
        """Why the journal lets nothing out that adds risk; empty when it does. Asked before replaces."""
        ...

    def gate(self, strategy: str, instrument: str) -> str:
        """Why no new order may leave now; empty when it may."""
        ...

    def filled(self, order: Order, applied: Applied) -> Iterable[AnyEvent]:
        """A report added to an order's filled quantity: what is to be recorded with it."""
        ...

    def moved(self, order: Order) -> None:
        """An order changed; exposure may have."""
        ...

    def alert(self, severity: str, code: str, text: str) -> None:
        """Tell people."""
        ...


class Checks(Protocol):
    """What judges orders before they leave (docs/pretrade.md)."""

    def new(self, command: NewOrder, instrument: Instrument, mono_ns: int) -> str:
        """Why a new order may not leave; empty when it may."""
        ...

    def replace(
        self, order: Order, instrument: Instrument, qty: int, price: int | None, stop_px: int | None, swap: bool,
        mono_ns: int,
    ) -> str:  # fmt: skip
        """Why an order may not be changed so; `swap`: the venue makes it a new order."""
        ...

    def sent(self, command: NewOrder, mono_ns: int) -> None:
        """A new order left, or is about to with others: it counts from now on."""
        ...

    def unsent(self, command: NewOrder) -> None:
        """It did not leave after all. Asked before anything else leaves."""
        ...

    def changed(self, order: Order, mono_ns: int) -> None:
        """A replace left."""
        ...


class NoChecks:
    """Where no limits are set."""

    def new(self, command: NewOrder, instrument: Instrument, mono_ns: int) -> str:
        return ""

    def replace(
        self, order: Order, instrument: Instrument, qty: int, price: int | None, stop_px: int | None, swap: bool,
        mono_ns: int,
    ) -> str:  # fmt: skip
        return ""

    def sent(self, command: NewOrder, mono_ns: int) -> None: ...

    def unsent(self, command: NewOrder) -> None: ...

    def changed(self, order: Order, mono_ns: int) -> None: ...
