"""What the kill switch asks its process to do: data. The process does them in the order given."""

from typing import TypeAlias

import msgspec

from risk.kill_plan import OwnerMassCancel, OwnMassCancel, RestCancelAll


class RingOwners(msgspec.Struct, frozen=True):
    """Wake these owners: the generation rose."""

    sessions: tuple[str, ...]


class CancelOne(msgspec.Struct, frozen=True):
    """CancelOrder command to the process that owns the order."""

    session: str
    cl_ord_id: str
    order_id: str
    instrument: str


class RestCancelOrder(msgspec.Struct, frozen=True, omit_defaults=True):
    """Cancel one order over the venue's REST side, whatever session placed it, by the kill switch itself.

    `symbol`: the venue's, where the desk has no instrument for it.
    """

    venue: str
    instrument: str
    order_id: str
    cl_ord_id: str
    symbol: str = ""


class KillOwner(msgspec.Struct, frozen=True):
    """SIGKILL through the pidfd. No logout: an orderly one keeps orders alive on some venues."""

    session: str
    reason: str


class Revive(msgspec.Struct, frozen=True):
    """See to it that a dead owner runs again, cancel-only under the closed gate."""

    session: str


class ReadJournal(msgspec.Struct, frozen=True):
    """Read a session's journal from the disk and feed its events; then report the inventory as done."""

    session: str


class AskOwner(msgspec.Struct, frozen=True):
    """ListOrders command to a living owner; then report its inventory."""

    session: str


class AskList(msgspec.Struct, frozen=True):
    """Fetch the venue's open-orders list, every page."""

    venue: str


class AskOrder(msgspec.Struct, frozen=True):
    """Ask the venue for one order."""

    venue: str
    session: str
    cl_ord_id: str


class Persist(msgspec.Struct, frozen=True):
    """Write the latch."""

    data: bytes


class Audit(msgspec.Struct, frozen=True):
    """Append to the audit trail; figures and texts by name."""

    event: str
    facts: dict[str, object]


class Step(msgspec.Struct, frozen=True):
    """Publish progress of a trip."""

    trip_id: str
    step: str
    detail: str
    working: int
    proven: int
    filled: int


class State(msgspec.Struct, frozen=True):
    """Publish the state of a scope."""

    scope: str


class Tell(msgspec.Struct, frozen=True):
    """An alert for people."""

    severity: str
    code: str
    text: str


Action: TypeAlias = (
    OwnMassCancel
    | OwnerMassCancel
    | RestCancelAll
    | RingOwners
    | CancelOne
    | RestCancelOrder
    | KillOwner
    | Revive
    | ReadJournal
    | AskOwner
    | AskList
    | AskOrder
    | Persist
    | Audit
    | Step
    | State
    | Tell
)
CANCELS = (OwnMassCancel, OwnerMassCancel, RestCancelAll, CancelOne, RestCancelOrder)
