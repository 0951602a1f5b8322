"""Pieces of order bodies that dialects share: strict values out, refusals that name what the venue cannot do."""

from base.errors import VenueError
from base.instruments import Instrument
from fix.codec import BodyWriter
from ipc.requests import NewOrder
from venues.interface import WorkingOrder

POST_ONLY = "post_only"


def scaled(body: BodyWriter, tag: int, value: int | None, scale: int) -> None:
    """A price or quantity, left out when None."""
    if value is not None:
        body.scaled(tag, value, scale)


def required(value: int | None, what: str, ord_type: str) -> int:
    """`value`; VenueError naming `what` when the order type needs it and it is not there."""
    if value is None:
        raise VenueError(f"{what}: required for ord_type {ord_type!r}")
    return value


def one_of(value: str, allowed: frozenset[str], what: str, venue: str) -> str:
    """`value`; VenueError naming `what` when the venue does not take it."""
    if value not in allowed:
        raise VenueError(f"{what}: {venue} does not take {value!r}; it takes {sorted(allowed)}")
    return value


def no_more(options: dict[str, str], venue: str) -> None:
    """VenueError naming the options of an order that nobody read."""
    if options:
        raise VenueError(f"options: {venue} has no {sorted(options)}")


def find_by_id(body: BodyWriter, order: WorkingOrder) -> None:
    """OrderID(37) where the venue has told it."""
    if order.order_id:
        body.text(37, order.order_id)


def exec_inst(order: NewOrder | WorkingOrder, known: dict[str, str], venue: str) -> list[str]:
    """ExecInst words of the order in the venue's letters; VenueError naming one that it does not know."""
    words = order.exec_inst.split()
    for word in words:
        if word not in known:
            raise VenueError(f"exec_inst: {venue} does not know {word!r}; it knows {sorted(known)}")
    return [known[word] for word in words]


def need_instrument(instrument: Instrument | None, venue: str) -> Instrument:
    """The instrument; VenueError when a venue cancels by symbol and none was named."""
    if instrument is None:
        raise VenueError(f"mass cancel: {venue} takes one instrument a request")
    return instrument


class InPlace:
    """Encoders of a venue whose 35=G changes an order in place, and which wants no requests at logon."""

    def replace_is_new(self, order: WorkingOrder, order_qty: int, price: int | None, stop_px: int | None) -> bool:
        """OrderID and executions stay."""
        return False

    def after_logon(self) -> list[tuple[str, bytes]]:
        """Nothing."""
        return []
