"""The pages: what of a view stands in which column. Pure."""

from collections.abc import Callable
from typing import Final

from rich.text import Text

from ipc.view.structs import AlarmPart, OrderPart, View
from quarterdeck.limits_screen import short
from quarterdeck.top.kill_page import kill_sheet
from quarterdeck.top.sheet import Cell, Column, Row, Sheet, right, word
from quarterdeck.top.words import beat, count, duration, micros, moment, since, trip

PROBLEMS: Final = 6


def desk_sheet(view: View) -> Sheet:
    """What keeps the desk from being READY, the worst first; then its processes."""
    problems = view.desk.problems
    above = [Text(f"  {p}") for p in problems[:PROBLEMS]]
    if len(problems) > PROBLEMS:
        above.append(Text(f"  and {len(problems) - PROBLEMS} more", style="dim"))
    if not problems:
        above.append(Text("  nothing keeps this desk from being READY"))
    above += [Text(f"  not seen: {r}", style="yellow") for r in view.reading]
    columns = (
        Column("process"), Column("kind", rank=3), right("pid", 4), Column("readiness"), right("beat", 2),
        right("MB", 2), right("cpu%", 2), Column("for", rank=3), Column("build", rank=5), Column("reason", fills=True),
    )  # fmt: skip
    rows = [
        Row((p.name,), (
            Cell(p.name), Cell(p.kind), Cell(str(p.pid or "-")), word(p.readiness), Cell(beat(p.beat_ms)),
            Cell(count(p.memory_mb)), Cell(count(p.cpu_pct)),
            Cell(since(p.since_ns if p.known else p.unknown_ns, view.taken_ns)),
            Cell(f"{p.build[:8]} DIFFERS" if p.disagrees else p.build[:8], "bold red" if p.disagrees else ""),
            Cell(p.reason),
        ))
        for p in view.processes
    ]  # fmt: skip
    return Sheet("processes", columns, tuple(rows), "no process is configured", tuple(above))


def sessions_sheet(view: View) -> Sheet:
    """Sessions with their numbers, rates and round trips."""
    columns = (
        Column("session"), Column("venue", rank=6), Column("kind", rank=5), Column("state"), right("for", 4),
        right("out", 1), right("in", 1), right("out/s", 3), right("in/s", 2), right("order p50/p99", 2),
        right("test", 7), right("orders", 3), right("refused", 8), right("rejects", 4), right("open", 1),
        Column("reason", fills=True),
    )  # fmt: skip
    rows = [
        Row((s.name,), (
            Cell(s.name), Cell(s.venue), Cell(s.kind), word(s.state), Cell(since(s.since_ns, view.taken_ns)),
            Cell(count(s.next_out), _faint(s.known)), Cell(count(s.next_in), _faint(s.known)),
            Cell(s.out_per_s or "-"), Cell(s.in_per_s or "-"), Cell(trip(s.order)), Cell(micros(s.test.last_us)),
            Cell(count(s.orders_sent)), Cell(count(s.refused)),
            Cell(str((s.rejects or 0) + s.order_rejects), "yellow" if s.rejects or s.order_rejects else ""),
            Cell(str(s.orders_open)), Cell(s.reason),
        ))
        for s in view.sessions
    ]  # fmt: skip
    return Sheet("sessions", columns, tuple(rows), "no session is configured")


def books_sheet(view: View) -> Sheet:
    """Books with spread, age and source; no price of a book that is not LIVE."""
    columns = (
        Column("book"), Column("status"), right("bid qty", 3), right("bid"), right("ask"), right("ask qty", 3),
        right("ticks", 4), right("bps", 1), right("age", 1), right("msg/s", 2), Column("source", rank=5),
        Column("reason", fills=True),
    )  # fmt: skip
    rows = [
        Row((b.venue, b.instrument, str(b.level)), (
            Cell(f"{b.venue} {b.instrument} L{b.level}"), word(b.status), Cell(b.bid_qty or "-"),
            Cell(b.bid_px or "-"), Cell(b.ask_px or "-"), Cell(b.ask_qty or "-"), Cell(count(b.spread_ticks)),
            Cell(b.spread_bps or "-"), Cell(duration(b.age_ms)), Cell(b.messages_per_s or "-"), Cell(b.source or "?"),
            Cell(b.reason),
        ))
        for b in view.books
    ]  # fmt: skip
    return Sheet("books", columns, tuple(rows), "no book is configured")


