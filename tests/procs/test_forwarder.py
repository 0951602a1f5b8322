"""The forwarder before a desk: good clients are served, hostile ones are not, and the good ones do not notice.

Each hostile client does its worst while a good one is connected, and each test ends with that one's order and event.
"""

import contextlib
import os
import shutil
import socket as tcp
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq

import quarterdeck as qd
from base.errors import BusError, SecretError
from ipc.remote_keys import ClientKey, Role, new_pair
from ipc.requests import Answer, AnyCommand, CancelOrder, ListOrders, MassCancel, NewOrder, Ops
from quarterdeck.remote import RemoteLinks
from tests.ipc.bus_tools import wait_for
from tests.procs.remote_desk import TOPIC, RemoteDesk

SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def desk() -> Iterator[RemoteDesk]:
    root = Path(tempfile.mkdtemp(prefix="qf", dir="/tmp"))
    shm = Path(tempfile.mkdtemp(prefix="qf", dir="/dev/shm"))
    desk = RemoteDesk(root, shm)
    try:
        yield desk
    finally:
        desk.stop()
        shutil.rmtree(root, ignore_errors=True)
        shutil.rmtree(shm, ignore_errors=True)


class Good:
    """A trader who is connected throughout."""

    def __init__(self, desk: RemoteDesk) -> None:
        self.desk = desk
        desk.key("good", Role.TRADER)
        self.links = RemoteLinks(desk.address, desk.file("good"), "good")
        self.subscriber = self.links.subscriber()
        self.subscriber.subscribe("exec.")
        wait_for(self.hears, "the good client hears the desk")

    def hears(self) -> bool:
        self.subscriber.receive()
        return self.subscriber.position("exec.v-trd") != (0, 0)

    def is_served(self) -> None:
        """Orders, until the event of one is heard: what was hung up on may be on its way back."""
        client = self.links.command("v-trd")
        placed: set[str] = set()

        def told() -> bool:
            command_id, deadline_ns = client.next_command_id(), time.time_ns() + 10 * SECOND
            command = NewOrder(self.links.client_id, command_id, deadline_ns, "v", "BTC-USD", "1", "2", 1, 1)
            try:
                answer = client.request(command, 5_000)
            except BusError:
                return False  # hung up on with the others, and under way when it was
            assert answer.accepted, answer.reason
            placed.add(command_id)
            self.subscriber.socket.poll(200)
            return any(getattr(d.event, "command_id", "") in placed for d in self.subscriber.receive())

        wait_for(told, "the event of the good client's order")


@pytest.fixture(scope="module")
def good(desk: RemoteDesk) -> Iterator[Good]:
    good = Good(desk)
    yield good
    good.links.close()


@pytest.fixture
def checked(good: Good) -> Iterator[Good]:
    """After whatever a hostile client did, the good one is still served."""
    good.is_served()
    yield good
    good.is_served()


class Asker:
    """A client that writes what it likes."""

    def __init__(self, desk: RemoteDesk, key: ClientKey | None, **options: int) -> None:
        self.socket = desk.socket(zmq.DEALER, key, **options)

    def says(self, *parts: bytes) -> Answer:
        self.socket.send_multipart(parts)
        assert self.socket.poll(30_000), "no answer"
        return msgspec.msgpack.decode(self.socket.recv_multipart()[-1], type=Answer)

    def asks(self, process: str, command: AnyCommand) -> Answer:
        return self.says(process.encode(), msgspec.msgpack.encode(command))

    def __enter__(self) -> "Asker":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close(0)


def soon() -> int:
    return time.time_ns() + 5 * SECOND


def new(client_id: str = "c", command_id: str = "1", strategy: str = "") -> NewOrder:
    return NewOrder(client_id, command_id, soon(), "v", "BTC-USD", "1", "2", 1, 1, strategy=strategy)


# -- who comes with a key that is let in -------------------------------------------------------------------------------


def test_a_client_learns_what_the_desk_has_and_no_address_or_secret(good: Good) -> None:
    links = good.links
    assert (links.description.key, links.description.role) == ("good", "trader")
    assert links.desk.sessions(links.desk.config.session["v-trd"].kind) == ["v-trd"]
    assert links.desk.instruments["v", "BTC-USD"].px_scale == 1
    text = msgspec.json.encode(links.description)
    assert b"secret.example" not in text
    assert b"SECRETIVE" not in text
    assert b"SECRET_NAME" not in text
    assert links.statuses()["forwarder"].readiness in ("READY", "DEGRADED")


