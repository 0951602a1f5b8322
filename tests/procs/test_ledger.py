"""The ledger process beside sessions that publish, die, damage their journals, and a disk that is full."""

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from base.clock import SystemClock
from base.config import load
from base.errors import BusError, SchemaError
from base.segment_file import HEADER_SIZE, segment_path
from base.segments import SegmentSettings
from ipc.bus import Publisher, Subscriber
from ipc.command_client import CommandClient
from ipc.events import Alert, Break
from ipc.host import ProcessHost
from ipc.journal import NAME, Journal
from ipc.ledger_db import LedgerDb
from ipc.ledger_read import Filter, LedgerReader
from ipc.readiness import Readiness
from ipc.requests import Ops
from ipc.roster import command_endpoint, publisher_endpoint
from procs.ledger import LedgerProcess, sources
from tests.risk.ledger_world import COPY_SOURCE, ENTRY_SOURCE, placed, report

CONFIG = """
[desk]
name = "t"
environment = "test"
shm_dir = "{shm}"
[venue.v]
dialect = "fix44"
instruments = [{{ name = "BTC-USD", symbol = "BTC/USD", px_scale = 2, qty_scale = 4 }}]
[venue.w]
dialect = "fix44"
instruments = [{{ name = "BTC-USD", symbol = "BTC/USD", px_scale = 2, qty_scale = 4 }}]
[session.trd]
venue = "v"
kind = "trading"
address = "127.0.0.1:1"
sender_comp_id = "A"
target_comp_id = "V"
[session.dc]
venue = "v"
kind = "dropcopy"
address = "127.0.0.1:1"
sender_comp_id = "B"
target_comp_id = "V"
[session.lone]
venue = "w"
kind = "trading"
address = "127.0.0.1:1"
sender_comp_id = "A"
target_comp_id = "V"
[ledger]
break_after_ms = 1000
"""
SECOND = 1_000_000_000
SMALL = SegmentSettings(segment_bytes=16 * 1024, retain_bytes=64 * 1024, recycle=True)


class Session:
    """A session's process reduced to its journal and its publisher."""

    def __init__(self, place: "Place", name: str) -> None:
        self.clock = SystemClock()
        self.topic = f"exec.{name}"
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.journal = Journal(place.desk.data_dir / name, self.clock.wall_ns(), settings=SMALL)
        epoch = self.journal.next_epoch(self.clock.wall_ns())
        self.publisher = Publisher(self.context, publisher_endpoint(place.desk, name), self.clock, epoch=epoch)
        self.publisher.declare(self.topic, self.journal)
        place.sessions.append(self)

    def say(self, *events: Any) -> None:
        for event in events:
            self.publisher.publish(self.topic, event)

    def close(self) -> None:
        self.publisher.close()
        self.journal.close()
        self.context.destroy(linger=0)


class Place:
    """A desk whose ledger runs in this thread."""

    def __init__(self, folder: Path) -> None:
        (folder / "config").mkdir()
        self.path = folder / "config" / "desk.toml"
        self.path.write_text(CONFIG.format(shm=folder / "shm"))
        self.desk = load(self.path)
        self.told: list[Break | Alert] = []
        self.sessions: list[Session] = []
        self.begin()

    def begin(self) -> None:
        self.host = ProcessHost(self.desk, "ledger", "ledger")
        assert self.host.take_role()
        self.ledger = LedgerProcess(self.host, "")
        self.ears = Subscriber(self.host.context)
        self.ears.connect(publisher_endpoint(self.desk, "ledger"))
        for topic in ("ledger", "alert.ledger"):
            self.ears.subscribe(topic, exact=True)

    def end(self) -> None:
        self.ears.close()
        self.ledger.keeper.close()
        self.host.close()

    def until(self, condition: Callable[[], Any], seconds: float = 60) -> None:
        def look() -> bool:
            found = [d.event for d in self.ears.receive()]
            self.told += [e for e in found if isinstance(e, Break | Alert)]
            return bool(condition())

        met = self.host.reactor.run_until(look, int(seconds * SECOND))
        assert met, f"not within {seconds} s: {self.word()} {self.told}"

    def word(self) -> tuple[Readiness, str]:
        return self.host.page.readiness, self.host.page.reason

    def fills(self) -> int:
        with LedgerReader(self.ledger.keeper.store.path) as reader:
            return len(list(reader.fills(Filter())))

    def codes(self) -> list[str]:
        return [e.code for e in self.told if isinstance(e, Alert)]

    def breaks(self) -> list[tuple[str, str]]:
        return [(e.kind, e.closed_by) for e in self.told if isinstance(e, Break)]


