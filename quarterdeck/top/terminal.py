"""The terminal itself: raw keys, the other screen, only changed lines written, everything given back at the end."""

import os
import select
import signal
import termios
import tty
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import IO, Any, Final

from rich.console import Console
from rich.text import Text

_ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[?7l"  # the other screen, no cursor, no wrapping
_LEAVE: Final = "\x1b[?7h\x1b[?25h\x1b[?1049l\x1b[0m"
_SEQUENCES: Final = {
    b"\x1b[A": "up", b"\x1b[B": "down", b"\x1b[C": "right", b"\x1b[D": "left", b"\x1bOA": "up", b"\x1bOB": "down",
    b"\x1bOC": "right", b"\x1bOD": "left", b"\x1b[5~": "pageup", b"\x1b[6~": "pagedown", b"\x1b[H": "home",
    b"\x1b[F": "end", b"\x1b[1~": "home", b"\x1b[4~": "end", b"\x1bOH": "home", b"\x1bOF": "end",
}  # fmt: skip
_SINGLE: Final = {
    b"\r": "enter", b"\n": "enter", b"\x7f": "backspace", b"\x08": "backspace", b"\x03": "ctrl-c", b"\x0c": "redraw",
}  # fmt: skip


class Keys:
    """Bytes of a terminal into keys: a character, or a name. An escape sequence may come in pieces."""

    def __init__(self) -> None:
        self._left = b""

    def feed(self, data: bytes) -> list[str]:
        """Keys of these bytes and what was left before them. Unknown sequences are no keys."""
        self._left += data
        found: list[str] = []
        while self._left:
            size, key = self._one(self._left)
            if not size:
                break
            self._left = self._left[size:]
            if key:
                found.append(key)
        return found

    def idle(self) -> list[str]:
        """Nothing follows: a lone escape is the key."""
        lone, self._left = self._left, b""
        return ["esc"] if lone.startswith(b"\x1b") else []

    @staticmethod
    def _one(data: bytes) -> tuple[int, str]:
        """(bytes of the first key, its name); (0, ""): it is not whole."""
        if data[:1] == b"\x1b":
            return _sequence(data)
        if data[:1] in _SINGLE:
            return 1, _SINGLE[data[:1]]
        if data[0] < 0x80:
            return 1, data[:1].decode() if data[0] >= 0x20 else ""
        size = 2 if data[0] < 0xE0 else 3 if data[0] < 0xF0 else 4
        if len(data) < size:
            return 0, ""
        return size, data[:size].decode(errors="ignore")


def _sequence(data: bytes) -> tuple[int, str]:
    if len(data) < 2:
        return 0, ""
    if data[1:2] == b"\x1b" or data[1:2] not in (b"[", b"O"):
        return 1, "esc"
    for i in range(2, len(data)):
        if 0x40 <= data[i] <= 0x7E:
            return i + 1, _SEQUENCES.get(data[: i + 1], "")
    return (0, "") if len(data) < 32 else (len(data), "")


class Terminal:
    """A screen of its own while it is entered. SIGTERM and SIGHUP end it as ctrl-c does; SIGWINCH is a new size."""

    def __init__(self, stdin: IO[str], console: Console) -> None:
        self._in, self._console = stdin.fileno(), console
        self._out = console.file.fileno()
        self._keys = Keys()
        self._was: list[Any] = []
        self._handlers: dict[int, object] = {}
        self._drawn: list[Text] = []
        self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.ended = False  # told to end from outside

    def __enter__(self) -> "Terminal":
        self._was = list(termios.tcgetattr(self._in))
        for signum in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGWINCH):
            self._handlers[signum] = signal.signal(signum, self._signalled)
        tty.setraw(self._in)
        self._write(_ENTER)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._write(_LEAVE)
            termios.tcsetattr(self._in, termios.TCSAFLUSH, self._was)
        except OSError:
            self.ended = True  # the terminal is gone: there is nothing to give back
        finally:
            for signum, handler in self._handlers.items():
                signal.signal(signum, handler)  # type: ignore[arg-type]
            for fd in self._wake:
                os.close(fd)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines as they are now."""
        found = os.get_terminal_size(self._out)
        return max(1, found.columns or 80), max(1, found.lines or 24)

    def draw(self, lines: Sequence[Text]) -> None:
        """Write the lines that differ from those that stand there."""
        out = []
        if len(lines) != len(self._drawn) or (lines and lines[0].cell_len != self._drawn[0].cell_len):
            self._drawn = []
            out.append("\x1b[0m\x1b[2J")
        for i, line in enumerate(lines):
            if not self._drawn or line != self._drawn[i]:
                out.append(f"\x1b[{i + 1};1H{self._ansi(line)}\x1b[0m")
        self._drawn = list(lines)
        if out:
            self._write("".join(out))

    def redraw(self) -> None:
        """Everything is written again at the next draw."""
        self._drawn = []

    def keys(self, seconds: float) -> list[str]:
        """Keys that come within so many seconds; a signal ends the waiting."""
        ready, _, _ = select.select([self._in, self._wake[0]], [], [], seconds)
        if self._wake[0] in ready:
            os.read(self._wake[0], 64)
        if self._in not in ready:
            return []
        data = os.read(self._in, 1024)
        if not data:
            self.ended = True  # the terminal hung up
            return []
        found = self._keys.feed(data)
        if not select.select([self._in], [], [], 0.02)[0]:
            found += self._keys.idle()
        return found

    def _ansi(self, line: Text) -> str:
        with self._console.capture() as captured:
            self._console.print(line, end="", soft_wrap=True, markup=False, highlight=False)
        return captured.get()

    def _write(self, text: str) -> None:
        data = text.encode(errors="replace")
        while data:
            data = data[os.write(self._out, data) :]

    def _signalled(self, signum: int, _frame: FrameType | None) -> None:
        if signum == signal.SIGWINCH:
            self._drawn = []
        else:
            self.ended = True
        try:
            os.write(self._wake[1], b"!")
        except BlockingIOError:
            return  # it is awake already