def test_the_process_hears_the_keys_name_and_not_the_clients_word_alone(desk: RemoteDesk, checked: Good) -> None:
    forged = desk.key("forger", Role.TRADER)
    with Asker(desk, forged) as hostile:
        assert hostile.asks("v-trd", new("good/good", "forged-1")).accepted
    assert [c.client_id for c in desk.trading.commands if c.command_id == "forged-1"] == ["forger/good/good"]
    command_id = next(c.command_id for c in desk.trading.commands if c.client_id == "good/good")
    with Asker(desk, forged) as hostile:  # the good one's command id steals nothing either: it is another order
        answer = hostile.asks("v-trd", new("good/good", command_id))
    assert answer.accepted
    assert not answer.duplicate


def test_asked_twice_it_is_one_order(desk: RemoteDesk, checked: Good) -> None:
    with Asker(desk, desk.key("twice", Role.TRADER)) as client:
        first, again = (client.asks("v-trd", new("c", "again")) for _ in range(2))
    assert (first.cl_ord_id, again.duplicate) == (again.cl_ord_id, True)


def test_a_strategy_does_what_it_does_on_the_desks_own_host(desk: RemoteDesk, checked: Good) -> None:
    desk.key("ann", Role.TRADER, "demo")
    with qd.connect(desk.address, keys=desk.file("ann"), strategy="demo", timeout=10) as client:
        assert client.client_id.startswith("ann/demo-")
        assert client.trading_sessions() == ["v-trd"]
        assert [i.name for i in client.instruments()] == ["BTC-USD"]
        client.subscribe("exec.v-trd", history=True)
        cl_ord_id = client.buy("v", "BTC-USD", "0.001", "0.1")
        heard: list[object] = []

        def told() -> bool:
            heard.extend(d.event for d in client.poll(0.1))
            return any(isinstance(e, qd.OrderState) and e.cl_ord_id == cl_ord_id for e in heard)

        wait_for(told, "the order's event, out of a replay or live")
        client.cancel(cl_ord_id)
        assert client.orders()
        refused = client.request("killswitch", Ops(client.client_id, "t", 0, "trip", {}))
        assert "trip needs an operator's" in refused.reason
        client.arm("looked at it")
        armed = desk.killswitch.commands.pop()
        assert isinstance(armed, Ops)
        assert (armed.verb, armed.args["scope"], armed.args["by"]) == ("arm", "strategy:demo", "ann")


