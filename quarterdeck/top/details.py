"""One thing in full: a session, a process, a book's depth, an order's life, an alarm, an event, a limit. Pure."""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import msgspec
from rich.text import Text

from ipc.view.structs import DepthPart, OrderLife, RoundTrip, View
from quarterdeck.top.sheet import Cell, Row, Sheet, right, table, word
from quarterdeck.top.words import duration, micros, moment, since

_HIDDEN = frozenset({"counters", "latencies", "instruments", "events", "schema"})


class Source(Protocol):
    """Where the terminal asks for what a view does not hold."""

    def depth(self, venue: str, instrument: str, level: int, levels: int = 20) -> DepthPart | None: ...
    def life(self, venue: str, cl_ord_id: str) -> OrderLife | None: ...
    def plan(self, scope: str) -> list[str]: ...


def details(page: str, key: tuple[str, ...], view: View, source: Source, width: int) -> list[Text]:
    """Lines of one row's details; what is not there any more says so."""
    found = _PAGES[page](key, view, source, width)
    return found if found is not None else [Text("  it is not there any more", style="yellow")]


Lines = list[Text] | None


def _process(key: tuple[str, ...], view: View, _source: Source, width: int) -> Lines:
    found = next((p for p in view.processes if p.name == key[0]), None)
    if found is None:
        return None
    lines = _fields(found, view.taken_ns, width)
    return [*lines, *_latencies(found.latencies), *_counters(found.counters, width)]


def _session(key: tuple[str, ...], view: View, _source: Source, width: int) -> Lines:
    found = next((s for s in view.sessions if s.name == key[0]), None)
    if found is None:
        return None
    process = next((p for p in view.processes if p.name == key[0]), None)
    lines = _fields(found, view.taken_ns, width)
    lines += wrapped("instruments", ", ".join(found.instruments), width)
    if process is not None:
        lines += _latencies(process.latencies)
    return [*lines, *_counters(found.counters, width)]


def _book(key: tuple[str, ...], view: View, source: Source, width: int) -> Lines:
    depth = source.depth(key[0], key[1], int(key[2]))
    if depth is None:
        return None
    b = depth.book
    head = Text.assemble(
        f"  {b.venue} {b.instrument} L{b.level}  ", word(b.status), f" {b.reason}  spread {b.spread or '-'}, ",
        f"{b.spread_ticks if b.spread_ticks is not None else '-'} ticks, {b.spread_bps or '-'} bps  ",
        f"from {b.source or 'one of ' + ', '.join(b.sources)}",
    )  # fmt: skip
    if depth.fault:
        return [head, Text(f"  no depth is shown: {depth.fault}", style="bold yellow")]
    columns = (
        right("sum", 2), right("orders", 3), right("bid qty"), right("bid"), right("ask"), right("ask qty"),
        right("orders", 3), right("sum", 2),
    )  # fmt: skip
    shown = [i for i in range(len(columns)) if b.level != 2 or columns[i].name != "orders"]  # L2 does not tell them
    rows = []
    for i in range(max(len(depth.bids), len(depth.asks))):
        bid = depth.bids[i] if i < len(depth.bids) else None
        ask = depth.asks[i] if i < len(depth.asks) else None
        left = (bid.sum_qty, str(bid.orders), bid.qty, bid.px) if bid else ("", "", "", "")
        other = (ask.px, ask.qty, str(ask.orders), ask.sum_qty) if ask else ("", "", "", "")
        cells = [Cell(t) for t in (*left, *other)]
        cells[3], cells[4] = cells[3]._replace(style="green"), cells[4]._replace(style="red")
        rows.append(Row((str(i),), tuple(cells[i] for i in shown)))
    sheet = Sheet("depth", tuple(columns[i] for i in shown), tuple(rows), "")
    return [head, *table(sheet, rows, width)]


def _order(key: tuple[str, ...], view: View, source: Source, width: int) -> Lines:
    life = source.life(key[0], key[1])
    if life is None:
        return None
    o = life.order
    filled = f", {o.filled_qty} filled" if o.filled_qty not in ("", "0") else ""
    head = Text.assemble(f"  {o.cl_ord_id}  ", word(o.state), f"  {o.side} {o.order_qty} {o.instrument} at ")
    head.append(f"{o.price or 'no price'}{filled}, {duration(o.age_ms)} old; its life")
    lines = [head]
    last_ns = 0
    for m in life.events:
        after = f"+{(m.ts_ns - last_ns) // 1000}us" if last_ns and m.ts_ns - last_ns < 10**9 else ""
        at = f"{moment(m.ts_ns, view.taken_ns)}.{m.ts_ns // 1000 % 1_000_000:06}"
        lines += wrapped(f"{at} {after:>10} {m.what:<15}", m.text, width)
        last_ns = m.ts_ns
    if life.dropped:
        lines.append(Text(f"  {life.dropped} moments in the middle were not kept: qd fixlog has them", style="dim"))
    return [*lines, Text(""), *_fields(o, view.taken_ns, width)]


