"""The page's way to the kill switch, which is that of `qd kill`: what a trip would touch, the trip, the reset.

Everything here may wait for another process: the server calls it from a thread.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

from base.config import DeskConfig
from base.errors import BusError, CommandError
from base.places import Places
from ipc.operator_client import ask_line
from ipc.operator_trip import trip
from ipc.operator_word import check_scope
from venues.kill_plan_page import PlanPage

TIMEOUT_S = 3.0
MAX_REASON = 200

log = logging.getLogger("monitor")
Ask = Callable[[str, dict[str, str]], dict[str, Any]]


class KillDesk:
    """One desk's kill switch, as an operator at the page reaches it."""

    def __init__(self, desk: DeskConfig) -> None:
        self._desk = desk

    def plan(self, scope: str) -> dict[str, Any]:
        """What a trip of `scope` would do: lines for people. CommandError when there is no such scope."""
        sessions: dict[str, Any] = {}
        blind: list[str] = []
        try:
            status = ask_line(self._desk.run_dir, "status", {}, TIMEOUT_S)
            sessions, blind = status["sessions"] or {"": {}}, status["out_of_reach"]
        except BusError as e:
            log.info("plan of %s without the kill switch: %s", scope, e)  # the page says that nobody answers
        page = PlanPage(self._desk, check_scope(scope), "", time.time_ns(), sessions)
        data = page.data()
        return {
            "scope": scope, "touches": data["touches"], "leaves": data["leaves"], "told": data["told"],
            "out_of_reach": blind, "text": page.text(),
        }  # fmt: skip

    def trip(self, scope: str, reason: str, confirm: str, name: str) -> dict[str, Any]:
        """Trip as `qd kill trip` does; what was done. CommandError: refused, and nothing was done."""
        self._check(scope, reason, confirm)
        log.warning("%s trips %s: %s", name, scope, reason)
        desk = self._desk
        answer = trip(Places(desk.run_dir, desk.data_dir, desk.log_dir, desk.shm_dir), scope, reason, _signed(name))
        log.warning("trip of %s by %s: %s", scope, name, answer.by)
        return {"scope": answer.scope, "by": answer.by, "said": answer.said, "answered_ms": answer.answered_ms}

    def reset(self, scope: str, reason: str, confirm: str, force: list[str], name: str) -> dict[str, Any]:
        """Open a tripped scope again. CommandError with the kill switch's reason when it may not be."""
        self._check(scope, reason, confirm)
        log.warning("%s resets %s: %s", name, scope, reason)
        args = {"scope": scope, "reason": reason, "force": " ".join(force), "by": _signed(name)}
        found = ask_line(self._desk.run_dir, "reset", args, TIMEOUT_S)
        log.warning("reset of %s by %s: %s", scope, name, found["said"])
        return found

    @staticmethod
    def _check(scope: str, reason: str, confirm: str) -> None:
        check_scope(scope)
        if not reason.strip():
            raise CommandError("a reason is needed: it stays on record")
        if len(reason.encode()) > MAX_REASON or not reason.isprintable():
            raise CommandError(f"the reason is one line of at most {MAX_REASON} bytes")
        if confirm != scope:
            raise CommandError(f"to confirm, type {scope}")


def _signed(name: str) -> str:
    return f"{name} at the page"
