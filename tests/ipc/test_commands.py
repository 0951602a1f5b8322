"""Commands over real sockets: answered at once, acted on once, refused with a reason."""

import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from base.clock import ManualClock
from base.errors import BusError, CommandError
from ipc import commands, frames
from ipc.bus import Publisher
from ipc.command_client import CommandClient
from ipc.commands import CommandServer
from ipc.events import Alert
from ipc.journal import Journal
from ipc.requests import Answer, AnyCommand, CancelOrder, ListOrders, NewOrder, NewOrders, ReplayChunk, ReplayRequest
from tests.ipc.bus_tools import private_folder, wait_for, zmq_context

Context = zmq.Context[zmq.Socket[bytes]]


@pytest.fixture
def context() -> Iterator[Context]:
    yield from zmq_context()


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"ipc://{private_folder(tmp_path)}/a.cmd"


class Desk:
    """A server that takes every command, and one client of it."""

    def __init__(self, context: Context, endpoint: str, *, journal: Journal | None = None, queue: int = 1000) -> None:
        self.clock = ManualClock()
        self.acted: list[AnyCommand] = []
        self.refusal = ""
        self.server = CommandServer(context, endpoint, self.clock, self.handle, journal=journal, queue=queue)
        self.client = CommandClient(context, endpoint, "me", self.clock)

    def handle(self, command: AnyCommand, identity: bytes) -> Answer:
        assert identity.startswith(b"me/")
        self.acted.append(command)
        if self.refusal:
            raise CommandError(self.refusal)
        return Answer(command.command_id, True, cl_ord_id=f"order-{len(self.acted)}")

    def ask(self, command: AnyCommand) -> Answer:
        return self.raw(msgspec.msgpack.encode(command))

    def raw(self, *parts: bytes) -> Answer:
        wait_for(lambda: self.client.connected, "the connection")
        self.client.socket.send_multipart(parts)
        answers: list[Answer] = []

        def answered() -> bool:
            self.server.serve()
            answers.extend(self.client.receive())
            return bool(answers)

        wait_for(answered, "an answer")
        (answer,) = answers
        return answer

    def order(self, command_id: str = "", deadline_ns: int = 0) -> NewOrder:
        return NewOrder("me", command_id or self.client.next_command_id(), deadline_ns, "v", "BTC-USD", "1", "2", 5)


def several(*clients: str, name: str = "o") -> bytes:
    orders = [["new", client, name, 0, "v", "BTC-USD", "1", "2", 5] for client in clients]
    return msgspec.msgpack.encode(["news", "me", "77", 0, orders])


def test_a_command_is_acted_on_and_answered(context: Context, endpoint: str) -> None:
    desk = Desk(context, endpoint)
    order = desk.order()
    assert desk.ask(order) == Answer(order.command_id, True, cl_ord_id="order-1")
    assert desk.acted == [order]


def test_a_repeated_command_gets_the_same_answer_and_is_not_acted_on_again(context: Context, endpoint: str) -> None:
    desk = Desk(context, endpoint)
    order = desk.order()
    first = desk.ask(order)
    desk.clock.advance(10**12)
    assert desk.ask(order) == msgspec.structs.replace(first, duplicate=True)
    assert len(desk.acted) == 1
    assert desk.server.counters.duplicates == 1


def test_a_refusal_is_remembered_too(context: Context, endpoint: str) -> None:
    desk = Desk(context, endpoint)
    desk.refusal = "gate: desk TRIPPED"
    order = desk.order()
    assert desk.ask(order) == Answer(order.command_id, False, "gate: desk TRIPPED")
    desk.refusal = ""
    assert desk.ask(order) == Answer(order.command_id, False, "gate: desk TRIPPED", duplicate=True)
    assert len(desk.acted) == 1


def test_the_same_command_id_of_another_client_is_another_command(context: Context, endpoint: str) -> None:
    desk = Desk(context, endpoint)
    desk.ask(desk.order("7"))
    assert not desk.ask(msgspec.structs.replace(desk.order("7"), client_id="you")).duplicate
    assert len(desk.acted) == 2


def test_a_question_is_answered_afresh_each_time(context: Context, endpoint: str) -> None:
    desk = Desk(context, endpoint)
    question = ListOrders("me", "1", 0)
    assert [desk.ask(question).cl_ord_id, desk.ask(question).cl_ord_id] == ["order-1", "order-2"]


def test_memory_of_answers_is_bounded(context: Context, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "REMEMBER", 3)
    desk = Desk(context, endpoint)
    for n in range(5):
        desk.ask(desk.order(str(n)))
    assert desk.ask(desk.order("4")).duplicate
    assert not desk.ask(desk.order("0")).duplicate


