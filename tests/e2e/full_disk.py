"""A whole desk on a file system that fills up; run by test_full_disk.py in a mount namespace of its own.

`python -m tests.e2e.full_disk FOLDER`: FOLDER is a small tmpfs. Exit status 0 when all held; else what did not is said.
"""

import os
import re
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import quarterdeck as qd
from base.errors import BusError, CommandError
from ipc.events import Alert, ExecutionReport, OrderState
from ipc.journal import read_events
from quarterdeck import supervisord
from tests.e2e.conftest import RunningDesk, end_desk, make_desk, patient, wait_for

PAIRS = {"kraken": "BTC-USD", "binance": "BTC-USDT"}
TRADING = {"kraken": "kraken-trd", "binance": "binance-trd"}
LOG_LINE = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ \d+ |\d+ log records were lost|$")
FIX_LINE = re.compile(rb"\d{8}-\d\d:\d\d:\d\d\.\d+ [<>] 8=FIX.*\x01$")
FILL_QTY = "0.001"
FILLS = 150


class FillingDesk:
    """The desk, a client, and the file that takes the room away."""

    def __init__(self, running: RunningDesk, client: qd.Desk, folder: Path) -> None:
        self.running, self.client, self.folder = running, client, folder
        self.alerts: list[Alert] = []
        self.states: dict[str, str] = {}
        self.refusals: Counter[str] = Counter()
        self.accepted = 0

    def hear(self, seconds: float = 0.0) -> None:
        for delivery in self.client.poll(seconds):
            event = delivery.event
            if isinstance(event, Alert):
                self.alerts.append(event)
            elif isinstance(event, OrderState):
                self.states[event.cl_ord_id] = event.state

    def wait(self, condition: object, seconds: float, what: str) -> None:
        def look() -> object:
            self.hear()
            return condition()  # type: ignore[operator]

        def missed() -> str:
            said = [f"{a.source} {a.code}" for a in self.alerts]
            return f"{what}; {self.running.unready()}; {self.refusals}; {said}"

        wait_for(look, seconds, missed)

    def place(self, venue: str, qty: str = "0.01") -> str:
        """A resting order; "" when it was refused, and why is counted."""
        try:
            cl_ord_id = self.client.buy(venue, PAIRS[venue], qty, "30000")
        except CommandError as refused:
            self.refusals[str(refused)] += 1
            return ""
        self.accepted += 1
        return cl_ord_id

    def reason(self, process: str) -> str:
        return next(p.reason for p in self.running.view().processes if p.name == process)

    def fill_up(self) -> None:
        with open(self.folder / "filler", "ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError:
                    continue
        free = os.statvfs(self.folder).f_bavail
        assert free == 0, f"{free} blocks are free"

    def make_room(self) -> None:
        (self.folder / "filler").unlink()


def change(text: str) -> str:
    """A slow machine answers and reconnects slowly: nobody is killed for it here. Orders are alike, and big."""
    text = re.sub(
        r"^(max_order_qty|duplicate_window_ms) = .*\n", "", patient(text, fence_ms=10_000), flags=re.MULTILINE
    )
    return text.replace("[kill]", "[kill]\nsession_loss_grace_s = 120", 1)


@contextmanager
def filling_desk(folder: Path) -> Iterator[FillingDesk]:
    desk = make_desk(folder / "d", change)
    os.environ.pop("QD_STATE_DIR", None)
    supervisord.start(desk)
    running = RunningDesk(desk)
    try:
        running.wait_ready(120)
        with qd.connect(desk.path, client_id="filler", strategy="test", timeout=5.0) as client:
            for session in (*TRADING.values(), "binance-dc"):
                client.subscribe(f"exec.{session}", replay=True)
            client.subscribe("alert.")
            yield FillingDesk(running, client, folder)
    finally:
        (folder / "filler").unlink(missing_ok=True)
        end_desk(desk)


def scenario(desk: FillingDesk) -> None:
    resting = {venue: [desk.place(venue) for _ in range(6)] for venue in PAIRS}
    big = {venue: desk.place(venue, "10") for venue in PAIRS}
    desk.wait(
        lambda: all(desk.states.get(o) == "NEW" for o in (*resting["kraken"], *resting["binance"])), 60, "resting"
    )
    the_disk_fills_under_a_flow_of_orders(desk)
    the_rest_goes_on(desk, resting, big)
    a_connection_is_lost_and_made_again(desk)
    the_kill_switch_works(desk)
    a_process_dies_and_starts_on_the_full_disk(desk)
    desk.make_room()
    it_is_over_by_itself(desk)
    nothing_was_lost(desk)


def the_disk_fills_under_a_flow_of_orders(desk: FillingDesk) -> None:
    flowing = 0

    def full(venue: str) -> bool:
        nonlocal flowing
        before = desk.refusals.total()
        desk.place(venue, "0.001")
        flowing += 1
        return desk.refusals.total() > before

    for venue in PAIRS:
        assert not full(venue), desk.refusals
    desk.fill_up()
    for venue in PAIRS:
        desk.wait(lambda venue=venue: full(venue), 60, f"{venue} refuses new orders")
    assert all("the disk is full: no new orders" in text for text in desk.refusals), desk.refusals
    for process in (*TRADING.values(), "binance-dc"):
        desk.wait(lambda p=process: desk.running.readiness(p) == "DEGRADED", 60, f"{process} is DEGRADED")
        assert desk.reason(process).startswith("the disk is full"), desk.reason(process)
        desk.wait(lambda p=process: [a for a in desk.alerts if (a.source, a.code) == (p, "disk_full")], 60, "an alarm")
        alarm = [a for a in desk.alerts if (a.source, a.code) == (process, "disk_full")]
        assert all(a.severity == "critical" for a in alarm)
    print(f"{flowing} orders until refused: {dict(desk.refusals)}")


def the_rest_goes_on(desk: FillingDesk, resting: dict[str, list[str]], big: dict[str, str]) -> None:
    """Cancels pass, fills arrive and are journalled."""
    for venue in PAIRS:
        for cl_ord_id in resting[venue][:3]:
            desk.client.cancel(cl_ord_id)
        desk.wait(lambda v=venue: all(desk.states[o] == "CANCELED" for o in resting[v][:3]), 60, f"{venue} cancels")
        at_venue = {o["cl_ord_id"] for o in desk.running.working(venue)}
        assert not at_venue & set(resting[venue][:3])
    for venue in PAIRS:
        order_id = next(o["order_id"] for o in desk.running.working(venue) if o["cl_ord_id"] == big[venue])
        for _ in range(FILLS):
            desk.running.venue(venue, "POST", "/fill", {"order_id": order_id, "qty": FILL_QTY})
        desk.hear()
    assert os.statvfs(desk.folder).f_bavail == 0, "the disk is full to the end of it"


def a_connection_is_lost_and_made_again(desk: FillingDesk) -> None:
    def logons() -> int:
        return int(desk.running.venue("binance", "GET", "/stats")["logons"])

    before = logons()
    desk.running.venue("binance", "POST", "/fault", {"kind": "disconnect", "arguments": {"session": "QDTRD1"}})
    desk.wait(lambda: logons() > before, 60, "disconnected, and back")
    desk.wait(lambda: desk.running.readiness("binance-trd") == "DEGRADED", 60, "logged on again on a full disk")


def the_kill_switch_works(desk: FillingDesk) -> None:
    for venue in PAIRS:
        working = desk.running.working(venue)
        assert working, f"{venue}: nothing works; {desk.running.ask('kill', 'status')['last_trip']}"
    config = ("--config", str(desk.running.desk.path))
    done = desk.running.qd("kill", "trip", "--reason", "full disk", *config)
    assert done.returncode == 0, done.stderr + done.stdout
    desk.wait(lambda: desk.running.ask("kill", "status")["last_trip"]["all_proven_ms"] is not None, 60, "all proven")
    assert desk.running.working("kraken") == desk.running.working("binance") == []


def a_process_dies_and_starts_on_the_full_disk(desk: FillingDesk) -> None:
    before = desk.running.pid("kraken-trd")
    os.kill(before, signal.SIGKILL)
    desk.wait(lambda: desk.running.pid("kraken-trd") not in (before, 0), 60, "restarted")
    desk.wait(lambda: desk.running.readiness("kraken-trd") == "DEGRADED", 60, "up on a full disk")
    assert os.statvfs(desk.folder).f_bavail == 0


def it_is_over_by_itself(desk: FillingDesk) -> None:
    desk.running.wait_ready()
    for process in (*TRADING.values(), "binance-dc"):
        desk.wait(
            lambda p=process: [a for a in desk.alerts if (a.source, a.code, a.severity) == (p, "disk_full", "info")],
            60,
            "the end told",
        )
    desk.running.reset("room again")
    desk.client.arm("room again")
    placed = [desk.place(venue) for venue in PAIRS]
    assert all(placed), desk.refusals
    desk.wait(lambda: all(desk.states.get(o) == "NEW" for o in placed), 60, "new orders work")
    logs_are_whole(desk.running.desk.log_dir)


def logs_are_whole(folder: Path) -> None:
    """Lines are lost and counted, never spoilt."""
    lost = 0
    for path in (p for p in folder.rglob("*.log") if "supervisor" not in p.name):
        shape = FIX_LINE if path.name.endswith(".fix.log") else LOG_LINE
        lines = path.read_bytes().splitlines()
        spoilt = [line for line in lines if not shape.match(line)]
        assert not spoilt, f"{path}: {spoilt[:2]}"
        lost += sum(b"log records were lost before this one" in line for line in lines)
    print(f"{lost} times lines were lost, and counted")


def nothing_was_lost(desk: FillingDesk) -> None:
    """Every fill of the venues is in the journals once."""
    for venue, session in TRADING.items():
        there = Counter(f["trade_id"] for f in record(desk, venue, "fills") if f["cl_ord_id"] in desk.states)

        def journalled(session: str = session) -> Counter[str]:
            found = (d.event for d in read_events(desk.running.desk.data_dir / session))
            return Counter(
                e.trade_id or e.exec_id for e in found if isinstance(e, ExecutionReport) and e.exec_type == "F"
            )

        expected = there.total()
        wait_for(lambda n=expected: journalled().total() >= n, 60, f"{session} has all fills")
        here = journalled()
        assert there.total() > 0
        assert max(here.values()) == 1, [k for k, n in here.items() if n > 1][:5]
        assert here.total() == there.total(), f"{session}: {here.total()} fills, the venue had {there.total()}"
        print(f"{session}: {here.total()} fills, each once")
    copied = {d.event.exec_id for d in read_events(desk.running.desk.data_dir / "binance-dc")
              if isinstance(d.event, ExecutionReport) and d.event.exec_type == "F"}  # fmt: skip
    assert len(copied) >= FILLS, f"the drop copy has {len(copied)}"


def record(desk: FillingDesk, venue: str, what: str) -> list[dict[str, str]]:
    out, begin = [], 0
    while True:
        page = desk.running.venue(venue, "GET", f"/record/{what}?from={begin}")
        out += page[what]
        begin = page["next"]
        if not begin:
            return out


def main() -> int:
    folder = Path(sys.argv[1])
    with filling_desk(folder) as desk:
        scenario(desk)
    print("all held")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (AssertionError, BusError, CommandError):
        traceback.print_exc()
        sys.exit(1)
