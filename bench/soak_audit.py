"""The reckoning of a soak: every order and fill of the venues' matching engines against what the desk says of them.

The venue is right. A finding is something lost or doubled, with what is known of it on each side.
"""

from collections import Counter, defaultdict
from decimal import Decimal
from typing import Any, NamedTuple

from base.config import DeskConfig, Kind
from bench.soak_ears import Session
from ipc.events import OPEN_STATES, OrderState
from ipc.ledger_read import Row

# OrdStatus(39) of the venue's engine, and what the desk may say of the order in the end.
ENDS = {"2": {"FILLED"}, "4": {"CANCELED"}, "C": {"EXPIRED", "CANCELED"}, "8": {"REJECTED"}}


def _ends(order: dict[str, Any]) -> set[str]:
    """What the desk may say of an order that the venue left in this state."""
    ends = ENDS.get(order["ord_status"], set())
    # A late fill may complete an order after its cancel was told.
    return ends | {"FILLED"} if order["cum_qty"] == order["order_qty"] else ends


# Breaks with which the ledger says that an order has fills that nobody told it.
EXPLAINING = frozenset({"unexplained", "gap"})


class Finding(NamedTuple):
    """Something that does not agree."""

    what: str  # one of KINDS
    session: str
    order: str
    venue_says: str
    desk_says: str
    ns: int  # when it happened at the venue; 0 when that is not known


KINDS = (
    "orders lost", "orders doubled", "fills lost", "fills doubled", "wrong end", "wrong position", "still open",
    "reports doubled", "events lost", "events doubled", "copies lost", "copies doubled", "ledger lost",
    "ledger doubled",
)  # fmt: skip


class Tally(NamedTuple):
    """How much was compared."""

    orders: int
    fills: int
    fills_reported: int  # with their own report
    fills_reconciled: int  # by a later one, a status or a list
    differences: int


