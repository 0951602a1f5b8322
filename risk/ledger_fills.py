"""The fills of one order: which reports tell of the same one, and what busts and corrections make of it. Pure.

A fill is told apart by the venue's facts, the strongest that two reports share: the trade id, else the order's
cumulative quantity after it, else the ExecID on the same channel, else quantity, price and time.
"""

import msgspec

from ipc.ledger_records import COPY, ENTRY, FIX_COPY, FIX_ENTRY, REST, Amendment, Fill, OrderRecord, Said

NEAR_NS = 1_000_000_000  # two channels' times of one trade, where nothing but its facts can tell
_RANKS = {FIX_ENTRY: 0, FIX_COPY: 1, REST: 2}  # whose time, liquidity and fees are taken


class Told(msgspec.Struct, gc=False):
    """One report of a fill, at the order's scales."""

    view: int
    channel: int
    session: str
    trade_id: str
    cum_qty: int | None
    exec_id: str
    side: str
    qty: int
    px: int
    transact_ns: int
    recv_ns: int
    liquidity: str
    fees: tuple[tuple[str, str], ...]
    foreign: bool = False  # REST of a venue that names trades otherwise there

    def names(self) -> list[str]:
        """Under which the fill is found again."""
        out = [f"{'r' if self.foreign else 't'}{self.trade_id}"] if self.trade_id else []
        if self.exec_id:
            out.append(f"x{self.channel}:{self.exec_id}")
        return out