@pytest.mark.parametrize("late_ns", [1, 5_000_000])
def test_a_command_after_its_deadline_is_refused_unacted(context: Context, endpoint: str, late_ns: int) -> None:
    desk = Desk(context, endpoint)
    answer = desk.ask(desk.order(deadline_ns=desk.clock.wall_ns() - late_ns))
    assert (answer.accepted, desk.acted, desk.server.counters.expired) == (False, [], 1)
    assert f"{late_ns / 1e6:.1f} ms" in answer.reason
    assert desk.ask(desk.order(deadline_ns=desk.clock.wall_ns())).accepted


@pytest.mark.parametrize(
    ("parts", "says", "command_id"),
    [
        ((b"",), "malformed command", ""),
        ((b"\xc1",), "malformed command", ""),
        ((b"a", b"b", b"c"), "3 parts, expected one", ""),
        ((msgspec.msgpack.encode(["nonsense", "me", "77", 0]),), "nonsense", "77"),
        ((msgspec.msgpack.encode(["new", "me", "77", 0, "v"]),), "length", "77"),
        ((msgspec.msgpack.encode(["new", "me", "77", "soon", "v", "i", "1", "2", 5]),), "$[3]", "77"),
        ((msgspec.msgpack.encode(["cancel", "", "77", 0]),), "must not be empty", "77"),
        ((msgspec.msgpack.encode(["news", "me", "77", 0, []]),), "0 orders, expected 1 to 100 - at `$.orders`", "77"),
        ((several("me", "you"),), "'you' is not the command's 'me' - at `$.orders[1]`", "77"),
        ((several("me", name=""),), "must not be empty - at `$.orders[0]`", "77"),
        ((several(*["me"] * 101),), "101 orders", "77"),
        ((msgspec.msgpack.encode({"a": 1}),), "malformed command", ""),
        ((b"\x94\xa6cancel\xa1\xff\xa277\x00",), "utf-8", ""),
        ((b"\x94\xa3new\xa2me\xa277" + b"\x91" * 60_000,), "malformed command", ""),
    ],
)
def test_what_is_no_command_is_answered_with_its_fault(
    context: Context, endpoint: str, parts: tuple[bytes, ...], says: str, command_id: str
) -> None:
    desk = Desk(context, endpoint)
    answer = desk.raw(*parts)
    assert (answer.accepted, answer.command_id, desk.acted) == (False, command_id, [])
    assert says in answer.reason
    assert desk.server.counters.malformed == 1
    assert desk.ask(desk.order()).accepted


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.binary(max_size=60), st.integers(0, 80))
def test_garbage_never_stops_the_server(context: Context, noise: bytes, cut: int) -> None:
    endpoint = f"inproc://{len(context.kept)}"  # type: ignore[attr-defined]
    desk = Desk(context, endpoint)
    good = msgspec.msgpack.encode(desk.order("1"))
    for data in (noise, good[:cut] + noise, good[:cut]):
        desk.raw(data)
    assert desk.ask(desk.order("fresh")).accepted
    desk.server.close()
    desk.client.close()