class Audit:
    """Compares; `findings` and `tallies` are the result."""

    def __init__(self, desk: DeskConfig) -> None:
        self._desk = desk
        self.findings: list[Finding] = []
        self.tallies: dict[str, Tally] = {}

    def comp_ids(self, session: str) -> set[str]:
        """SenderCompIDs of a session."""
        config = self._desk.config.session[session]
        return {config.sender_comp_id, config.alternate_sender_comp_id} - {""}

    def trading(self, name: str, said: Session, orders: list[dict[str, Any]], fills: list[dict[str, Any]]) -> None:
        """One order-entry session against its venue's record."""
        mine = self.comp_ids(name)
        orders = [o for o in orders if o["session"] in mine]
        fills = [f for f in fills if f["session"] in mine]
        known = {o["order_id"]: self._state(said, o) for o in orders}
        for order in orders:
            self._order(name, order, known[order["order_id"]])
        reported = self._fills(name, said, fills, known)
        self._doubled(name, said, orders)
        self._positions(name, said, fills)
        self.tallies[name] = Tally(
            len(orders), len(fills), reported, len(fills) - reported, len(said.differences)
        )  # fmt: skip

    @staticmethod
    def _state(said: Session, order: dict[str, Any]) -> OrderState | None:
        by_id = said.by_order_id.get((order["instrument"], order["order_id"]))
        return by_id or said.orders.get(order["cl_ord_id"])

    def _order(self, name: str, order: dict[str, Any], known: OrderState | None) -> None:
        venue_says = f"39={order['ord_status']} 14={order['cum_qty']} of {order['order_qty']}"
        where = (name, f"{order['cl_ord_id']} / {order['order_id']}")
        if known is None:
            self._find("orders lost", *where, venue_says, "nothing", order["opened_ns"])
            return
        desk_says = f"{known.state} cum {self._qty(known, known.cum_qty)} {known.reason}"
        if known.state in OPEN_STATES:
            self._find("still open", *where, venue_says, desk_says, order["closed_ns"])
        elif known.state not in _ends(order):
            self._find("wrong end", *where, venue_says, desk_says, order["closed_ns"])

    def _fills(self, name: str, said: Session, fills: list[dict[str, Any]], known: dict[str, OrderState | None]) -> int:
        """Every fill must be in its order's quantity; those with a report of their own are counted."""
        reports = Counter(
            (r.order_id, r.trade_id) for r in said.reports if r.exec_type == "F" and r.trade_id and r.order_id
        )
        reported = 0
        by_order: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for fill in fills:
            by_order[fill["order_id"]].append(fill)
            count = reports[fill["order_id"], fill["trade_id"]]
            reported += count > 0
            if count > 1:
                text = f"trade {fill['trade_id']} {fill['last_qty']} at {fill['last_px']}"
                self._find("fills doubled", name, fill["order_id"], text, f"{count} reports", fill["time_ns"])
        for order_id, of_order in by_order.items():
            state = known.get(order_id)
            truth = sum((Decimal(f["last_qty"]) for f in of_order), Decimal(0))
            held = self._qty(state, state.cum_qty) if state else Decimal(0)
            if held != truth:
                missing = [f["trade_id"] for f in of_order if not reports[order_id, f["trade_id"]]]
                text = f"{truth} in {len(of_order)} fills; without a report: {', '.join(missing) or 'none'}"
                what = "fills lost" if held < truth else "fills doubled"
                self._find(what, name, order_id, text, f"cum {held}", of_order[-1]["time_ns"])
        return reported

    def _doubled(self, name: str, said: Session, orders: list[dict[str, Any]]) -> None:
        for report in said.doubled():
            text = f"17={report.exec_id} 150={report.exec_type} origin {report.origin}"
            self._find("reports doubled", name, report.cl_ord_id, "one", text, report.recv_ns)
        # One order of the desk stands for one of the venue's; a replaced one keeps its OrderID or gets a successor's.
        seen: dict[str, str] = {}
        for order in orders:
            other = seen.setdefault(order["cl_ord_id"], order["order_id"])
            if other != order["order_id"]:
                text = f"{other} and {order['order_id']}"
                self._find("orders doubled", name, order["cl_ord_id"], text, "one order", order["opened_ns"])

    def _positions(self, name: str, said: Session, fills: list[dict[str, Any]]) -> None:
        truth: dict[str, Decimal] = defaultdict(Decimal)
        for fill in fills:
            truth[fill["instrument"]] += Decimal(fill["last_qty"]) * (1 if fill["side"] == "1" else -1)
        for instrument in self._desk.session_instruments(name):
            held = said.positions.get(instrument.name)
            desk = Decimal(held.position).scaleb(-held.qty_scale) if held else Decimal(0)
            if desk != truth[instrument.name]:
                text = f"position {truth[instrument.name]}"
                self._find("wrong position", name, instrument.name, text, f"position {desk}", 0)

    # -- the ledger ------------------------------------------------------------------------------------------

    def ledger(self, venue: str, fills: list[dict[str, Any]], rows: list[Row], breaks: list[Row]) -> tuple[int, int]:
        """The venue's fills against those of record: (of record, orders whose difference the ledger names itself).

        A fill that no report ever told leaves the order's CumQty unexplained: that is a break, and nothing is lost.
        """
        truth: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for fill in fills:
            truth[fill["order_id"]].append(fill)
        held: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            held[row["order_id"]].append(row)
        named = {b["order_id"] for b in breaks if b["kind"] in EXPLAINING}
        told = 0
        for order_id in truth.keys() | held.keys():
            of_order, of_record = truth[order_id], held[order_id]
            want = sum((Decimal(f["last_qty"]) for f in of_order), Decimal(0))
            have = sum((r["qty"] for r in of_record), Decimal(0))
            trades = Counter(r["trade_id"] for r in of_record if r["trade_id"])
            if have > want or any(n > 1 for n in trades.values()):
                text = f"{have} in {len(of_record)} fills"
                self._find("ledger doubled", f"ledger {venue}", order_id, f"{want} in {len(of_order)}", text, 0)
            elif have < want and order_id in named:
                told += 1
            elif have < want:
                text = f"{have} in {len(of_record)} fills and no break"
                when = of_order[-1]["time_ns"]
                self._find("ledger lost", f"ledger {venue}", order_id, f"{want} in {len(of_order)}", text, when)
        return len(rows), told

    # -- drop copy and bus -----------------------------------------------------------------------------------

    def dropcopy(
        self, name: str, said: Session, fills: list[dict[str, Any]], *, replays: bool, anew: list[tuple[int, int]]
    ) -> tuple[int, int]:
        """Copies of the account's fills: (seen, missing). Missing ones are findings where the venue replays.

        `anew`: times (from, to) between a rollover at the venue and the next logon, which starts numbers again: what
        the venue kept for that session meanwhile goes with its numbers.
        """
        reports = Counter((r.order_id, r.trade_id) for r in said.reports if r.exec_type == "F" and r.trade_id)
        missing = 0
        for fill in fills:
            count = reports[fill["order_id"], fill["trade_id"]]
            missing += not count
            text = f"trade {fill['trade_id']} {fill['last_qty']} at {fill['last_px']}"
            if not count and replays and not any(began <= fill["time_ns"] <= until for began, until in anew):
                self._find("copies lost", name, fill["order_id"], text, "no report", fill["time_ns"])
            elif count > 1:
                self._find("copies doubled", name, fill["order_id"], text, f"{count} reports", fill["time_ns"])
        return len(fills) - missing, missing

    def bus(self, name: str, said: Session, unheard: list[tuple[int, int]]) -> None:
        """What the client heard against what the journal keeps."""
        for epoch, seq in unheard:
            self._find("events lost", name, f"{epoch}/{seq}", "in the journal", "not heard", 0)
        for epoch, seq in said.twice:
            self._find("events doubled", name, f"{epoch}/{seq}", "once", "heard twice", 0)

    def commands(self, name: str, said: Session, lines: list[dict[str, Any]]) -> int:
        """Orders that strategies were told were taken: each must be known. How many there were."""
        taken = [x for x in lines if x["verb"] == "new" and x["result"] == "accepted"]
        ids = Counter(x["said"] for x in taken)
        for line in taken:
            if line["said"] not in said.orders:
                self._find("orders lost", name, line["said"], f"taken as {line['id']}", "nothing", line["ns"])
            if ids[line["said"]] > 1:
                self._find("orders doubled", name, line["said"], f"taken as {line['id']}", "one id twice", line["ns"])
        return len(taken)

    def _qty(self, state: OrderState, qty: int) -> Decimal:
        return Decimal(qty).scaleb(-state.qty_scale)

    def _find(self, what: str, session: str, order: str, venue_says: str, desk_says: str, ns: int) -> None:
        self.findings.append(Finding(what, session, order, venue_says, desk_says, ns))

    def count(self) -> Counter[str]:
        """Findings by kind."""
        return Counter(f.what for f in self.findings)


def trading_sessions(desk: DeskConfig) -> list[str]:
    """Names of the order-entry sessions with a process of their own."""
    return desk.sessions(Kind.TRADING)
