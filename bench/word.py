"""From an operator's key to the operator word: `qd kill trip`, a process, when the kill switch does not answer.

Two cases: nobody listens (the kill switch is dead), and somebody listens who never answers (it is stopped; the 200 ms
that it is given are in the figure). Beside it, in turn, the start and end of an interpreter that does nothing.
"""

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.report import Row, at_most, print_rows, within
from ipc._words import Words
from ipc.gate import OPERATOR_KIND, OPERATOR_WORDS
from ipc.operator_client import line_path

ROUNDS = 25
ROOT = Path(__file__).resolve().parent.parent
AT_MOST_TIMES = 5.0  # an interpreter alone
ANSWER_MS = 200.0


class Operator:
    """A person at a shell, and a desk of which only the places are there."""

    def __init__(self, folder: Path) -> None:
        self._config = folder / "c" / "desk.toml"
        self._config.parent.mkdir()
        self._shm = folder / "s"
        self._shm.mkdir()
        self.run_dir = folder / "run"
        self.run_dir.mkdir(mode=0o700)
        self._config.write_text(f'[desk]\nname = "word"\nshm_dir = "{self._shm}"\n')
        self._word = Words.create(self._shm / "operator", OPERATOR_KIND, OPERATOR_WORDS)
        self._env = {**os.environ, "PYTHONPATH": str(ROOT)}

    def trip_ms(self) -> float:
        """From the start of the process to the word."""
        self._word.store(0, 0)
        command = [sys.executable, "-m", "quarterdeck.cli", "kill", "trip", "--json", "--config", str(self._config)]
        began_ns = time.time_ns()
        done = subprocess.run(command, env=self._env, capture_output=True, check=False)
        if json.loads(done.stdout)["by"] != "operator word":
            raise RuntimeError(done.stdout.decode())
        return (self._word.load(0) - began_ns) / 1e6

    def bare_ms(self) -> float:
        """The start and end of an interpreter."""
        began_ns = time.monotonic_ns()
        subprocess.run([sys.executable, "-c", ""], env=self._env, check=True)
        return (time.monotonic_ns() - began_ns) / 1e6


def measure(rounds: int = ROUNDS) -> list[Row]:
    """The rows."""
    folder = Path(tempfile.mkdtemp(prefix="qw", dir="/dev/shm"))
    try:
        operator = Operator(folder)
        silent = socket.socket(socket.AF_UNIX)
        silent.bind(str(line_path(operator.run_dir)))

        seen: list[list[float]] = [[], [], []]
        for _ in range(rounds):
            seen[0].append(operator.bare_ms())
            seen[1].append(operator.trip_ms())  # bound, and nobody listens
        silent.listen(2 * rounds)  # whoever knocks is let in by the kernel, and answered by nobody
        seen[2] = [operator.trip_ms() for _ in range(rounds)]
        silent.close()
        bare, gone, hung = (statistics.median(s) for s in seen)
        return [
            within("shell to operator word, nobody listens, p50", gone, "ms", "python -c ''", bare, AT_MOST_TIMES),
            at_most("the same, max", max(seen[1]), "ms", 1000.0),
            at_most("shell to operator word, nobody answers, p50", hung, "ms", ANSWER_MS + bare * AT_MOST_TIMES),
            at_most("the same, max", max(seen[2]), "ms", 1200.0),
        ]
    finally:
        shutil.rmtree(folder)


def run(as_json: bool) -> int:
    """Exit status 0 when every figure reached its mark, 4 otherwise."""
    rows = measure()
    print_rows(rows, as_json)
    return 0 if all(row.ok for row in rows) else 4
