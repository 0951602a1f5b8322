"""A probe: what one mass cancel of the kill switch really reaches. Small resting orders, one request, what ended. Pure.

EMPTY: the request alone, while nothing is open. PLACING, PLACED: orders of the trading sessions, and one of the asking
session's own. SENT: the request alone, again. CLEANING: what is left is cancelled, order by order. DONE or FAILED.
Times: monotonic ns. The process around it does the actions and feeds back what came of them.
"""

from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import Literal, TypeAlias

import msgspec

from risk.kill_proof import ListedId

SECOND_NS = 1_000_000_000
SETTLE_NS = SECOND_NS  # for answers and cancels to arrive, beyond the list's lag
QUIET_NS = 5 * SECOND_NS  # without any sign of an effect: a venue may be slow
ANSWER_NS = 15 * SECOND_NS  # for the request to be taken
PLACE_NS = 20 * SECOND_NS
CLEAN_NS = 30 * SECOND_NS
AGAIN_NS = SECOND_NS
NEVER = 1 << 62
EARLY = 1_000  # reports that are kept until an answer names their order
FINAL = frozenset("248C")

Reached: TypeAlias = Literal["account", "symbol", "own session", "nothing", "unclear"]


class Phase(StrEnum):
    """Where a probe stands."""

    LOOKING = "LOOKING"  # whether anything is open
    EMPTY = "EMPTY"
    PLACING = "PLACING"
    SENT = "SENT"
    CLEANING = "CLEANING"
    DONE = "DONE"
    FAILED = "FAILED"


class ProbeOrder(msgspec.Struct, kw_only=True):
    """One order to place and what became of it."""

    session: str
    own: bool  # placed by the asking session itself
    instrument: str
    qty: int
    price: int
    aimed: bool  # the request names its instrument, or names none
    cl_ord_id: str = ""
    order_id: str = ""
    status: str = ""  # OrdStatus(39) of its last report
    ended_ns: int = 0

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.session} {self.instrument} {self.cl_ord_id}"

    @property
    def over(self) -> bool:
        return bool(self.ended_ns) or self.status in FINAL


class Place(msgspec.Struct, frozen=True):
    """Place order number `index`; then `placed`."""

    index: int


class Send(msgspec.Struct, frozen=True):
    """Send the request that is probed, and nothing else; then `sent`."""


class AskAccount(msgspec.Struct, frozen=True):
    """Ask for the account's open orders; then `listed` or `list_failed`."""


class Cancel(msgspec.Struct, frozen=True):
    """Cancel order number `index` by itself."""

    index: int


ProbeAction: TypeAlias = Place | Send | AskAccount | Cancel


class Certification(msgspec.Struct, frozen=True):
    """What a probe that is DONE found."""

    reaches: Reached
    when_empty: str
    answers: tuple[str, ...]
    ended: tuple[str, ...]
    left: tuple[str, ...]
    took_ms: int


