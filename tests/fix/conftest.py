"""What interoperation tests are given: a reactor, and our ends on it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from base.clock import SystemClock
from base.reactor import Reactor
from tests.fix.interop_kit import Desk


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor(SystemClock())
    yield made
    made.close()


@pytest.fixture
def make_desk(reactor: Reactor) -> Iterator[Callable[..., Desk]]:
    """Desks that are closed at the end, whatever happened."""
    desks: list[Desk] = []

    def make(*given: Any, **more: Any) -> Desk:
        desks.append(Desk(reactor, *given, **more))
        return desks[-1]

    yield make
    for desk in desks:
        desk.close()
