"""How every benchmark reports: one row a figure, as a table or as JSON lines."""

import json
import statistics
from collections.abc import Callable, Iterable, Sequence

import msgspec


class Row(msgspec.Struct, frozen=True):
    """One figure beside its peer in the same run; `ok`: `ratio` (`value`, when there is no peer) reached `reach`."""

    name: str
    value: float
    unit: str
    peer: str = ""
    peer_value: float | None = None
    ratio: float | None = None
    reach: float | None = None
    ok: bool = True


def faster(name: str, value: float, unit: str, peer: str, peer_value: float, reach: float) -> Row:
    """A row whose ratio says how many times less than the peer we took; ok from `reach` times on."""
    ratio = peer_value / value
    return Row(name, value, unit, peer, peer_value, ratio, reach, ratio >= reach)


def within(name: str, value: float, unit: str, peer: str, peer_value: float, reach: float) -> Row:
    """A row whose ratio says how many times the peer's figure ours is; ok up to `reach` times."""
    ratio = value / peer_value
    return Row(name, value, unit, peer, peer_value, ratio, reach, ratio <= reach)


def at_most(name: str, value: float, unit: str, limit: float) -> Row:
    """A row without a peer: ok up to `limit`."""
    return Row(name, value, unit, reach=limit, ok=value <= limit)


def interleave(rounds: int, works: Sequence[Callable[[], float]]) -> list[float]:
    """Runs the works in turn `rounds` times, so that a busy moment hits all alike; answers the median of each."""
    seen: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for times, work in zip(seen, works, strict=True):
            times.append(work())
    return [statistics.median(times) for times in seen]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _cells(row: Row) -> list[str]:
    numbers = [_number(row.value), row.unit, row.peer, _number(row.peer_value), _number(row.ratio), _number(row.reach)]
    return [row.name, *numbers, "yes" if row.ok else "NO"]


def print_rows(rows: Iterable[Row], as_json: bool) -> None:
    """Prints the rows: one JSON object a line, or a table."""
    if as_json:
        for row in rows:
            print(json.dumps(msgspec.to_builtins(row)), flush=True)
        return
    head = ["name", "value", "unit", "peer", "peer value", "ratio", "reach", "ok"]
    table = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(head))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
