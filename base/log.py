"""Process logs: files that the process writes and rotates itself, within a total budget.

One record is one line: UTC time, level, process, logger, text; line breaks inside are written as \\n, and what a
terminal would obey as \\x1b: texts may be a venue's. Standard output and error can go into the same file, so that
nothing ever blocks on a pipe that a supervisor does not drain.
"""

import errno
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

DEFAULT_BUDGET = 64 * 1024 * 1024
DEFAULT_FILES = 8
FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
CONTROLS = {c: f"\\x{c:02x}" for c in (*range(32), *range(127, 160))} | {9: "\t", 10: "\\n", 13: "\\r"}
LINE = "%(asctime)s.%(msecs)03dZ %(levelname)s %(process)d %(name)s %(message)s"


class LineFormatter(logging.Formatter):
    """One line a record, whatever its text or traceback holds."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__(LINE, "%Y-%m-%dT%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return f"{text if text.isprintable() else text.translate(CONTROLS)}\n"


class BudgetHandler(logging.Handler):
    """Appends to `path`, at most `budget` bytes in `files` files: path, path.1 (the newest of the old), ...

    A record that cannot be written (full disk) is counted in `lost`, which is logged once writing works again, and in
    `lost_in_all`.
    """

    def __init__(
        self,
        path: Path,
        budget: int = DEFAULT_BUDGET,
        files: int = DEFAULT_FILES,
        take_stdio: bool = False,
        write: Callable[[int, bytes], int] = os.write,
    ) -> None:
        super().__init__()
        self.lost = 0
        self.lost_in_all = 0
        self._path = path
        self._files = max(2, files)
        self._limit = budget // self._files
        self._take_stdio = take_stdio
        self._write = write
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._fd = self._take(os.open(path, FLAGS, 0o600))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record).encode(errors="backslashreplace")
        except Exception as error:  # noqa: BLE001 - a bad format string must not end the process
            line = f"unprintable log record from {record.pathname}:{record.lineno}: {error}\n".encode()
        self._put(line[: self._limit])

    def close(self) -> None:
        self.acquire()
        try:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
        finally:
            self.release()
        super().close()

    def _put(self, line: bytes) -> None:
        try:
            if os.fstat(self._fd).st_size + len(line) > self._limit:
                self._rotate()
            if self.lost:
                self._whole(b"%d log records were lost before this one\n" % self.lost)
                self.lost = 0
            self._whole(line)
        except OSError:
            self.lost += 1
            self.lost_in_all += 1

    def _whole(self, line: bytes) -> None:
        """Write the line or nothing: a disk that fills up takes a part of one, which would spoil the next."""
        written = self._write(self._fd, line)
        if written < len(line):
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - written)
            raise OSError(errno.ENOSPC, "only a part was written")

    def _rotate(self) -> None:
        """The new file first: on a disk where it cannot be made, the old ones keep their names and stay."""
        following = self._path.with_name(f"{self._path.name}.new")
        fd = os.open(following, FLAGS, 0o600)
        for number in range(self._files - 1, 0, -1):
            older = self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))
        following.rename(self._path)
        before, self._fd = self._fd, self._take(fd)
        os.close(before)

    def _numbered(self, number: int) -> Path:
        return self._path if number == 0 else self._path.with_name(f"{self._path.name}.{number}")

    def _take(self, fd: int) -> int:
        if self._take_stdio:
            os.dup2(fd, 1)
            os.dup2(fd, 2)
        return fd


def open_log(
    folder: str | Path,
    process: str,
    budget: int = DEFAULT_BUDGET,
    files: int = DEFAULT_FILES,
    level: int = logging.INFO,
    take_stdio: bool = False,
) -> BudgetHandler:
    """Send everything that is logged in this process to `folder`/`process`.log; returns the handler.

    With `take_stdio` descriptors 1 and 2 go there as well.
    """
    handler = BudgetHandler(Path(folder) / f"{process}.log", budget, files, take_stdio)
    handler.setFormatter(LineFormatter())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level)
    return handler


def close_log(handler: BudgetHandler) -> None:
    """Undo `open_log`."""
    logging.getLogger().removeHandler(handler)
    handler.close()