def _plain(find: Callable[[tuple[str, ...], View], msgspec.Struct | None]) -> Callable[..., Lines]:
    def lines(key: tuple[str, ...], view: View, _source: Source, width: int) -> Lines:
        found = find(key, view)
        return None if found is None else _fields(found, view.taken_ns, width)

    return lines


def _scope(key: tuple[str, ...], _view: View, source: Source, width: int) -> Lines:
    head = Text(f"  what a trip of {key[0]} would do; nothing is sent by looking", style="bold")
    return [head, *(line for text in source.plan(key[0]) for line in wrapped("", text, width))]


def wrapped(name: str, text: str, width: int) -> list[Text]:
    """A name and a text that goes on in lines below it."""
    lead = f"  {name}  " if name else "  "
    room = max(10, width - len(lead))
    parts: list[str] = []
    for line in text.splitlines() or [""]:
        rest = line
        while len(rest) > room:
            cut = rest.rfind(" ", 1, room)
            cut = cut if cut > 0 else room
            parts.append(rest[:cut])
            rest = rest[cut:].lstrip()
        parts.append(rest)
    return [Text((lead if i == 0 else " " * len(lead)) + part) for i, part in enumerate(parts)]


def _fields(part: msgspec.Struct, now_ns: int, width: int) -> list[Text]:
    """Every field with its name; times also as how long ago."""
    lines: list[Text] = []
    names = [n for n in part.__struct_fields__ if n not in _HIDDEN]
    most = max(map(len, names))
    for name in names:
        value = getattr(part, name)
        if name.endswith("_ns"):
            text = f"{moment(value, now_ns)} UTC, {since(value, now_ns)} ago" if value else "-"
        elif isinstance(value, RoundTrip):
            text = _trip(value)
        elif isinstance(value, tuple):
            text = ", ".join(map(str, value)) or "-"
        else:
            text = "-" if value in ("", None) else str(value)
        lines += wrapped(f"{name:<{most}}", text, width)
    return lines


def _trip(t: RoundTrip) -> str:
    if not t.count:
        return "none was measured"
    return f"last {micros(t.last_us)}, p50 {micros(t.p50_us)}, p99 {micros(t.p99_us)} of {t.count}"


def _latencies(found: Mapping[str, RoundTrip]) -> list[Text]:
    if not found:
        return []
    most = max(map(len, found))
    head = Text("  latencies since the process started", style="bold")
    return [head, *(Text(f"    {n:<{most}}  {_trip(t)}") for n, t in sorted(found.items()))]


def _counters(counters: Mapping[str, int], width: int) -> list[Text]:
    """As many beside each other as there is room for."""
    if not counters:
        return []
    texts = [f"{name} {value}" for name, value in sorted(counters.items())]
    cells = max(map(len, texts)) + 2
    beside = max(1, (width - 4) // cells)
    rows = (texts[i : i + beside] for i in range(0, len(texts), beside))
    return [Text("  counters", style="bold"), *(Text("    " + "".join(t.ljust(cells) for t in row)) for row in rows)]


def _first(found: Iterable[msgspec.Struct]) -> msgspec.Struct | None:
    return next(iter(found), None)


_PAGES: dict[str, Callable[[tuple[str, ...], View, Source, int], Lines]] = {
    "d": _process, "s": _session, "b": _book, "o": _order, "k": _scope,
    "p": _plain(lambda k, v: _first(p for p in v.positions if (p.session, p.instrument) == k)),
    "m": _plain(lambda k, v: _first(b for b in v.balances if (b.session, b.account, b.currency) == k)),
    "l": _plain(lambda k, v: _first(x for x in v.limits if (x.scope, x.figure, x.unit) == k)),
    "a": _plain(lambda k, v: _first(a for a in v.alarms if (a.source, a.code, a.subject) == k)),
    "e": _plain(lambda k, v: _first(e for e in v.events if str(e.number) == k[0])),
}  # fmt: skip
