"""Proof that the orders of a trip are dead. Pure: evidence with its times goes in, verdicts come out.

An order is proven dead by its own final report, by the venue's answer about that one order, or by its absence from two
open-orders lists that were asked for after the fence, further apart than the venue's lag. An order that was never
answered may still lie in a buffer on its way: no list counts for it before a horizon. Any later sign of life refutes
the proof. Nothing counts before the fence.
"""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from risk.kill_orders import ABSENT, owned
from risk.kill_plan import Owned
from risk.order import Order

UNANSWERED_NS = 10_000_000_000  # the horizon when nobody configures another


class Proof(msgspec.Struct, kw_only=True):
    """One order of a trip and what is known of its death. `session` is empty for an order that no owner here knows."""

    key: tuple[str, str, str]  # of the book: whether an owner here knows it, whose it is, and its first name
    owned: Owned
    ids: list[str]  # the ClOrdIDs it is known by, the present one last
    order_id: str
    cum_at_trip: int
    cum_qty: int
    qty_scale: int
    uncertain: bool  # sent and not answered, or its fate unknown
    late: bool = False  # came to light after the trip
    how: str = ""  # what proves it dead; "" = nothing yet
    alive_ns: int = 0  # monotonic time of the last sign of life
    absent_ns: int = 0  # when the first list without it was complete
    dead_ns: int = 0  # when its own end was reported
    proven_ns: int = 0  # when the evidence was complete
    asked_ns: int = 0  # when its cancel was last asked for
    queried_ns: int = 0
    tried_ns: int = 0  # when it was first asked for, where single cancels over REST are the next way
    rest_ns: int = 0  # when such a one was last asked for
    symbol: str = ""  # as the venue's list has it, when the desk has no name for it
    refuted: int = 0  # times that a proof was overturned

    @property
    def cl_ord_id(self) -> str:
        return self.ids[-1] if self.ids else ""

    @property
    def answered(self) -> bool:
        """The venue acknowledged it at some time."""
        return bool(self.order_id)

    @property
    def name(self) -> str:
        """What a person is shown, and repeats to force a reset."""
        return self.cl_ord_id or self.order_id


class ListedId(msgspec.Struct, frozen=True):
    """One line of an open-orders list."""

    order_id: str
    cl_ord_id: str
    instrument: str  # the desk's name of it; "" when the desk has none
    symbol: str = ""  # the venue's

    @property
    def ids(self) -> tuple[str, ...]:
        """Every name that the line gives the order."""
        return tuple(n for n in (self.order_id, self.cl_ord_id) if n)


class Counts(msgspec.Struct, frozen=True):
    """Where a trip stands."""

    working: int  # not proven dead, uncertain ones left out
    uncertain: int
    proven: int
    filled: int  # orders that traded between the trip and their end
    total: int


