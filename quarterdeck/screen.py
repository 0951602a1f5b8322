"""Terminal tables of a desk."""

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from ipc.view.status import DeskView

# Colour is never the only sign: each word stands beside it.
STYLE = {
    "READY": "green", "LIVE": "green", "ARMED": "green", "STARTING": "yellow", "RECOVERING": "yellow",
    "DEGRADED": "yellow", "STOPPING": "yellow", "DISARMED": "yellow", "CROSSED": "yellow", "HALTED": "yellow",
}  # fmt: skip

AROUND = 6  # lines that are neither a process nor a book


def word(text: str) -> Text:
    """A state word in its colour; what is not known to be good is red."""
    return Text(text, style=STYLE.get(text, "bold red"))


def print_whole(table: Table) -> None:
    """Print a table with nothing cut, however narrow the terminal or pipe: an id is there to be copied."""
    console = Console()
    needed = console.measure(table, options=console.options.update(max_width=10_000)).maximum
    console.width = max(console.width, needed)
    console.print(table)


def desk_screen(view: DeskView, note: str = "", lines: int = 0) -> Group:
    """The whole desk: gate first, then processes, then books. Fits 80 columns.

    Where it would not fit `lines` (0: no bound), processes that are READY and have no more to say are named together.
    """
    head = Text.assemble(
        ("desk ", "dim"), view.desk, ("  kill switch ", "dim"), word(view.gate), f" gen {view.generation}",
        _lease(view), ("  sessions ", "dim"), f"{view.sessions_ready}/{view.sessions_total}",
        ("  books ", "dim"), f"{view.books_live}/{view.books_total}",
    )  # fmt: skip
    ordinary = {p.name for p in view.processes if p.readiness == "READY" and not p.reason}
    if not lines or len(view.processes) + len(view.books) + AROUND <= lines:
        ordinary = set()
    processes = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("process", "kind", "pid", "readiness", "beat ms", "reason"):
        processes.add_column(name, justify="right" if name in ("pid", "beat ms") else "left", overflow="fold")
    for p in (p for p in view.processes if p.name not in ordinary):
        processes.add_row(p.name, p.kind, str(p.pid or "-"), word(p.readiness), str(p.beat_age_ms), p.reason)
    parts: list[Table | Text] = [head, Text("")]
    if ordinary:
        named = "  ".join(p.name for p in view.processes if p.name in ordinary)
        parts.append(Text.assemble(word("READY"), (f" {len(ordinary)} of {len(view.processes)}  ", "dim"), named))
    if len(ordinary) < len(view.processes):
        parts.append(processes)
    return Group(*parts, Text(""), _books(view), *([Text(note)] if note else []))


def _lease(view: DeskView) -> Text:
    """How long new orders may still leave; a lapsed lease closes the gate whatever its word says."""
    if view.lease_ms >= 0:
        return Text(f" lease {view.lease_ms} ms")
    return Text(f" LEASE LAPSED {-view.lease_ms / 1000:.1f} s AGO", style="bold red")


def _books(view: DeskView) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    rows = [
        (
            f"{b.venue} {b.instrument} L{b.level}", b.status, b.bid_qty, b.bid_px, b.ask_px, b.ask_qty,
            str(b.messages), "" if b.reason == "OK" else b.reason,
        )
        for b in view.books
    ]  # fmt: skip
    for i, name in enumerate(("book", "status", "bid qty", "bid", "ask", "ask qty", "messages", "")):
        # A price or a quantity is never cut: half a number reads as a number.
        width = max((len(row[i]) for row in rows), default=0) if name else None
        table.add_column(
            name, justify="left" if i in (0, 1, 7) else "right", no_wrap=bool(name), min_width=width, overflow="fold"
        )
    for row in rows:
        table.add_row(row[0], word(row[1]), *row[2:])
    return table
