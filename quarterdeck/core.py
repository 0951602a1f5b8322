"""What both clients, the synchronous one and the one for asyncio, are inside. Never waits.

`turn` takes in what the sockets hold, keeps followed orders up to date, asks again for what is in doubt, and puts what
the strategy is to hear into the outbox. How to wait for more, and for answers, is the drivers' business.
"""

import secrets
import time
from collections.abc import Callable
from functools import partial
from typing import Final, Generic, TypeVar

from base.errors import BusError
from ipc.recovery import OLDEST, Position
from ipc.requests import Answer, ListOrders
from ipc.sequence import Delivery, Gap
from quarterdeck.feed import REPLAY_MARK, Feed
from quarterdeck.links import Links
from quarterdeck.one_stream import OneStream
from quarterdeck.order_life import OrderLife
from quarterdeck.outbox import Outbox
from quarterdeck.tracker import Tracker

LOOK_NS: Final = 100_000_000
LIST_TIMEOUT_NS: Final = 1_000_000_000

OrderT = TypeVar("OrderT", bound=OrderLife)


class Core(Generic[OrderT]):
    """Events, followed orders and answers of one client."""

    def __init__(self, links: Links) -> None:
        self.links = links
        self.feed = Feed(links.subscriber(), links.command, OneStream(links.desk).pick)
        self.tracker: Tracker[OrderT] = Tracker()
        self.outbox = Outbox()
        self.gaps = 0
        self.missed = 0  # events known to be lost, replays counted out
        self.expected: dict[str, Callable[[Answer], None]] = {}  # by command id: who waits for the answer
        self._mark = f"{time.time_ns():x}{secrets.token_hex(4)}"
        self._count = 0
        self._topics: set[str] = set()  # that the strategy subscribed to; others are heard for its orders alone
        self._prefixes: tuple[str, ...] = ()
        self._look_ns = 0
        self._lists: dict[str, tuple[int, bool]] = {}  # by session: when its list is given up, whether the whole one

    def command_id(self) -> str:
        """One that no client ever used before."""
        self._count += 1
        return f"{self._mark}-{self._count}"

    def subscribe(
        self, topic: str, *, replay: bool, history: bool = False, since: tuple[int, int] | None = None
    ) -> None:
        """See Desk.subscribe."""
        if replay or history or since is not None:
            place = Position(*since) if since is not None else OLDEST if history else None
            self.feed.replay(topic, time.monotonic_ns(), place)
        else:
            self.feed.subscribe(topic, time.monotonic_ns())
        if topic and not topic.endswith("."):
            self._topics.add(topic)
        else:
            self._prefixes = (*self._prefixes, topic)

    def follow(self, session: str, position: Position) -> None:
        """Hear a session's orders from that place on."""
        self.feed.replay(f"exec.{session}", time.monotonic_ns(), position)

    def follows(self, session: str) -> bool:
        """Whether every event of its orders is heard, from some place on."""
        return self.feed.anchored(f"exec.{session}")

    def turn(self) -> int:
        """Take in what is there, 1,000 frames at most; how much news it was: zero when nothing is left."""
        mono_ns = time.monotonic_ns()
        replays: list[Answer] = []
        answers = 0
        for client in self.links.open():
            for answer in client.receive():
                answers += 1
                if answer.command_id.startswith("exec.") and REPLAY_MARK in answer.command_id:
                    replays.append(answer)
                else:
                    self._answered(answer)
        heard = self.feed.turn(mono_ns, replays)
        for delivery in heard:
            self._hear(delivery)
        if mono_ns >= self._look_ns:
            self._look_ns = mono_ns + LOOK_NS
            self._ask_where_in_doubt(mono_ns)
        return answers + len(heard)

    def _hear(self, delivery: Delivery) -> None:
        topic = delivery.topic
        if topic.startswith("exec."):
            self.tracker.take(delivery)
        if isinstance(delivery.event, Gap):
            self.gaps += 1
            self.missed += delivery.event.next - delivery.event.first
        if topic in self._topics or topic.startswith(self._prefixes):
            self.outbox.put(delivery)

    def _answered(self, answer: Answer) -> None:
        waiting = self.expected.pop(answer.command_id, None)
        if waiting is not None:
            waiting(answer)
            return
        order = self.tracker.find(self.links.client_id, answer.command_id)
        if order is not None and not order.answered:  # it was given up; late is better than never
            self.told(order, answer)

    def told(self, order: OrderT, answer: Answer) -> None:
        """What a process said of a new order that is followed."""
        if answer.accepted:
            order.taken(answer.cl_ord_id)
        else:
            order.refused(answer.reason)
        self.tracker.changed += 1

    def _ask_where_in_doubt(self, mono_ns: int) -> None:
        for session in self.tracker.sessions_in_doubt(time.time_ns()):
            until_ns, whole = self._lists.get(session, (0, False))
            client = self.links.command(session)
            if mono_ns < until_ns or not client.connected:
                continue
            self._lists[session] = mono_ns + LIST_TIMEOUT_NS, whole
            command = ListOrders(self.links.client_id, self.command_id(), 0, not whole)
            self.expected[command.command_id] = partial(self._listed, session, whole)
            try:
                client.send(command)
            except BusError:  # asked again in a second
                del self.expected[command.command_id]

    def _listed(self, session: str, whole: bool, answer: Answer) -> None:
        doubts = answer.accepted and self.tracker.listed(session, answer.orders, time.time_ns(), whole=whole)
        self._lists[session] = (0, True) if doubts and not whole else (time.monotonic_ns() + LIST_TIMEOUT_NS, False)