def test_where_a_desk_is_and_the_keys_to_it_go_together(desk: RemoteDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QD_KEYS", raising=False)
    with pytest.raises(qd.ConfigError, match="is on another host: give keys=FILE"):
        qd.connect(desk.address)
    with pytest.raises(qd.ConfigError, match="keys are for a desk on another host"):
        qd.connect(desk.desk.path, keys="ann.key")
    for wrong in ("http://127.0.0.1:1", "tcp://127.0.0.1", "tcp://:8711", "tcp://127.0.0.1:99999"):
        with pytest.raises(qd.ConfigError, match="expected tcp://HOST:PORT"):
            qd.connect(wrong, keys=desk.file("good"))
    monkeypatch.setenv("QD_CONFIG", desk.address)
    monkeypatch.setenv("QD_KEYS", str(desk.file("good")))
    desk.key("good2", Role.READER)
    monkeypatch.setenv("QD_KEYS", str(desk.file("good2")))
    with qd.connect() as client:
        assert client.client_id.startswith("good2/")
        with pytest.raises(qd.CommandError, match="role reader: NewOrder needs a trader's"):
            client.buy("v", "BTC-USD", "0.001", "0.1")


# -- roles -------------------------------------------------------------------------------------------------------------


def test_a_reader_reads_and_that_is_all(desk: RemoteDesk, checked: Good) -> None:
    before = len(desk.trading.commands), len(desk.killswitch.commands)
    with Asker(desk, desk.key("reader", Role.READER)) as hostile:
        for process, command in (
            ("v-trd", new()), ("v-trd", CancelOrder("c", "2", 0, "order-1")), ("v-trd", MassCancel("c", "3", 0)),
            ("v-trd", ListOrders("c", "4", 0)), ("killswitch", Ops("c", "5", 0, "trip")),
        ):  # fmt: skip
            answer = hostile.asks(process, command)
            assert not answer.accepted
            assert "key reader has role reader" in answer.reason
    assert (len(desk.trading.commands), len(desk.killswitch.commands)) == before
    assert "remote_refused: reader: NewOrder refused: key reader has role reader" in desk.alerts()


def test_a_trader_trips_and_resets_nothing(desk: RemoteDesk, checked: Good) -> None:
    with Asker(desk, desk.key("trader", Role.TRADER, "demo")) as hostile:
        for number, verb in enumerate(("trip", "reset", "arm", "status", "drill")):
            answer = hostile.asks("killswitch", Ops("c", str(number), soon(), verb, {"scope": "desk"}))
            assert not answer.accepted
            assert f"{verb} needs an operator's" in answer.reason
        assert "may trade for demo, not for 'else'" in hostile.asks("v-trd", new("c", "9", "else")).reason
    assert desk.killswitch.commands == []


def test_an_operator_trips_under_the_keys_name(desk: RemoteDesk, checked: Good) -> None:
    with Asker(desk, desk.key("olivia", Role.OPERATOR)) as operator:
        answer = operator.asks("killswitch", Ops("c", "1", 0, "trip", {"scope": "desk", "by": "somebody else"}))
    assert answer.accepted, answer.reason
    heard = desk.killswitch.commands.pop()
    assert isinstance(heard, Ops)
    assert (heard.client_id, heard.args) == ("olivia/c", {"scope": "desk", "by": "olivia"})


def test_an_order_without_a_deadline_or_to_nobody_is_refused(desk: RemoteDesk, checked: Good) -> None:
    with Asker(desk, desk.key("late", Role.TRADER)) as client:
        timeless = msgspec.structs.replace(new(), deadline_ns=0)
        assert "has to be given" in client.asks("v-trd", timeless).reason
        assert "no process 'v-md2' takes commands" in client.asks("v-md2", new()).reason


# -- who is not let in -------------------------------------------------------------------------------------------------


def refused(desk: RemoteDesk, key: ClientKey | None) -> None:
    """Neither port answers such a client."""
    monitors: list[Any] = []
    commands = desk.socket(zmq.DEALER, key, monitors=monitors, IMMEDIATE=1)
    events = desk.socket(zmq.SUB, key, "events_port", monitors=monitors)
    try:
        events.setsockopt(zmq.SUBSCRIBE, b"")
        for monitor in monitors:
            assert monitor.poll(30_000), "it is hung up on"
        assert not commands.poll(0, zmq.POLLOUT)
        assert not events.poll(0)
    finally:
        for socket, monitor in zip((commands, events), monitors, strict=True):
            socket.disable_monitor()
            monitor.close(0)
            socket.close(0)


def test_without_curve_nobody_is_let_in(desk: RemoteDesk, checked: Good) -> None:
    refused(desk, None)


def test_with_a_key_that_nobody_knows_nobody_is_let_in(desk: RemoteDesk, checked: Good) -> None:
    refused(desk, ClientKey("stranger", *new_pair(), desk.server.public))
    assert "a key that nobody here knows" in desk.alerts()


def test_with_the_public_key_of_another_nobody_is_let_in(desk: RemoteDesk, checked: Good) -> None:
    """Public keys are no secret: who has one without its secret half does not get past the handshake."""
    public = desk.key("known", Role.OPERATOR).public
    refused(desk, ClientKey("stranger", public, new_pair()[1], desk.server.public))


def test_a_client_talks_to_no_other_forwarder_than_its_own(desk: RemoteDesk, checked: Good) -> None:
    key = desk.key("misled", Role.TRADER)
    refused(desk, msgspec.structs.replace(key, server=new_pair()[0]))


def test_a_clients_error_says_what_is_known(desk: RemoteDesk, checked: Good, tmp_path: Path) -> None:
    desk.key("gone", Role.TRADER)
    desk.revoke("gone")
    with pytest.raises(BusError, match=r"no forwarder: it does not let this key in"):
        RemoteLinks(desk.address, desk.file("gone"), "x", timeout=60)
    free = tcp.socket()
    free.bind(("127.0.0.1", 0))
    with free, pytest.raises(BusError, match=r"no forwarder within 0\.2 s: nobody answers there"):
        RemoteLinks(f"tcp://127.0.0.1:{free.getsockname()[1]}", desk.file("gone"), "x", timeout=0.2)
    desk.file("gone").chmod(0o644)
    with pytest.raises(SecretError, match="mode 0644 lets others read it"):
        RemoteLinks(desk.address, desk.file("gone"), "x")


def test_a_key_that_is_taken_away_is_refused_while_connected(desk: RemoteDesk, checked: Good) -> None:
    key = desk.key("fired", Role.OPERATOR)
    events = desk.socket(zmq.SUB, key, "events_port")
    events.setsockopt(zmq.SUBSCRIBE, b"exec.")
    with events, Asker(desk, key) as hostile:
        assert hostile.asks("v-trd", new("c", "1")).accepted
        assert events.poll(30_000)
        monitors = [s.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_AUTH) for s in (events, hostile.socket)]
        desk.revoke("fired")
        for monitor in monitors:
            assert monitor.poll(30_000), "it is hung up on, and does not get back"
        before = len(desk.killswitch.commands)
        with contextlib.suppress(zmq.Again):  # nothing to send it on is what is wanted
            hostile.socket.send_multipart(
                [b"killswitch", msgspec.msgpack.encode(Ops("c", "3", 0, "trip"))], zmq.NOBLOCK
            )
        while events.poll(0):
            events.recv()
        checked.is_served()  # whose event the revoked one does not hear
        assert not events.poll(0)
        assert len(desk.killswitch.commands) == before
        for socket, monitor in zip((events, hostile.socket), monitors, strict=True):
            socket.disable_monitor()
            monitor.close(0)


