"""A probe of a mass cancel: what it tells apart, and that it leaves nothing behind."""

import itertools

import pytest

from risk.certify import (
    AskAccount,
    Cancel,
    Phase,
    Place,
    Probe,
    ProbeAction,
    ProbeOrder,
    Reached,
    Send,
    reached,
)
from risk.kill_proof import ListedId

SECOND = 1_000_000_000
LAG = 300_000_000


def orders(*, own: bool = True, two: bool = True, named: bool = False) -> list[ProbeOrder]:
    """Two owners on BTC, one of them on ETH too; one order of the asking session."""
    found = [ProbeOrder(session=s, own=False, instrument="BTC-USD", qty=1, price=1, aimed=True) for s in ("a", "b")]
    if two:
        found.append(ProbeOrder(session="a", own=False, instrument="ETH-USD", qty=1, price=1, aimed=not named))
    if own:
        found.append(ProbeOrder(session="own", own=True, instrument="BTC-USD", qty=1, price=1, aimed=True))
    return found


class World:
    """A venue whose mass cancel reaches what it is told to reach."""

    def __init__(self, probe: Probe, reach: str = "account", *, answers: bool = True, reports: bool = True) -> None:
        self.probe, self.reach, self.answers, self.reports = probe, reach, answers, reports
        self.now = 100 * SECOND
        self.alive: dict[str, ProbeOrder] = {}
        self.others: list[str] = []
        self.sends = 0
        self.cancels = 0
        self.ids = itertools.count(1)
        self.deaf = False  # single cancels do nothing

    def take(self, actions: list[ProbeAction]) -> None:
        for action in actions:
            match action:
                case Place(index):
                    name = f"c{next(self.ids)}"
                    self.alive[name] = self.probe.orders[index]
                    self.take(self.probe.placed(index, name, "", self.now))
                    self.probe.report([name], f"o{name}", "0", self.now)
                case Send():
                    self.sends += 1
                    self.take(self.probe.sent("", self.now))
                    self.mass_cancel()
                case AskAccount():
                    lines = [ListedId(f"o{n}", n, "") for n in (*self.alive, *self.others)]
                    self.take(self.probe.listed(lines, self.now, self.now + 1))
                case Cancel(index):
                    self.cancels += 1
                    if not self.deaf:
                        self.end(self.probe.orders[index])

    def mass_cancel(self) -> None:
        hit = {
            "account": lambda o: True,
            "symbol": lambda o: o.instrument == "BTC-USD",
            "own session": lambda o: o.own,
            "nothing": lambda o: False,
            "unclear": lambda o: o.session == "a",
        }[self.reach]
        count = 0
        for order in list(self.alive.values()):
            if hit(order):
                self.end(order)
                count += 1
        if self.answers:
            self.probe.answer(f"35=r 533={count}")

    def end(self, order: ProbeOrder) -> None:
        name = next((n for n, o in self.alive.items() if o is order), "")
        if name:
            del self.alive[name]
            if self.reports:
                self.probe.report([name], f"o{name}", "4", self.now)

    def run(self, seconds: float = 60) -> None:
        for _ in range(int(seconds * 10)):
            self.now += SECOND // 10
            self.take(self.probe.tick(self.now))
            if self.probe.over:
                return


@pytest.mark.parametrize("reports", [True, False], ids=["reports", "lists alone"])
@pytest.mark.parametrize("reach", ["account", "symbol", "own session", "nothing", "unclear"])
def test_it_tells_apart_what_a_request_reaches_and_cleans_up(reach: str, reports: bool) -> None:
    probe = Probe(orders(named=reach == "symbol"), LAG, named=reach == "symbol")
    world = World(probe, reach, reports=reports)
    world.run()
    assert (probe.phase, probe.why) == (Phase.DONE, "")
    assert probe.found is not None
    assert probe.found.reaches == reach
    assert world.alive == {}
    assert world.sends == 2  # once on the empty book, once on the orders
    assert len(probe.found.ended) + len(probe.found.left) == 4


def test_a_venue_that_answers_and_does_nothing_is_found_out() -> None:
    probe = Probe(orders(), LAG)
    World(probe, "nothing").run()
    assert probe.found is not None
    assert (probe.found.reaches, probe.found.ended) == ("nothing", ())
    assert probe.found.answers == ("35=r 533=0",)


def test_silence_is_said_to_be_silence() -> None:
    probe = Probe(orders(), LAG)
    World(probe, "account", answers=False).run()
    assert probe.found is not None
    assert (probe.found.when_empty, probe.found.answers) == ("silence", ("silence",))
    assert probe.found.reaches == "account"


