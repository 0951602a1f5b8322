"""What is held against a desk after each trip of a campaign. Pure: records go in, violations come out.

It takes no word of the desk for what happened at a venue: what reached a venue and when is the tap's word
(bench/kill_tap.py), what worked there the matching engine's own. docs/kill-campaign.md states each rule.
All times are the host's monotonic clock in nanoseconds; the venues' UTC times were converted by who collected them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from bench.kill_tap import Heard
from risk.kill_plan import Owned, covers

CLOCK_NS: Final = 300_000
"""Two clocks meet in one comparison: the kernel stamps what it received with UTC, a fence is on the monotonic clock.
The offset between them is taken when a message is read, in two calls between which a core may be lost."""
NEW: Final = frozenset({"D", "G", "XCN", "XAK"})  # what places an order, or gives one other terms
KINDS: Final = (
    "sent after the fence", "accepted after the fence", "unseen on the wire", "unaccounted", "false proven",
    "alive after proven", "beyond the scope", "trip without effect", "gate", "latch", "audit", "never proven",
)  # fmt: skip


class VenueOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One order as a venue's matching engine had it. `ids`: every ClOrdID it is or was known by."""

    owned: Owned
    order_id: str
    ids: tuple[str, ...]
    status: str  # OrdStatus(39)
    ended: str  # why it was cancelled: request, disconnect, ioc, ...
    opened_ns: int
    closed_ns: int  # 0: it works

    def works(self, at_ns: int) -> bool:
        """Whether it was working at that time."""
        return self.opened_ns <= at_ns and not 0 < self.closed_ns <= at_ns


class Closure(msgspec.Struct, frozen=True, kw_only=True):
    """A scope that was shut, from the first sight of its word to the person's reset. `fences`: when each owner of
    orders stored a generation that is not older.
    """

    scope: str
    generation: int
    seen_ns: int
    opened_ns: int  # when a reset was asked for; a large number: it was not
    fences: dict[str, int]


class Claim(msgspec.Struct, frozen=True):
    """The kill switch said that every order of these scopes is proven dead, and when. `names`: which orders those were,
    by any of their ids, where its audit trail says so; `listed_ns`: when it had taken them down and the fence stood.
    """

    scopes: tuple[str, ...]
    at_ns: int
    source: str
    names: frozenset[str] | None = None
    listed_ns: int = 0


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """What the kill switch listed as not proven before and after the venue was asked what works, fence complete."""

    scopes: tuple[str, ...]
    listed: frozenset[str]
    before_ns: int
    after_ns: int
    venue: str
    working: tuple[str, ...]  # OrderIDs


class Round(msgspec.Struct, kw_only=True):
    """Everything that is known of one round of a campaign: from the trip until all was open again."""

    number: int
    began_ns: int
    ended_ns: int
    closures: list[Closure] = []
    claims: list[Claim] = []
    sightings: list[Sighting] = []
    orders: list[VenueOrder] = []
    heard: list[Heard] = []
    whose: dict[str, Owned] = {}  # by ClOrdID and OrderID, for what is on the wire
    asked: frozenset[str] = frozenset()  # ClOrdIDs that a strategy asked to cancel or replace
    swept_all: bool = False  # without the kill switch for so long that owners cancel everything, or the operator word


class Violation(msgspec.Struct, frozen=True):
    """Something that the contract forbids."""

    kind: str  # one of KINDS
    what: str
    at_ns: int
    evidence: dict[str, object]


class Tally(msgspec.Struct):
    """What was looked at, so that silence means something."""

    orders: int = 0
    messages: int = 0
    in_scope_after: int = 0  # orders accepted after a fence that covered them: each was at the venue's edge before it
    longest_in_buffer_ms: float = 0.0
    undecided: int = 0  # messages read together with others whose time may be another's
    claims: int = 0
    sightings: int = 0
    proofs: int = 0  # orders that worked after the fence, looked up among the proofs of the trip
    listed: int = 0  # working orders looked up in the kill switch's list
    outside: int = 0  # orders outside every scope that was shut


def audit(round_: Round, tally: Tally) -> list[Violation]:
    """Every violation of one round, the oldest first."""
    tally.orders += len(round_.orders)
    tally.messages += len(round_.heard)
    found = [
        *_sent(round_, tally), *_accepted(round_, tally), *_unaccounted(round_, tally), *_false(round_, tally),
        *_beyond(round_, tally),
    ]  # fmt: skip
    return sorted(found, key=lambda v: v.at_ns)


def shut(round_: Round, owned: Owned) -> Iterator[tuple[Closure, int]]:
    """Closures that cover an order, each with the fence of the order's owner."""
    for closure in round_.closures:
        fence_ns = closure.fences.get(owned.session)
        if fence_ns is not None and covers(closure.scope, owned):
            yield closure, fence_ns


def _sent(round_: Round, tally: Tally) -> Iterator[Violation]:
    """No order reaches a venue's edge after the fence of its owner for a scope that covers it, until it is opened."""
    for h in round_.heard:
        owned = next((round_.whose[i] for i in (h.cl_ord_id, h.orig, h.order_id) if i in round_.whose), None)
        if h.kind not in NEW or owned is None:
            continue
        for closure, fence_ns in shut(round_, owned):
            if not fence_ns + CLOCK_NS < h.mono_ns < closure.opened_ns:
                continue
            if not h.exact:
                tally.undecided += 1
                continue
            late_us = (h.mono_ns - fence_ns) / 1000
            text = f"{h.kind} {h.cl_ord_id} reached {h.venue} {late_us:.0f} us after the fence for {closure.scope}"
            yield Violation("sent after the fence", text, h.mono_ns, _evidence(h, closure))


