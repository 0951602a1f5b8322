"""A strategy's callbacks: which are meant by a delivery, and errors that say what they were called for."""

from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, NamedTuple, NoReturn

from base.errors import CallbackError
from ipc.sequence import Delivery

Callback = Callable[[Any, Delivery], Any]


class _Registered(NamedTuple):
    kind: type
    topic: str
    function: Callback

    def meant(self, delivery: Delivery) -> bool:
        if not isinstance(delivery.event, self.kind):
            return False
        return delivery.topic == self.topic or (self.topic[-1:] in ("", ".") and delivery.topic.startswith(self.topic))


class Callbacks:
    """In the order in which they were registered."""

    def __init__(self) -> None:
        self._registered: list[_Registered] = []
        self._timers: list[tuple[float, float, Callable[[], Any]]] = []  # next, interval, function

    def on(self, kind: type, function: Callback, topic: str) -> None:
        """Call `function(event, delivery)` for events of that kind under a topic, as Desk.subscribe takes it."""
        self._registered.append(_Registered(kind, topic, function))

    def every(self, seconds: float, function: Callable[[], Any], now: float) -> None:
        """Call `function()` each so many seconds, for the first time after that."""
        if seconds <= 0:
            raise ValueError(f"every: {seconds} s is not above 0")
        self._timers.append((now + seconds, seconds, function))

    def call(self, delivery: Delivery) -> "Iterator[Pending]":
        """Call those that are meant, one after the other; yields what is to be awaited before the next one is called.

        CallbackError with the cause when one raises: those behind it are not called for this delivery.
        """
        for registered in self._registered:
            if registered.meant(delivery):
                yield from _called(registered.function, delivery, delivery.event, delivery)

    def due(self, now: float) -> "Iterator[Pending]":
        """Call the timers that are due, in the same manner."""
        for i, (at, seconds, function) in enumerate(self._timers):
            if now >= at:
                self._timers[i] = max(at + seconds, now), seconds, function
                yield from _called(function, None)

    def next_timer(self) -> float:
        """When the next timer is due; infinity without any."""
        return min((at for at, _, _ in self._timers), default=float("inf"))


class Pending:
    """What a callback returned to be awaited."""

    def __init__(self, function: Callable[..., Any], delivery: Delivery | None, result: Awaitable[Any]) -> None:
        self._function, self._delivery, self._result = function, delivery, result

    async def awaited(self) -> None:
        """Await it. CallbackError with the cause."""
        try:
            await self._result
        except Exception as e:
            raise _failed(self._function, self._delivery, e) from e

    def refuse(self) -> NoReturn:
        """There is no loop that could await it."""
        if isinstance(self._result, Coroutine):
            self._result.close()
        raise TypeError(f"callback {_name(self._function)} returned {self._result!r}: coroutines need qd.aconnect")


def _called(function: Callable[..., Any], delivery: Delivery | None, *arguments: Any) -> Iterator[Pending]:
    try:
        result = function(*arguments)
    except Exception as e:
        raise _failed(function, delivery, e) from e
    if isinstance(result, Awaitable):
        yield Pending(function, delivery, result)


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", repr(function))


def _failed(function: Callable[..., Any], delivery: Delivery | None, error: Exception) -> CallbackError:
    what = f"called for {delivery.topic} {delivery.epoch}/{delivery.seq}: {delivery.event}" if delivery else "a timer"
    return CallbackError(f"callback {_name(function)}, {what}, raised {type(error).__name__}: {error}", delivery)