@pytest.fixture
def place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="qd-") as folder:
        made = Place(Path(folder))
        yield made
        for session in made.sessions:
            session.close()
        made.end()


def now_report(source: Any, trade: str, cum: int, **fields: Any) -> Any:
    """A fill of just now."""
    wall_ns = SystemClock().wall_ns()
    names = {"trade_id": trade, "exec_id": f"{source.session}{trade}"}
    return report(source, cum_qty=cum, transact_ns=wall_ns, recv_ns=wall_ns, **names, **fields)


def test_accounts_have_two_views_where_they_have_both_kinds_of_session(place: Place) -> None:
    found = {s.session: (s.venue, s.view, s.two_views) for s in sources(place.desk)}
    assert found == {"trd": ("v", 0, True), "dc": ("v", 1, True), "lone": ("w", 0, False)}


def test_what_sessions_say_is_on_record_at_once_and_what_they_said_while_it_was_away_too(place: Place) -> None:
    place.until(lambda: place.word()[0] is Readiness.READY)
    trading, copy = Session(place, "trd"), Session(place, "dc")
    trading.say(placed(), now_report(ENTRY_SOURCE, "1", 10))
    copy.say(now_report(COPY_SOURCE, "1", 10))
    place.until(lambda: place.fills() == 1)
    place.end()
    trading.say(now_report(ENTRY_SOURCE, "2", 20))
    trading.close()  # and its owner dies meanwhile
    place.sessions.remove(trading)
    copy.say(now_report(COPY_SOURCE, "2", 20))
    place.begin()
    place.until(lambda: place.fills() == 2)
    trading = Session(place, "trd")
    trading.say(now_report(ENTRY_SOURCE, "2", 20), now_report(ENTRY_SOURCE, "3", 30))
    copy.say(now_report(COPY_SOURCE, "3", 30))
    place.until(lambda: place.fills() == 3)
    place.until(lambda: place.word() == (Readiness.READY, ""))
    assert place.told == []


def test_a_break_is_an_event_within_the_stated_time_and_so_is_its_end(place: Place) -> None:
    trading, copy = Session(place, "trd"), Session(place, "dc")
    trading.say(placed(), now_report(ENTRY_SOURCE, "1", 10))
    began = SystemClock().mono_ns()
    place.until(lambda: place.breaks() == [("missing", "")])
    assert SystemClock().mono_ns() - began > 0.9 * SECOND
    place.until(lambda: place.codes() == ["ledger_break"])
    copy.say(now_report(COPY_SOURCE, "1", 10))
    place.until(lambda: place.breaks() == [("missing", ""), ("missing", "healed")])
    assert place.codes() == ["ledger_break"]
    # What was published is stored as such: a new life does not say it again.
    place.until(lambda: not place.ledger.keeper.store.open_breaks())


def test_a_break_that_was_stored_but_not_said_is_said_by_the_next_life(place: Place) -> None:
    trading = Session(place, "trd")
    trading.say(placed(), now_report(ENTRY_SOURCE, "1", 10))
    place.until(lambda: place.fills() == 1)
    keeper = place.ledger.keeper
    keeper.step(SystemClock().wall_ns() + 10 * SECOND)  # stored; the process dies before it publishes
    place.end()
    place.begin()
    place.until(lambda: place.breaks() == [("missing", "")])


