"""`qd top` under a terminal of its own, for tests."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Pty:
    """`qd top` under a terminal of its own."""

    def __init__(self, config: Path, term: str = "xterm-256color") -> None:
        self.master, self.slave = pty.openpty()
        self.size(24, 80)
        self.before = termios.tcgetattr(self.slave)
        command = [sys.executable, "-m", "quarterdeck.cli", "top", str(config)]
        env = {**os.environ, "TERM": term, "PYTHONPATH": str(ROOT)}
        self.child = subprocess.Popen(
            command, cwd=ROOT, env=env, stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True
        )
        self.heard = b""

    def size(self, lines: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def press(self, keys: bytes, until: str) -> None:
        """Send keys, and read until the screen was told so; what was heard before does not count."""
        self.heard = b""
        os.write(self.master, keys)
        self.wait(until)

    def wait(self, until: str) -> None:
        end = time.monotonic() + 60
        while until.encode() not in self.heard:
            assert time.monotonic() < end, f"no {until!r} in {self.heard[-2000:]!r}"
            if select.select([self.master], [], [], 0.1)[0]:
                self.heard += os.read(self.master, 65536)

    def close(self) -> None:
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        os.close(self.master)
        os.close(self.slave)
