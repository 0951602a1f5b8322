"""What is on the screen and what keys do: a pure machine; a view and keys in, lines and requests out."""

from typing import Final, Literal, NamedTuple

from rich.text import Text

from ipc.view.model import NEAR
from ipc.view.structs import View
from quarterdeck.top.ask_trip import TripQuestions
from quarterdeck.top.details import Source, details, wrapped
from quarterdeck.top.kill_page import kill_line
from quarterdeck.top.pages import PAGES
from quarterdeck.top.sheet import Row, Sheet, fitted, table
from quarterdeck.top.words import SEVERITY_STYLE, clock, sign

LEAST: Final = (40, 10)  # columns and lines below which nothing but the head is drawn
WIDE: Final = 112  # from here on the pages have their whole names
HELP: Final = """\
d desk: what keeps it from being READY, processes    s sessions    b books    o orders    p positions    m money
l limits    a alarms    e events    k kill switch: state, progress, trip
up, down, u, j      another row            page up, page down, home, end
enter, right        all of it: a session's figures, a book's depth, an order's life, what a trip would touch
esc, left           back
/                   only rows with these words; esc takes the filter away
t                   on the page of the kill switch: trip the chosen scope (asks for a reason and a confirmation)
?                   this page            q, ctrl-c            leave

(ok) READY    (!) look at it    (!!) act now: the first line says what is worst, the second how the kill switch stands.
A "?" behind an order's state: its process is dead, it is not known any more. "-": not known, or not measured.
A figure is the last that was heard. Nothing here asks a process but the kill switch, once a second."""
_MOVES: Final = {"up": -1, "u": -1, "down": 1, "j": 1, "pageup": -10, "pagedown": 10, "home": -(10**9), "end": 10**9}
Mode = Literal["rows", "details", "help", "filter", "trip", "said"]


class TripRequest(NamedTuple):
    """A person confirmed a trip."""

    scope: str
    reason: str