class FillSet:
    """All fills of one order."""

    __slots__ = (
        "_by_cum", "_by_id", "_by_name", "_of_rest", "_untraded", "added", "fills", "live_qty", "nameless", "order",
        "taken_back",
    )  # fmt: skip

    def __init__(self, order: OrderRecord, fills: list[Fill]) -> None:
        self.order = order
        self.fills: list[Fill] = []
        self._by_name: dict[str, Fill] = {}
        self._by_cum: dict[int, list[Fill]] = {}
        self._by_id: dict[int, Fill] = {}
        # An order may have thousands of fills: what only few of them are is not searched for among all. Both lists may
        # hold some that are no longer so, until they are looked through.
        self._untraded: list[Fill] = []  # without a trade id
        self._of_rest: list[Fill] = []  # that REST alone has told
        self.live_qty = 0
        self.taken_back = 0  # by busts and corrections
        self.added = 0  # by corrections
        self.nameless = 0  # fills whose running quantity nobody told
        for fill in fills:
            self._index(fill)

    def fill(self, fill_id: int) -> Fill | None:
        """A fill of this order by its number; None when it is not one, or not any more."""
        return self._by_id.get(fill_id)

    def tell(self, told: Told, new_id: int) -> Fill:
        """Take in a fill that `find` does not know."""
        order = self.order
        fill = Fill(
            id=new_id, order=order.id, side=told.side, px_scale=order.px_scale, qty_scale=order.qty_scale,
            first_qty=told.qty, first_px=told.px, qty=told.qty, px=told.px, transact_ns=told.transact_ns,
            trade_id="" if told.foreign else told.trade_id, cum_qty=told.cum_qty, names=told.names(),
            channels=told.channel,
            liquidity=told.liquidity, fees=told.fees, rank=_RANKS[told.channel], recv_ns=told.recv_ns,
            changed_ns=told.recv_ns,
        )  # fmt: skip
        _say(fill, told.view, Said(told.qty, told.px, told.session))
        self._index(fill)
        order.fills += 1
        if order.pending:
            self._settle_pending(fill)
        return fill

    def again(self, fill: Fill, told: Told) -> bool:
        """A fill that is known is told again; whether that brought anything new."""
        named = self._name(fill, told.names())
        if named and told.trade_id and not (told.foreign or fill.trade_id):
            fill.trade_id = told.trade_id
        if fill.cum_qty is None and told.cum_qty is not None:
            self.nameless -= 1
            fill.cum_qty = told.cum_qty
            self._step(fill)
        new_channel = not fill.channels & told.channel
        fill.channels |= told.channel
        better = new_channel and _RANKS[told.channel] < fill.rank
        if better:
            fill.rank, fill.transact_ns = _RANKS[told.channel], told.transact_ns
            fill.liquidity, fill.fees = told.liquidity or fill.liquidity, told.fees or fill.fees
            fill.trade_id = fill.trade_id if told.foreign else told.trade_id or fill.trade_id
        elif new_channel:
            fill.liquidity, fill.fees = fill.liquidity or told.liquidity, fill.fees or told.fees
        said = _view(fill, told.view)
        if said is None or (better and not said.amended_ns) or _contradicts(fill, said, told):
            _say(fill, told.view, Said(told.qty, told.px, told.session))
            new_channel = True
        if new_channel:
            fill.changed_ns = max(fill.changed_ns, told.recv_ns)
            self._of_record(fill)
        if (new_channel or named) and self.order.pending:
            self._settle_pending(fill)
        return new_channel or named

    def amend(self, amendment: Amendment) -> Fill | None:
        """Apply a bust or correction: the fill when that changed it. One of an unknown execution waits for it."""
        fill = self._meant(amendment)
        if fill is None:
            if not any(_same(amendment, known) for known in self.order.pending):
                self.order.pending = [*self.order.pending, amendment]
            return None
        changed = self._amend(fill, amendment)
        if self.order.pending:
            changed |= self._settle_pending(fill)
        return fill if changed else None

    def absorb(self, other: Fill) -> Fill | None:
        """Take over a fill of an order that turned out to be this one: the fill it is the same as, None if new here."""
        for view, said in ((ENTRY, other.entry), (COPY, other.copy)):
            if said is not None:
                twin = self.find(_told(other, view, said))
                if twin is not None:
                    self._unite(twin, other)
                    return twin
        other.order = self.order.id
        self._index(other)
        self.order.fills += 1
        return None

    def find(self, told: Told) -> Fill | None:
        """The fill that a report tells of, if it is known."""
        for name in told.names():
            fill = self._by_name.get(name)
            if fill is not None and (name[0] != "x" or self._agree(fill, told)):
                return fill
        if told.cum_qty is not None and (found := self._by_cum.get(told.cum_qty)):
            same = [f for f in found if self._same_step(f, told)]
            if same:
                return next((f for f in same if _facts(f) == _facts_told(told)), same[0])
        return self._by_facts(told) if self.fills else None

    def fold(self, excess: int) -> list[tuple[Fill, Fill]]:
        """More is told than was filled: fills that REST told anew under names of its own, each with the one it is.

        A trading process that does not know any more what its session told has all trades of an order told again.
        """
        found = []
        self._of_rest = [f for f in self._of_rest if f.channels == REST]
        for fill in [f for f in self._of_rest if not f.trade_id and f.qty == f.first_qty]:
            twin = self._twin(fill) if fill.qty <= excess else None
            if twin is None:
                continue
            excess -= fill.qty
            self.live_qty -= fill.qty
            self.nameless -= fill.cum_qty is None
            self.order.fills -= 1
            self.fills = [f for f in self.fills if f is not fill]
            self._of_rest = [f for f in self._of_rest if f is not fill]
            self._untraded = [f for f in self._untraded if f is not fill]
            del self._by_id[fill.id]
            self._by_name.update(dict.fromkeys(fill.names, twin))
            self._unite(twin, fill)
            found.append((fill, twin))
        return found

    def rescale(self, px_scale: int, qty_scale: int) -> None:
        """More decimals than before: everything is said anew at the new scales."""
        px, qty = 10 ** (px_scale - self.order.px_scale), 10 ** (qty_scale - self.order.qty_scale)
        for f in self.fills:
            f.px_scale, f.qty_scale = px_scale, qty_scale
            f.first_qty, f.qty, f.first_px, f.px = f.first_qty * qty, f.qty * qty, f.first_px * px, f.px * px
            f.cum_qty = None if f.cum_qty is None else f.cum_qty * qty
            for said in (f.entry, f.copy):
                if said is not None:
                    said.qty, said.px = said.qty * qty, said.px * px
        for a in self.order.pending:
            a.qty, a.px = a.qty * qty, a.px * px
        self.live_qty, self.taken_back, self.added = self.live_qty * qty, self.taken_back * qty, self.added * qty
        self._by_cum = {cum * qty: fills for cum, fills in self._by_cum.items()}

    # -- inside ------------------------------------------------------------------------------------------------

    def _twin(self, fill: Fill) -> Fill | None:
        """The nearest in time of the fills of the session that REST has not told, with the same figures."""
        same = [
            f
            for f in self.fills
            if not f.channels & REST
            and (f.first_qty, f.first_px, f.side) == (fill.first_qty, fill.first_px, fill.side)
            and abs(f.transact_ns - fill.transact_ns) <= NEAR_NS
        ]
        return min(same, key=lambda f: abs(f.transact_ns - fill.transact_ns), default=None)

    def _index(self, fill: Fill) -> None:
        self.fills.append(fill)
        self._by_id[fill.id] = fill
        if not fill.trade_id:
            self._untraded.append(fill)
        if fill.channels == REST:
            self._of_rest.append(fill)
        self.live_qty += fill.qty
        self.taken_back += max(fill.first_qty - fill.qty, 0)
        self.added += max(fill.qty - fill.first_qty, 0)
        for name in fill.names:
            self._by_name.setdefault(name, fill)
        self._step(fill)

    def _step(self, fill: Fill) -> None:
        if fill.cum_qty is None:
            self.nameless += 1
        else:
            self._by_cum.setdefault(fill.cum_qty, []).append(fill)

    def _name(self, fill: Fill, names: list[str]) -> bool:
        fresh = [n for n in names if n not in fill.names]
        if fresh:
            fill.names = [*fill.names, *fresh]
            for name in fresh:
                self._by_name.setdefault(name, fill)
        return bool(fresh)

    def _unite(self, twin: Fill, other: Fill) -> None:
        self._name(twin, other.names)
        twin.trade_id = twin.trade_id or other.trade_id
        if twin.cum_qty is None and other.cum_qty is not None:
            self.nameless -= 1
            twin.cum_qty = other.cum_qty
            self._step(twin)
        if other.rank < twin.rank:
            twin.rank, twin.transact_ns = other.rank, other.transact_ns
            twin.liquidity, twin.fees = other.liquidity or twin.liquidity, other.fees or twin.fees
        twin.liquidity, twin.fees = twin.liquidity or other.liquidity, twin.fees or other.fees
        twin.channels |= other.channels
        for view, said in ((ENTRY, other.entry), (COPY, other.copy)):
            mine = _view(twin, view)
            if said is not None and (mine is None or said.amended_ns > mine.amended_ns):
                _say(twin, view, said)
        twin.recv_ns, twin.changed_ns = min(twin.recv_ns, other.recv_ns), max(twin.changed_ns, other.changed_ns)
        self._of_record(twin)

    def _agree(self, fill: Fill, told: Told) -> bool:
        """Whether nothing stronger than the ExecID tells the two apart."""
        if told.trade_id and fill.trade_id and not told.foreign:
            return told.trade_id == fill.trade_id
        return told.cum_qty is None or fill.cum_qty is None or told.cum_qty == fill.cum_qty

    def _same_step(self, fill: Fill, told: Told) -> bool:
        """Two reports after which the order stands at the same quantity: one fill, unless something says otherwise."""
        figures = (fill.first_qty, fill.first_px) == (told.qty, told.px)
        other_channel = not fill.channels & told.channel
        if told.trade_id and fill.trade_id and not told.foreign:
            # Another channel's name for it, if all else agrees; on the same channel two names are two trades.
            return other_channel and figures
        if not self.taken_back and not self.added:
            return True
        # After a bust or correction the order comes by the same quantities again, with other fills.
        when = fill.transact_ns == told.transact_ns
        return (figures and when) or (other_channel and fill.qty > 0 and (figures or when))

    def _by_facts(self, told: Told) -> Fill | None:
        """For channels that share no name of the trade: quantity, price and time, one for one."""
        if told.cum_qty is not None and not self.nameless:
            return None  # each of them stands at a quantity of its own
        among = self.fills
        if told.trade_id and not told.foreign:
            among = self._untraded = [f for f in self._untraded if not f.trade_id]
        found = [f for f in among if self._may_be(f, told)]
        return min(found, key=lambda f: abs(f.transact_ns - told.transact_ns), default=None)

    def _may_be(self, fill: Fill, told: Told) -> bool:
        if (fill.first_qty, fill.first_px, fill.side) != (told.qty, told.px, told.side):
            return False
        if _view(fill, told.view) is not None or abs(fill.transact_ns - told.transact_ns) > NEAR_NS:
            return False
        if told.trade_id and fill.trade_id and not told.foreign:
            return False
        return told.cum_qty is None or fill.cum_qty is None

    def _meant(self, amendment: Amendment) -> Fill | None:
        if amendment.ref:
            channels = (amendment.channel, *(c for c in _RANKS if c != amendment.channel))
            for channel in channels:
                fill = self._by_name.get(f"x{channel}:{amendment.ref}")
                if fill is not None and (not amendment.trade_id or fill.trade_id in ("", amendment.trade_id)):
                    return fill
        return self._by_name.get(f"t{amendment.trade_id}") if amendment.trade_id else None

    def _amend(self, fill: Fill, amendment: Amendment) -> bool:
        # One that was applied before comes again where two sessions tell it, and from one that was away.
        again = bool(amendment.exec_id) and not self._name(fill, [f"x{amendment.channel}:{amendment.exec_id}"])
        said = _view(fill, amendment.view)
        busted = amendment.exec_type == "H"
        if (
            said is not None
            and said.amended_ns
            and (not said.qty or (not busted and amendment.when_ns < said.amended_ns + again))
        ):
            return False
        now = Said(0 if busted else amendment.qty, amendment.px, amendment.session, amendment.when_ns)
        if busted:
            now.px = said.px if said is not None else fill.first_px
        if now == said:
            return False
        _say(fill, amendment.view, now)
        fill.changed_ns = max(fill.changed_ns, amendment.recv_ns)
        self._of_record(fill)
        return True

    def _settle_pending(self, fill: Fill) -> bool:
        """Amendments that waited for this fill, and for each other."""
        changed, again = False, True
        while again:
            again = False
            for amendment in self.order.pending:
                if self._meant(amendment) is fill:
                    self.order.pending = [a for a in self.order.pending if a is not amendment]
                    changed |= self._amend(fill, amendment)
                    again = True
                    break
        return changed

    def _of_record(self, fill: Fill) -> None:
        """What counts: the last amendment, a bust above all; without one order entry's word before the drop copy's."""
        before = fill.qty
        amended = [s for s in (fill.entry, fill.copy) if s is not None and s.amended_ns]
        said = max(amended, key=lambda s: (not s.qty, s.amended_ns)) if amended else fill.entry or fill.copy
        assert said is not None
        fill.qty, fill.px = said.qty, said.px
        self.live_qty += fill.qty - before
        self.taken_back += max(fill.first_qty - fill.qty, 0) - max(fill.first_qty - before, 0)
        self.added += max(fill.qty - fill.first_qty, 0) - max(before - fill.first_qty, 0)


