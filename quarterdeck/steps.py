"""What a client asks and what it makes of the answers, without waiting: generators, and the two ways to drive them.

A generator yields an `Ask` and is sent the `Answer`, or is thrown the BusError that came in its place. Nothing of what
a client knows of orders stands in a driver: the synchronous client and the one for asyncio take the same steps.
"""

from collections.abc import Awaitable, Callable, Generator
from typing import NamedTuple, TypeAlias, TypeVar

from base.errors import BusError
from ipc.requests import Answer, AnyCommand

T = TypeVar("T")


class Ask(NamedTuple):
    """A command for a process, and how many seconds its answer may take."""

    process: str
    command: AnyCommand
    timeout: float


Steps: TypeAlias = Generator[Ask, Answer, T]


def take(steps: Steps[T], request: Callable[[Ask], Answer]) -> T:
    """Take every step; `request` waits for the answer."""
    try:
        ask = next(steps)
        while True:
            try:
                answer = request(ask)
            except BusError as error:
                ask = steps.throw(error)
            else:
                ask = steps.send(answer)
    except StopIteration as done:
        result: T = done.value
        return result


async def take_async(steps: Steps[T], request: Callable[[Ask], Awaitable[Answer]]) -> T:
    """Take every step; `request` is awaited."""
    try:
        ask = next(steps)
        while True:
            try:
                answer = await request(ask)
            except BusError as error:
                ask = steps.throw(error)
            else:
                ask = steps.send(answer)
    except StopIteration as done:
        result: T = done.value
        return result