def test_open_orders_of_others_stop_it_before_anything_is_sent_unless_told_otherwise() -> None:
    probe = Probe(orders(), LAG)
    world = World(probe)
    world.others = ["x1"]
    world.run()
    assert (probe.phase, world.sends, probe.found) == (Phase.FAILED, 0, None)
    assert "x1" in probe.why
    probe = Probe(orders(), LAG, others=True)
    world = World(probe)
    world.others = ["x1"]
    world.run()
    assert probe.phase is Phase.DONE


def test_what_cannot_be_cleaned_up_is_a_failure_with_its_list() -> None:
    probe = Probe(orders(), LAG)
    world = World(probe, "own session")
    world.deaf = True
    world.run()
    assert (probe.phase, probe.found) == (Phase.FAILED, None)
    assert "STILL OPEN, cancel by hand: a BTC-USD c1, b BTC-USD c2, a ETH-USD c3" in probe.why
    assert world.cancels >= 3 * 10


@pytest.mark.parametrize("phase", [Phase.LOOKING, Phase.EMPTY, Phase.PLACING, Phase.SENT])
def test_a_gate_that_closes_in_between_ends_it_with_everything_cancelled(phase: Phase) -> None:
    probe = Probe(orders(), LAG)
    world = World(probe, "own session")
    for _ in range(100):
        if probe.phase is phase:
            break
        world.now += SECOND // 10
        world.take(probe.tick(world.now))
    world.take(probe.abort("the gate was closed", world.now))
    world.run()
    assert (probe.phase, probe.why, probe.found, world.alive) == (Phase.FAILED, "the gate was closed", None, {})


def test_a_refused_order_ends_it_and_cancels_the_others() -> None:
    probe = Probe(orders(), LAG)
    world = World(probe)
    while probe.phase is not Phase.PLACING:
        world.now += SECOND // 10
        world.take([a for a in probe.tick(world.now) if not isinstance(a, Place)])
    world.take([Place(0)])
    world.take(probe.placed(1, "", "too small", world.now))
    world.run()
    assert (probe.phase, world.alive) == (Phase.FAILED, {})
    assert "too small" in probe.why


def test_an_order_that_nobody_acknowledges_ends_it() -> None:
    probe = Probe(orders(), LAG)
    world = World(probe)
    while probe.phase is not Phase.PLACING:
        world.now += SECOND // 10
        world.take([a for a in probe.tick(world.now) if not isinstance(a, Place)])
    world.run(25)
    assert probe.phase is Phase.FAILED
    assert "not acknowledged in 20 s" in probe.why


def test_a_fill_makes_it_worthless() -> None:
    probe = Probe(orders(), LAG)
    world = World(probe, "own session")
    while probe.phase is not Phase.SENT:
        world.now += SECOND // 10
        world.take(probe.tick(world.now))
    name = next(iter(world.alive))
    del world.alive[name]
    probe.report([name], f"o{name}", "2", world.now)
    world.run()
    assert probe.phase is Phase.FAILED
    assert "filled, so nothing is known" in probe.why


def test_without_a_list_reports_alone_count() -> None:
    probe = Probe(orders(), LAG, lists=False)
    World(probe, "own session").run()
    assert probe.found is not None
    assert probe.found.reaches == "own session"


@pytest.mark.parametrize(
    ("named", "two", "over", "expected"),
    [
        (False, False, "ab", "account"), (True, False, "ab", "symbol"), (True, True, "ab", "symbol"),
        (True, True, "abA", "account"), (False, True, "abA", "account"), (False, True, "ab", "unclear"),
        (False, True, "a", "unclear"), (True, True, "A", "unclear"), (False, True, "o", "own session"),
        (False, True, "", "nothing"),
    ],
)  # fmt: skip
def test_the_verdict_by_what_ended(named: bool, two: bool, over: str, expected: Reached) -> None:
    made = orders(two=two, named=named)
    keys = ["a", "b", *(["A"] if two else []), "o"]
    for key, order in zip(keys, made, strict=True):
        order.status = "4" if key in over else "0"
    assert reached(made, named) == expected


def test_a_report_may_overtake_the_answer_that_names_its_order() -> None:
    probe = Probe(orders(own=False, two=False), LAG)
    world = World(probe)
    while probe.phase is not Phase.PLACING:
        world.now += SECOND // 10
        world.take([a for a in probe.tick(world.now) if not isinstance(a, Place)])
    for index in (0, 1):
        probe.report([f"c{index}"], f"o{index}", "0", world.now)
    for index in (0, 1):
        probe.placed(index, f"c{index}", "", world.now)
    assert [(o.order_id, o.status) for o in probe.orders] == [("o0", "0"), ("o1", "0")]
