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


def positive(text: str, path: str) -> str:
    """A decimal text above 0 as it stands; VenueError naming `path` otherwise."""
    whole, _, fraction = text.partition(".")
    if not (whole.isdecimal() and (not fraction or fraction.isdecimal()) and text.isascii()) or not text.strip("0."):
        raise VenueError(f"{path}: {text!r} is not a positive amount")
    return text


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


class NewAndCancel(InPlace):
    """Encoders of a venue whose sessions place orders and cancel them one by one; what it has beyond that it says."""

    venue_name: str

    def replace_order(
        self,
        body: BodyWriter,
        order: WorkingOrder,
        request_id: str,
        order_qty: int,
        price: int | None,
        stop_px: int | None,
        wall_ns: int,
    ) -> str:
        """There is none."""
        raise VenueError(f"35=G: {self.venue_name} has no replace; cancel and place anew")

    def order_status(self, body: BodyWriter, order: WorkingOrder, request_id: str, wall_ns: int) -> str:
        """There is none: an order is asked for over REST."""
        raise VenueError(f"35=H: {self.venue_name} has no status request over FIX")

    def mass_status(self, body: BodyWriter, request_id: str, wall_ns: int) -> str:
        """There is none: the list is had over REST."""
        raise VenueError(f"35=AF: {self.venue_name} has no mass status request")

    def mass_cancel(self, body: BodyWriter, instrument: Instrument | None, request_id: str, wall_ns: int) -> str:
        """There is none: orders are cancelled one by one, or over REST."""
        raise VenueError(f"35=q: {self.venue_name} has no mass cancel over FIX")