# -- bytes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ((b"v-trd", b"\xff"), "malformed command"),
        ((b"v-trd", b""), "malformed command"),
        ((b"v-trd",), "1 parts, expected"),
        ((b"v-trd", b"x", b"y"), "3 parts, expected"),
        ((b"\xff\x00", b"\x90"), "malformed command"),
        ((b"v-trd", b"\x91" * 400), "malformed command"),
        ((b"v-trd", msgspec.msgpack.encode(["new", "c", "id-7", "soon"])), "malformed command"),
    ],
    ids=["bytes", "empty", "one", "three", "name", "nested", "types"],
)
def test_what_is_no_command_is_answered_and_goes_no_further(
    desk: RemoteDesk, checked: Good, parts: tuple[bytes, ...], says: str
) -> None:
    before = len(desk.trading.commands)
    key = desk.key("garbler", Role.TRADER)
    with Asker(desk, key) as hostile:
        answer = hostile.says(*parts)
    assert not answer.accepted
    assert says in answer.reason
    assert answer.command_id == ("id-7" if b"id-7" in parts[-1] else "")
    assert len(desk.trading.commands) == before


def test_what_is_too_large_is_hung_up_on(desk: RemoteDesk, checked: Good) -> None:
    with Asker(desk, desk.key("bulky", Role.TRADER), RECONNECT_STOP=0) as hostile:
        monitor = hostile.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        assert hostile.asks("v-trd", ListOrders("c", "1", 0)).accepted
        hostile.socket.send_multipart([b"v-trd", b"x" * 5_000_000])
        assert monitor.poll(30_000)
        hostile.socket.disable_monitor()
        monitor.close(0)


def test_bytes_that_are_no_zmtp_are_hung_up_on(desk: RemoteDesk, checked: Good) -> None:
    for port in ("port", "events_port"):
        with tcp.create_connection(("127.0.0.1", desk.port(port)), timeout=30) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\n\r\n" + os.urandom(4096))
            raw.settimeout(30)
            assert ended(raw)


def ended(raw: tcp.socket) -> bool:
    try:
        while raw.recv(4096):
            pass
    except ConnectionResetError:
        return True
    return True


# -- floods and silence ------------------------------------------------------------------------------------------------


