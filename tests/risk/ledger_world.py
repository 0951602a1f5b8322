"""What venues, sessions and drop copies may say of the same fills, and a plain count of what is true."""

import random
from collections import defaultdict
from fractions import Fraction
from typing import Any

import msgspec

from ipc.events import ExecutionReport, OrderState
from ipc.ledger_records import COPY, ENTRY
from risk.ledger_parts import Source

S = 1_000_000_000
T0 = 1_700_000_000 * S
AFTER_NS = 10 * S
PX, QTY = 2, 4

ENTRY_SOURCE = Source("trd", "v", "main", ENTRY, two_views=True)
COPY_SOURCE = Source("dc", "v", "main", COPY, two_views=True)
LONE_SOURCE = Source("lone", "w", "main", ENTRY, two_views=False)


def report(source: Source = ENTRY_SOURCE, **fields: Any) -> ExecutionReport:
    """A fill unless told otherwise."""
    base: dict[str, Any] = {
        "session": source.session, "venue": source.venue, "account": source.account, "instrument": "BTC-USD",
        "cl_ord_id": "c1", "order_id": "o1", "exec_id": "", "exec_type": "F", "ord_status": "1", "side": "1",
        "ord_type": "2", "time_in_force": "1", "px_scale": PX, "qty_scale": QTY, "order_qty": 100, "price": 5000,
        "stop_px": None, "last_qty": 10, "last_px": 5000, "cum_qty": 10, "leaves_qty": 90, "transact_ns": T0,
        "sending_ns": T0, "recv_ns": T0, "drop_copy": source.view == COPY,
    }  # fmt: skip
    return ExecutionReport(**{**base, **fields})


def placed(source: Source = ENTRY_SOURCE, **fields: Any) -> OrderState:
    """An order as its trading process takes it in."""
    base: dict[str, Any] = {
        "session": source.session, "venue": source.venue, "account": source.account, "instrument": "BTC-USD",
        "cl_ord_id": "c1", "order_id": "", "state": "PENDING_NEW", "side": "1", "ord_type": "2",
        "time_in_force": "1", "px_scale": PX, "qty_scale": QTY, "order_qty": 100, "price": 5000, "cum_qty": 0,
        "leaves_qty": 100, "strategy": "s1", "client_id": "me", "command_id": "1", "since_ns": T0,
    }  # fmt: skip
    return OrderState(**{**base, **fields})


class TrueFill(msgspec.Struct):
    """One fill as it happened."""

    order: int
    n: int
    qty: int
    px: int
    cum: int
    when_ns: int
    fee: int
    dropped: str = ""  # the view that never hears of it
    amended: str = ""  # "", "H" or "G": later, in both views
    new_qty: int = 0
    new_px: int = 0

    @property
    def final(self) -> tuple[int, int]:
        """(qty, px) in the end."""
        if self.amended == "H":
            return 0, self.px
        return (self.new_qty, self.new_px) if self.amended == "G" else (self.qty, self.px)


