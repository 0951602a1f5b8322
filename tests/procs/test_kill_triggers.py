"""The triggers in the kill switch's process: what owners journal, how processes fare and what books say."""

import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ipc import frames
from ipc._bus import Outlet
from ipc.books import BookReason, BookSpec, BookState, RegionOwner, create_region
from ipc.events import ExecutionReport
from ipc.gate import GateReader, session_scopes
from ipc.journal import Journal
from tests.procs.kill_venue import KillDesk

pytestmark = pytest.mark.e2e
Make = Callable[..., KillDesk]
NEVER_NS = 1 << 60


@pytest.fixture
def desk_of() -> Iterator[Make]:
    """Desks in short paths (socket names are limited), all of it gone afterwards."""
    made: list[KillDesk] = []
    folders: list[Path] = []

    def make(**options: Any) -> KillDesk:
        root = Path(tempfile.mkdtemp(prefix="qk", dir="/tmp"))
        shm = Path(tempfile.mkdtemp(prefix="qk", dir="/dev/shm"))
        folders.extend((root, shm))
        made.append(KillDesk(root / "d", shm, **options))
        return made[-1]

    yield make
    for desk in made:
        desk.close()
    for folder in folders:
        shutil.rmtree(folder)


def tripped(desk: KillDesk, session: str) -> str:
    """Which scope closes a session's gate; a lease that a slow machine lets lapse is no matter here."""
    shm = desk.desk.shm_dir
    reader = GateReader(shm / "gate", shm / "operator", session_scopes("x", "main", session))
    reason = reader.closed_reason(time.monotonic_ns())
    return "" if reason.startswith("lease") else reason


def audited(desk: KillDesk, event: str) -> list[dict[str, Any]]:
    lines = [
        msgspec.json.decode(line, type=dict[str, Any])
        for path in sorted((desk.desk.data_dir / "kill").glob("audit-*"))
        for line in path.read_bytes().splitlines()
    ]
    return [line["facts"] for line in lines if line["event"] == event]


def test_a_loss_trips_its_scope_with_its_figures_and_a_restart_remembers_it(desk_of: Make) -> None:
    limits = '[[kill.limits]]\nscope = "venue:x"\nmax_realised_loss = { USD = "50" }\nmax_drawdown = { USD = "900" }\n'
    desk = desk_of(limits=limits)
    desk.start(orders=2)
    desk.tell("a", "fill 1 100", "fill -1 75")
    desk.wait(lambda: desk.limit("realised loss in USD").get("value") == "25", "half of it seen")
    assert desk.limit("realised loss in USD")["state"] == "50 %"
    assert tripped(desk, "a") == ""
    desk.tell("a", "fill 2 100", "fill -1 60")
    trip = desk.wait_proven()
    assert (trip["scopes"], trip["cause"], trip["proven"]) == (["venue:x"], "limit", 4)
    figures = trip["figures"]
    assert (figures["figure"], figures["value"], figures["limit"]) == ("realised loss in USD", "65", "50")
    desk.wait(lambda: audited(desk, "trip"), "audited")
    assert audited(desk, "trip")[0]["figures"]["samples"] == figures["samples"]
    desk.kill("killswitch")
    desk.spawn("killswitch")
    desk.wait(lambda: desk.readiness("killswitch") == "READY", "ready")
    found = desk.limits()
    (holding,) = [h for h in found["holdings"] if h["session"] == "a"]
    assert (holding["position"], holding["fills"]) == ("1.00000000", 4)
    assert desk.limit("realised loss in USD")["value"] == "65"
    desk.wait(lambda: desk.status()["scopes"][0]["state"] in ("ARMED", "TRIPPED"), "taken up")
    desk.wait(lambda: desk.ask("reset", scope="venue:x", reason="the position is hedged elsewhere").accepted, "reset")
    desk.wait(lambda: tripped(desk, "a") == "", "open again, with what was lost accepted")
    desk.wait(lambda: desk.limit("realised loss in USD")["state"] == "over, accepted at 65", "said so")
    desk.tell("b", "fill 1 100", "fill -1 99")
    desk.wait(lambda: "venue:x is TRIP" in tripped(desk, "a"), "no more than that")