class ProofBook:
    """Orders of one trip. `covers` says what belongs to it; `lag_ns` is each venue's stated lag of its list.

    `unanswered_ns`: for how long after the fence no list counts for an order that was never answered.
    """

    def __init__(
        self, covers: Callable[[Owned], bool], lag_ns: Callable[[str], int], unanswered_ns: int = UNANSWERED_NS
    ) -> None:
        self._covers, self._lag_ns, self._unanswered_ns = covers, lag_ns, unanswered_ns
        self._proofs: dict[tuple[str, str], Proof] = {}
        self._foreign: dict[tuple[str, str], Proof] = {}
        self._foreign_by_name: dict[tuple[str, str, str], Proof] = {}  # venue, account, each name that its line gave
        # Asked for after each event of a trip of thousands: kept rather than searched for.
        self._left: dict[tuple[str, str, str], Proof] = {}  # those that nothing proves dead yet
        self._filled: set[tuple[str, str, str]] = set()  # those that traded since the trip
        self._fence_ns: int | None = None

    def __iter__(self) -> Iterator[Proof]:
        yield from self._proofs.values()
        yield from self._foreign.values()

    def has(self, order: Order) -> bool:
        """Whether the order is one of this trip's."""
        return (order.session, order.ids[0]) in self._proofs

    def fenced(self, mono_ns: int) -> None:
        """No owner can send any more: from now on evidence counts."""
        if self._fence_ns is None:
            self._fence_ns = mono_ns

    def proven(self, proof: Proof) -> bool:
        """Whether the order is proven dead; never before the fence."""
        return self._fence_ns is not None and bool(proof.how)

    def unproven(self) -> list[Proof]:
        """Orders that may be alive."""
        return list(self if self._fence_ns is None else self._left.values())

    @property
    def done(self) -> bool:
        """Whether every order is proven dead."""
        return self._fence_ns is not None and not self._left

    def counts(self) -> Counts:
        """Where the trip stands."""
        left = self.unproven()
        total = len(self._proofs) + len(self._foreign)
        uncertain = sum(p.uncertain for p in left)
        return Counts(len(left) - uncertain, uncertain, total - len(left), len(self._filled), total)

    def add(self, order: Order, mono_ns: int, *, late: bool = False) -> Proof | None:
        """An order that may be working; None when it is outside the trip or known here."""
        key, whose = (order.session, order.ids[0]), owned(order)
        if key in self._proofs or not self._covers(whose):
            return None
        proof = self._proofs[key] = self._enter(Proof(
            key=("owner", *key), owned=whose, ids=list(order.ids), order_id=order.order_id, cum_at_trip=order.cum_qty,
            cum_qty=order.cum_qty, qty_scale=order.qty_scale, uncertain=_uncertain(order), alive_ns=mono_ns,
            late=late,
        ))  # fmt: skip
        self._claim(proof)
        return proof

    def held(self, order: Order) -> None:
        """The owner's present view of an order, which is neither life nor death."""
        proof = self._proofs.get((order.session, order.ids[0]))
        if proof is not None:
            self._update(proof, order)
            proof.uncertain = order.is_open and _uncertain(order) and not proof.how

    def alive(self, order: Order, mono_ns: int) -> Proof | None:
        """The venue shows the order open. Answers it when it must be cancelled (again): answered late, or refuted."""
        proof = self._proofs.get((order.session, order.ids[0]))
        if proof is None:
            found = self.add(order, mono_ns, late=self._fence_ns is not None)
            if found is not None:
                self._lives(found, mono_ns)  # whatever a list had proved of it
            return found
        again = bool(proof.how) or (bool(order.order_id) and not proof.order_id)
        self._update(proof, order)
        proof.uncertain = False
        self._lives(proof, mono_ns)
        return proof if again else None

    def dead(self, order: Order, how: str, mono_ns: int) -> None:
        """The order's own end: a final report, or the venue's answer about this order."""
        proof = self._proofs.get((order.session, order.ids[0]))
        if proof is not None:
            self._update(proof, order)
            proof.dead_ns = mono_ns
            self._prove(proof, how, mono_ns)

    def listed(
        self,
        venue: str,
        account: str,
        lines: Iterable[ListedId],
        started_ns: int,
        done_ns: int,
        *,
        adopt: Callable[[ListedId], bool],
        absence: Callable[[str], bool] = lambda _: True,
    ) -> list[Proof]:
        """A complete open-orders list. `adopt` says whether a line that is not of this trip yet belongs to it.

        `absence` of an instrument False: what is not on it may live all the same (no cancels are taken in it now).
        Answers orders that must be cancelled (again).
        """
        lines = list(lines)
        names = {n: line for line in lines for n in (line.order_id, line.cl_ord_id) if n}
        mine = [p for p in self if p.owned.venue == venue and p.owned.account == account]
        known = {n for p in mine for n in (p.order_id, *p.ids) if n}
        strangers = [x for x in lines if x.order_id not in known and x.cl_ord_id not in known]
        again = self._adopt([x for x in strangers if adopt(x)], Owned(venue, account, "", "", ""), done_ns)
        # A line without a ClOrdID may be an order whose OrderID we were never told.
        blind = any(not x.cl_ord_id for x in strangers)
        for proof in mine:
            shown = next((names[n] for n in (proof.order_id, *proof.ids) if n in names), None)
            if shown is not None:
                proof.symbol = "" if shown.instrument else shown.symbol
                if self._shown(proof, started_ns, done_ns):
                    again.append(proof)
            elif not absence(proof.owned.instrument):
                proof.absent_ns = 0
            elif not proof.how and not (blind and not proof.order_id):
                self._absent(proof, venue, started_ns, done_ns)
        return again

    def _shown(self, proof: Proof, started_ns: int, done_ns: int) -> bool:
        """The list shows the order, which refutes what was known before it, less the lag that a list may have."""
        if proof.dead_ns and started_ns <= proof.dead_ns + self._lag_ns(proof.owned.venue):
            return False
        refuted = bool(proof.how)
        self._lives(proof, done_ns)
        proof.uncertain = False
        return refuted or proof.asked_ns < started_ns

    def _absent(self, proof: Proof, venue: str, started_ns: int, done_ns: int) -> None:
        fence = self._fence_ns
        if fence is None or started_ns <= max(fence, proof.alive_ns):
            return
        if not proof.answered and started_ns < fence + self._unanswered_ns + self._lag_ns(venue):
            return
        if not proof.absent_ns:
            proof.absent_ns = done_ns
        elif started_ns > proof.absent_ns + self._lag_ns(venue):
            self._prove(proof, ABSENT, done_ns)

    def _adopt(self, strangers: list[ListedId], where: Owned, mono_ns: int) -> list[Proof]:
        found = []
        for line in strangers:
            key = (where.venue, line.order_id or line.cl_ord_id)
            if key in self._foreign:
                continue
            whose = msgspec.structs.replace(where, instrument=line.instrument)
            if not self._covers(whose):
                continue
            proof = self._foreign[key] = self._enter(Proof(
                key=("list", *key), owned=whose, ids=[line.cl_ord_id] if line.cl_ord_id else [],
                order_id=line.order_id, cum_at_trip=0, cum_qty=0, qty_scale=0, uncertain=False, late=True,
                alive_ns=mono_ns, symbol="" if line.instrument else line.symbol,
            ))  # fmt: skip
            self._foreign_by_name.update(((where.venue, where.account, n), proof) for n in line.ids)
            found.append(proof)
        return found

    def _claim(self, proof: Proof) -> None:
        """What a list showed before its owner named it is one order, not two: its evidence goes to the owner's.

        The same is what has the same OrderID. A ClOrdID may be a stranger's, too: it counts for a line without OrderID
        alone, and then proves nothing.
        """
        for name in (proof.order_id, *proof.ids) if self._foreign else ():
            twin = self._foreign_by_name.get((proof.owned.venue, proof.owned.account, name))
            if twin is None or (twin.order_id and twin.order_id != proof.order_id):
                continue
            del self._foreign[twin.key[1], twin.key[2]]
            for n in (twin.order_id, *twin.ids):
                self._foreign_by_name.pop((proof.owned.venue, proof.owned.account, n), None)
            self._left.pop(twin.key, None)
            proof.alive_ns, proof.asked_ns = max(proof.alive_ns, twin.alive_ns), max(proof.asked_ns, twin.asked_ns)
            proof.refuted += twin.refuted
            if twin.order_id and not proof.how:
                proof.uncertain, proof.absent_ns = False, twin.absent_ns
                if twin.how:
                    self._prove(proof, twin.how, twin.proven_ns)
            return

    def _enter(self, proof: Proof) -> Proof:
        self._left[proof.key] = proof
        return proof

    def _prove(self, proof: Proof, how: str, mono_ns: int) -> None:
        proof.how, proof.proven_ns, proof.uncertain = how, mono_ns, False
        self._left.pop(proof.key, None)

    def _lives(self, proof: Proof, mono_ns: int) -> None:
        proof.alive_ns = max(proof.alive_ns, mono_ns)
        proof.absent_ns = proof.dead_ns = 0
        if proof.how:
            proof.how = ""
            proof.refuted += 1
            self._left[proof.key] = proof

    def _update(self, proof: Proof, order: Order) -> None:
        proof.ids = list(order.ids)
        if order.order_id and not proof.order_id:
            proof.order_id = order.order_id
            self._claim(proof)
        proof.cum_qty = max(proof.cum_qty, order.cum_qty)
        if proof.cum_qty > proof.cum_at_trip:
            self._filled.add(proof.key)


def _uncertain(order: Order) -> bool:
    return order.state == "UNCERTAIN" or not order.order_id