def _accepted(round_: Round, tally: Tally) -> Iterator[Violation]:
    """An order that a venue took after the fence was at the venue's edge before it: beyond recall, and counted."""
    arrived: dict[str, Heard] = {}
    for h in round_.heard:
        if h.kind in NEW:
            arrived.setdefault(h.cl_ord_id, h)
    for order in round_.orders:
        heard = next((arrived[i] for i in order.ids if i in arrived), None)
        covering = [(c, f) for c, f in shut(round_, order.owned) if f < order.opened_ns < c.opened_ns]
        if not covering:
            continue
        tally.in_scope_after += 1
        if heard is None:
            text = f"{order.order_id} of {order.owned.session}: no message on the tap placed it"
            yield Violation("unseen on the wire", text, order.opened_ns, _evidence(order, covering[0][0]))
            continue
        tally.longest_in_buffer_ms = max(tally.longest_in_buffer_ms, (order.opened_ns - heard.mono_ns) / 1e6)
        for closure, fence_ns in covering:
            if heard.mono_ns > fence_ns + CLOCK_NS and heard.exact:
                late_ms = (order.opened_ns - fence_ns) / 1e6
                text = f"{order.order_id} was accepted {late_ms:.1f} ms after the fence for {closure.scope}"
                yield Violation("accepted after the fence", text, order.opened_ns, _evidence(order, heard, closure))


def _unaccounted(round_: Round, tally: Tally) -> Iterator[Violation]:
    """What works in the scope after the fence is on the kill switch's list."""
    by_id = {o.order_id: o for o in round_.orders}
    for s in round_.sightings:
        tally.sightings += 1
        for order_id in s.working:
            order = by_id.get(order_id)
            if order is None or not any(covers(scope, order.owned) for scope in s.scopes):
                continue
            if order.opened_ns > s.before_ns:
                continue  # taken from a buffer while both were asked; the next look has it
            tally.listed += 1
            if s.listed.isdisjoint((order.order_id, *order.ids)):
                text = f"{order.order_id} ({', '.join(order.ids)}) works at {s.venue} and is not on the list"
                yield Violation("unaccounted", text, s.after_ns, _evidence(order, s))
    for claim in round_.claims:
        if claim.names is None:
            continue
        for order in round_.orders:
            inside = any(covers(scope, order.owned) for scope in claim.scopes)
            if not inside or claim.at_ns < claim.listed_ns or not order.works(claim.listed_ns):
                continue
            tally.proofs += 1
            if claim.names.isdisjoint((order.order_id, *order.ids)):
                text = f"{order.order_id} ({', '.join(order.ids)}) worked after the fence and no proof names it"
                yield Violation("unaccounted", text, claim.at_ns, _evidence(order, claim))


def _false(round_: Round, tally: Tally) -> Iterator[Violation]:
    """Proven is said of no order that works, and of none that a venue still takes out of its buffers."""
    for claim in round_.claims:
        tally.claims += 1
        inside = [o for o in round_.orders if any(covers(s, o.owned) for s in claim.scopes)]
        for order in inside:
            if order.works(claim.at_ns):
                text = f"{order.order_id} worked when {', '.join(claim.scopes)} was said to be proven"
                yield Violation("false proven", text, claim.at_ns, _evidence(order, claim))
                continue
            ends = [c.opened_ns for c in round_.closures if c.scope in claim.scopes and c.seen_ns <= claim.at_ns]
            if claim.at_ns < order.opened_ns < max(ends, default=0):
                text = f"{order.order_id} began to work after {', '.join(claim.scopes)} was said to be proven"
                yield Violation("alive after proven", text, order.opened_ns, _evidence(order, claim))


def _beyond(round_: Round, tally: Tally) -> Iterator[Violation]:
    """No order outside every scope that was shut is cancelled on request, unless a strategy asked."""
    if round_.swept_all:
        return
    for order in round_.orders:
        if any(covers(c.scope, order.owned) for c in round_.closures):
            continue
        tally.outside += 1
        ended = order.status in ("4", "C") and order.ended == "request"
        if ended and round_.began_ns <= order.closed_ns <= round_.ended_ns and round_.asked.isdisjoint(order.ids):
            text = (
                f"{order.order_id} of {order.owned.session} ({order.owned.strategy}) was cancelled; nobody asked for it"
            )
            shut_scopes = sorted({c.scope for c in round_.closures})
            yield Violation("beyond the scope", text, order.closed_ns, {**_evidence(order), "shut": shut_scopes})


def _evidence(*things: msgspec.Struct) -> dict[str, object]:
    return {type(t).__name__.lower(): _plain(t) for t in things}


def _plain(thing: msgspec.Struct) -> object:
    if isinstance(thing, Heard):
        return {f: getattr(thing, f) for f in thing.__struct_fields__}
    return msgspec.to_builtins(thing)


def count(violations: Iterable[Violation]) -> dict[str, int]:
    """How many of each kind."""
    return dict(Counter(v.kind for v in violations))