def test_a_bug_in_the_handler_is_not_swallowed(context: Context, endpoint: str) -> None:
    desk = Desk(context, endpoint)
    desk.server._handler = lambda _command, _identity: Answer(1 // 0, True)  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError):
        desk.ask(desk.order())


def test_answers_to_a_client_that_does_not_read_are_dropped_and_others_are_served(
    context: Context, endpoint: str
) -> None:
    desk = Desk(context, endpoint, queue=5)
    deaf = CommandClient(context, endpoint, "me", desk.clock, queue=5)
    wait_for(lambda: deaf.connected, "the connection")

    def overrun() -> bool:
        if deaf.connected:
            deaf.socket.send(msgspec.msgpack.encode(ListOrders("me", "1", 0)) + b"x" * 60_000, zmq.NOBLOCK)
        desk.server.serve()
        return desk.server.counters.undelivered > 20

    wait_for(overrun, "a full queue")
    assert desk.ask(desk.order()).accepted


def test_answers_to_a_client_that_has_gone_are_counted(context: Context, endpoint: str) -> None:
    desk = Desk(context, endpoint)
    leaving = CommandClient(context, endpoint, "me", desk.clock)
    wait_for(lambda: leaving.connected, "the connection")
    leaving_id = leaving.socket.getsockopt(zmq.ROUTING_ID)
    leaving.send(desk.order())
    desk.server.socket.poll(10_000)
    leaving.close()

    def gone() -> bool:
        desk.server.socket.poll(1)
        try:
            desk.server.socket.send_multipart([leaving_id, b""], zmq.NOBLOCK)
        except zmq.ZMQError as e:
            return e.errno == zmq.EHOSTUNREACH
        return False

    wait_for(gone, "the peer to be gone")
    desk.server.serve()
    assert len(desk.acted) == 1
    assert desk.server.counters.undelivered == 1


def test_nothing_is_queued_for_a_process_that_is_not_there(context: Context, endpoint: str) -> None:
    clock = ManualClock()
    client = CommandClient(context, endpoint, "me", clock)
    with pytest.raises(BusError, match="nothing was sent"):
        client.send(ListOrders("me", "1", 0))
    with pytest.raises(BusError, match="nobody there within 50 ms"):
        client.request(ListOrders("me", "2", 0), timeout_ms=50)
    desk = Desk(context, endpoint)
    wait_for(lambda: client.connected, "the connection")
    desk.ask(desk.order())
    assert [c.command_id for c in desk.acted] == [desk.acted[0].command_id]
    assert client.receive() == []


def test_a_command_without_an_answer_names_itself_for_the_repetition(context: Context, endpoint: str) -> None:
    desk = Desk(context, endpoint)
    order = desk.order("42")
    wait_for(lambda: desk.client.connected, "the connection")
    with pytest.raises(BusError, match=r"command 42 .*fate is unknown"):
        desk.client.request(order, timeout_ms=100)
    desk.server.serve()  # it was only slow: the answer comes after all, and is not taken for another's
    served = threading.Thread(target=lambda: wait_for(lambda: desk.server.serve() or len(desk.acted) == 2, "two"))
    served.start()
    assert desk.client.request(desk.order("43")).command_id == "43"
    served.join()
    assert [a.command_id for a in desk.client.receive()] == ["42"]


def test_command_ids_never_repeat_over_clients_and_restarts(context: Context, endpoint: str) -> None:
    clock = ManualClock()
    made = [CommandClient(context, endpoint, "me", clock) for _ in range(20)]
    ids = [client.next_command_id() for client in made for _ in range(10)]
    assert len(set(ids)) == len(ids)


def test_a_command_of_an_earlier_life_is_known_from_the_journal(
    context: Context, endpoint: str, tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "j", 1)
    journal.order_id("me", "7", "order-of-before", 5)
    journal.close()
    desk = Desk(context, endpoint, journal=Journal(tmp_path / "j", 2))
    answer = desk.ask(desk.order("7", deadline_ns=1))
    assert (answer.accepted, answer.duplicate, answer.cl_ord_id) == (True, True, "order-of-before")
    assert desk.acted == []


def test_a_replay_is_answered_in_bounded_chunks_that_end_with_a_marker(context: Context, tmp_path: Path) -> None:
    clock = ManualClock()
    journal = Journal(tmp_path / "j", 1)
    publisher = Publisher(context, "inproc://pub", clock, epoch=9)
    publisher.declare("exec.a", journal)
    for n in range(1, 201):
        publisher.publish("exec.a", Alert("s", "info", "n", "x" * 900, n))
    server = CommandServer(
        context, "inproc://cmd", clock, lambda c, _i: Answer(c.command_id, False), publisher=publisher
    )
    client = CommandClient(context, "inproc://cmd", "me", clock)
    epoch, seq, seen, chunks = 0, 0, [], 0
    while chunks < 100:
        chunks += 1
        client.send(ReplayRequest("me", f"r{chunks}", 0, "exec.a", epoch, seq))
        wait_for(lambda: not server.serve() and client.socket.poll(0), "the chunk")
        (answer,) = client.receive()
        assert len(answer.data) < 64 * 1024
        chunk = msgspec.msgpack.decode(answer.data, type=ReplayChunk)
        for data in chunk.frames:
            head = frames.read_header(data)
            seen.append(head.first_seq)
            epoch, seq = head.epoch, head.first_seq + head.n_events
        if chunk.marker is not None:
            assert (chunk.marker.next_seq, chunk.epoch, chunk.truncated) == (201, 9, False)
            break
    assert seen == list(range(1, 201))
    assert chunks > 3


def refuse(command: AnyCommand, _identity: bytes) -> Answer:
    return Answer(command.command_id, False, "the handler has no part in replays")


def test_a_replay_of_a_topic_without_a_journal_is_refused_by_name(context: Context) -> None:
    clock = ManualClock()
    publisher = Publisher(context, "inproc://pub", clock)
    publisher.declare("state.a")
    server = CommandServer(
        context, "inproc://cmd", clock, lambda c, _i: Answer(c.command_id, True), publisher=publisher
    )
    client = CommandClient(context, "inproc://cmd", "me", clock)
    client.send(ReplayRequest("me", "1", 0, "state.a"))
    wait_for(lambda: not server.serve() and client.socket.poll(0), "the answer")
    (answer,) = client.receive()
    assert (answer.accepted, "state.a" in answer.reason) == (False, True)


def test_a_cancel_without_a_deadline_is_never_late(context: Context, endpoint: str) -> None:
    desk = Desk(context, endpoint)
    desk.clock.advance(10**18)
    assert desk.ask(CancelOrder("me", "1", 0, cl_ord_id="x")).accepted


# --- several orders in one command


class Several(Desk):
    """One that answers each order of a command; those of 9 it refuses."""

    def handle(self, command: AnyCommand, identity: bytes) -> Answer:
        if not isinstance(command, NewOrders) or self.refusal:
            return super().handle(command, identity)
        self.acted.append(command)
        answers = [
            Answer(o.command_id, o.order_qty != 9, "nine" * (o.order_qty == 9), f"of-{o.command_id}")
            for o in command.orders
        ]
        return Answer(command.command_id, True, answers=tuple(answers))

    def several(self, *ids: str, deadline_ns: int = 0) -> NewOrders:
        return NewOrders("me", self.client.next_command_id(), deadline_ns, tuple(self.order(i) for i in ids))


def test_each_order_of_a_command_is_answered_as_it_was_given(context: Context, endpoint: str) -> None:
    desk = Several(context, endpoint)
    nine = msgspec.structs.replace(desk.order("b"), order_qty=9)
    answer = desk.ask(NewOrders("me", "x", 0, (desk.order("a"), nine)))
    assert answer == Answer(
        "x", False, "1 of 2 orders refused, the first: nine",
        answers=(Answer("a", True, cl_ord_id="of-a"), Answer("b", False, "nine", "of-b")),
    )  # fmt: skip
    assert desk.ask(desk.several("c", "d")).accepted


def test_each_order_is_acted_on_once_whatever_command_it_comes_in(context: Context, endpoint: str) -> None:
    desk = Several(context, endpoint)
    single = desk.ask(desk.order("a"))
    first = desk.ask(desk.several("a", "b", "b", "c")).answers
    assert [(a.command_id, a.cl_ord_id, a.duplicate) for a in first] == [
        ("a", single.cl_ord_id, True), ("b", "of-b", False), ("b", "of-b", True), ("c", "of-c", False),
    ]  # fmt: skip
    assert isinstance(desk.acted[-1], NewOrders)
    assert [o.command_id for o in desk.acted[-1].orders] == ["b", "c"]
    again = desk.ask(desk.several("c", "b"))
    assert [(a.cl_ord_id, a.duplicate) for a in again.answers] == [("of-c", True), ("of-b", True)]
    assert desk.ask(desk.order("b")) == Answer("b", True, cl_ord_id="of-b", duplicate=True)
    assert (len(desk.acted), desk.server.counters.duplicates) == (2, 5)


def test_orders_after_their_own_deadline_or_the_command_s_are_refused_unacted(context: Context, endpoint: str) -> None:
    desk = Several(context, endpoint)
    now = desk.clock.wall_ns()
    late = msgspec.structs.replace(desk.order("a"), deadline_ns=now - 1_000_000)
    answer = desk.ask(NewOrders("me", "x", now, (late, desk.order("b"))))
    assert [(a.command_id, a.accepted) for a in answer.answers] == [("a", False), ("b", True)]
    assert "1.0 ms before" in answer.reason
    answer = desk.ask(desk.several("c", "d", deadline_ns=now - 1))
    assert [(a.command_id, a.accepted) for a in answer.answers] == [("c", False), ("d", False)]
    assert len(desk.acted) == 1
    assert desk.ask(desk.several("c")).answers[0].duplicate


def test_who_takes_no_orders_refuses_each_of_them(context: Context, endpoint: str) -> None:
    desk = Several(context, endpoint)
    desk.refusal = "not I"
    answers = desk.ask(desk.several("a", "b")).answers
    assert answers == (Answer("a", False, "not I"), Answer("b", False, "not I"))


def test_orders_of_an_earlier_life_are_known_one_by_one(context: Context, endpoint: str, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", 7)
    journal.order_id("me", "a", "old", 5)
    desk = Several(context, endpoint, journal=journal)
    old, new = desk.ask(desk.several("a", "b")).answers
    assert (old.cl_ord_id, old.accepted, old.duplicate) == ("old", True, True)
    assert "the state of the order says" in old.reason
    assert (new.cl_ord_id, new.duplicate) == ("of-b", False)


def test_a_command_of_many_orders_uses_up_its_turn(context: Context, endpoint: str) -> None:
    desk = Several(context, endpoint)
    wait_for(lambda: desk.client.connected, "the connection")
    desk.client.send(desk.several(*map(str, range(60))))
    wait_for(lambda: bool(desk.server.socket.poll(10)), "the command")
    assert desk.server.serve(60)
    assert len(desk.acted) == 1
