"""The kill switch's page: state, progress of a trip, what can be tripped. Pure."""

from rich.text import Text

from ipc.view.structs import KillPart, ScopePart, TripPart, View
from quarterdeck.top.sheet import Cell, Column, Row, Sheet, right, word
from quarterdeck.top.words import bar, moment, since

STEPS = 4


def kill_line(view: View) -> Text:
    """One line that is always visible: the kill switch's state, why, and what is left to prove."""
    kill, desk = view.kill, view.desk
    line = Text.assemble(("KILL ", "bold"), word(kill.state))
    closed = [s for s in kill.scopes if s.state in ("TRIPPING", "TRIPPED", "RESETTING")]
    if kill.operator_word:
        line.append(f" operator's word: {kill.operator_word};", style="bold red")
    if closed:
        scopes = ", ".join(s.scope for s in closed[:3]) + (f" and {len(closed) - 3} more" if len(closed) > 3 else "")
        line.append(f" {scopes}", style="bold")
        line.append(f"  {_proven(kill.trip, closed)}")
        why = next((s.reason for s in closed if s.reason), "")
        line.append(f"  {why}" if why else "")
    line.append(f"  gen {desk.generation}", style="dim")
    if desk.lease_ms is None:
        line.append("  NO LEASE: no new orders leave", style="bold red")
    elif desk.lease_ms < 0:
        line.append(f"  LEASE LAPSED {-desk.lease_ms / 1000:.1f} s AGO", style="bold red")
    else:
        line.append("  lease fresh", style="dim")
    if not kill.answers:
        line.append("  DOES NOT ANSWER", style="bold red")
    return line


def _proven(trip: TripPart | None, closed: list[ScopePart]) -> str:
    """How far the proof is; a trip before this one proves nothing of it."""
    if trip is not None and any(s.generation == trip.generation for s in closed):
        return f"{trip.proven} of {trip.orders} orders proven dead, {trip.working + trip.uncertain} left"
    left = sum(s.working + s.uncertain for s in closed)
    return f"{left} orders left" if left else "what is proven was not told yet"


def kill_sheet(view: View) -> Sheet:
    """Scopes, those that are closed first."""
    kill = view.kill
    strategies = sorted({f"strategy:{o.strategy}" for o in (*view.open_orders, *view.finished_orders) if o.strategy})
    worded = {s.scope: s for s in kill.scopes}
    desk = worded["desk"].state if "desk" in worded else "UNKNOWN"
    rows = []
    for scope in dict.fromkeys([*worded, *kill.known_scopes, *strategies]):
        s = worded.get(scope)
        if s is None:
            rows.append(Row((scope,), (Cell(scope), Cell("-", "dim"), *(Cell("") for _ in range(7)))))
            continue
        shut = s.state == "ARMED" and desk != "ARMED"  # by the desk's own word
        counts = (s.working, s.uncertain, s.proven) if s.state != "ARMED" else ("", "", "")
        state = Cell(s.state, "dim") if shut else word(s.state)
        reason = f"shut all the same: the desk is {desk}" if shut else s.reason
        cells = (
            Cell(scope), state, Cell(str(s.generation)), *(Cell(str(c)) for c in counts), Cell(s.cause),
            Cell(since(s.since_ns, view.taken_ns)), Cell(reason),
        )  # fmt: skip
        rows.append(Row((scope,), cells))
    columns = (
        Column("scope"), Column("state"), right("gen", 3), right("left", 1), right("uncertain", 2), right("proven", 1),
        Column("cause", rank=2), right("since", 2), Column("reason", fills=True),
    )  # fmt: skip
    return Sheet("scopes", columns, tuple(rows), "no scope is known", tuple(_above(kill, view.taken_ns)))


def _above(kill: KillPart, now_ns: int) -> list[Text]:
    lines = [Text("  enter: what a trip of the scope touches    t: trip it (asks for a reason and a confirmation)")]
    if not kill.answers:
        lines.append(Text(f"  THE KILL SWITCH DOES NOT ANSWER: {kill.fault}", style="bold red"))
    lines += [Text(f"  fault: {f}", style="bold yellow") for f in kill.faults]
    lines += [Text(f"  blocks arming: {b}", style="yellow") for b in kill.blockers[:3]]
    lines += [Text(f"  {name} {phase} {why}", style="yellow") for name, phase, why in kill.sessions if phase != "READY"]
    if kill.trip is not None:
        lines += _trip(kill.trip, now_ns)
        steps = [s for s in kill.steps if s.trip_id == kill.trip.trip_id][-STEPS:]
        for s in steps:
            counts = f"{s.proven} proven, {s.working} left"
            lines.append(Text(f"    {moment(s.ts_ns, now_ns)} {s.step} {s.detail}: {counts}"))
    return lines


def _trip(trip: TripPart, now_ns: int) -> list[Text]:
    done = trip.phase == "PROVEN"
    head = Text(f"  {'last trip' if done else 'TRIP UNDER WAY'} {trip.trip_id} of {', '.join(trip.scopes)}, ")
    head.append(f"{moment(trip.at_ns, now_ns)}, {trip.cause}: {trip.reason}")
    head.stylize("" if done else "bold red")
    progress = Text(
        f"  {bar(trip.proven, trip.orders)} {trip.phase}: {trip.proven} of {trip.orders} orders proven dead, "
    )
    progress.append(f"{trip.working} not proven, {trip.uncertain} uncertain, {trip.filled} traded on the way")
    times = [
        f"{name} {ms} ms"
        for name, ms in (
            ("gate", trip.gate_closed_ms), ("first cancel", trip.first_cancel_ms), ("fence", trip.fence_ms),
            ("all proven", trip.all_proven_ms),
        )
        if ms
    ]  # fmt: skip
    lines = [head, progress, Text(f"  {', '.join(times)}", style="dim")]
    lines += [Text(f"  open: {q}", style="bold yellow") for q in trip.open_questions[:3]]
    if trip.unproven:
        lines.append(Text(f"  NOT PROVEN DEAD: {', '.join(trip.unproven[:8])}", style="bold red"))
    return lines
