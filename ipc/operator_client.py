"""The operators' line to the kill switch, asking side: a Unix socket and the standard library, nothing else.

No ZeroMQ: who has to stop a desk depends on as little as possible. The other side is ipc/operator_line.py.
"""

import json
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from base.errors import BusError, CommandError

NAME = "killswitch.ops"
_READ = 1 << 16
_AGAIN_S = 0.005


def line_path(run_dir: Path) -> Path:
    """Where the kill switch listens to operators."""
    return run_dir / NAME


def ask_line(run_dir: Path, verb: str, args: Mapping[str, str], timeout_s: float) -> dict[str, Any]:
    """The kill switch's answer. BusError when none came within `timeout_s`, CommandError when it refused."""
    path = line_path(run_dir)
    said = json.dumps({"verb": verb, "args": dict(args)}).encode() + b"\n"
    try:
        answer = json.loads(_exchange(path, said, time.monotonic() + timeout_s))
        accepted, reason, data = answer["accepted"], answer["reason"], answer["data"]
    except TimeoutError:
        raise BusError(f"{path}: no answer within {timeout_s * 1000:.0f} ms") from None
    except OSError as e:
        raise BusError(f"{path}: nobody listens: {e.strerror or e}") from None
    except (ValueError, KeyError, TypeError) as e:
        raise BusError(f"{path}: an answer that cannot be read: {e}") from None
    if not accepted:
        raise CommandError(reason)
    found: dict[str, Any] = data
    return found


def _exchange(path: Path, said: bytes, end: float) -> bytes:
    """Send a line, read a line. The end of time counts for all of it together."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        while not _connected(s, path, end):
            time.sleep(_AGAIN_S)
        s.sendall(said)
        got = bytearray()
        while not got.endswith(b"\n"):
            _until(s, end)
            part = s.recv(_READ)
            if not part:
                raise ConnectionResetError("closed without an answer")
            got += part
        return bytes(got)


def _connected(s: socket.socket, path: Path, end: float) -> bool:
    """False when others knock at the same time, and no more can wait."""
    _until(s, end)
    try:
        s.connect(str(path))
    except BlockingIOError:
        return False
    return True


def _until(s: socket.socket, end: float) -> None:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    s.settimeout(left)
