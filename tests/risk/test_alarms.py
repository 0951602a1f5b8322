"""Alarms stand until somebody has them: raised, repeated, escalated, gathered, acknowledged, over; nothing is lost."""

from typing import Any

import pytest

from base.alarm_config import AlarmsConfig, NotifierConfig
from base.errors import CommandError
from ipc.alarm_files import decode_stored
from ipc.events import Alert, alert_subject
from risk.alarm_lines import BACKOFF_CAP_S, Batch
from risk.alarm_text import batch_message
from risk.alarm_watch import PageView, ProcessWatch
from risk.alarms import MOST, AlarmBook

S = 1_000_000_000
T0 = 1_700_000_000 * S


def notifier(name: str, **more: Any) -> NotifierConfig:
    return NotifierConfig(name=name, kind="command", command=["cat"], **more)


class World:
    """A book, a clock, and notifiers that deliver unless they are among `down` or `hung`."""

    def __init__(self, *notifiers: NotifierConfig, **settings: Any) -> None:
        self.config = AlarmsConfig(notifiers=list(notifiers) or [notifier("pager")], **settings)
        self.history: list[tuple[str, dict[str, object]]] = []
        self.book = AlarmBook(self.config, lambda event, facts: self.history.append((event, facts)))
        self.now = 0
        self.down: set[str] = set()
        self.hung: set[str] = set()
        self.sent: list[tuple[str, Batch]] = []

    @property
    def wall(self) -> int:
        return T0 + self.now

    def alert(
        self, severity: str, code: str, text: str, source: str = "killswitch", subject: str = "", mark: int = 0
    ) -> None:
        self.now += 1
        self.book.alert(Alert(source, severity, code, text, self.wall, subject, mark), self.wall, self.now)

    def run(self, seconds: float = 0.0) -> list[tuple[str, Batch]]:
        """Let time go by in steps of a quarter second; what was sent meanwhile, delivered or not."""
        begin, end = len(self.sent), self.now + int(seconds * S)
        while True:
            for name, batch in self.book.tick(self.wall, self.now):
                self.sent.append((name, batch))
                if name not in self.hung:
                    self.book.delivered(name, "line dead" if name in self.down else "", 1.0, self.wall, self.now)
            if self.now >= end:
                return self.sent[begin:]
            self.now = min(end, self.now + S // 4)

    def said(self, seconds: float = 0.0) -> list[tuple[str, dict[int, str]]]:
        return [(name, batch.alarms) for name, batch in self.run(seconds)]

    def ack(self, *numbers: int) -> None:
        self.book.acknowledge(numbers, "kim", "looking", self.wall, self.now)

    def restarted(self) -> "World":
        stored = decode_stored(self.book.encode({"killswitch": (7, 100)}))
        assert not isinstance(stored, str)
        assert stored.places == {"killswitch": (7, 100)}
        new = World(*self.config.notifiers)
        new.config, new.now = self.config, self.now
        new.book = AlarmBook(self.config, lambda event, facts: new.history.append((event, facts)))
        new.book.restore(stored, self.wall, self.now)
        return new


def test_a_critical_alert_is_said_at_once_and_again_until_somebody_has_it() -> None:
    world = World(repeat_s=60)
    world.alert("critical", "tripped", "desk: operator: looked wrong")
    assert world.said() == [("pager", {1: "raised"})]
    assert world.said(59) == []
    assert world.said(61) == [("pager", {1: "repeated"})] * 2
    world.ack(1)
    (said,) = world.run(3600)
    assert said[1].extra is not None
    assert "kim: looking" in said[1].extra.text


def test_the_same_trouble_is_one_alarm_that_counts() -> None:
    world = World(repeat_s=600)
    for i in range(100):
        world.alert("critical", "not_proven", f"desk: {i} orders left")
    assert world.said(10) == [("pager", {1: "raised"})]
    assert (world.book.alarms[1].count, world.book.alarms[1].text) == (100, "desk: 99 orders left")


def test_each_further_mark_of_a_limit_is_said_at_once_acknowledged_or_not() -> None:
    world = World(repeat_s=600, warning_repeat_s=600)
    for mark in (50, 75, 90):
        world.alert("warning", "limit", f"desk: {mark} %", mark=mark)
        assert world.said(5) == [("pager", {1: "raised"})], mark
        world.alert("warning", "limit", f"desk: {mark} % again", mark=mark)
        assert world.said(5) == []
    world.ack(1)
    world.run(1)
    world.alert("warning", "limit", "desk: 90 %", mark=90)
    assert world.said(5) == []
    world.alert("warning", "limit", "desk: over", mark=100)
    assert world.said(5) == [("pager", {2: "raised"})]
    assert world.book.alarms[2].severity == "warning"


def test_marks_begin_anew_once_it_was_over() -> None:
    world = World(repeat_s=600, warning_repeat_s=600)
    world.alert("warning", "limit", "desk: 90 %", mark=90)
    world.alert("info", "limit", "desk: well")
    world.run(1)
    for mark in (50, 75):
        world.alert("warning", "limit", f"desk: {mark} %", mark=mark)
        assert world.said(5) == [("pager", {1: "raised"})], mark


def test_subjects_keep_alarms_of_one_kind_apart() -> None:
    world = World()
    world.alert("critical", "tripped", "venue:x: operator: a")
    world.alert("critical", "tripped", "venue:y: operator: b")
    world.alert("warning", "limit", "two words: here, no subject")
    assert [a.subject for a in world.book.alarms.values()] == ["venue:x", "venue:y", ""]
    assert alert_subject(Alert("s", "info", "c", "x: y", 1, "z")) == "z"


def test_an_alert_that_comes_by_bus_and_by_file_counts_once() -> None:
    world = World()
    alert = Alert("killswitch", "critical", "tripped", "desk: x", T0)
    for _ in range(2):
        world.book.alert(alert, T0, 0)
    assert world.book.alarms[1].count == 1


def test_info_of_the_same_kind_and_subject_says_that_it_is_over_and_alone_it_is_nothing() -> None:
    world = World(repeat_s=60)
    world.alert("info", "disk_full", "a: over: room again")
    assert world.book.alarms == {}
    world.alert("critical", "disk_full", "a: the disk is full")
    world.alert("critical", "disk_full", "b: the disk is full")
    world.run(1)
    world.alert("info", "disk_full", "a: over: room again")
    assert world.said(600)[0] == ("pager", {1: "over"})
    assert all(1 not in batch.alarms for _, batch in world.sent[-5:])
    assert list(world.book.alarms) == [1, 2]  # somebody should still see that it happened
    world.ack(1)
    assert list(world.book.alarms) == [2]


def test_what_is_over_and_comes_again_is_said_again() -> None:
    world = World()
    world.alert("critical", "stuck", "a: no heartbeat")
    world.run(1)
    world.alert("info", "stuck", "a: over")
    world.run(1)
    world.alert("critical", "stuck", "a: no heartbeat")
    assert world.said() == [("pager", {1: "raised"})]


def test_nobody_acknowledges_and_the_next_level_is_told_too() -> None:
    world = World(notifier("pager"), notifier("boss", level=1), notifier("board", level=2), escalate_after_s=100,
                  repeat_s=1000)  # fmt: skip
    world.alert("critical", "tripped", "desk: x")
    assert world.said(99) == [("pager", {1: "raised"})]
    assert world.said(2) == [("pager", {1: "escalated"}), ("boss", {1: "escalated"})]
    assert ("board", {1: "escalated"}) in world.said(100)
    world.ack(1)
    assert {name for name, batch in world.run(5000) if batch.extra} == {"pager", "boss", "board"}


def test_a_notifier_that_wants_critical_ones_is_spared_warnings_until_one_becomes_critical() -> None:
    world = World(notifier("log"), notifier("pager", min_severity="critical"))
    world.alert("warning", "limit", "desk: 75 %")
    assert world.said(10) == [("log", {1: "raised"})]
    world.alert("critical", "limit", "desk: passed")
    assert world.said() == [("log", {1: "raised"}), ("pager", {1: "raised"})]


def test_a_failing_notifier_is_tried_again_later_and_later_and_is_an_alarm_itself() -> None:
    world = World(notifier("pager"), notifier("log"), repeat_s=100_000, warning_repeat_s=100_000)
    world.down = {"pager"}
    world.alert("critical", "tripped", "desk: x")
    world.run(600)
    tries = [n for n, _ in world.sent if n == "pager"]
    assert 10 < len(tries) < 20
    gaps = 600 / len(tries)
    assert gaps < BACKOFF_CAP_S
    told = [b.alarms for n, b in world.sent if n == "log"]
    assert told == [{1: "raised"}, {2: "raised"}]
    assert world.book.alarms[2].key == ("alarms", "notifier", "pager")
    assert world.book.alarms[2].severity == "warning"  # another one of level 0 works
    world.down.clear()
    world.run(70)
    assert world.book.alarms[1].told == ["log", "pager"]
    assert world.book.alarms[2].over_ns


def test_when_every_notifier_of_a_level_fails_the_next_level_is_told_at_once() -> None:
    world = World(notifier("pager"), notifier("boss", level=1), escalate_after_s=100_000)
    world.down = {"pager"}
    world.alert("critical", "tripped", "desk: x")
    assert ("boss", {1: "escalated"}) in world.said(5)
    assert world.book.alarms[2].severity == "critical"


def test_a_notifier_that_hangs_delays_no_other_and_counts_as_failing() -> None:
    world = World(notifier("pager", timeout_ms=1000), notifier("log"), notifier("boss", level=1))
    world.hung = {"pager"}
    world.alert("critical", "tripped", "desk: x")
    world.alert("critical", "other", "desk: y")
    assert [n for n, _ in world.run(1)] == ["pager", "log", "log"]
    world.run(5)
    assert ("alarms", "notifier", "pager") in {a.key for a in world.book.alarms.values()}


def test_a_storm_is_gathered_into_messages_that_count_and_nothing_is_lost() -> None:
    world = World(notifier("pager", max_per_minute=5), repeat_s=100_000)
    for i in range(200):
        world.alert("critical", "late", f"s{i}: late")
    told: set[int] = set()
    for _, batch in world.run(0):
        told |= set(batch.alarms)
    assert told == set(range(1, 201))
    assert len(world.sent) == 1
    for i in range(20):
        world.alert("critical", "more", f"m{i}: late")
        world.run(1)
    assert len(world.sent) == 5
    world.run(60)
    assert {n for _, b in world.sent for n in b.alarms} == set(world.book.alarms)


def test_more_kinds_than_fit_are_counted_in_one_alarm_and_kept_in_the_history() -> None:
    world = World()
    for i in range(MOST + 50):
        world.alert("warning", "odd", f"k{i}: odd")
    assert len(world.book.alarms) == MOST + 1
    storm = world.book.alarms[MOST + 1]
    assert (storm.key, storm.count) == (("alarms", "storm", ""), 50)
    assert sum(event == "storm" for event, _ in world.history) == 50


def test_acknowledged_trouble_that_goes_on_is_quiet_for_a_while_and_then_an_alarm_again() -> None:
    world = World(acknowledged_quiet_s=300)
    world.alert("warning", "limit", "desk: 75 %")
    world.run(1)
    world.ack(1)
    world.run(1)
    world.alert("warning", "limit", "desk: 76 %")
    assert world.said(10) == []
    assert world.book.alarms[1].count == 2
    world.alert("critical", "limit", "desk: passed")  # worse is not what was acknowledged
    assert world.said() == [("pager", {2: "raised"})]
    world.ack(2)
    world.run(301)
    assert world.book.alarms == {}
    world.alert("critical", "limit", "desk: passed")
    assert world.said() == [("pager", {3: "raised"})]


def test_an_acknowledgement_needs_a_name_a_note_and_an_alarm() -> None:
    world = World()
    world.alert("critical", "tripped", "desk: x")
    for numbers, by, note in ((None, "", "x"), (None, "kim", " "), ([2], "kim", "x")):
        with pytest.raises(CommandError):
            world.book.acknowledge(numbers, by, note, world.wall, world.now)
    assert world.book.standing() == {"alarms": 1, "unacknowledged": 1, "critical": 1}
    world.book.acknowledge(None, "kim", "mine", world.wall, world.now)
    assert world.book.standing() == {"alarms": 1, "unacknowledged": 0, "critical": 0}


def test_a_test_reaches_every_notifier_whatever_its_level_rate_or_back_off_and_says_which_arrived() -> None:
    world = World(notifier("pager", max_per_minute=1), notifier("boss", level=3))
    world.down = {"boss"}
    world.alert("critical", "tripped", "desk: x")
    world.run(1)
    world.book.test("test-1", "test", "by kim")
    world.run(1)
    outcomes = world.book.tests["test-1"]
    assert outcomes["pager"].startswith("arrived")
    assert outcomes["boss"] == "failed: line dead"


def test_alarms_survive_a_restart_with_what_was_told_and_who_had_them() -> None:
    world = World(notifier("pager"), notifier("boss", level=1), repeat_s=60, escalate_after_s=100)
    world.alert("critical", "tripped", "desk: x")
    world.alert("warning", "late", "a: late")
    world.run(30)
    world.ack(2)
    world.run(1)
    new = world.restarted()
    assert new.said(28) == []  # said 31 s ago
    assert new.said(3) == [("pager", {1: "repeated"})]
    new.alert("critical", "more", "b: x")
    assert 3 in new.book.alarms
    assert new.book.alarms[2].acked_by == "kim"
    assert ("boss", {1: "escalated"}) in new.said(100)


def test_what_nobody_was_told_before_a_restart_is_said_at_once() -> None:
    world = World()
    world.alert("critical", "tripped", "desk: x")
    assert world.restarted().said() == [("pager", {1: "raised"})]


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_store_is_said_to_be_damaged_not_empty(damage: str) -> None:
    world = World()
    world.alert("critical", "tripped", "desk: x")
    data = world.book.encode({})
    broken = {"cut": data[:-10], "flip": data.replace(b"tripped", b"tripper"), "empty": b""}[damage]
    assert isinstance(decode_stored(broken), str)


def test_a_message_says_all_of_it_in_words_and_as_data() -> None:
    world = World()
    for i in range(25):
        world.alert("warning", "late", f"s{i}: late")
    world.alert("critical", "tripped", "desk: operator: x")
    ((_, batch),) = world.run()
    alarms = [world.book.alarms[n] for n in batch.alarms]
    found = batch_message("d", "h", batch, alarms, world.book.standing(), world.wall)
    assert found["headline"] == "d: 26 alarms, 1 critical"
    assert (found["severity"], found["more"], found["critical"]) == ("critical", 6, 1)
    text = str(found["text"])
    assert text.startswith("[26] CRITICAL killswitch tripped: desk: operator: x (since 2023-11-14 22:13:20Z)")
    assert "and 6 more" in text


def page(beat_s: float, readiness: str = "READY") -> PageView:
    return PageView(9, readiness, "", int(beat_s * S))


def test_a_kill_switch_without_a_heartbeat_is_noticed_sooner_than_others() -> None:
    watch = ProcessWatch(2 * S, 0)
    pages = {"killswitch": page(100), "a": page(100), "b": None}
    assert set(watch.look(pages, 101 * S).values()) == {"", "b never started"}
    assert "killswitch (pid 9) is gone or stuck" in watch.look(pages, 103 * S)["killswitch"]
    assert watch.look(pages, 103 * S)["a"] == ""
    assert "no heartbeat" in watch.look(pages, 111 * S)["a"]


def test_a_process_stopped_in_order_is_no_alarm_but_a_kill_switch_that_stays_away_is() -> None:
    watch = ProcessWatch(2 * S, 0)
    pages = {"killswitch": page(100, "STOPPING"), "a": page(100, "STOPPING")}
    assert set(watch.look(pages, 109 * S).values()) == {""}
    found = watch.look(pages, 111 * S)
    assert "is not back" in found["killswitch"]
    assert found["a"] == ""


def test_pages_of_a_desk_that_just_starts_are_given_time() -> None:
    watch = ProcessWatch(2 * S, 1000 * S)
    pages = {"killswitch": page(5), "a": None}
    assert set(watch.look(pages, 1001 * S).values()) == {""}
    assert "gone or stuck" in watch.look(pages, 1003 * S)["killswitch"]
    assert watch.look(pages, 1029 * S)["a"] == ""
    assert watch.look(pages, 1031 * S)["a"] == "a never started"
