"""A trading process stopped exactly between its last look at the gate and the wire, while orders stream in.

The venue's own record says what of it arrived. In front of the venue stands a proxy that can stop reading, so that
bytes stay in the trading process's own kernel.
"""

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ipc.owners import stopped
from tests.e2e.apart_desk import KILLSWITCH, Changes, Stream, wait_for
from tests.e2e.apart_world import World

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

FULL = os.environ.get("QUARTERDECK_KILL_MATRIX") == "all"
VICTIM = "plain-trd"
LAUNCHER = Path(__file__).with_name("stopping_trader.py")
ROLES = ("sim-wide", "sim-plain", KILLSWITCH, "wide-trd", VICTIM)
FENCE_MS = 2500
SMALL = 4096  # the proxy's receive buffer: what its kernel takes while it does not read


class Line:
    """A proxy before the venue's order entry. `deaf`: it reads nothing from the desk, and the kernel's buffers fill."""

    def __init__(self) -> None:
        self.deaf = threading.Event()
        self.target = ("", 0)
        self._server = socket.socket()
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        self._server.bind(("127.0.0.1", 0))
        self._server.listen(8)
        self.port: int = self._server.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _accept(self) -> None:
        while True:
            try:
                desk, _ = self._server.accept()
            except OSError:
                return
            self._start(self._pair, desk)

    def _start(self, target: Callable[..., None], *args: object) -> threading.Thread:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _pair(self, desk: socket.socket) -> None:
        with desk, socket.create_connection(self.target) as venue:
            back = self._start(self._pump, venue, desk)
            self._pump(desk, venue, self.deaf)
            back.join()

    def _pump(self, source: socket.socket, sink: socket.socket, deaf: threading.Event | None = None) -> None:
        try:
            while True:
                while deaf is not None and deaf.is_set():
                    time.sleep(0.005)
                data = source.recv(1024)
                if not data:
                    break
                sink.sendall(data)
        except OSError:
            pass  # a reset is an end like another
        for s in (source, sink):
            with suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def held(self) -> int:
        """Bytes that the desk's kernel holds for this line: sent or not, nobody has acknowledged them."""
        to = f"0100007F:{self.port:04X}"
        rows = (row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:])
        return sum(int(r[4].partition(":")[0], 16) for r in rows if r[2] == to)

    def close(self) -> None:
        """After the desk's end: whoever is connected has gone."""
        self.deaf.clear()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join(60)


class Between:
    """The desk, with the victim behind the line and under the launcher."""

    def __init__(self) -> None:
        self.line = Line()
        self._launched: list[subprocess.Popen[bytes]] = []
        self.world = World(
            supervised=False, roles=ROLES, launchers={VICTIM: LAUNCHER},
            change=self._configuration,
        )  # fmt: skip

    def _configuration(self, text: str) -> str:
        changes = {
            # A lease that lapses on a busy machine and comes back would look like an order accepted after a refusal.
            "fence_deadline_ms = 400": f"fence_deadline_ms = {FENCE_MS}\nlease_ms = 20000",
            "run:sim-plain#trading": f"127.0.0.1:{self.line.port}",
            '"QDPLAIN"\n': '"QDPLAIN"\non_stop = "keep"\n',  # an orderly stop between two tests takes no time
        }
        for old, new in changes.items():
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        return text

    def start(self) -> None:
        for role in ROLES[:2]:
            self.world.spawn(role)
        wait_for(lambda: (self.world.desk.run_dir / "sim-plain.json").exists(), 60, "the venue listens")
        host, _, port = self._trading_address().rpartition(":")
        self.line.target = (host, int(port))
        self._stand_by()
        wait_for(lambda: self.world.pid(VICTIM), 60, "one of ours has the role, and nobody starts a third one")
        self.world.start()

    def _trading_address(self) -> str:
        found: str = json.loads((self.world.desk.run_dir / "sim-plain.json").read_text())["endpoints"]["trading"]
        return found

    def stop_at(self, place: str) -> tuple[int, str]:
        """(pid, ClOrdID) of the victim once it stands still at `place` of an order."""
        folder, pid = self.world.desk.data_dir, self.world.pid(VICTIM)
        (folder / f"{VICTIM}.stopped").unlink(missing_ok=True)
        (folder / f"{VICTIM}.stop.new").write_text(place)
        (folder / f"{VICTIM}.stop.new").rename(folder / f"{VICTIM}.stop")
        wait_for(lambda: stopped(pid), 60, f"stopped at {place}")
        return pid, (folder / f"{VICTIM}.stopped").read_text()

    def again(self) -> None:
        """Whole again, the victim under the launcher, and another one waiting for its role, which saves its start."""
        self._stand_by()
        pid = self.world.pid(VICTIM)
        if pid and pid not in {p.pid for p in self._launched}:  # the kill switch was quicker: a plain one
            os.kill(pid, signal.SIGTERM)
            wait_for(
                lambda: self.world.pid(VICTIM) not in (0, pid), 60, "the revived one stops, and one of ours goes on"
            )
        self.world.rearm()

    def _stand_by(self) -> None:
        self._launched = [p for p in self._launched if p.poll() is None]
        while len(self._launched) < 2:
            self.world.spawn(VICTIM)
            self._launched.append(self.world.children[VICTIM])

    def killed(self, pid: int) -> None:
        """That victim is dead, by the kill switch's hand."""
        process = next(p for p in self._launched if p.pid == pid)
        wait_for(lambda: process.poll() is not None, 60, "killed for missing its deadline")
        assert process.returncode == -signal.SIGKILL

    def close(self) -> None:
        self.world.close()
        self.line.close()


