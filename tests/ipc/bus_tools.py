"""What the tests of bus and commands share: sockets in a private folder, and waiting for a condition."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

DEADLINE_S = 60.0


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Until `condition` is true; fails the test after DEADLINE_S."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"waited {DEADLINE_S:.0f} s in vain for {what}")
        time.sleep(0.001)


def private_folder(path: Path) -> Path:
    """A folder that sockets may be bound in."""
    path.chmod(0o700)
    return path


class KeepingContext(zmq.Context):  # type: ignore[type-arg]
    """Holds its sockets until the end, so that what a test leaves open is closed here and not by the collector."""

    kept: tuple[object, ...] = ()

    def socket(self, *args: Any, **kwargs: Any) -> Any:
        made = super().socket(*args, **kwargs)
        self.kept = (*self.kept, made)
        return made


def zmq_context() -> Iterator["zmq.Context[zmq.Socket[bytes]]"]:
    """A context that leaves nothing behind."""
    context = KeepingContext()
    yield context
    context.destroy(linger=0)