def test_a_person_closes_a_break_over_the_command_socket(place: Place) -> None:
    trading = Session(place, "trd")
    trading.say(placed(), now_report(ENTRY_SOURCE, "1", 10))
    place.until(lambda: place.breaks() == [("missing", "")])
    client = CommandClient(place.host.context, command_endpoint(place.desk, "ledger"), "me", SystemClock())
    answers: list[Any] = []

    def ask(verb: str, **words: str) -> Any:
        deadline = SystemClock().wall_ns() + 60 * SECOND
        command = Ops("me", client.next_command_id(), deadline, verb, words)

        def sent() -> bool:
            try:
                client.send(command)
            except BusError:  # not connected yet
                return False
            return True

        place.until(sent)
        place.until(lambda: answers.extend(client.receive()) or answers)
        return answers.pop()

    assert "expected break=NUMBER" in ask("accept", **{"break": "x"}).reason
    assert "one command" in ask("trip").reason
    assert "no open break 9" in ask("accept", **{"break": "9", "reason": "r"}).reason
    assert ask("accept", **{"break": "1", "reason": "seen"}).accepted
    place.until(lambda: place.breaks()[-1] == ("missing", "accepted: seen"))
    client.close()


def test_a_full_disk_is_an_alarm_and_holds_nobody_up_and_space_ends_it(place: Place) -> None:
    place.until(lambda: place.word()[0] is Readiness.READY)
    database = place.ledger.keeper.store.database
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count={pages + 2}")
    trading = Session(place, "lone")
    lone = ENTRY_SOURCE._replace(session="lone", venue="w")
    trading.say(*(placed(lone, cl_ord_id=f"c{n}") for n in range(200)))
    place.until(lambda: place.word()[0] is Readiness.DEGRADED)
    assert "full" in place.word()[1]
    trading.say(now_report(lone, "1", 10, cl_ord_id="c1"))  # publishing goes on
    place.until(lambda: place.codes() == ["ledger_store"])
    assert place.fills() == 0
    place.host.reactor.run_until(lambda: False, 2 * SECOND)
    assert place.codes() == ["ledger_store"], "said once"
    database.execute("PRAGMA max_page_count=1000000")
    place.until(lambda: place.fills() == 1)
    place.until(lambda: place.codes() == ["ledger_store", "ledger_store"])
    assert place.word() == (Readiness.READY, "")
    with LedgerReader(place.ledger.keeper.store.path) as reader:
        assert len(reader.orders(Filter())) == 200


def test_a_journal_that_dropped_what_was_not_read_is_a_break_and_an_alarm(place: Place) -> None:
    trading = Session(place, "lone")
    lone = ENTRY_SOURCE._replace(session="lone", venue="w")
    trading.say(placed(lone))
    place.until(lambda: place.ledger.keeper.ledger.orders or place.ledger.host.counters.get("events"))
    place.end()
    for n in range(600):
        trading.say(placed(lone, cl_ord_id=f"c{n}"))
        trading.journal.prepare()
    place.begin()
    place.until(lambda: place.breaks() == [("gap", "")])
    place.until(lambda: place.codes() == ["ledger_gap"])
    assert "no longer in the journal" in place.told[0].text
    assert "lone" in place.told[0].text


def test_a_damaged_journal_is_named_and_the_others_go_on(place: Place) -> None:
    trading, other = Session(place, "lone"), Session(place, "trd")
    lone = ENTRY_SOURCE._replace(session="lone", venue="w")
    place.end()
    trading.say(placed(lone))
    with open(segment_path(place.desk.data_dir / "lone", NAME, 1), "r+b") as file:
        file.seek(HEADER_SIZE + 40)
        file.write(b"\xff\xff")
    place.begin()
    other.say(placed(), now_report(ENTRY_SOURCE, "1", 10))
    place.until(lambda: place.fills() == 1)
    place.until(lambda: place.codes()[:1] == ["ledger_journal"])
    assert place.word() == (Readiness.DEGRADED, "journals that cannot be read: lone")


def test_a_ledger_of_a_newer_build_is_left_alone(place: Place) -> None:
    path = place.ledger.keeper.store.path
    place.end()
    store = LedgerDb(path)
    store.database.execute("PRAGMA user_version=99")
    store.close()
    with pytest.raises(SchemaError, match="schema version 99"):
        place.begin()
    place.host.close()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version=1")
    database.close()
    place.begin()