def test_a_flood_of_orders_passes_its_share_alone_and_cancels_still_pass(desk: RemoteDesk, checked: Good) -> None:
    with Asker(desk, desk.key("flood", Role.TRADER)) as hostile:
        for n in range(400):
            hostile.socket.send_multipart([b"v-trd", msgspec.msgpack.encode(new("c", f"n{n}"))])
        answers = []
        for _ in range(400):
            assert hostile.socket.poll(30_000)
            answers.append(msgspec.msgpack.decode(hostile.socket.recv_multipart()[-1], type=Answer))
        over = [a for a in answers if "more than its share a second" in a.reason]
        assert len(over) + sum(a.accepted for a in answers) == 400
        assert len(over) > 100
        assert hostile.asks("v-trd", CancelOrder("c", "x", 0, "order-1")).accepted


def test_a_client_that_never_reads_its_answers_holds_up_nobody(desk: RemoteDesk, checked: Good) -> None:
    with Asker(desk, desk.key("deaf", Role.TRADER), RCVHWM=1) as hostile:
        for n in range(300):
            hostile.socket.send_multipart([b"v-trd", msgspec.msgpack.encode(ListOrders("c", f"{n}", 0))])
        checked.is_served()


def test_a_subscriber_that_never_reads_is_left_behind_alone(desk: RemoteDesk, checked: Good) -> None:
    deaf = desk.socket(zmq.SUB, desk.key("deaf2", Role.READER), "events_port", RCVHWM=1, RCVBUF=4096)
    with deaf:
        deaf.setsockopt(zmq.SUBSCRIBE, TOPIC.encode())
        assert deaf.poll(30_000)
        for n in range(3_000):
            desk.marketdata.say.append(desk.marketdata.moves(n + 1, n))
        wait_for(lambda: not desk.marketdata.say, "all of it is published")
        checked.is_served()


def test_who_subscribes_without_end_is_shut_out_and_the_others_are_back_at_once(
    desk: RemoteDesk, checked: Good
) -> None:
    key = desk.key("greedy", Role.READER)
    greedy = desk.socket(zmq.SUB, key, "events_port", SNDHWM=0)
    with greedy:
        for n in range(8_000):
            greedy.setsockopt(zmq.SUBSCRIBE, b"%d" % n)
        wait_for(lambda: "greedy subscribes without end: shut out" in desk.alerts(), "it is suspended")


def test_connections_that_say_nothing_are_hung_up_on_and_never_use_up_all_there_is(
    desk: RemoteDesk, checked: Good
) -> None:
    """Of a flood no more are let in than there is room for; who is inside is served, and others once they time out."""
    silent = [tcp.create_connection(("127.0.0.1", desk.port()), timeout=30) for _ in range(60)]
    try:
        wait_for(lambda: "nobody else is let in until some have gone" in desk.alerts(), "the door is closed")
        checked.is_served()
        for raw in silent:
            assert ended(raw)
    finally:
        for raw in silent:
            raw.close()

    def let_in() -> bool:
        try:
            RemoteLinks(desk.address, desk.file("good"), "late", timeout=5).close()
        except BusError:
            return False
        return True

    wait_for(let_in, "the door is open again")


# -- books and restarts ------------------------------------------------------------------------------------------------


def test_a_book_is_kept_from_the_stream_and_outlives_a_restart_of_the_forwarder(desk: RemoteDesk, good: Good) -> None:
    desk.marketdata.bid = 5_000
    book = good.links.book("v", "BTC-USD", 0)

    def best() -> tuple[int, int]:
        state, bid, qty, *_ = book.bbo_any()
        return (bid, qty) if state == 1 else (0, 0)

    wait_for(lambda: best() == (5_000, 5), "a snapshot")
    assert (book.px_scale, book.qty_scale, book.level) == (1, 3, 2)
    desk.marketdata.say.append(desk.marketdata.moves(5_001, 5_000))
    wait_for(lambda: best() == (5_001, 5), "a change")
    assert book.depth()[0] == [(5_001, 5, 0)]
    ports = desk.port(), desk.port("events_port")
    fixed = desk.desk.path.read_text()
    desk.desk.path.write_text(
        fixed.replace("port = 0\nevents_port = 0", f"port = {ports[0]}\nevents_port = {ports[1]}")
    )
    desk.forwarder.kill()
    desk.forwarder.wait(30)
    wait_for(lambda: book.status()[0] == 2, "STALE: nothing is heard")
    desk.marketdata.bid = 6_000
    desk.start()
    assert (desk.port(), desk.port("events_port")) == ports
    wait_for(lambda: best() == (6_000, 5), "a snapshot of the stream that is back")
    good.is_served()