def test_a_storm_of_rejects_trips_its_session_alone(desk_of: Make) -> None:
    desk = desk_of(limits='[[kill.limits]]\nscope = "session:a"\nmax_rejects_per_min = 20\n')
    desk.start(orders=1)
    desk.tell("b", "reject 50")
    desk.tell("a", "reject 20")
    desk.wait(lambda: desk.limit("rejects a minute").get("value") == "20", "counted")
    assert tripped(desk, "a") == ""
    desk.tell("a", "reject 1")
    trip = desk.wait_proven()
    assert (trip["scopes"], trip["figures"]["value"]) == (["session:a"], "21")
    assert tripped(desk, "b") == ""


def test_what_a_trip_of_one_session_cancels_trips_no_more_and_a_restart_does_not_count_it_either(desk_of: Make) -> None:
    keys = 'max_cancels_per_fill = "2"\ncancels_floor = 3\nconfirm_n = 1\nconfirm_m = 1\n'
    limits = f'[[kill.limits]]\nscope = "desk"\n{keys}'
    desk = desk_of(limits=limits)
    desk.start(orders=5)
    assert desk.ask("trip", scope="session:a", reason="test").accepted
    assert desk.wait_proven()["proven"] == 5
    desk.kill("killswitch")
    desk.spawn("killswitch")
    desk.wait(lambda: desk.readiness("killswitch") == "READY", "ready")
    desk.wait(lambda: "detail" in desk.limit("cancels per fill"), "looked at")
    assert desk.limit("cancels per fill")["detail"].startswith("0 cancels, ")
    assert tripped(desk, "b") == ""


def test_a_stuck_process_trips_its_session(desk_of: Make) -> None:
    desk = desk_of(limits="[kill.health]\nevery_ms = 100\n[kill.health.stuck]\nmax_ms = 3000\n")
    desk.start(orders=2)
    desk.signal("a", signal.SIGSTOP)
    desk.wait(lambda: desk.last_trip(), "tripped")
    trip = desk.last_trip()
    assert (trip["scopes"], trip["cause"]) == (["session:a"], "health")
    assert trip["figures"]["figure"] == "no heartbeat of a"
    assert int(trip["figures"]["value"]) > 3000
    assert len([s for s in trip["figures"]["samples"] if s["over"]]) == 2
    assert desk.ended("a") == -signal.SIGKILL  # it did not answer the gate either
    assert tripped(desk, "b") == ""


DROP_COPY = """
[session.dc]
venue = "x"
kind = "dropcopy"
address = "127.0.0.1:1"
sender_comp_id = "DC"
target_comp_id = "X"
"""


def test_a_fill_that_the_drop_copy_does_not_show_trips_within_its_time(desk_of: Make) -> None:
    limits = '[[kill.limits]]\nscope = "venue:x"\nmax_drop_copy_lag_s = 4\nconfirm_n = 2\nconfirm_m = 3\n'
    desk = desk_of(limits=limits, owners=("a",), more=DROP_COPY)
    journal = Journal(desk.desk.data_dir / "dc", 1)
    journal.declare("exec.dc", 1)
    outlet = Outlet(frames.prefix(b"exec.dc", 1), journal)

    def copy(fill: ExecutionReport) -> None:
        report = msgspec.structs.replace(fill, session="dc", drop_copy=True)
        journal.frame(outlet.frame(0, 1, frames.encode_event(report)))
        outlet.next_seq += 1

    desk.start(orders=1)
    desk.tell("a", "fill 1 100")
    first = desk.fills("a", 1)[0]
    copy(first)
    desk.wait(lambda: desk.limit("drop-copy lag").get("value") == "0", "both views show it")
    desk.tell("a", "fill 1 101")
    second = desk.fills("a", 2)[1]
    trip = desk.wait_proven()
    assert trip["figures"]["figure"] == "drop-copy lag"
    assert f"the drop copy does not show {second.cl_ord_id}" in trip["reason"]
    journal.close()


