"""tests/fix/interop_process.py as a test sees it: started, killed, started again on the same folder."""

import os
import sys
from pathlib import Path

from tests.fix.quickfix_peer import ROOT, Told

SCRIPT = Path(__file__).with_name("interop_process.py")


class Child(Told):
    """Our session in a process of its own; `events` grow as the reactor reads them, over all its lives."""

    def __init__(self, reactor, folder: Path, role: str, version: str, port: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.role, self.version, self.port = role, version, port
        super().__init__(reactor, folder)
        self.start()

    def command(self) -> list[str]:
        return [sys.executable, str(SCRIPT), str(self.folder), self.role, self.version, str(self.port)]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT)}

    def journal(self) -> list[str]:
        """What it was given, as it wrote it down."""
        path = self.folder / "journal.log"
        return path.read_text().split() if path.exists() else []