def orders_sheet(view: View) -> Sheet:
    """Open orders, the uncertain ones first, then the last that ended."""
    columns = (
        Column("order", rank=2), Column("session", rank=3), Column("instrument"), Column("side"), right("qty"),
        right("price"), right("filled"), Column("state"), right("age"), Column("strategy", rank=4),
        Column("reason", fills=True, rank=1),
    )  # fmt: skip
    rows = [_order(o) for o in (*view.open_orders, *view.finished_orders)]
    total = Text(
        f"  {view.desk.orders_open} open, {view.desk.orders_uncertain} of them uncertain; then the last that ended"
    )
    return Sheet("orders", columns, tuple(rows), "no orders", (total,))


def _order(o: OrderPart) -> Row:
    state = o.state if o.known or not o.open else f"{o.state}?"
    return Row((o.venue, o.cl_ord_id), (
        Cell(o.cl_ord_id), Cell(o.session), Cell(o.instrument), Cell(o.side), Cell(o.order_qty), Cell(o.price or "-"),
        Cell(o.filled_qty), Cell(state, word(o.state).style if o.known else "bold yellow"), Cell(duration(o.age_ms)),
        Cell(o.strategy), Cell(o.reason if o.known or not o.open else "its process is dead: not known any more"),
    ))  # fmt: skip


def positions_sheet(view: View) -> Sheet:
    """What each session holds, and what works."""
    columns = (
        Column("session"), Column("instrument"), right("position"), right("notional", 1), right("mark", 4),
        right("open", 2), right("buying", 3), right("selling", 3), right("realised", 2), right("fees", 5),
        Column("ccy", rank=2), Column("note", fills=True),
    )  # fmt: skip
    rows = [
        Row((p.session, p.instrument), (
            Cell(p.session), Cell(p.instrument), Cell(p.position, _faint(p.known)), Cell(short(p.notional) or "-"),
            Cell(p.mark_px or "-"), Cell(str(p.open_orders)), Cell(p.working_buy_qty or "-"),
            Cell(p.working_sell_qty or "-"), Cell(short(p.realised) or "-"), Cell(short(p.fees) or "-"), Cell(p.quote),
            Cell(p.incomplete if p.known else "not known: its process is dead", "" if p.known else "bold yellow"),
        ))
        for p in view.positions
    ]  # fmt: skip
    return Sheet("positions", columns, tuple(rows), "no positions are known")


def money_sheet(view: View) -> Sheet:
    """What the venues said of balances."""
    columns = (
        Column("venue"), Column("account", rank=2), Column("currency"), right("total"), right("available"),
        right("held", 1), right("buying power", 3), right("told"), Column("session", rank=4),
    )  # fmt: skip
    rows = [
        Row((b.session, b.account, b.currency), (
            Cell(b.venue), Cell(b.account), Cell(b.currency), Cell(b.total or "-"), Cell(b.available or "-"),
            Cell(b.held or "-"), Cell(b.buying_power or "-"), Cell(since(b.ts_ns, view.taken_ns)), Cell(b.session),
        ))
        for b in view.balances
    ]  # fmt: skip
    return Sheet("balances", columns, tuple(rows), "no venue told any balance")


