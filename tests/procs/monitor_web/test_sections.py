"""Which parts of a view are sent again, and errands from thread to thread."""

import threading
from concurrent.futures import Future
from pathlib import Path

import msgspec
import pytest

from base.clock import SystemClock
from base.config import load
from base.errors import CommandError
from base.reactor import Reactor
from ipc.view.model import DeskModel
from ipc.view.structs import EventPart, View
from procs.monitor_web.errands import Errands
from procs.monitor_web.sections import Sections

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def view() -> View:
    return DeskModel(load(ROOT / "config" / "desk.toml")).view(1, 1)


def test_only_what_changed_is_sent_again(view: View) -> None:
    sections = Sections()
    first = sections.changed(view)
    assert {"desk", "kill", "sessions", "books", "open_orders", "limits", "alarms", "processes"} <= set(first)
    assert msgspec.json.decode(first["desk"])["state"] == view.desk.state
    assert sections.changed(view) == {}
    other = msgspec.structs.replace(view, desk=msgspec.structs.replace(view.desk, state="READY"), taken_ns=9)
    assert list(sections.changed(other)) == ["desk"]


def test_each_event_is_sent_once(view: View) -> None:
    def event(number: int) -> EventPart:
        return EventPart(number=number, ts_ns=1, severity="info", kind="Alert", source="x", subject="", text="<b>")

    sections = Sections()
    assert [msgspec.json.decode(x)["number"] for x in sections.lines([event(1), event(2)])] == [1, 2]
    assert [msgspec.json.decode(x)["number"] for x in sections.lines([event(2), event(3)])] == [3]
    assert sections.lines([event(3)]) == []


def test_errands_are_done_by_the_loops_thread_and_bring_back_what_came_of_them() -> None:
    reactor = Reactor(SystemClock())
    errands = Errands(reactor)
    futures: list[Future[int]] = []

    def refuse() -> int:
        raise CommandError("no such book")

    def other_thread() -> None:
        futures.extend([errands.ask(threading.get_ident), errands.ask(refuse)])

    thread = threading.Thread(target=other_thread)
    thread.start()
    thread.join()
    while not all(f.done() for f in futures):
        reactor.run_once(10**9)
    assert futures[0].result() == threading.get_ident()
    with pytest.raises(CommandError, match="no such book"):
        futures[1].result()
    errands.close()
    reactor.close()