class World:
    """A random history of some orders. `naming`: what the venue's reports carry to tell fills apart."""

    def __init__(self, rng: random.Random, naming: str, *, drops: bool = True, amends: bool = True) -> None:
        self.rng = rng
        self.naming = naming
        self.fills: list[TrueFill] = []
        self.orders: list[dict[str, Any]] = []
        self.strangers: set[int] = set()
        now = T0
        for n in range(rng.randint(1, 6)):
            stranger = rng.random() < 0.15
            order = {
                "instrument": rng.choice(["BTC-USD", "ETH-USD"]), "cl_ord_id": f"c{n}", "order_id": f"o{n % 4}",
                "side": rng.choice("12"), "strategy": rng.choice(["s1", "s2"]),
            }  # fmt: skip
            if n >= 4:
                order["instrument"] = "SOL-USD"  # OrderIDs are a venue's per instrument
            if stranger:
                self.strangers.add(n)
            self.orders.append(order)
            cum = 0
            for k in range(rng.randint(0, 5)):
                qty = rng.randint(1, 3)
                cum += qty
                now += rng.choice([0, 1, 1_000_000, S])
                fill = TrueFill(n, k, qty, rng.choice([4990, 5000, 5010]), cum, now, rng.randint(-3, 9))
                if drops and rng.random() < 0.15:
                    fill.dropped = rng.choice(["trd", "dc"])
                if amends and rng.random() < 0.15:
                    fill.amended = rng.choice("GH")
                    fill.new_qty, fill.new_px = rng.randint(1, 3), rng.choice([4990, 5000, 5010])
                self.fills.append(fill)
        self.end_ns = now + S

    def strategy(self, order: int) -> str:
        return "" if order in self.strangers else str(self.orders[order]["strategy"])

    # -- what is said ------------------------------------------------------------------------------------------

    def said(self, source: Source) -> list[Any]:
        """One view's events in the order in which it happened there, before anything is shuffled or doubled."""
        out: list[Any] = []
        if source.view == ENTRY:
            for n, o in enumerate(self.orders):
                if n not in self.strangers:
                    fields = {k: o[k] for k in ("instrument", "cl_ord_id", "side", "strategy")}
                    out.append(placed(source, **fields, since_ns=T0))
        for fill in self.fills:
            if fill.dropped != source.session:
                out.append(self.fill_report(source, fill))
                if fill.amended:
                    out.append(self.amendment(source, fill))
        return out

    def fill_report(self, source: Source, fill: TrueFill) -> ExecutionReport:
        order = self.orders[fill.order]
        names = self._names(source, fill, f"{source.session}-{fill.order}-{fill.n}")
        delay = S if source.view == COPY else 0
        return report(
            source, instrument=order["instrument"], cl_ord_id=order["cl_ord_id"], order_id=order["order_id"],
            side=order["side"], last_qty=fill.qty, last_px=fill.px, transact_ns=fill.when_ns,
            recv_ns=fill.when_ns + delay, fees=(("USD", f"0.0{fill.fee}" if fill.fee >= 0 else f"-0.0{-fill.fee}"),),
            **names,
        )  # fmt: skip

    def _names(self, source: Source, fill: TrueFill, own: str) -> dict[str, Any]:
        """A venue that gives no trade id and other ExecIDs on its drop copy leaves the running quantity; and so on."""
        trade = f"{fill.order}{fill.n:02d}"
        return {
            "trade": {"trade_id": trade, "exec_id": own, "cum_qty": fill.cum},
            "trade-only": {"trade_id": trade, "exec_id": "", "cum_qty": None},
            "cum": {"trade_id": "", "exec_id": own, "cum_qty": fill.cum},
            "exec": {"trade_id": "", "exec_id": f"e-{fill.order}-{fill.n}", "cum_qty": fill.cum},
            "mixed": {"trade_id": trade if source.view == ENTRY else "", "exec_id": own, "cum_qty": fill.cum},
            "aliases": {"trade_id": f"{source.session[0]}{trade}", "exec_id": own, "cum_qty": fill.cum},
        }[self.naming]

    def amendment(self, source: Source, fill: TrueFill) -> ExecutionReport:
        told = self.fill_report(source, fill)
        return msgspec.structs.replace(
            told, exec_type=fill.amended, exec_ref_id=told.exec_id, exec_id=f"{told.exec_id}+" if told.exec_id else "",
            last_qty=fill.new_qty if fill.amended == "G" else fill.qty, cum_qty=None,
            last_px=fill.new_px if fill.amended == "G" else fill.px, transact_ns=fill.when_ns + 5,
        )  # fmt: skip

    def told(self, source: Source, *, shuffled: bool = True) -> list[Any]:
        """What arrives: doubled, resent, and (other than any real session) in any order."""
        events = self.said(source)
        events += [msgspec.structs.replace(e, poss_dup=True) for e in events if isinstance(e, ExecutionReport)
                   and self.rng.random() < 0.3]  # fmt: skip
        if shuffled:
            self.rng.shuffle(events)
        return events

    # -- what is true --------------------------------------------------------------------------------------------

    def known_fills(self) -> dict[tuple[str, str, int], tuple[int, int]]:
        """(order, instrument, running quantity) of each fill that anybody heard of, and what it is in the end."""
        return {
            (self.orders[f.order]["order_id"], self.orders[f.order]["instrument"], f.n): f.final for f in self.fills
        }

    def positions(self) -> dict[tuple[str, str], tuple[Fraction, Fraction, Fraction]]:
        """(strategy, instrument) to position, realised profit and fees: unit by unit, with a queue of single units."""
        queues: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
        realised: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
        fees: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
        for f in sorted(self.fills, key=lambda f: (f.when_ns, self._tie(f))):
            order = self.orders[f.order]
            key = (self.strategy(f.order), order["instrument"])
            sign, (qty, px) = 1 if order["side"] == "1" else -1, f.final
            fees[key] += Fraction(f.fee, 100) if qty else 0
            queue = queues[key]
            for _ in range(qty):
                if queue and queue[0][0] == -sign:
                    side, was = queue.pop(0)
                    realised[key] += Fraction(side * (px - was), 10 ** (PX + QTY))
                else:
                    queue.append((sign, px))
        return {k: (Fraction(sum(s for s, _ in q), 10**QTY), realised[k], fees[k]) for k, q in queues.items()}

    def _tie(self, f: TrueFill) -> tuple[int, str, int]:
        trade = f"{f.order}{f.n:02d}"
        mixed = "" if f.dropped == "trd" else trade  # told by order entry alone, there
        aliases = f"d{trade}" if f.dropped == "trd" else f"t{trade}"
        trade = {"trade": trade, "trade-only": trade, "mixed": mixed, "aliases": aliases}.get(self.naming, "")
        return (len(trade), trade, f.cum if self.naming != "trade-only" else 0)