@pytest.fixture(scope="module")
def desk() -> Iterator[Between]:
    between = Between()
    try:
        between.start()
        yield between
    finally:
        between.close()


@pytest.fixture(params=["order", "replace"])
def kind(request: pytest.FixtureRequest) -> str:
    """What the victim is sending when it is stopped; a test may ask for one of them alone."""
    found: str = request.param
    return found


@pytest.fixture
def flow(desk: Between, kind: str) -> Iterator[Stream]:
    """Orders stream in at the victim, or one order is changed without end."""
    desk.again()
    stream = (Changes if kind == "replace" else Stream)(desk.world.desk, VICTIM, 0.01)
    stream.start()
    try:
        wait_for(lambda: len(stream.accepted) >= 3, 60, lambda: f"orders stream in: {stream.last}\n{desk.world.logs()}")
        yield stream
    finally:
        stream.end()  # or its orders would be among those of the next test


def closes(desk: Between) -> None:
    desk.world.trip("cli")
    wait_for(lambda: desk.world.closed(VICTIM), 60, "closed")


def closes_at_once(desk: Between) -> float:
    """Over the operators' line: the fence's deadline runs, and starting a command takes a busy machine long. When."""
    desk.world.ask("trip", scope="desk", reason="between")
    assert desk.world.closed(VICTIM)
    return time.monotonic()


def places(short: list[tuple[str, str]], every: str) -> pytest.MarkDecorator:
    """Parameters kind and place: a few, or with QUARTERDECK_KILL_MATRIX=all each place for orders and replaces."""
    full = [(kind, place) for place in every.split() for kind in ("order", "replace")]
    return pytest.mark.parametrize(("kind", "place"), full if FULL else short, indirect=["kind"])


orders_alone = pytest.mark.parametrize("kind", ["order"], indirect=True)


@places([("order", "check"), ("replace", "stored")], "before check rendered stored encrypted sealed")
def test_what_was_stopped_before_the_kernel_had_it_never_leaves(
    desk: Between, flow: Stream, kind: str, place: str
) -> None:
    pid, cl_ord_id = desk.stop_at(place)
    before = desk.world.settled_record()
    closes(desk)
    desk.killed(pid)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)  # too late: there is nobody any more
    trip = desk.world.wait_settled()
    assert trip["killed"] == [VICTIM]
    after = desk.world.settled_record()
    assert after == before  # a message that was stored is asked for again by the venue, and not sent then either
    assert cl_ord_id not in after["plain"]
    # An order was about to leave: that it never did, nothing proves at this venue. A change leaves the order as it was.
    assert (cl_ord_id in trip["unproven"]) == (kind == "order")
    assert not desk.world.working()
    assert not flow.after


