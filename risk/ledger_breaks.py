"""Where the ledger's views differ: what is wrong with a fill or an order, since when, and when that is over. Pure.

Nothing is a break at once: the views of a venue lag each other. What still differs when its time is up is opened; what
agrees later is closed, and both are said.
"""

import heapq

from base.decimals import format_scaled
from ipc.ledger_records import VIEWS, BreakRecord, Fill, OrderRecord, Said
from risk.ledger_fills import FillSet

HEALED = "healed"
Problem = tuple[str, str]  # kind, and the view that lacks something


def fill_problems(fill: Fill, order: OrderRecord, two_views: bool) -> list[Problem]:
    """How the two views differ about a fill. A stranger's order is one problem, its fills are not further ones."""
    if not two_views or not order.known:
        return []
    entry, copy = fill.entry, fill.copy
    if entry is None or copy is None:
        return [("missing", VIEWS[0] if entry is None else VIEWS[1])]
    out = [("quantity", "")] if entry.qty != copy.qty else []
    return out + ([("price", "")] if entry.px != copy.px and entry.qty and copy.qty else [])


def order_problems(fills: FillSet, two_views: bool) -> list[Problem]:
    """What an order's own figures, and the desk's, say against its fills."""
    order, out = fills.order, []
    if two_views and not order.known and fills.live_qty:
        out.append(("unknown_order", ""))
    if order.cum_qty > fills.live_qty + fills.taken_back:
        out.append(("unexplained", ""))
    if fills.live_qty - fills.added > order.cum_qty and not fills.nameless:
        out.append(("doubled", ""))
    if order.pending:
        out.append(("unknown_fill", ""))
    return out


