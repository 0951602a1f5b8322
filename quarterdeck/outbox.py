"""What a client has heard and the strategy has not taken yet: bounded, and what does not fit is shown as a Gap.
Pure.
"""

from collections import deque
from typing import Final

from ipc.sequence import Delivery, Gap

LIMIT: Final = 200_000  # deliveries


class Outbox:
    """Deliveries in order."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.dropped = 0
        self._limit = limit
        self._waiting: deque[Delivery] = deque()
        self._left_out: dict[str, tuple[int, int, int, int]] = {}  # topic: (epoch, first, last epoch, next)

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, delivery: Delivery) -> None:
        """Keep it, if there is room; a topic of which something was left out goes on behind its Gap."""
        run = self._left_out.get(delivery.topic)
        if run is None and len(self._waiting) < self._limit:
            self._waiting.append(delivery)
            return
        is_gap = isinstance(delivery.event, Gap)
        epoch, first = (run[0], run[1]) if run else (delivery.epoch, delivery.seq)
        self._left_out[delivery.topic] = epoch, first, delivery.epoch, delivery.seq + (not is_gap)
        self.dropped += not is_gap

    def take(self) -> Delivery | None:
        """The oldest; None when there is none."""
        if not self._waiting:
            return None
        delivery = self._waiting.popleft()
        if self._left_out and len(self._waiting) <= self._limit // 2:
            self._show()
        return delivery

    def take_all(self) -> list[Delivery]:
        """All of them."""
        out: list[Delivery] = []
        while (delivery := self.take()) is not None:
            out.append(delivery)
        return out

    def _show(self) -> None:
        text = "not taken by this client in time"
        for topic, (epoch, first, last_epoch, after) in self._left_out.items():
            if epoch == last_epoch:
                gap = Gap("hole", first, after, text=f"{after - first} events {text}")
            else:
                gap = Gap("restart", 1, after, epoch, first, f"what came after is {text}")
            self._waiting.append(Delivery(topic, last_epoch, after, gap))
        self._left_out.clear()
