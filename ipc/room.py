"""A process's word on its disk: an alarm when a journal has no room ahead any more, and another when it has again."""

from collections.abc import Callable
from typing import Final

from ipc.journal import Journal

FULL: Final = "the disk is full"
Tell = Callable[[str, str, str], None]  # severity, code, text


class RoomWatch:
    """Looks at a journal from a timer; `alert` tells people when its standing changes."""

    def __init__(self, journal: Journal, name: str, consequence: str, alert: Tell) -> None:
        """`consequence`: what a full disk means for this process, for people."""
        self._journal = journal
        self._name = name
        self._consequence = consequence
        self._alert = alert
        self._full = False

    @property
    def reason(self) -> str:
        """Why the process is DEGRADED; empty while there is room."""
        return f"{FULL} ({self._journal.folder}): {self._consequence}" if self._full else ""

    def look(self) -> bool:
        """True when it changed, and was told."""
        if self._journal.full == self._full:
            return False
        self._full = self._journal.full
        if self._full:
            self._alert("critical", "disk_full", f"{self._name}: {self.reason}")
        else:
            self._alert("info", "disk_full", f"{self._name}: over: {self._journal.folder} has room again")
        return True