@places([("order", "check")], "before check rendered stored encrypted sealed")
def test_one_continued_before_its_deadline_sends_that_message_alone_before_its_fence(
    desk: Between, flow: Stream, kind: str, place: str
) -> None:
    pid, cl_ord_id = desk.stop_at(place)
    before = desk.world.settled_record()["plain"]
    closes_at_once(desk)
    os.kill(pid, signal.SIGCONT)
    trip = desk.world.wait_settled()
    assert trip["killed"] == []
    after = desk.world.settled_record()["plain"]
    assert after - before <= ({cl_ord_id} if place != "before" else set())  # a look after the trip finds it closed
    assert not desk.world.working()
    assert not flow.after
    assert desk.world.pid(VICTIM) == pid


@orders_alone
def test_one_continued_at_its_deadline_is_dead_or_has_fenced_and_nothing_works(desk: Between, flow: Stream) -> None:
    pid, cl_ord_id = desk.stop_at("check")
    before = desk.world.settled_record()["plain"]
    deadline = closes_at_once(desk) + FENCE_MS / 1000
    wait_for(lambda: time.monotonic() >= deadline, 60, "its deadline")  # whoever wins the race, the rest holds
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        assert desk.world.pid(VICTIM) != pid
    trip = desk.world.wait_settled()
    alive = desk.world.pid(VICTIM) == pid
    assert trip["killed"] == ([] if alive else [VICTIM])
    after = desk.world.settled_record()["plain"]
    assert after - before <= {cl_ord_id}
    assert not desk.world.working()
    assert not flow.after


@places([("order", "queued")], "queued sent")
def test_what_the_kernel_and_the_queue_still_held_goes_with_the_process(
    desk: Between, flow: Stream, kind: str, place: str
) -> None:
    desk.line.deaf.set()
    wait_for(lambda: desk.line.held() > SMALL, 60, "the kernel holds bytes that the other side has no room for")
    pid, cl_ord_id = desk.stop_at(place)
    assert desk.line.held() > 0
    closes(desk)
    desk.killed(pid)
    assert desk.line.held() == 0
    desk.line.deaf.clear()
    trip = desk.world.wait_settled()
    assert trip["killed"] == [VICTIM]
    assert cl_ord_id not in desk.world.settled_record()["plain"]
    assert not desk.world.working()
    assert not flow.after


@places([("order", "sent")], "sent told")
def test_what_the_venue_had_taken_is_cancelled(desk: Between, flow: Stream, kind: str, place: str) -> None:
    pid, cl_ord_id = desk.stop_at(place)
    wait_for(lambda: cl_ord_id in desk.world.record("plain"), 60, "it is at the venue")
    closes(desk)
    trip = desk.world.wait_settled()
    assert trip["killed"] == [VICTIM]
    assert desk.world.pid(VICTIM) != pid
    assert desk.world.record("plain")[cl_ord_id]["closed_ns"]
    assert not desk.world.working()
    assert not flow.after


@orders_alone
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP] if FULL else [signal.SIGKILL], ids=lambda s: s.name)
def test_with_the_kill_switch_gone_that_one_order_may_leave_late_and_its_owner_cancels_it(
    desk: Between, flow: Stream, blow: signal.Signals
) -> None:
    """Nobody is there to kill it: the bound is one order an owner, and what closes the gate cancels it."""
    pid, cl_ord_id = desk.stop_at("check")
    before = desk.world.settled_record()["plain"]
    kill_switch = {KILLSWITCH: desk.world.pid(KILLSWITCH)}
    desk.world.signal(kill_switch, blow)
    closes(desk)
    os.kill(pid, signal.SIGCONT)
    wait_for(lambda: cl_ord_id in desk.world.record("plain"), 60, "it was about to leave, and leaves")
    wait_for(lambda: not desk.world.working(), 60, lambda: f"the owners obey the word: {desk.world.working()}")
    wait_for(lambda: flow.refused, 60, "every further order is refused")
    assert desk.world.settled_record()["plain"] - before == {cl_ord_id}
    if blow == signal.SIGSTOP:
        desk.world.signal(kill_switch, signal.SIGCONT)  # it finds the word, and makes a trip of it before all else
    else:
        desk.world.spawn(KILLSWITCH)
    assert desk.world.wait_settled()["killed"] == []
    assert desk.world.settled_record()["plain"] - before == {cl_ord_id}
    assert not flow.after
