"""What processes make of a session that is stuck, and of one whose venue is closed by its calendar."""

from types import SimpleNamespace

from ipc.readiness import VENUE_CLOSED
from procs.trading import Trading
from venues.watch import Watch

SECOND = 1_000_000_000


class Stuck:
    """As much of a trading process as minds its progress."""

    def __init__(self, *, reconciled: bool, asked_ns: int = 0) -> None:
        self.watch, self.name, self._ready_ns = Watch(), "s", SECOND
        self.recovery = SimpleNamespace(done=reconciled)
        self.entry = SimpleNamespace(asked_ns=asked_ns)
        self.told: list[tuple[int, str]] = []
        self.cut: list[tuple[int, str]] = []
        self.link = SimpleNamespace(leg=SimpleNamespace(disconnect=lambda why: self.cut.append((self.now, why))))

    def alert(self, severity: str, code: str, text: str) -> None:
        assert (severity, code) == ("warning", "late")
        self.told.append((self.now, text))

    def play(self, seconds: int) -> None:
        for second in range(seconds):
            self.now = second
            Trading._mind_progress(self, SECOND + second * SECOND)  # type: ignore[arg-type]


def test_a_reconciliation_that_does_not_end_is_told() -> None:
    stuck = Stuck(reconciled=False)
    stuck.play(130)
    assert [at for at, _ in stuck.told] == [60, 120]
    assert stuck.told[0][1] == "s: open orders are not reconciled with the venue, for 60 s"
    assert stuck.cut == []


def test_a_venue_that_heartbeats_and_answers_no_order_is_told_and_then_left() -> None:
    stuck = Stuck(reconciled=True, asked_ns=SECOND)
    stuck.play(35)
    assert stuck.told[0] == (10, "s: heartbeats go on, and no order request is answered, for 10 s")
    assert stuck.cut == [(30, "heartbeats went on, and no order request was answered, for 30 s")]


def test_a_session_that_is_answered_is_left_alone() -> None:
    stuck = Stuck(reconciled=True)
    stuck.play(200)
    assert (stuck.told, stuck.cut) == ([], [])


class Away:
    """As much of a trading process as minds that its venue closes."""

    def __init__(self, working: int) -> None:
        self.name, self._closed_told, self.alerts = "s", "", list[tuple[str, str, str]]()
        self.table = SimpleNamespace(open=lambda: [None] * working)

    def alert(self, severity: str, code: str, text: str) -> None:
        self.alerts.append((severity, code, text))

    def hear(self, reason: str) -> None:
        Trading._mind_closing(self, reason)  # type: ignore[arg-type]


def test_orders_left_working_at_a_venue_that_closes_are_told_once_a_window() -> None:
    away, nothing = Away(2), Away(0)
    for reason in ("connection lost", *[f"{VENUE_CLOSED}13:00: lunch"] * 3, f"{VENUE_CLOSED}19:00: dinner"):
        away.hear(reason)
        nothing.hear(reason)
    assert [(a, b) for a, b, _ in away.alerts] == [("warning", "closed_with_orders")] * 2
    assert "2 orders were left working: venue closed until 13:00: lunch" in away.alerts[0][2]
    assert nothing.alerts == []
