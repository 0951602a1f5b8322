"""The loop of `qd top`: eyes, keys, frames."""

import sys
import time
from typing import Final

from rich.console import Console

from base.config import DeskConfig
from base.errors import BusError, CommandError, QuarterdeckError
from base.places import Places
from ipc.operator_client import ask_line
from ipc.operator_trip import trip
from ipc.view.eyes import Eyes
from ipc.view.structs import DepthPart, OrderLife
from quarterdeck.top.app import Top, TripRequest
from quarterdeck.top.terminal import Terminal
from quarterdeck.who import who

TURN_S: Final = 0.5
PLAN_S: Final = 0.5


class DeskSource:
    """What a page asks for beyond its view."""

    def __init__(self, eyes: Eyes) -> None:
        self._eyes = eyes

    def depth(self, venue: str, instrument: str, level: int, levels: int = 20) -> DepthPart | None:
        return self._eyes.depth(venue, instrument, level, levels)

    def life(self, venue: str, cl_ord_id: str) -> OrderLife | None:
        return self._eyes.life(venue, cl_ord_id)

    def plan(self, scope: str) -> list[str]:
        """What a trip would touch: of the running kill switch, and of the configuration when that does not answer."""
        from venues.kill_plan_page import PlanPage

        desk = self._eyes.desk
        try:
            status = ask_line(desk.run_dir, "status", {}, PLAN_S)
            sessions = status["sessions"] or {"": {}}
        except (BusError, CommandError):
            sessions = {}
        try:
            page = PlanPage(desk, scope, "", time.time_ns(), sessions)
            found = page.data()
            touches, leaves = ("; ".join(map(str, found[k])) or "nothing" for k in ("touches", "leaves"))
            return [f"cancels: {touches}", f"leaves alone: {leaves}", "", *page.text().splitlines()]
        except QuarterdeckError as e:
            return [str(e)]


def watch(desk: DeskConfig, console: Console, page: str) -> None:
    """The full screen, until the person leaves or the terminal goes."""
    places = Places(desk.run_dir, desk.data_dir, desk.log_dir, desk.shm_dir)
    with Eyes(desk) as eyes, Terminal(sys.stdin, console) as terminal:
        top = Top(DeskSource(eyes), page)
        next_turn_s, view = 0.0, None
        while not top.left and not terminal.ended:
            if view is None or time.monotonic() >= next_turn_s:
                eyes.turn()
                view, next_turn_s = eyes.view(), time.monotonic() + TURN_S
            terminal.draw(top.frame(view, *terminal.size))
            for key in terminal.keys(max(0.0, next_turn_s - time.monotonic())):
                if key == "redraw":
                    terminal.redraw()
                    continue
                asked = top.key(key, view)
                if asked is not None:
                    top.say(_trip(places, asked))
                    next_turn_s = 0.0


def _trip(places: Places, asked: TripRequest) -> str:
    """The same way as `qd kill trip`."""
    try:
        return trip(places, asked.scope, asked.reason, who()).said
    except QuarterdeckError as e:
        return f"NOT TRIPPED: {e}"
