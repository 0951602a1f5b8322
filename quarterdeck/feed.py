"""A client's subscriptions: events of any topics, and replay of what was lost where a topic is journalled."""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from base.errors import BusError, ConfigError
from ipc.bus import Subscriber
from ipc.command_client import CommandClient
from ipc.frames import UNREADABLE
from ipc.recovery import OLDEST, Position, ReplayRecovery
from ipc.requests import Answer, ReplayChunk, ReplayRequest
from ipc.sequence import Delivery

CHECK_NS: Final = 100_000_000
REPLAY_MARK: Final = "#"  # in the command ids of replays, and of nothing else
decode_chunk: Final = msgspec.msgpack.Decoder(ReplayChunk).decode


class Feed:
    """What a client hears. Never waits: `turn` takes what is there."""

    def __init__(
        self,
        subscriber: Subscriber,
        client: Callable[[str], CommandClient],
        pick: Callable[[list[Delivery]], list[Delivery]] = list,
    ) -> None:
        """`client(process)` is the connection for replays. `pick` leaves out what is not to be heard."""
        self.subscriber = subscriber
        self._client, self._pick = client, pick
        self._recoveries: dict[str, tuple[ReplayRecovery, CommandClient]] = {}
        self._check_ns = 0

    def subscribe(self, topic: str, mono_ns: int) -> None:
        """One topic, or all that begin with it when it ends in a dot ("exec."); "" is everything."""
        self.subscriber.subscribe(topic, exact=bool(topic) and not topic.endswith("."))
        if topic and not topic.endswith("."):
            self.subscriber.expect([topic], mono_ns)

    def replay(self, topic: str, mono_ns: int, position: Position | None = OLDEST) -> None:
        """Subscribe to a journalled topic (exec.PROCESS) and have what is missed replayed, from `position` on.

        Asked for again, it begins at the earlier of both places: what was heard is then heard once more.
        """
        kind, _, process = topic.partition(".")
        if kind != "exec" or not process:
            raise ConfigError(f"topic {topic!r}: only one process's exec topic can be replayed, as in exec.kraken-trd")
        known = self._recoveries.get(topic)
        if known is not None:
            before = known[0].position
            if before is None:
                known[0].position = position
            if before is None or position is None or position >= before:
                return
        self._recoveries[topic] = ReplayRecovery(topic, position), self._client(process)
        self.subscribe(topic, mono_ns)

    def anchored(self, topic: str) -> bool:
        """Whether every event of a topic is heard, or replayed, from some place on that has passed."""
        found = self._recoveries.get(topic)
        return found is not None and found[0].position is not None

    def behind(self) -> list[str]:
        """Topics of which something is known to be missing and is being replayed."""
        return [topic for topic, (recovery, _) in self._recoveries.items() if not recovery.live]

    def turn(self, mono_ns: int, answers: Iterable[Answer] = ()) -> list[Delivery]:
        """Events and gaps in order, up to 1,000 frames of them; `answers` to replays."""
        heard = self.subscriber.receive()
        if mono_ns >= self._check_ns:
            self._check_ns = mono_ns + CHECK_NS
            heard += self.subscriber.check(mono_ns)
        if not self._recoveries:
            return self._pick(heard)
        out: list[Delivery] = []
        for delivery in heard:
            found = self._recoveries.get(delivery.topic)
            out += found[0].heard(delivery) if found else [delivery]
        for answer in answers:
            out += self._answered(answer)
        self._ask(mono_ns)
        return self._pick(out)

    def _answered(self, answer: Answer) -> list[Delivery]:
        found = self._recoveries.get(answer.command_id.rpartition(REPLAY_MARK)[0])
        if found is None:
            return []
        if not answer.accepted:
            return found[0].refused(answer.command_id, answer.reason)
        try:
            return found[0].chunk(answer.command_id, decode_chunk(answer.data))
        except UNREADABLE as e:
            raise BusError(f"{found[1].endpoint}: replay of {found[0].topic} cannot be read: {e}") from None

    def _ask(self, mono_ns: int) -> None:
        for topic, (recovery, client) in self._recoveries.items():
            recovery.seen(*self.subscriber.position(topic))
            if recovery.live or not client.connected:
                continue
            ask = recovery.ask(mono_ns)
            if ask is not None:
                client.send(ReplayRequest(client.client_id, ask.request_id, 0, topic, *ask.position))
