"""What a drop copy tells: each report that the venue copies to it once, journalled first, also over restarts."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from ipc.events import AnyEvent, ExecutionReport
from ipc.journal import NAME, Journal
from ipc.journal_restart import Names, read_restart
from ipc.told import Told, name_of
from venues.carry_over import Carrier

KEPT: Final = 100_000  # reports known again in one life: a venue may send a day's


class Copies:
    """The copies of one session, and its journal's writings: names of reports, without orders."""

    def __init__(self, folder: Path, journal: Journal, publish: Callable[[AnyEvent], None], kept: int = KEPT) -> None:
        """`publish` journals an event in `folder`, then publishes it; StoreError when it is not journalled."""
        self.counters = {"reports": 0, "duplicates": 0}
        self._publish = publish
        self._told = Told(kept)
        self.carrier = Carrier(journal, _nothing_else, self._told)
        for event in read_restart(folder, NAME):
            match event:
                case Names():
                    self._told.replace(event.names)
                case ExecutionReport():
                    self._told.note(name_of(event, copied=True))

    def event(self, event: AnyEvent) -> None:
        """Journalled and published before the session's expected number advances; a duplicate is counted alone."""
        if isinstance(event, ExecutionReport):
            self.counters["reports"] += 1
            name = name_of(event, copied=True)
            if name in self._told:
                self.counters["duplicates"] += 1
                return
            self._publish(msgspec.structs.replace(event, drop_copy=True))
            self._told.note(name)  # what could not be journalled is news when it comes again
        else:
            self._publish(event)
        self.carrier.recorded()


def _nothing_else() -> None:
    """A drop copy has no orders and no positions to write again."""
