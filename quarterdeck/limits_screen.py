"""`qd kill limits`: every limit of the desk with its value and how far it is away."""

from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from quarterdeck.screen import print_whole

# The word stands beside it: colour is never the only sign.
_STYLE = {"ok": "green", "50 %": "yellow", "75 %": "yellow", "90 %": "bold yellow", "not measured": "dim"}


def print_limits(found: Mapping[str, Any], *, everything: bool) -> None:
    """The table. Of processes and host only what is not well, unless `everything` is asked for."""
    rows = [
        r for r in found["limits"] if everything or r["scope"] != "host" or r["state"] not in ("ok", "not measured")
    ]
    rows = [r for r in rows if everything or not (_is_health(r) and r["state"] in ("ok", "not measured"))]
    hidden = len(found["limits"]) - len(rows)
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("scope", "figure", "value", "limit", "unit", "%", "distance", "state", "does", "when"):
        table.add_column(name, justify="right" if name in ("value", "limit", "%", "distance") else "left", no_wrap=True)
    for row in sorted(rows, key=_order):
        state = str(row["state"])
        sign = "at least " if row["limit_is"] == "least" else ""
        table.add_row(
            row["scope"], row["figure"], short(row["value"]) or "-", sign + short(row["limit"]), row["unit"],
            str(row["percent"]), short(row["distance"]) or "-", Text(state, style=_STYLE.get(state, "bold red")),
            row["does"], row["when"],
        )  # fmt: skip
    print_whole(table)
    console = Console()
    if not rows:
        console.print("no limit is configured: [[kill.limits]]", markup=False)
    if hidden:
        console.print(f"{hidden} figures of processes and host are within their limits (--all shows them)")
    for row in sorted(rows, key=_order):
        if row["detail"] and (everything or row["state"] != "ok" or row["figure"].startswith("loss in")):
            console.print(
                f"{row['scope']} {row['figure']}: {row['detail']}", markup=False, soft_wrap=True, highlight=False
            )
    _print_holdings(found["holdings"], f"{found['day']} {found['day_zone']}")


def _print_holdings(holdings: Sequence[Mapping[str, Any]], day: str) -> None:
    if not holdings:
        return
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.title, table.title_justify = f"since the day began, {day}", "left"
    names = ("session", "instrument", "opening", "position", "cost", "realised", "fees", "quote", "fills", "since")
    for name in names:
        table.add_column(name, justify="left" if name in ("session", "instrument", "quote", "since") else "right")
    for row in holdings:
        table.add_row(*(short(row[n]) if n in ("opening", "position", "cost", "realised", "fees") else str(row[n])
                        for n in names))  # fmt: skip
    print_whole(table)


def short(text: object) -> str:
    """A number without the digits that say nothing here; all of them are in the JSON."""
    if not isinstance(text, str) or not text:
        return "" if text is None else str(text)
    value = Decimal(text)
    with localcontext(prec=100):
        value = round(value, 2 if abs(value) >= 1_000 else 4 if abs(value) >= 1 else 8)
        return f"{value.quantize(Decimal(1)):f}" if value == value.to_integral_value() else f"{value.normalize():f}"


def _is_health(row: Mapping[str, Any]) -> bool:
    starts = ("memory of", "CPU of", "no heartbeat of", "journal stall of", "full disk of", "free ", "clock step")
    return str(row["figure"]).startswith(starts)


def _order(row: Mapping[str, Any]) -> tuple[int, str]:
    """The desk first, then the parts, processes and host last."""
    scope = str(row["scope"])
    if _is_health(row):
        return 9, scope
    kinds = ("desk", "venue", "account", "session", "strategy", "instrument")
    kind = scope.partition(":")[0]
    return kinds.index(kind) if kind in kinds else 8, scope
