"""Events for clients on other hosts: what they subscribe to is subscribed to here, and passed on as it is.

ZeroMQ drops what a client does not take, for that client alone; it sees a gap. Frames keep the publisher's epoch and
numbers, so that a client's checks are those of this host.
"""

from collections.abc import Callable, Iterable
from typing import Final

import zmq

from base.remote_config import RemoteConfig
from ipc.curve import Context, Door, listen, serve_curve, user_of
from ipc.remote_keys import Allowed, ServerKey
from ipc.remote_rules import Allowance

DOMAIN: Final = "events"
FRAMES_A_TURN: Final = 256
UPSTREAM_HWM: Final = 50_000
MAX_SUBSCRIPTION_BYTES: Final = 512
SUBSCRIPTIONS_PER_S: Final = 200
SUBSCRIPTIONS_BURST: Final = 5_000  # of one key at once: all books of a desk, and again after it was hung up on
MAX_TOPICS: Final = 20_000


class EventRelay:
    """XPUB for the clients, SUB for the desk's publishers."""

    def __init__(
        self,
        context: Context,
        config: RemoteConfig,
        key: ServerKey,
        publishers: Iterable[str],
        allowed: Callable[[str], Allowed | None],
        flooded: Callable[[str], object],
        mono_ns: Callable[[], int],
    ) -> None:
        """`allowed(public)` says who a key is; `flooded(public)` is told of one that subscribes without end."""
        self._allowed, self._flooded, self._mono_ns = allowed, flooded, mono_ns
        self.counters = {"remote_frames": 0, "remote_subscriptions": 0, "remote_hangups": 0}
        self.admitted: set[str] = set()  # public keys let in since the last hang-up
        self._topics: set[bytes] = set()
        self._allowances: dict[str, Allowance] = {}
        self.upstream: zmq.Socket[bytes] = context.socket(zmq.SUB)
        self.upstream.setsockopt(zmq.LINGER, 0)
        self.upstream.setsockopt(zmq.RCVHWM, UPSTREAM_HWM)
        self.upstream.setsockopt(zmq.RECONNECT_IVL, 10)
        self.upstream.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
        for endpoint in publishers:
            self.upstream.connect(endpoint)
        self.clients: zmq.Socket[bytes] = context.socket(zmq.XPUB)
        serve_curve(self.clients, key, DOMAIN, config)
        self.clients.setsockopt(zmq.SNDHWM, config.queue_frames)
        self.clients.setsockopt(zmq.MAXMSGSIZE, MAX_SUBSCRIPTION_BYTES)
        listen(self.clients, config.host, config.events_port)
        self.door = Door(self.clients, config.max_connections)

    # -- what the desk says --------------------------------------------------------------------------------------

    def forward(self) -> bool:
        """Pass on frames that wait; True when there may be more."""
        receive, send = self.upstream.recv, self.clients.send
        for n in range(FRAMES_A_TURN):
            try:
                data = receive(zmq.NOBLOCK)
            except zmq.Again:
                self.counters["remote_frames"] += n
                return False
            send(data, zmq.NOBLOCK)
        self.counters["remote_frames"] += FRAMES_A_TURN
        return True

    # -- what clients want to hear -------------------------------------------------------------------------------

    def subscriptions(self) -> bool:
        """Take some; True when there may be more."""
        for _ in range(FRAMES_A_TURN):
            try:
                frame = self.clients.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return False
            self._subscription(frame.bytes, user_of(frame))
        return True

    def _subscription(self, data: bytes, public: str) -> None:
        """Without a public key: ZeroMQ takes back what somebody who has gone had subscribed to."""
        verb, topic = data[:1], data[1:]
        if verb == b"\0" and topic in self._topics:
            self._topics.discard(topic)
            self.upstream.setsockopt(zmq.UNSUBSCRIBE, topic)
        if not public or self._allowed(public) is None:
            return
        if verb == b"\1" and topic not in self._topics:
            self.counters["remote_subscriptions"] += 1
            self._topics.add(topic)
            self.upstream.setsockopt(zmq.SUBSCRIBE, topic)
        allowance = self._allowances.setdefault(public, Allowance(SUBSCRIPTIONS_PER_S, SUBSCRIPTIONS_BURST))
        if not allowance.take(self._mono_ns()) or len(self._topics) > MAX_TOPICS:
            self._flooded(public)

    def hang_up(self) -> None:
        """On everybody. Who is let in is back within the time of a reconnect, sees a gap, and has it replayed."""
        self.counters["remote_hangups"] += 1
        self.admitted.clear()
        self._allowances.clear()
        self.door.empty()