class Top:
    """The screen. `left`: the person wants to go."""

    def __init__(self, source: Source, page: str = "d") -> None:
        self._source = source
        self.page = page
        self.mode: Mode = "rows"
        self.left = False
        self._chosen: dict[str, tuple[str, ...]] = {}  # by page: the row's key
        self._index: dict[str, int] = {}
        self._first: dict[str, int] = {}  # first row on the screen
        self._filters: dict[str, str] = {}
        self._scroll = 0  # of details and help
        self._key: tuple[str, ...] = ()  # whose details are shown
        self._trip: TripQuestions | None = None
        self._said: list[str] = []

    # -- keys ------------------------------------------------------------------------------------------------

    def key(self, key: str, view: View) -> TripRequest | None:
        """Take a key; a confirmed trip comes back."""
        if self.mode == "trip" and self._trip is not None:
            return self._trip_key(self._trip, key)
        if self.mode == "filter":
            self._filter_key(key)
        elif key in ("q", "ctrl-c"):
            self.left = True
        elif key in PAGES:
            self.page, self.mode, self._scroll = key, "rows", 0
        elif key == "?":
            self.mode, self._scroll = "help", 0
        elif key == "/":
            self.mode = "filter"
        elif key in _MOVES:
            self._move(_MOVES[key], view)
        elif key in ("esc", "left", "backspace"):
            self._back()
        elif key in ("enter", "right"):
            self._enter(view)
        elif key == "t" and self.page == "k":
            self._ask_trip(view)
        return None

    def say(self, text: str) -> None:
        """Show what became of something until a key is pressed."""
        self.mode, self._said, self._scroll = "said", text.splitlines(), 0

    def _trip_key(self, trip: TripQuestions, key: str) -> TripRequest | None:
        went = trip.key(key)
        if went:
            self.mode, self._trip = "rows", None
        return TripRequest(trip.scope, trip.reason.strip()) if went == "trip" else None

    def _filter_key(self, key: str) -> None:
        words = self._filters.get(self.page, "")
        if key == "enter":
            self.mode = "rows"
        elif key in ("esc", "ctrl-c"):
            self.mode = "rows"
            self._filters.pop(self.page, None)
        elif key == "backspace":
            self._filters[self.page] = words[:-1]
        elif len(key) == 1 and key.isprintable():
            self._filters[self.page] = words + key

    def _back(self) -> None:
        if self.mode == "rows":
            self._filters.pop(self.page, None)
        self.mode, self._scroll = "rows", 0

    def _move(self, by: int, view: View) -> None:
        if self.mode != "rows":
            self._scroll = max(0, self._scroll + by)
            return
        rows = self._rows(PAGES[self.page][2](view))
        if rows:
            index = min(max(0, self._place(rows) + by), len(rows) - 1)
            self._chosen[self.page], self._index[self.page] = rows[index].key, index

    def _enter(self, view: View) -> None:
        rows = self._rows(PAGES[self.page][2](view))
        if self.mode == "rows" and rows:
            self.mode, self._key, self._scroll = "details", rows[self._place(rows)].key, 0

    def _ask_trip(self, view: View) -> None:
        rows = self._rows(PAGES["k"][2](view))
        if rows and self.mode in ("rows", "details"):
            scope = self._key[0] if self.mode == "details" else rows[self._place(rows)].key[0]
            self.mode, self._trip = "trip", TripQuestions(scope, self._source.plan(scope))

    # -- lines -----------------------------------------------------------------------------------------------

    def frame(self, view: View, width: int, height: int) -> list[Text]:
        """The whole screen: exactly `height` lines, none wider than `width`. The first line is the desk's state, the
        second the kill switch's.
        """
        head = [_state_line(view), kill_line(view)]
        if width < LEAST[0] or height < LEAST[1]:
            lines = [*head, Text(f"too small: {LEAST[0]} x {LEAST[1]} at least")]
        else:
            head += [_counts(view, width), self._tabs(width)]
            body = self._body(view, width, height - len(head) - 1)
            lines = [*head, *body, self._foot()]
        lines = [fitted(line, width) for line in lines[:height]]
        return lines + [Text(" " * width) for _ in range(height - len(lines))]

    def whole(self, view: View, width: int) -> list[Text]:
        """The page with all of its rows, for a terminal without keys."""
        sheet = PAGES[self.page][2](view)
        head = [_state_line(view), kill_line(view), _counts(view, width), Text("")]
        body = table(sheet, sheet.rows, width) if sheet.rows else [Text(f"  {sheet.empty}")]
        return [fitted(line, width) for line in (*head, *sheet.above, *body)]

    def _tabs(self, width: int) -> Text:
        line = Text()
        for key, (name, short, _) in PAGES.items():
            mine = key == self.page and self.mode != "help"
            style = "reverse" if mine else "bold red" if key == "k" else ""
            line.append(f"{key} {name if width >= WIDE else short}", style=style)
            line.append(" " if width < WIDE else "  ")
        line.append("? help", style="reverse" if self.mode == "help" else "")
        return line

    def _body(self, view: View, width: int, height: int) -> list[Text]:
        if self.mode == "trip" and self._trip is not None:
            lines = self._trip.lines(width, height)
        elif self.mode in ("details", "help", "said"):
            lines = self._scrolled(self._long(view, width), height)
        else:
            lines = self._sheet(PAGES[self.page][2](view), width, height)
        return lines + [Text("")] * (height - len(lines))

    def _long(self, view: View, width: int) -> list[Text]:
        if self.mode == "details":
            return details(self.page, self._key, view, self._source, width)
        text = HELP.splitlines() if self.mode == "help" else self._said
        return [line for part in text for line in wrapped("", part, width)]

    def _scrolled(self, lines: list[Text], height: int) -> list[Text]:
        self._scroll = min(self._scroll, max(0, len(lines) - height + 1))
        if len(lines) <= height:
            return lines
        shown = lines[self._scroll : self._scroll + height - 1]
        until = self._scroll + len(shown)
        return [*shown, Text(f"  lines {self._scroll + 1} to {until} of {len(lines)}: up, down", style="dim")]

    def _sheet(self, sheet: Sheet, width: int, height: int) -> list[Text]:
        rows = self._rows(sheet)
        above = sheet.above[: max(0, height // 2)]
        if not rows:
            return [*above, Text(f"  {sheet.empty}" if not sheet.rows else "  no row has these words", style="dim")]
        room = max(1, height - len(above) - 2)  # the table's head, and a line that says what is shown of it
        place = self._place(rows)
        first = min(max(self._first.get(self.page, 0), place - room + 1), place, max(0, len(rows) - room))
        self._first[self.page] = first = max(0, first)
        shown = rows[first : first + room]
        lines = [*above, *table(sheet._replace(rows=tuple(rows)), shown, width, place - first)]
        part = f"{sheet.name} {first + 1} to {first + len(shown)} of {len(rows)}"
        words = self._filters.get(self.page)
        if words or len(shown) < len(rows):
            hidden = f', "{words}" of {len(sheet.rows)}; esc shows all' if words else ""
            lines.append(Text(f"  {part}{hidden}", style="dim"))
        return lines

    def _rows(self, sheet: Sheet) -> list[Row]:
        words = self._filters.get(self.page, "")
        return [r for r in sheet.rows if r.has(words)] if words else list(sheet.rows)

    def _place(self, rows: list[Row]) -> int:
        """Index of the chosen row: the same thing as before, or what stands in its place."""
        key = self._chosen.get(self.page)
        found = next((i for i, r in enumerate(rows) if r.key == key), None)
        return found if found is not None else min(self._index.get(self.page, 0), len(rows) - 1)

    def _foot(self) -> Text:
        if self.mode == "filter":
            return Text.assemble(("/", "bold"), self._filters.get(self.page, ""), ("_", "blink"), "  enter, esc")
        if self.mode == "trip":
            return Text("enter goes on   esc leaves", style="dim")
        if self.mode == "rows":
            trip = "   t trip" if self.page == "k" else ""
            return Text(f"up/down move   enter details   / filter{trip}   k kill   ? help   q quit", style="dim")
        return Text("up/down scroll   esc back   q quit", style="dim")


def _state_line(view: View) -> Text:
    desk = view.desk
    style = SEVERITY_STYLE[desk.severity]
    line = Text.assemble((f"{sign(desk)} {desk.state}", f"{style} reverse"), f" {desk.name} {clock(view.taken_ns)}Z  ")
    more = f"  (and {len(desk.problems) - 1} more: d)" if len(desk.problems) > 1 else ""
    line.append(desk.reason or "everything is as it should be", style=style)
    line.append(more, style="dim")
    return line


def _counts(view: View, width: int) -> Text:
    desk = view.desk
    percent = max((x.percent for x in view.limits if x.does == "trips"), default=None)
    alarms = f"{desk.alarms_critical}+{desk.alarms_waiting - desk.alarms_critical}"  # critical and warnings
    line = Text()
    for name, brief, text, well in (
        ("processes", "proc", *_part(desk.processes_ready, desk.processes_total)),
        ("sessions", "sess", *_part(desk.sessions_ready, desk.sessions_total)),
        ("books", "book", *_part(desk.books_live, desk.books_total)),
        ("orders", "ord", f"{desk.orders_open}", True),
        ("uncertain", "unc", f"{desk.orders_uncertain}", not desk.orders_uncertain),
        ("alarms", "alarm", alarms, not desk.alarms_waiting),
        ("nearest limit", "limit", "?" if percent is None else f"{percent} %", percent is not None and percent < NEAR),
    ):
        line.append(f"{name if width >= WIDE else brief} ", style="dim")
        line.append(text if well else f"{text}!", style="" if well else "bold yellow")
        line.append("  " if width >= WIDE else " ")
    return line


def _part(of: int, total: int) -> tuple[str, bool]:
    return f"{of}/{total}", of == total