class Watch:
    """What is waited for, and which breaks are open."""

    def __init__(self, break_after_ns: int, open_breaks: list[BreakRecord], next_id: int) -> None:
        self.open: dict[tuple[int, int], dict[Problem, BreakRecord]] = {}
        self.changed: dict[int, BreakRecord] = {}  # since they were last stored
        self.unsaid: dict[int, BreakRecord] = {}  # stored, not published in their present state
        self._after_ns = break_after_ns
        self.next_id = next_id
        self._due: list[tuple[int, int, int]] = []  # when, order, fill (0: the order itself)
        for known in open_breaks:
            if not known.closed_ns:
                self._of(known.order_row, known.fill_row)[_key(known)] = known
            if not known.said:
                self.unsaid[known.id] = known

    def saved(self) -> None:
        """What changed is in the store."""
        self.unsaid.update({b.id: b for b in self.changed.values() if not b.said})
        self.changed.clear()

    @property
    def open_count(self) -> int:
        """Breaks that are open."""
        return sum(map(len, self.open.values()))

    def wait(self, due_ns: int, order: int, fill: int) -> None:
        """Have a fill or order looked at when its time is up; as read from the store at start."""
        heapq.heappush(self._due, (due_ns, order, fill))

    def fill(self, fill: Fill, order: OrderRecord, two_views: bool, now_ns: int) -> None:
        """A fill changed: wait for the other view, or close what was open about it."""
        problems = fill_problems(fill, order, two_views)
        fill.due_ns = fill.changed_ns + self._after_ns if problems else 0
        if problems:
            self.wait(fill.due_ns, order.id, fill.id)
        if self.open:
            self._heal(order.id, fill.id, problems, now_ns)

    def order(self, fills: FillSet, two_views: bool, now_ns: int) -> None:
        """An order's figures changed; `now_ns` is when that was told."""
        problems, order = order_problems(fills, two_views), fills.order
        if problems and not order.due_ns:
            order.due_ns = now_ns + self._after_ns
            self.wait(order.due_ns, order.id, 0)
        elif not problems:
            order.due_ns = 0
        if self.open:
            self._heal(order.id, 0, problems, now_ns)

    def due(self, now_ns: int) -> tuple[int, int, int] | None:
        """(when, order, fill) of the next one whose time is up."""
        return heapq.heappop(self._due) if self._due and self._due[0][0] <= now_ns else None

    def look_fill(self, fill: Fill, order: OrderRecord, two_views: bool, now_ns: int) -> None:
        """A fill's time is up."""
        fill.due_ns = 0
        for problem in fill_problems(fill, order, two_views):
            entry, copy = _text(fill, fill.entry), _text(fill, fill.copy)
            self._open(problem, order, fill, (entry, copy), _FILL_TEXTS[problem[0]].format(lacks=problem[1]), now_ns)

    def look_order(self, fills: FillSet, two_views: bool, now_ns: int) -> None:
        """An order's time is up."""
        order = fills.order
        order.due_ns = 0
        cum = format_scaled(order.cum_qty, order.qty_scale)
        counted = format_scaled(fills.live_qty, order.qty_scale)
        for problem in order_problems(fills, two_views):
            text = _ORDER_TEXTS[problem[0]].format(
                cum=cum, counted=counted, n=len(fills.fills), refs=", ".join(a.ref or a.trade_id for a in order.pending)
            )
            self._open(problem, order, None, ("", ""), text, now_ns)

    def gap(self, session: str, venue: str, account: str, text: str, now_ns: int) -> BreakRecord:
        """Events of a journal that nobody can read any more: only a person closes this."""
        made = BreakRecord(
            id=self.next_id, kind="gap", lacks="", venue=venue, account=account, text=f"{session}: {text}",
            opened_ns=now_ns,
        )  # fmt: skip
        self.next_id += 1
        self._of(0, 0)["gap", str(made.id)] = made
        self.changed[made.id] = made
        return made

    def accept(self, break_id: int, reason: str, now_ns: int) -> bool:
        """A person closes a break; False when none of that number is open."""
        for subject in list(self.open):
            for problem, found in list(self.open[subject].items()):
                if found.id == break_id:
                    self._close(subject, problem, f"accepted: {reason}", now_ns)
                    return True
        return False

    def forget(self, order: int, fill: int, now_ns: int) -> None:
        """The fill or order turned out to be another one's: what was open about it is over."""
        self._heal(order, fill, [], now_ns)

    # -- inside ------------------------------------------------------------------------------------------------

    def _of(self, order: int, fill: int) -> dict[Problem, BreakRecord]:
        return self.open.setdefault((order, fill), {})

    def _heal(self, order: int, fill: int, problems: list[Problem], now_ns: int) -> None:
        for problem in [p for p in self.open.get((order, fill), ()) if p not in problems and p[0] != "gap"]:
            self._close((order, fill), problem, HEALED, now_ns)

    def _close(self, subject: tuple[int, int], problem: Problem, how: str, now_ns: int) -> None:
        found = self.open[subject].pop(problem)
        if not self.open[subject]:
            del self.open[subject]
        found.closed_ns, found.closed_by, found.said = max(now_ns, found.opened_ns), how, False
        self.changed[found.id] = found

    def _open(
        self, problem: Problem, order: OrderRecord, fill: Fill | None, views: tuple[str, str], text: str, now_ns: int
    ) -> None:
        found = self._of(order.id, fill.id if fill else 0)
        if problem in found:
            return
        made = found[problem] = BreakRecord(
            id=self.next_id, kind=problem[0], lacks=problem[1], order_row=order.id, fill_row=fill.id if fill else 0,
            venue=order.venue, account=order.account, instrument=order.instrument, order_id=order.order_id,
            cl_ord_id=order.cl_ord_id, trade_id=fill.trade_id if fill else "", strategy=order.strategy,
            order_entry=views[0], drop_copy=views[1], text=text, opened_ns=now_ns,
        )  # fmt: skip
        self.next_id += 1
        self.changed[made.id] = made


_FILL_TEXTS = {
    "missing": "{lacks} does not show this fill",
    "quantity": "the views differ about the quantity",
    "price": "the views differ about the price",
}
_ORDER_TEXTS = {
    "unknown_order": "{n} fills of an order that no trading session of the desk placed",
    "unexplained": "the venue says cum_qty {cum}, the fills told add up to {counted}",
    "doubled": "the fills told add up to {counted}, the venue says cum_qty {cum}",
    "unknown_fill": "a bust or correction of executions that nobody told: {refs}",
}


def _key(found: BreakRecord) -> Problem:
    return (found.kind, str(found.id)) if found.kind == "gap" else (found.kind, found.lacks)


def _text(fill: Fill, said: Said | None) -> str:
    if said is None:
        return ""
    if not said.qty:
        return f"busted, {said.session}"
    qty, px = format_scaled(said.qty, fill.qty_scale), format_scaled(said.px, fill.px_scale)
    return f"{'buy' if fill.side == '1' else 'sell'} {qty} @ {px}, {said.session}"
