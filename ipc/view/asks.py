"""What only the kill switch itself can tell, asked for now and then by a thread of its own: it may not answer."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from base.errors import BusError, CommandError
from ipc.operator_client import ask_line

EVERY_S: Final = {"status": 1.0, "limits": 2.0}
HURRY_S: Final = 0.25  # for the status, while orders are being proven dead
TIMEOUT_S: Final = 1.0
_STEP_S: Final = HURRY_S

Answer = Mapping[str, Any] | str  # a text: why there is none


class KillAsker:
    """Asks for `status` each second and for `limits` every two; `take` has what came since."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self.hurry = False  # a trip is under way
        self._answers: dict[str, Answer] = {}
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._asked = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kill asker", daemon=True)
        self._thread.start()

    def take(self) -> dict[str, Answer]:
        """New answers by verb."""
        with self._lock:
            found, self._answers = self._answers, {}
        return found

    def wait(self, seconds: float) -> None:
        """Until everything was asked for once."""
        self._asked.wait(seconds)

    def close(self) -> None:
        """Ask no more. A question under way is not waited for long."""
        self._end.set()
        self._thread.join(TIMEOUT_S)

    def _run(self) -> None:
        left = dict.fromkeys(EVERY_S, 0.0)
        while not self._end.is_set():
            for verb, seconds in left.items():
                if seconds > 0 and not (self.hurry and verb == "status"):
                    left[verb] = seconds - _STEP_S
                    continue
                answer = self._ask(verb)
                with self._lock:
                    self._answers[verb] = answer
                left[verb] = EVERY_S[verb] - _STEP_S
            self._asked.set()
            self._end.wait(_STEP_S)

    def _ask(self, verb: str) -> Answer:
        try:
            return ask_line(self._run_dir, verb, {}, TIMEOUT_S)
        except (BusError, CommandError) as e:
            return str(e)