def limits_sheet(view: View) -> Sheet:
    """Every limit, the nearest first."""
    columns = (
        Column("scope"), Column("figure"), right("value"), right("limit"), Column("unit", rank=2), right("%"),
        right("distance", 1), Column("state"), Column("does", rank=1), Column("when", rank=4),
        Column("detail", rank=3, fills=True),
    )  # fmt: skip
    rows = [
        Row((x.scope, x.figure, x.unit), (
            Cell(x.scope), Cell(x.figure), Cell(short(x.value) or "-"),
            Cell(("at least " if x.limit_is == "least" else "") + short(x.limit)), Cell(x.unit), Cell(str(x.percent)),
            Cell(short(x.distance) or "-"), Cell(x.state, _limit_style(x.state)), Cell(x.does), Cell(x.when),
            Cell(x.detail),
        ))
        for x in view.limits
    ]  # fmt: skip
    told = Text(
        f"  told {since(view.limits_ns, view.taken_ns)} ago" if view.limits_ns else "  not told yet", style="dim"
    )
    fault = [Text(f"  NOT KNOWN ANY MORE: {view.limits_fault}", style="bold yellow")] if view.limits_fault else []
    return Sheet("limits", columns, tuple(rows), "no limit is known", (*fault, told))


def _limit_style(state: str) -> str:
    if state in ("ok", "not measured"):
        return word(state).style
    return "yellow" if state.endswith("%") else "bold red"


def alarms_sheet(view: View) -> Sheet:
    """Alarms that wait for somebody, then those that somebody has."""
    columns = (
        right("nr"), Column("severity"), Column("stands", rank=1), Column("source"), Column("code", rank=2),
        right("since", 1), right("times", 3), Column("text", fills=True),
    )  # fmt: skip
    rows = [
        Row((a.source, a.code, a.subject), (
            Cell(str(a.number or "-")), word(a.severity.upper() if a.severity == "critical" else a.severity),
            Cell(_stands(a)), Cell(a.source), Cell(a.code), Cell(since(a.first_ns, view.taken_ns)), Cell(str(a.count)),
            Cell(a.text),
        ))
        for a in view.alarms
    ]  # fmt: skip
    above = [Text(f"  {view.alarms_fault}", style="bold yellow")] if view.alarms_fault else []
    if view.desk.alarms_waiting:
        above.append(Text('  acknowledge: qd alarms ack NUMBER... --note "what is done about it"', style="dim"))
    return Sheet("alarms", columns, tuple(rows), "no alarm waits for anybody", tuple(above))


def _stands(a: AlarmPart) -> str:
    if a.acked_ns:
        return f"acked by {a.acked_by}"
    return "over, not acked" if a.over_ns else "WAITS"


def events_sheet(view: View) -> Sheet:
    """What happened, the newest first."""
    columns = (
        Column("time"), Column("severity", rank=1), Column("source"), Column("what", rank=3), Column("about", rank=2),
        Column("text", fills=True),
    )  # fmt: skip
    rows = [
        Row((str(x.number),), (
            Cell(moment(x.ts_ns, view.taken_ns)), word(x.severity), Cell(x.source), Cell(x.kind), Cell(x.subject),
            Cell(x.text),
        ))
        for x in reversed(view.events)
    ]  # fmt: skip
    return Sheet("events", columns, tuple(rows), "nothing happened that anybody said")


def _faint(known: bool) -> str:
    return "" if known else "dim"


# key: (name, short name, page)
PAGES: Final[dict[str, tuple[str, str, Callable[[View], Sheet]]]] = {
    "d": ("desk", "desk", desk_sheet), "s": ("sessions", "sess", sessions_sheet), "b": ("books", "book", books_sheet),
    "o": ("orders", "ord", orders_sheet), "p": ("positions", "pos", positions_sheet),
    "m": ("money", "mon", money_sheet), "l": ("limits", "lim", limits_sheet), "a": ("alarms", "alarm", alarms_sheet),
    "e": ("events", "event", events_sheet), "k": ("KILL", "KILL", kill_sheet),
}  # fmt: skip