def test_a_journal_that_can_be_read_again_is_no_fault_any_more(desk_of: Make) -> None:
    desk = desk_of(owners=("a",), more=DROP_COPY)
    desk.desk.data_dir.mkdir(parents=True, exist_ok=True)
    place = desk.desk.data_dir / "dc"
    place.write_text("no folder")
    desk.start(killswitch="DEGRADED")
    assert any("Not a directory" in fault for fault in desk.status()["faults"])
    place.unlink()
    desk.wait(lambda: desk.readiness("killswitch") == "READY", "read again")


BOOK = """
[session.md]
venue = "x"
kind = "marketdata"
address = "127.0.0.1:1"
sender_comp_id = "MD"
target_comp_id = "X"

[book.m]
sessions = ["md"]
"""


def region(desk: KillDesk) -> RegionOwner:
    specs = [BookSpec("x", i.name, i.px_scale, i.qty_scale, levels=10) for i in desk.desk.venue_instruments("x")]
    made = create_region(desk.desk.shm_dir / "book-m", specs, heartbeat_limit_ns=NEVER_NS)
    for spec in specs:
        made.book("x", spec.instrument).replace(*(_side(spec.px_scale, px) for px in (99, 101)), 1, 1, 1)
    return made


def _side(px_scale: int, px: int) -> bytes:
    return (px * 10**px_scale).to_bytes(8, "little") + (10**8).to_bytes(8, "little")


def test_a_stale_book_behind_working_orders_trips_after_its_confirmations(desk_of: Make) -> None:
    limits = '[[kill.limits]]\nscope = "instrument:BTC-USD"\nmax_book_stale_ms = 300\n'
    desk = desk_of(limits=limits, owners=("a",), more=BOOK)
    books = region(desk)
    desk.start()
    book = books.book("x", "BTC-USD")
    book.set_status(BookState.STALE, BookReason.GAP, 1)
    desk.wait(lambda: desk.limit("stale book").get("state") == "ok", "nothing works: no harm")
    desk.place("a", 1)
    desk.wait(lambda: int(desk.limit("stale book")["value"] or 0) > 0 or desk.last_trip(), "counted from then on")
    trip = desk.wait_proven()
    assert trip["scopes"] == ["instrument:BTC-USD"]
    assert "BTC-USD STALE GAP, 1 working orders" in trip["reason"]
    assert len([s for s in trip["figures"]["samples"] if s["over"]]) == 3
    assert trip["figures"]["confirm_n"] == 3
    books.close()


def test_a_process_that_takes_too_much_memory_raises_an_alarm_or_trips_as_configured(desk_of: Make) -> None:
    health = "[kill.health]\nevery_ms = 100\n[kill.health.memory]\nmax_mb = 200\n"
    for action, trips in (("warn", False), ("trip", True)):
        desk = desk_of(limits=f'{health}action = "{action}"\n', owners=("a",))
        desk.start(orders=1)
        desk.wait(lambda: desk.limit("memory of a").get("state") == "ok", "measured")  # noqa: B023 - called at once
        desk.tell("a", "memory 250")
        if trips:
            trip = desk.wait_proven()
            assert (trip["scopes"], trip["cause"], trip["figures"]["unit"]) == (["session:a"], "health", "MB")
        else:
            desk.wait(lambda: desk.limit("memory of a")["state"] == "over, fired", "alarm")  # noqa: B023
            desk.logged("critical health: memory of a")
            assert desk.status()["last_trip"] is None
            assert tripped(desk, "a") == ""


def test_a_limit_that_guards_nothing_is_an_error_at_start(desk_of: Make) -> None:
    desk = desk_of(limits='[[kill.limits]]\nscope = "desk"\nmax_loss = { UDS = "5" }\n', owners=("a",))
    desk.spawn("killswitch")
    assert desk.ended("killswitch") == 1
    assert "kill.limits[0].max_loss: no instrument is quoted in 'UDS'" in desk.logs()
