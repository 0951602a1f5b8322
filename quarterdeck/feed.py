"""A client's subscriptions: events of any topics, and replay of what was lost where a topic is journalled."""

import time
from collections.abc import Callable

import msgspec
import zmq

from base.errors import BusError, ConfigError
from ipc.bus import Subscriber
from ipc.command_client import CommandClient
from ipc.frames import UNREADABLE
from ipc.recovery import OLDEST, Position, ReplayRecovery
from ipc.requests import Answer, ReplayChunk, ReplayRequest
from ipc.sequence import Delivery

CHECK_NS = 100_000_000
_decode_chunk = msgspec.msgpack.Decoder(ReplayChunk).decode


class Feed:
    """What a client hears. One thread."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoints: list[str],
        client: Callable[[str], CommandClient],
        pick: Callable[[list[Delivery]], list[Delivery]] = list,
    ) -> None:
        """`client(process)` opens a connection for replays; one is kept for each process asked. `pick` leaves out what
        is not to be heard.
        """
        self.subscriber = Subscriber(context)
        for endpoint in endpoints:
            self.subscriber.connect(endpoint)
        self._client, self._pick = client, pick
        self._clients: dict[str, CommandClient] = {}
        self._recoveries: dict[str, tuple[ReplayRecovery, CommandClient]] = {}
        self._poller = zmq.Poller()
        self._poller.register(self.subscriber.socket, zmq.POLLIN)
        self._check_ns = 0

    def subscribe(self, topic: str) -> None:
        """One topic, or all that begin with it when it ends in a dot ("exec."); "" is everything."""
        self.subscriber.subscribe(topic, exact=bool(topic) and not topic.endswith("."))
        if topic and not topic.endswith("."):
            self.subscriber.expect([topic], time.monotonic_ns())

    def replay(self, topic: str, position: Position | None = OLDEST) -> None:
        """Subscribe to a journalled topic (exec.PROCESS) and have what is missed replayed, from `position` on."""
        kind, _, process = topic.partition(".")
        if kind != "exec" or not process:
            raise ConfigError(f"topic {topic!r}: only one process's exec topic can be replayed, as in exec.kraken-trd")
        if process not in self._clients:
            self._clients[process] = self._client(process)
            self._poller.register(self._clients[process].socket, zmq.POLLIN)
        self._recoveries[topic] = ReplayRecovery(topic, position), self._clients[process]
        self.subscribe(topic)

    def poll(self, timeout: float) -> list[Delivery]:
        """Events and gaps in order; waits up to `timeout` seconds for the first."""
        end_ns = time.monotonic_ns() + int(timeout * 1e9)
        while True:
            out = self._turn(time.monotonic_ns())
            left_ns = end_ns - time.monotonic_ns()
            if out or left_ns <= 0:
                return out
            self._poller.poll(min(left_ns, CHECK_NS) // 1_000_000 + 1)

    def close(self) -> None:
        """Close every socket."""
        self.subscriber.close()
        for client in self._clients.values():
            client.close()

    def _turn(self, now_ns: int) -> list[Delivery]:
        heard = self.subscriber.receive()
        if now_ns >= self._check_ns:
            self._check_ns = now_ns + CHECK_NS
            heard += self.subscriber.check(now_ns)
        if not self._recoveries:
            return self._pick(heard)
        out: list[Delivery] = []
        for delivery in heard:
            found = self._recoveries.get(delivery.topic)
            out += found[0].heard(delivery) if found else [delivery]
        for client in self._clients.values():
            for answer in client.receive():
                out += self._answered(answer)
        self._ask(now_ns)
        return self._pick(out)

    def _answered(self, answer: Answer) -> list[Delivery]:
        found = self._recoveries.get(answer.command_id.rpartition("#")[0])
        if found is None:
            return []
        if not answer.accepted:
            return found[0].refused(answer.command_id, answer.reason)
        try:
            return found[0].chunk(answer.command_id, _decode_chunk(answer.data))
        except UNREADABLE as e:
            raise BusError(f"{found[1].endpoint}: replay of {found[0].topic} cannot be read: {e}") from None

    def _ask(self, now_ns: int) -> None:
        for topic, (recovery, client) in self._recoveries.items():
            recovery.seen(*self.subscriber.position(topic))
            if recovery.live or not client.connected:
                continue
            ask = recovery.ask(now_ns)
            if ask is not None:
                client.send(ReplayRequest(client.client_id, ask.request_id, 0, topic, *ask.position))
