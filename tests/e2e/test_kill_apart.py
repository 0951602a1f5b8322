"""Every process of a desk stopped and killed, alone and together, and the desk tripped by every way there is.

What must hold is in tests/e2e/apart_cases.py. The normal run has one case of each kind; all of them run with
`QUARTERDECK_KILL_MATRIX=all` (docs/kill-tests.md).
"""

import os
from collections.abc import Iterator

import pytest

from tests.e2e.apart_cases import judge
from tests.e2e.apart_matrix import Case, full_matrix, short_matrix
from tests.e2e.apart_world import World

FULL = os.environ.get("QUARTERDECK_KILL_MATRIX") == "all"
MATRIX = full_matrix if FULL else short_matrix

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


class Worlds:
    """The desk that the cases share, one at a time; a case that failed leaves none behind."""

    def __init__(self) -> None:
        self._world: World | None = None

    def whole(self, *, supervised: bool) -> World:
        """The desk, whole and armed."""
        if self._world is not None and (self._world.broken or self._world.supervised != supervised):
            self.close()
        if self._world is None:
            world = World(supervised=supervised)
            try:
                world.start()
            except BaseException:
                world.close()
                raise
            self._world = world
        return self._world

    def close(self) -> None:
        """Take it down."""
        if self._world is not None:
            self._world.close()
            self._world = None


@pytest.fixture(scope="module")
def worlds() -> Iterator[Worlds]:
    found = Worlds()
    yield found
    found.close()


def run(world: World, case: Case) -> None:
    world.broken = True
    try:
        judge(world, case)
    except AssertionError as e:
        raise AssertionError(f"{case}: {e}\n{world.logs()}") from e
    world.broken = False


@pytest.mark.parametrize("case", MATRIX(supervised=True), ids=str)
def test_a_trip_holds_whatever_is_stopped_or_killed_under_a_supervisord(worlds: Worlds, case: Case) -> None:
    run(worlds.whole(supervised=True), case)


@pytest.mark.parametrize("case", MATRIX(supervised=False), ids=str)
def test_a_trip_holds_whatever_is_stopped_or_killed_without_a_supervisord(worlds: Worlds, case: Case) -> None:
    run(worlds.whole(supervised=False), case)