class Probe:
    """See the module."""

    def __init__(
        self, orders: Iterable[ProbeOrder], lag_ns: int, *, named: bool = False, lists: bool = True,
        others: bool = False,
    ) -> None:  # fmt: skip
        """`lag_ns`: of the venue's list; `lists`: whether it has one, else reports alone count.

        `named`: the request names one instrument. `others`: go on although other orders are open, which it may cancel.
        """
        self.orders = list(orders)
        self.phase = Phase.LOOKING
        self.why = ""  # of FAILED
        self.said: list[str] = []  # for people, in order
        self.found: Certification | None = None
        self._wait_ns, self._others = SETTLE_NS + lag_ns, others
        self._named, self._lists = named, lists
        self._lag_ns = lag_ns
        self._due_ns = self._by_ns = self._look_ns = 0
        self._asking = False
        self._answers: list[str] = []
        self._when_empty = ""
        self._sent_ns = 0
        self._seen: list[set[str]] = []  # of each list after the request: the names on it
        self._cancel_ns = 0
        self._failed = ""
        self._early: list[tuple[tuple[str, ...], str, str, int]] = []

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self.phase in (Phase.DONE, Phase.FAILED)

    def tick(self, mono_ns: int) -> list[ProbeAction]:
        """What is due."""
        match self.phase:
            case Phase.LOOKING:
                return self._ask() if self._lists else self._begin("what is open is not known", mono_ns)
            case Phase.EMPTY if mono_ns >= self._due_ns:
                self._when_empty = "; ".join(self._answers) or "silence"
                self.said.append(f"with nothing open it answers: {self._when_empty}")
                self.phase, self._by_ns = Phase.PLACING, mono_ns + PLACE_NS
                return [Place(n) for n in range(len(self.orders))]
            case Phase.PLACING:
                return self._all_working(mono_ns)
            case Phase.EMPTY | Phase.SENT if mono_ns >= self._by_ns and not self._left():
                return self._fail(f"the request was not taken in {ANSWER_NS // SECOND_NS} s", mono_ns)
            case Phase.SENT if self._settled(mono_ns):
                return self._ask() if self._lists else self._judge(mono_ns)
            case Phase.CLEANING:
                return self._clean(mono_ns)
        return []

    def sent(self, why: str, mono_ns: int) -> list[ProbeAction]:
        """The request left (over REST: it was answered), or why it did not."""
        if why:
            return self._fail(f"the request could not be sent: {why}", mono_ns)
        if self.phase is Phase.EMPTY:
            self._due_ns = mono_ns + self._wait_ns
        elif self.phase is Phase.SENT:
            self._sent_ns, self._due_ns = mono_ns, mono_ns + QUIET_NS + self._lag_ns
        return []

    def placed(self, index: int, cl_ord_id: str, why: str, mono_ns: int) -> list[ProbeAction]:
        """An order was handed to its wire, or refused."""
        if why:
            return self._fail(f"{self.orders[index].name}: the order was refused: {why}", mono_ns)
        self.orders[index].cl_ord_id = cl_ord_id
        early, self._early = self._early, []
        for ids, order_id, status, at_ns in early:
            self.report(ids, order_id, status, at_ns)
        return []

    def report(self, ids: Collection[str], order_id: str, status: str, mono_ns: int) -> None:
        """A report of the venue: `ids` by which it may be known, its OrderID, OrdStatus(39)."""
        if (
            self.phase is Phase.PLACING
            and not any(o.cl_ord_id in ids for o in self.orders)
            and len(self._early) < EARLY
        ):
            self._early.append((tuple(ids), order_id, status, mono_ns))  # overtook the answer that names its order
            return
        for order in self.orders:
            if order.cl_ord_id in ids or (order_id and order.order_id == order_id):
                order.order_id = order.order_id or order_id
                if not order.over:
                    order.status = status
                    order.ended_ns = mono_ns if status in FINAL else 0

    def answer(self, text: str) -> None:
        """What came back to the request, beside reports of orders."""
        if self.phase in (Phase.EMPTY, Phase.SENT):
            self._answers.append(text)

    def listed(self, lines: list[ListedId], started_ns: int, mono_ns: int) -> list[ProbeAction]:
        """The account's open orders."""
        self._asking = False
        names = {n for line in lines for n in line.ids}
        if self.phase is Phase.LOOKING:
            if lines and not self._others:
                shown = ", ".join(sorted(line.cl_ord_id or line.order_id for line in lines)[:5])
                why = f"{len(lines)} orders are open on the account ({shown}): it might cancel them"
                return self._fail(why, mono_ns)
            return self._begin("nothing is open" if not lines else f"{len(lines)} other orders are open", mono_ns)
        if self.phase is Phase.SENT and started_ns > self._sent_ns:
            self._seen.append(names)
            self._due_ns = mono_ns + self._lag_ns + 1
            return self._judge(mono_ns) if len(self._seen) == 2 else []
        if self.phase is Phase.CLEANING and started_ns >= self._cancel_ns + self._lag_ns:
            for order in self.orders:
                if order.cl_ord_id and not order.over and not self._on(order, names) and order.order_id:
                    order.ended_ns = mono_ns
        return []

    def list_failed(self, why: str, mono_ns: int) -> list[ProbeAction]:
        """The list could not be had."""
        self._asking = False
        self._due_ns = mono_ns + SECOND_NS
        return self._fail(f"no open-orders list: {why}", mono_ns) if self.phase is Phase.LOOKING else []

    def abort(self, why: str, mono_ns: int) -> list[ProbeAction]:
        """Something came in between: clean up and fail."""
        return [] if self.over or self._failed else self._fail(why, mono_ns)

    # -- inside ------------------------------------------------------------------------------------------------

    def _left(self) -> bool:
        """Whether the request has left."""
        return self._due_ns < NEVER

    def _settled(self, mono_ns: int) -> bool:
        """Whether what the request does is done: nothing more ended for a while, or nothing ended for long."""
        ended = [o.ended_ns for o in self.orders if o.over]
        if ended and self._left() and not self._seen:
            return len(ended) == len(self.orders) or mono_ns >= max(ended) + self._wait_ns
        return mono_ns >= self._due_ns

    def _begin(self, said: str, mono_ns: int) -> list[ProbeAction]:
        self.phase, self._due_ns, self._by_ns = Phase.EMPTY, NEVER, mono_ns + ANSWER_NS
        self.said.append(said)
        return [Send()]

    def _ask(self) -> list[ProbeAction]:
        if self._asking or not self._lists:
            return []
        self._asking = True
        return [AskAccount()]

    def _all_working(self, mono_ns: int) -> list[ProbeAction]:
        if all(o.order_id and o.status in "01" for o in self.orders):
            self.said.append(f"{len(self.orders)} orders work: {', '.join(o.name for o in self.orders)}")
            self.phase, self._answers = Phase.SENT, []
            self._sent_ns, self._due_ns, self._by_ns = mono_ns, NEVER, mono_ns + ANSWER_NS
            return [Send()]
        gone = next((o for o in self.orders if o.over), None)
        if gone is not None:
            return self._fail(f"{gone.name} ended before the request was sent (39={gone.status})", mono_ns)
        if mono_ns >= self._by_ns:
            slow = ", ".join(o.name for o in self.orders if not o.order_id)
            return self._fail(f"not acknowledged in {PLACE_NS // SECOND_NS} s: {slow}", mono_ns)
        return []

    def _judge(self, mono_ns: int) -> list[ProbeAction]:
        """Ended: its own report says so, or it is on neither of the two lists."""
        for order in self.orders:
            if self._lists and not order.over and not any(self._on(order, names) for names in self._seen):
                order.ended_ns = mono_ns
        ended = [o for o in self.orders if o.over]
        filled = [o.name for o in ended if o.status == "2"]
        if filled:
            return self._fail(f"filled, so nothing is known: {', '.join(filled)}", mono_ns)
        last_ns = max((o.ended_ns for o in ended), default=self._sent_ns)
        self.found = Certification(
            reached(self.orders, self._named), self._when_empty, tuple(self._answers or ["silence"]),
            tuple(o.name for o in ended), tuple(o.name for o in self.orders if not o.over),
            max(last_ns - self._sent_ns, 0) // 1_000_000,
        )  # fmt: skip
        self.said.append(f"it ended {len(ended)} of {len(self.orders)} orders: reaches {self.found.reaches}")
        return self._begin_cleaning(mono_ns)

    @staticmethod
    def _on(order: ProbeOrder, names: set[str]) -> bool:
        return order.cl_ord_id in names or (bool(order.order_id) and order.order_id in names)

    def _fail(self, why: str, mono_ns: int) -> list[ProbeAction]:
        self._failed = self._failed or why
        self.said.append(why)
        return self._begin_cleaning(mono_ns)

    def _begin_cleaning(self, mono_ns: int) -> list[ProbeAction]:
        self.phase, self._by_ns, self._due_ns = Phase.CLEANING, mono_ns + CLEAN_NS, mono_ns
        return self._clean(mono_ns)

    def _clean(self, mono_ns: int) -> list[ProbeAction]:
        left = [n for n, o in enumerate(self.orders) if o.cl_ord_id and not o.over]
        if not left:
            self.phase, self.why = (Phase.FAILED, self._failed) if self._failed else (Phase.DONE, "")
            return []
        if mono_ns >= self._by_ns:
            names = ", ".join(self.orders[n].name for n in left)
            self.why = f"{self._failed or 'cleaning up failed'}; STILL OPEN, cancel by hand: {names}"
            self.said.append(self.why)
            self.phase, self.found = Phase.FAILED, None
            return []
        if mono_ns >= self._due_ns:
            self._due_ns, self._cancel_ns = mono_ns + self._lag_ns + 2 * AGAIN_NS, mono_ns
            self._look_ns = mono_ns + self._lag_ns + AGAIN_NS
            return [Cancel(n) for n in left]
        if mono_ns >= self._look_ns:
            self._look_ns = self._due_ns
            return self._ask()
        return []


def reached(orders: Iterable[ProbeOrder], named: bool) -> Reached:
    """What a request reached, by which orders are over. `named`: it names one instrument."""
    orders = list(orders)
    others, mine = [o for o in orders if not o.own], [o for o in orders if o.own and o.aimed]
    aimed, beside = [o for o in others if o.aimed], [o for o in others if not o.aimed]
    if all(o.over for o in others):
        return "account" if beside or not named else "symbol"
    if aimed and all(o.over for o in aimed) and not any(o.over for o in beside):
        return "symbol"
    if any(o.over for o in others):
        return "unclear"
    if not any(o.over for o in mine):
        return "nothing"
    return "own session" if all(o.over for o in mine) else "unclear"
