"""Alerts beside the bus: every process appends its own to a file in memory, and the alarms process reads them all.

An alert reaches the alarms process when the bus is dead, when that process was down, and when every disk is full
(the files lie on tmpfs). Each file has one writer, is bounded, and moves aside once when it has grown.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from ipc.events import Alert

FOLDER: Final = "alerts"
SPOOL_BYTES: Final = 256 * 1024  # then the file moves to NAME.1 and a new one begins
Places = dict[str, tuple[int, int]]  # file name -> (inode, bytes read)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Alert).decode


class AlertSpool:
    """The writer's side. Never raises: an alert that cannot be kept here is still on the bus and in the log."""

    def __init__(self, shm_dir: Path, process: str) -> None:
        self.path = shm_dir / FOLDER / process
        self.fault = ""

    def put(self, alert: Alert) -> None:
        """Append one alert; `fault` says why not, if not."""
        try:
            self._put(_encode(alert) + b"\n")
            self.fault = ""
        except OSError as e:
            self.fault = f"{self.path}: {e.strerror}"

    def _put(self, line: bytes) -> None:
        self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            size = os.fstat(fd).st_size
            if size > SPOOL_BYTES:
                os.rename(self.path, self.path.with_name(f"{self.path.name}.1"))
                os.close(fd)
                fd, size = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640), 0
            written = os.write(fd, line)
            if written < len(line):
                os.ftruncate(fd, size)
                raise OSError(28, "No space left on device")
        finally:
            os.close(fd)


class SpoolReader:
    """Reads what every process appended. `places` says how far, to be kept over restarts."""

    def __init__(self, shm_dir: Path, places: Mapping[str, tuple[int, int]] | None = None) -> None:
        self._folder = shm_dir / FOLDER
        self.places: Places = dict(places or {})
        self.unreadable = 0  # lines that are no alert

    def read(self) -> list[Alert]:
        """New alerts of all files; a file that moved aside is read to its end first."""
        try:
            names = sorted(n for n in os.listdir(self._folder) if not n.endswith(".1"))
        except OSError:
            return []
        found: list[Alert] = []
        for name in names:
            found += self._file(name)
        return found

    def _file(self, name: str) -> list[Alert]:
        inode, at = self.places.get(name, (0, 0))
        found: list[Alert] = []
        try:
            status = (self._folder / name).stat()
            if status.st_ino != inode or status.st_size < at:
                found += self._moved(name, inode, at)
                inode, at = status.st_ino, 0
            if status.st_size > at:
                alerts, at = self._lines(self._folder / name, at)
                found += alerts
        except OSError:
            return found  # between two names; next time
        self.places[name] = (inode, at)
        return found

    def _moved(self, name: str, inode: int, at: int) -> list[Alert]:
        """The rest of the file that stood there before, or all of one that nobody ever read."""
        aside = self._folder / f"{name}.1"
        try:
            moved = aside.stat().st_ino
        except OSError:
            return []
        return self._lines(aside, at if moved == inode else 0)[0]

    def _lines(self, path: Path, at: int) -> tuple[list[Alert], int]:
        with path.open("rb") as file:
            file.seek(at)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        found = []
        for line in data[:whole].splitlines():
            try:
                found.append(_decode(line))
            except msgspec.DecodeError:
                self.unreadable += 1
        return found, at + whole
