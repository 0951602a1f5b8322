"""Commands to a process and their immediate answers (DEALER to ROUTER): the schema.

Each command carries the client's id, the client's own command id (idempotent: the same pair is answered, never
acted on twice) and a deadline. The answer says accepted or why not; what happens afterwards arrives as events.
"""

from typing import Final, TypeAlias

import msgspec

from ipc.events import Marker, OrderState

TOGETHER_MOST: Final = 100  # orders in one NewOrders: what one turn of a process, and a command's size, can bear


class Command(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    """Base of every command. `deadline_ns`: wall clock UTC, 0 = none; older commands are refused."""

    client_id: str  # whose command ids these are
    command_id: str  # the client's own, never used before
    deadline_ns: int  # UTC ns after which it is refused; 0 = none


class NewOrder(Command, tag="new", frozen=True):
    """Place an order. Quantities and prices are integers at the instrument's scales."""

    venue: str
    instrument: str
    side: str  # Side(54): "1" buy, "2" sell
    ord_type: str  # OrdType(40)
    order_qty: int
    price: int | None = None
    stop_px: int | None = None
    time_in_force: str = "1"  # TimeInForce(59): 1 GTC, 3 IOC, 4 FOK, 6 GTD
    strategy: str = ""
    exec_inst: str = ""  # ExecInst(18): space separated; "6"/"P" post-only is written "post_only"
    display_qty: int | None = None
    expire_ns: int = 0  # ExpireTime(126)
    effective_ns: int = 0  # EffectiveTime(168)
    options: dict[str, str] = {}  # further venue options by FIX name, as the venue's page in docs/venues lists


class NewOrders(Command, tag="news", frozen=True):
    """Place several orders: each is judged, stored and answered by itself, in turn, those before it counted in.

    Each is of the same client, with a command id and a deadline of its own, and is acted on once, as a NewOrder is.
    """

    orders: tuple[NewOrder, ...] = ()  # at least one, at most 100


class CancelOrder(Command, tag="cancel", frozen=True):
    """Cancel one order by its cl_ord_id (or order_id)."""

    cl_ord_id: str = ""  # ClOrdID(11) of the order; "" = order_id names it
    order_id: str = ""
    instrument: str = ""


class ReplaceOrder(Command, tag="replace", frozen=True):
    """Change quantity or price of a working order, by the means the venue has."""

    cl_ord_id: str
    order_qty: int  # the whole quantity from now on, at qty_scale
    price: int | None = None  # at px_scale; none = as it is
    stop_px: int | None = None
    strategy: str = ""  # refused when the order is of another one; "" = whosever it is


class StatusOrder(Command, tag="status", frozen=True):
    """Ask the venue for the state of one order."""

    cl_ord_id: str


class MassCancel(Command, tag="masscancel", frozen=True):
    """Cancel all orders of this session, or of one instrument of it."""

    instrument: str = ""  # of this one alone; "" = of all
    reason: str = ""


class ListOrders(Command, tag="orders", frozen=True):
    """The orders a trading process knows; `open_only` leaves out finished ones."""

    open_only: bool = True  # without those that ended


class SnapshotRequest(Command, tag="snapshot", frozen=True):
    """Ask a publisher to publish the present state of a topic, then a Marker in band."""

    topic: str = ""


class ReplayRequest(Command, tag="replay", frozen=True):
    """Ask a publisher for its journalled events of a topic from `from_seq` of `epoch` (0 = its oldest).

    The answer's `data` is a ReplayChunk of bounded size: one asks again from behind it until it carries a Marker.
    """

    topic: str = ""
    epoch: int = 0  # of the first event wanted; 0 = the oldest that is kept
    from_seq: int = 0  # its number


class Ops(Command, tag="ops", frozen=True):
    """An operator's word: verb is one of trip, reset, status, arm, plan; arguments by name."""

    verb: str = ""  # what to do
    args: dict[str, str] = {}  # by name


AnyCommand: TypeAlias = (
    NewOrder
    | NewOrders
    | CancelOrder
    | ReplaceOrder
    | StatusOrder
    | MassCancel
    | ListOrders
    | SnapshotRequest
    | ReplayRequest
    | Ops
)


class Answer(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="answer"):
    """Immediate answer. `reason` is empty when accepted."""

    command_id: str  # of the command that it answers
    accepted: bool  # taken; what becomes of it arrives as events
    reason: str = ""  # why it was not accepted
    cl_ord_id: str = ""  # ClOrdID(11) of the order that the command became
    duplicate: bool = False  # this command id was answered before; nothing was done again
    orders: tuple[OrderState, ...] = ()  # of a ListOrders
    data: bytes = b""  # verb-specific JSON; a packed ReplayChunk for a ReplayRequest
    epoch: int = 0  # with `next_seq`: `orders` are as of this place in the process's exec topic; 0 = not said
    next_seq: int = 0  # number of the first event after `orders`
    answers: tuple["Answer", ...] = ()  # to NewOrders: of each order, as they were given; `accepted`: all of them were


class ReplayChunk(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="chunk"):
    """Journalled bus frames from where a ReplayRequest asked. Without `marker` there is more: ask on behind them."""

    frames: tuple[bytes, ...]  # as they went out: topic NUL Envelope
    truncated: bool = False  # the journal no longer holds what was asked for; `frames` begin with its oldest
    marker: Marker | None = None  # nothing is left out up to here
    epoch: int = 0  # epoch that the marker's number belongs to
