"""How a venue's working orders are cancelled, as data: what is sent, what it reaches, what answers, what that proves.

The kill switch plans from it, `qd kill plan` prints it, the dead man's timer runs by it; none of them knows a venue.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Literal, TypeAlias

import msgspec

from venues.limits import Refusal


class OpenOrders(StrEnum):
    """How the orders open at the venue are learnt after a logon."""

    REST = "rest"  # a list over REST
    MASS_STATUS = "mass_status"  # 35=AF, answered by one 35=8 an order
    STATUS_EACH = "status_each"  # 35=H for each order known here; orders unknown here stay unseen
    REPLAY = "replay"  # the session replays what was missed: an unbroken sequence of numbers is the proof
    NONE = "none"  # not at all: what is not known stays UNCERTAIN


Action: TypeAlias = Literal[
    "own_mass_cancel", "owner_mass_cancel", "owner_cancel_each", "rest_cancel_all", "rest_cancel_each",
    "owner_disconnect",
]  # fmt: skip
Reach: TypeAlias = Literal["connection", "session", "comp_id", "account"]
DeadOwner: TypeAlias = Literal["yes", "restart", "no", "unproven"]
"""Whether a path reaches the orders of an owner whose process is dead: as things are; once that process runs again; not
at all; or nobody knows."""


PROVES = "each order's own final report proves that order; nothing else of it proves anything"


class CancelStep(msgspec.Struct, frozen=True, kw_only=True):
    """One way to cancel."""

    action: Action
    reaches: Reach
    per_instrument: bool
    says: str  # what is sent, for people: "35=q 530=7"
    answered_by: str  # for people
    when_empty: str  # what answers when there is nothing to cancel
    certain: bool  # False: the documentation contradicts itself or is silent; the step is then listed as unproven
    dead_owner: DeadOwner
    proves: str = PROVES
    timing: str = ""  # when it has its effect, as far as anybody says
    notes: tuple[str, ...] = ()


class DeadMan(msgspec.Struct, frozen=True, kw_only=True):
    """A timer at the venue that cancels every order of the account unless it is renewed in time."""

    says: str  # what arms and renews it
    disable_says: str
    least_s: int = 1
    most_s: int = 86_400
    advised: str = ""  # in the venue's own words
    after_downtime: bool = False  # it fires as well when the engine comes back from downtime
    certain: bool = True
    notes: tuple[str, ...] = ()


class CancelOutcome(StrEnum):
    """What a venue answered to a single cancel over REST. None of them proves the order dead."""

    CANCELLED = "cancelled"
    DONE = "already done"  # filled, cancelled or expired before
    NOT_FOUND = "not found"  # venues say so of orders that are over, too
    REFUSED = "refused"
    RATE_LIMITED = "rate limited"
    UNKNOWN = "outcome unknown"  # the venue does not know, or its answer cannot be read


class CancelAnswer(msgspec.Struct, frozen=True):
    """The answer to a single cancel."""

    outcome: CancelOutcome
    text: str = ""  # the venue's own words

    @property
    def settled(self) -> bool:
        """The venue has nothing left to do, by its own word: asking at once again is of no use."""
        return self.outcome in (CancelOutcome.CANCELLED, CancelOutcome.DONE, CancelOutcome.NOT_FOUND)


class CancelPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that cancels at this venue, tried at once, and what proves that it worked."""

    steps: tuple[CancelStep, ...]
    proof_list: OpenOrders  # list that proves absence
    list_lag_ms: int
    unproven: tuple[str, ...]  # what nothing proves at this venue, said before the desk arms
    list_says: str = ""  # what asks for that list
    drop_copy_lag_ms: int | None = None  # how late drop copy is, which can only refute; None: there is none
    drop_copy_refutes: bool = True  # False: it tells trades alone, and never that an order is open
    refused_when: tuple[str, ...] = ()  # states in which the venue takes no cancels, for people
    no_cancel: tuple[Refusal, ...] = ()  # answers that say that it is in such a state
    by_hand: tuple[str, ...] = ()  # what only a person can do here
    dead_man: DeadMan | None = None

    def refuses_cancels(self, code: str, text: str) -> bool:
        """Whether an answer says that the venue takes no cancels at all now."""
        return any(r.matches(code, text) for r in self.no_cancel)

    def refuses_by_symbol(self, code: str, text: str) -> bool:
        """Whether such an answer is about the symbol that was asked about, and no other."""
        return all(r.by_symbol for r in self.no_cancel if r.matches(code, text))


def step_of(steps: Iterable[CancelStep], action: Action) -> CancelStep | None:
    """The step of that kind; a plan has at most one."""
    return next((s for s in steps if s.action == action), None)