def _view(fill: Fill, view: int) -> Said | None:
    return fill.copy if view else fill.entry


def _say(fill: Fill, view: int, said: Said) -> None:
    if view:
        fill.copy = said
    else:
        fill.entry = said


def _contradicts(fill: Fill, said: Said, told: Told) -> bool:
    """A drop copy tells other figures than order entry, and than another copy did: that is what is to be seen."""
    if told.view != COPY or said.session == told.session or said.amended_ns or fill.entry is None:
        return False
    entry = fill.entry.qty, fill.entry.px
    return not fill.entry.amended_ns and (told.qty, told.px) not in (entry, (said.qty, said.px))


def _same(a: Amendment, b: Amendment) -> bool:
    """Told twice, by two sessions or by one."""
    named = (a.exec_type, a.view, a.channel, a.ref, a.exec_id, a.trade_id)
    return (*named, a.qty, a.px, a.when_ns) == (
        b.exec_type, b.view, b.channel, b.ref, b.exec_id, b.trade_id, b.qty, b.px, b.when_ns,
    )  # fmt: skip


def _facts(fill: Fill) -> tuple[int, int, int]:
    return fill.first_qty, fill.first_px, fill.transact_ns


def _facts_told(told: Told) -> tuple[int, int, int]:
    return told.qty, told.px, told.transact_ns


def _told(fill: Fill, view: int, said: Said) -> Told:
    """A fill as a report of it would tell it."""
    channel = FIX_COPY if view else FIX_ENTRY if fill.channels & FIX_ENTRY else REST
    exec_id = next((n.partition(":")[2] for n in fill.names if n.startswith(f"x{channel}:")), "")
    return Told(
        view, channel, said.session, fill.trade_id, fill.cum_qty, exec_id, fill.side, fill.first_qty, fill.first_px,
        fill.transact_ns, fill.recv_ns, fill.liquidity, fill.fees,
    )  # fmt: skip
