"""Tables that always fit: columns that matter less give way, prices and quantities are never cut. Pure."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from quarterdeck.screen import STYLE

GAP: Final = 1
_LEAST: Final = 6  # cells that a column of words keeps when it has to be cut
_FILL: Final = 20  # what the one that takes the rest should have before other columns give way

# What is good is green, what is on its way or not known yellow, all else red; the word itself is always there.
STATE_STYLE: Final = {
    **STYLE, "CONNECTING": "yellow", "LOGGING_ON": "yellow", "LOGGING_OUT": "yellow", "RESETTING": "yellow",
    "UNKNOWN": "yellow", "MISSING": "bold red", "NEW": "green", "FILLED": "green", "PARTIALLY_FILLED": "green",
    "CANCELED": "", "EXPIRED": "", "PENDING_NEW": "yellow", "PENDING_CANCEL": "yellow", "PENDING_REPLACE": "yellow",
    "ok": "green", "info": "", "warning": "yellow", "critical": "bold red", "-": "dim", "not measured": "dim",
}  # fmt: skip


class Cell(NamedTuple):
    """A text and its style."""

    text: str
    style: str = ""


class Column(NamedTuple):
    """`rank`: 0 always shown; of the others the highest gives way first. `fills`: takes what is left, and is cut."""

    name: str
    right: bool = False
    rank: int = 0
    fills: bool = False


class Row(NamedTuple):
    """One line; `key` names the same thing from one moment to the next."""

    key: tuple[str, ...]
    cells: tuple[Cell, ...]

    def has(self, words: str) -> bool:
        """Whether a filter lets it through."""
        return words.lower() in " ".join(c.text for c in self.cells).lower()


class Sheet(NamedTuple):
    """A page: lines above the table, and the table."""

    name: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    empty: str  # what is said where there are no rows
    above: tuple[Text, ...] = ()


def word(text: str) -> Cell:
    """A state word in its colour; one that is not known to be good is red."""
    return Cell(text, STATE_STYLE.get(text, "bold red"))


def right(name: str, rank: int = 0) -> Column:
    """A column of figures."""
    return Column(name, right=True, rank=rank)


def table(sheet: Sheet, rows: Sequence[Row], width: int, chosen: int = -1) -> list[Text]:
    """The head and a line for each of `rows`, all exactly as wide as asked; `chosen`: index of the row with a mark."""
    shown = _widths(sheet.columns, sheet.rows, width - 2)
    head = Text("  ")
    for i, cells in shown:
        head.append(_fitted(sheet.columns[i].name, cells, sheet.columns[i].right) + " " * GAP)
    head.stylize("dim")
    lines = [fitted(head, width)]
    for n, row in enumerate(rows):
        line = Text("> " if n == chosen else "  ")
        for i, cells in shown:
            cell = row.cells[i]
            line.append(_fitted(cell.text, cells, sheet.columns[i].right), cell.style)
            line.append(" " * GAP)
        line = fitted(line, width)
        if n == chosen:
            line.stylize("reverse")
        lines.append(line)
    return lines


def fitted(line: Text, width: int) -> Text:
    """A copy exactly `width` cells wide, control characters of others' texts made visible."""
    line = line.copy()
    if not line.plain.isprintable():
        line.plain = "".join(c if c.isprintable() else "?" for c in line.plain)
    line.no_wrap = True
    if line.cell_len > width:
        line.truncate(width, overflow="ellipsis" if width > 1 else "crop")
    line.pad_right(width - line.cell_len)
    return line


def _fitted(text: str, width: int, to_right: bool) -> str:
    if cell_len(text) > width:
        text = set_cell_size(text, width - 1) + "…" if width > 1 else set_cell_size(text, width)
    pad = " " * (width - cell_len(text))
    return pad + text if to_right else text + pad


def _widths(columns: Sequence[Column], rows: Sequence[Row], width: int) -> list[tuple[int, int]]:
    """(index, cells) of the columns that are shown."""
    natural = [max([cell_len(c.name), *(cell_len(r.cells[i].text) for r in rows)]) for i, c in enumerate(columns)]

    def taken(shown: Sequence[int]) -> int:
        return sum((min(natural[i], _FILL) if columns[i].fills else natural[i]) + GAP for i in shown)

    shown = list(range(len(columns)))
    while taken(shown) > width:
        ranks = [columns[i].rank for i in shown]
        if not max(ranks):
            break
        shown.remove(max(shown, key=lambda i: (columns[i].rank, i)))
    out = {i: natural[i] for i in shown}
    over = sum(out.values()) + GAP * len(out) - width
    # What fills gives way first, then words; a figure only where the screen could not hold it by itself.
    for i in sorted(shown, key=lambda i: (not columns[i].fills, columns[i].right, -out[i])):
        cut = min(max(0, over), max(0, out[i] - _LEAST))
        out[i], over = out[i] - cut, over - cut
    return [(i, out[i]) for i in shown]
