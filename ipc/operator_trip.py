"""A trip by a person, by whatever way still works: the kill switch's line, the operator word, a signal.

It imports next to nothing, as ipc/operator_client.py: `qd kill trip`, `qd top` and the monitor's page all come here.
"""

import os
import signal
import time
from typing import Any, NamedTuple

from base.errors import BusError, RegionError
from base.places import Places
from ipc.operator_client import ask_line
from ipc.operator_word import set_operator_word

TRIP_TIMEOUT_S = 0.2


class TripAnswer(NamedTuple):
    """What became of it. `by`: "kill switch", "operator word" (the whole desk), "signal", or "nothing".

    `touches` and `leaves`: what the kill switch cancels and leaves alone; [] when it did not answer itself.
    """

    scope: str  # what was closed: with the operator word the desk, whatever was asked for
    by: str
    said: str  # for people
    answered_ms: float = 0.0
    touches: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    found: dict[str, Any] = {}  # noqa: RUF012 - the kill switch's own answer; never changed

    @property
    def proven_later(self) -> bool:
        """The kill switch has it, and proves it."""
        return self.by == "kill switch"

    @property
    def exit_status(self) -> int:
        """0: tripped. 2: only the operator word is set. 1: nothing is known to be closed."""
        return {"kill switch": 0, "operator word": 2}.get(self.by, 1)


def trip(places: Places, scope: str, reason: str, by: str) -> TripAnswer:
    """Trip. CommandError when the kill switch refused: no such scope."""
    began_ns = time.monotonic_ns()
    try:
        found = ask_line(places.run_dir, "trip", {"scope": scope, "reason": reason, "by": by}, TRIP_TIMEOUT_S)
    except BusError as e:
        return _by_word(places, reason, by, str(e))
    took_ms = (time.monotonic_ns() - began_ns) / 1e6
    touches, leaves = tuple(found.get("touches", ())), tuple(found.get("leaves", ()))
    said = (
        f"tripped {scope} in {took_ms:.1f} ms\ncancels: {'; '.join(touches) or 'nothing'}\n"
        f"leaves alone: {'; '.join(leaves) or 'nothing'}"
    )
    return TripAnswer(scope, "kill switch", said, round(took_ms, 2), touches, leaves, found)


def _by_word(places: Places, reason: str, by: str, why: str) -> TripAnswer:
    """The kill switch did not answer: the operator word closes the whole desk, whatever scope was asked for."""
    try:
        set_operator_word(places.shm_dir / "operator", f"{reason or 'qd kill trip'} (by {by})", time.time_ns())
    except RegionError as e:
        return _by_signal(places, f"{why}; {e}")
    said = (
        "the kill switch did not answer: the operator word is set, which closes the WHOLE desk; each owner of orders "
        f"cancels its own. Nothing is proven until the kill switch runs again. ({why})"
    )
    return TripAnswer("desk", "operator word", said)


def _by_signal(places: Places, why: str) -> TripAnswer:
    """Not even the word can be set. What is left is a signal to a kill switch that perhaps only does not talk."""
    from base.locks import role_holder

    pid, then = role_holder(places.run_dir / "lock" / "killswitch"), ""
    if pid:
        then = (
            f" End it (kill -9 {pid}): without it no new order leaves after kill.lease_ms, and each owner of orders "
            "cancels its own after kill.lease_lost_cancel_s."
        )
        try:
            os.kill(pid, signal.SIGUSR1)
            then = f" SIGUSR1 was sent to it (pid {pid}): look at `qd kill status`. If it does not act:{then}"
        except OSError as e:
            then = f" SIGUSR1 could not be sent to it (pid {pid}): {e.strerror}.{then}"
    else:
        then = " No kill switch runs: no new order leaves without its lease; if in doubt end the trading processes."
    said = f"NOTHING IS KNOWN TO BE CLOSED: neither the kill switch answered nor can the operator word be set.{then}"
    return TripAnswer("desk", "signal" if pid else "nothing", f"{said} ({why})")
