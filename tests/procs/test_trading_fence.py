"""What a trading process does before it stores a fence."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from base.clock import SystemClock
from ipc.fence import FenceKeeper
from ipc.gate import GateReader, GateState, GateWriter, set_operator_word
from ipc.readiness import StatusPage, read_status
from procs.trading import Trading
from venues.in_flight import InFlight

FAR = 1 << 60


class Line:
    """A connection with bytes that the kernel has not taken."""

    def __init__(self, page: Path) -> None:
        self.unsent = 4000
        self.fence_at_abort: list[int] = []
        self._page = page

    @property
    def held(self) -> int:
        return self.unsent

    def abort(self, reason: str) -> None:
        self.unsent = 0
        self.fence_at_abort.append(read_status(self._page).fence)


class Owner:
    """The part of a trading process that answers a closed gate, on real words."""

    def __init__(self, folder: Path) -> None:
        self.writer = GateWriter(folder / "gate", folder / "operator")
        self.writer.set("desk", GateState.ARMED)
        self.writer.renew(0, FAR)
        self.gate = GateReader(folder / "gate", folder / "operator", ["venue:v", "session:s"])
        self.page = folder / "page"
        self.line = Line(self.page)
        self.alerts: list[str] = []
        trading = SimpleNamespace(
            name="s",
            in_flight=InFlight(self.line, SystemClock(), 0),
            alert=lambda severity, code, text: self.alerts.append(text),
        )
        self.keeper = FenceKeeper(
            self.gate,
            StatusPage(self.page, "s"),
            drop_unsent=lambda: Trading._drop_unsent(trading),  # type: ignore[arg-type]
            cancel_working=lambda: None,
            ring_back=lambda: None,
        )
        self.line.unsent = 0
        self.keeper.look()
        self.line.unsent = 4000


@pytest.mark.parametrize(
    "scope", ["strategy:maker", "instrument:BTC-USD", "session:s", "venue:v", "desk", "venue:other"]
)
def test_a_trip_of_any_scope_drops_what_waits_to_be_sent_before_the_fence(tmp_path: Path, scope: str) -> None:
    owner = Owner(tmp_path)
    generation = owner.writer.close([scope])
    assert owner.keeper.look()
    assert owner.line.fence_at_abort == [generation - 1]
    assert read_status(owner.page).fence == generation
    assert len(owner.alerts) == 1


def test_so_does_the_operator_word(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    set_operator_word(tmp_path / "operator", "stop", 1)
    assert owner.keeper.look()
    assert len(owner.line.fence_at_abort) == 1
