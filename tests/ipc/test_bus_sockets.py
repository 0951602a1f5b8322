"""Publisher and Subscriber over real sockets."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from base.clock import ManualClock, SystemClock
from base.errors import BusError, SchemaError
from ipc import frames
from ipc.bus import HEARTBEAT_NS, Publisher, Subscriber
from ipc.events import SCHEMA_VERSION, Alert
from ipc.sequence import Delivery, Gap
from tests.ipc.bus_tools import private_folder, wait_for, zmq_context

Context = zmq.Context[zmq.Socket[bytes]]
TOPIC = "exec.a"


@pytest.fixture
def context() -> Iterator[Context]:
    yield from zmq_context()


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"ipc://{private_folder(tmp_path)}/a.pub"


def alert(n: int) -> Alert:
    return Alert("source", "info", "n", str(n), n)


class Pair:
    """A publisher and one subscriber that hears it."""

    def __init__(self, context: Context, endpoint: str, prefix: str = TOPIC, *, exact: bool = False) -> None:
        self.clock = ManualClock()
        self.publisher = Publisher(context, endpoint, self.clock)
        self.subscriber = Subscriber(context)
        self.subscriber.subscribe(prefix, exact=exact)
        self.subscriber.connect(endpoint)

    def beat(self) -> None:
        self.clock.advance(HEARTBEAT_NS)
        self.publisher.heartbeat(self.clock.mono_ns())

    def join(self, topic: str = TOPIC) -> None:
        """Until the subscription stands."""
        self.publisher.declare(topic)

        def heard() -> bool:
            self.beat()
            self.subscriber.receive()
            return self.subscriber.position(topic)[0] == self.publisher.epoch

        wait_for(heard, "the subscription")

    def collect(self, count: int) -> list[Delivery]:
        found: list[Delivery] = []

        def enough() -> bool:
            found.extend(self.subscriber.receive())
            return len(found) >= count

        wait_for(enough, f"{count} deliveries")
        return found


def test_events_arrive_typed_in_order_and_numbered_from_one(context: Context, endpoint: str) -> None:
    pair = Pair(context, endpoint)
    pair.join()
    assert [pair.publisher.publish(TOPIC, alert(1), alert(2)), pair.publisher.publish(TOPIC, alert(3))] == [1, 3]
    found = pair.collect(3)
    assert found == [Delivery(TOPIC, pair.publisher.epoch, n, alert(n)) for n in (1, 2, 3)]


def test_a_raw_frame_has_the_same_numbers_and_the_packed_events(context: Context, endpoint: str) -> None:
    pair = Pair(context, endpoint)
    pair.join()
    packed = frames.encode_event(alert(1)) + frames.encode_event(alert(2))
    pair.publisher.publish_raw(TOPIC, 2, packed)
    pair.subscriber.socket.poll(10_000)
    raw = pair.subscriber.receive_raw()
    assert raw is not None
    assert raw[:4] == (TOPIC.encode(), pair.publisher.epoch, 1, 2)
    assert (bytes(raw[4]), raw[5]) == (packed, None)
    assert pair.subscriber.receive_raw() is None


def test_an_exact_subscription_does_not_hear_a_longer_topic(context: Context, endpoint: str) -> None:
    pair = Pair(context, endpoint, "md.v.BTC-USD", exact=True)
    pair.join("md.v.BTC-USD")
    pair.publisher.publish("md.v.BTC-USD-PERP", alert(1))
    pair.publisher.publish("md.v.BTC-USD", alert(2))
    assert [d.topic for d in pair.collect(1)] == ["md.v.BTC-USD"]


def test_heartbeats_repeat_the_next_number_only_for_quiet_topics(context: Context, endpoint: str) -> None:
    pair = Pair(context, endpoint, "")
    pair.join()
    pair.publisher.publish(TOPIC, alert(1))
    pair.collect(1)
    before = pair.subscriber.counters.heartbeats
    next_ns = pair.publisher.heartbeat(pair.clock.mono_ns())
    assert next_ns == pair.clock.mono_ns() + HEARTBEAT_NS  # too early: nothing goes out
    pair.beat()  # the topic was in use since the last turn
    pair.beat()

    def heard() -> bool:
        pair.subscriber.receive()
        return pair.subscriber.counters.heartbeats > before

    wait_for(heard, "a heartbeat")
    assert pair.subscriber.counters.heartbeats == before + 1
    assert pair.subscriber.counters.gaps == 0


def test_a_restarted_publisher_is_told_and_counted_from_one_again(context: Context, endpoint: str) -> None:
    pair = Pair(context, endpoint)
    pair.join()
    pair.publisher.publish(TOPIC, alert(1))
    pair.collect(1)
    epoch = pair.publisher.epoch
    pair.publisher.close()
    pair.clock.advance(1)
    pair.publisher = Publisher(context, endpoint, pair.clock)
    pair.publisher.declare(TOPIC)
    found: list[Delivery] = []

    def restarted() -> bool:
        pair.beat()
        found.extend(pair.subscriber.receive())
        return bool(found)

    wait_for(restarted, "the restart")
    assert found[0].event == Gap("restart", 1, 1, epoch, 2, "publisher restarted")
    assert found[0].epoch == pair.publisher.epoch > epoch


def test_a_slow_subscriber_loses_its_own_events_knows_it_and_costs_no_other_one(
    context: Context, endpoint: str
) -> None:
    # far above a round of 50: a quick reader's credit comes back in bursts, and must not run out meanwhile
    publisher = Publisher(context, endpoint, SystemClock(), send_hwm=2_000)
    subscribers = []
    for hwm in (100_000, 10):
        subscriber = Subscriber(context, receive_hwm=hwm)
        subscriber.subscribe(TOPIC)
        subscriber.connect(endpoint)
        subscribers.append(subscriber)
    quick, slow = subscribers
    publisher.declare(TOPIC)
    mono_ns = 0

    def joined() -> bool:
        nonlocal mono_ns
        mono_ns += HEARTBEAT_NS
        publisher.heartbeat(mono_ns)
        for subscriber in subscribers:
            subscriber.receive()
        return all(s.position(TOPIC)[0] for s in subscribers)

    wait_for(joined, "both subscriptions")
    text = Alert("source", "info", "n", "x" * 2_000, 1)
    heard: list[Delivery] = []
    for n in range(1, 5_001):
        publisher.publish(TOPIC, text)
        if n % 50 == 0:
            wait_for(lambda: heard.extend(quick.receive()) or len(heard) >= n, f"event {n}")  # noqa: B023
    assert [d.seq for d in heard] == list(range(1, 5_001))
    late: list[Delivery] = []

    def caught_up() -> bool:
        nonlocal mono_ns
        mono_ns += HEARTBEAT_NS
        publisher.heartbeat(mono_ns)
        late.extend(slow.receive())
        return slow.position(TOPIC)[1] == 5_001

    wait_for(caught_up, "the slow subscriber")
    lost = [n for d in late if isinstance(d.event, Gap) for n in range(d.event.first, d.event.next)]
    assert lost
    assert sorted(lost + [d.seq for d in late if not isinstance(d.event, Gap)]) == list(range(1, 5_001))


def test_what_came_before_another_schema_is_returned_first(context: Context) -> None:
    pair = Pair(context, "inproc://schema")
    pair.join()
    other = bytearray(frames.frame(frames.prefix(TOPIC.encode(), 9), 1, 1, 1, frames.encode_event(alert(1))))
    other[len(TOPIC) + 2] = SCHEMA_VERSION + 1
    pair.publisher.publish(TOPIC, alert(1))
    pair.publisher.socket.send(bytes(other))
    pair.publisher.publish(TOPIC, alert(2))
    assert [d.seq for d in pair.collect(1)] == [1]
    with pytest.raises(SchemaError, match=TOPIC):
        pair.subscriber.receive()
    assert [d.seq for d in pair.collect(1)] == [2]


def test_raw_frames_come_in_lists_and_another_schema_waits_its_turn(context: Context) -> None:
    pair = Pair(context, "inproc://raws")
    pair.join()
    other = bytearray(frames.frame(frames.prefix(TOPIC.encode(), 9), 1, 1, 1, frames.encode_event(alert(1))))
    other[len(TOPIC) + 2] = SCHEMA_VERSION + 1
    for n in (1, 2):
        pair.publisher.publish(TOPIC, alert(n))
    pair.publisher.socket.send(bytes(other))
    pair.publisher.publish(TOPIC, alert(3))
    pair.subscriber.socket.poll(10_000)
    assert [raw[2] for raw in pair.subscriber.receive_raws(1)] == [1]
    assert [raw[2] for raw in pair.subscriber.receive_raws(9)] == [2]
    with pytest.raises(SchemaError, match=TOPIC):
        pair.subscriber.receive_raws(9)
    assert [raw[2] for raw in pair.subscriber.receive_raws(9)] == [3]
    assert pair.subscriber.receive_raws(9) == []


def test_the_clock_of_the_publisher_is_in_every_frame(context: Context) -> None:
    pair = Pair(context, "inproc://clock")
    pair.join()
    pair.clock.advance(12_345)
    pair.publisher.publish(TOPIC, alert(1))
    pair.subscriber.socket.poll(10_000)
    assert frames.read_header(pair.subscriber.socket.recv()).sent_ns == pair.clock.wall_ns()


def test_an_endpoint_in_a_folder_that_others_may_enter_is_refused(context: Context, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(BusError, match=r"must be a directory with mode 0700 or 0750, not 0755"):
        Publisher(context, f"ipc://{tmp_path}/a.pub", ManualClock())


@pytest.mark.parametrize(
    ("endpoint", "says"),
    [
        ("ipc:///nowhere/at/all/a.pub", "No such file"),
        ("ipc:///" + "x" * 120, "107 bytes"),
        ("nonsense://a", "cannot bind"),
    ],
)
def test_an_endpoint_that_cannot_be_is_named(context: Context, endpoint: str, says: str) -> None:
    with pytest.raises(BusError, match=says) as e:
        Publisher(context, endpoint, ManualClock())
    assert endpoint in str(e.value)


def test_a_topic_is_declared_once_and_never_published_empty(context: Context) -> None:
    publisher = Publisher(context, "inproc://topics", ManualClock())
    publisher.declare(TOPIC)
    with pytest.raises(BusError, match="before"):
        publisher.declare(TOPIC)
    with pytest.raises(BusError, match="without events"):
        publisher.publish(TOPIC)
    with pytest.raises(BusError, match="expected 1 to 255"):
        publisher.publish("bad topic", alert(1))


def test_a_publisher_that_nobody_hears_does_not_block(context: Context, endpoint: str) -> None:
    publisher = Publisher(context, endpoint, SystemClock(), send_hwm=10)
    for n in range(1_000):
        publisher.publish(TOPIC, alert(n))
    assert publisher.next_seq(TOPIC) == 1_001
    assert os.path.exists(endpoint.removeprefix("ipc://"))
