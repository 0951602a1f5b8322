"""What every viewer is sent: sections of the desk's state, encoded once, and which of them are new to whom.

A section is one server-sent event with the section's whole JSON. A viewer has no queue: it knows up to which version
it was told, and the next thing it is given is what is newer than that. So a slow one skips to the newest by itself, and
ten of them cost one encoding. Belongs to the server's event loop.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping

KEEP_ALIVE_S = 15.0
KEEP_ALIVE = b": still here\n\n"
RETRY = b"retry: 1000\n\n"
EVENTS = 500  # lines of the event log that a new viewer is given


class Hub:
    """The sections and who looks at them."""

    def __init__(self, most: int, wanted: Callable[[], object] = lambda: None) -> None:
        """`most` viewers at one time. `wanted`: called when the first begins to look, to be fed at once."""
        self.viewers = 0
        self.most = most
        self._wanted = wanted
        self.encoded = 0  # bytes of sections, as they were made
        self.sent = 0  # bytes, over all viewers
        self.version = 0
        self._sections: dict[str, tuple[int, bytes]] = {}
        self._log: deque[tuple[int, bytes]] = deque(maxlen=EVENTS)
        self._mark = b""
        self._news = asyncio.Event()
        self._closed = False
        self._fresh = False
        self._since: tuple[int, bytes] = (-1, b"")  # what is newer than a version: nearly everybody asks for the same

    def feed(self, sections: Mapping[str, bytes], log: Iterable[bytes], mark: bytes) -> None:
        """New JSON of sections that changed, and new lines of the event log. `mark` closes what a viewer is given: the
        time of the state, by which a page knows that it is live.
        """
        self.version += 1
        for name, data in sections.items():
            frame = b"event: %s\ndata: %s\n\n" % (name.encode(), data)
            self._sections[name] = self.version, frame
            self.encoded += len(frame)
        for line in log:
            self._log.append((self.version, line))
            self.encoded += len(line)
        self._mark = b"event: tick\ndata: %s\n\n" % mark
        self._since = (-1, b"")
        self._fresh = self.viewers > 0
        self._wake()

    def enter(self) -> None:
        """One more looks. Nobody is fed while nobody looks, so what is here may be old: see `fresh`."""
        self.viewers += 1
        if self.viewers == 1:
            self._wanted()

    def leave(self) -> None:
        """One less."""
        self.viewers -= 1
        self._fresh = self._fresh and self.viewers > 0

    async def fresh(self) -> None:
        """Until the hub was fed since somebody looks."""
        while not self._fresh and not self._closed:
            await self.wait(self.version)

    def newer(self, seen: int) -> bytes:
        """Everything newer than version `seen` (0: all there is), and the mark."""
        if self._since[0] == seen:
            return self._since[1]
        frames = [frame for version, frame in self._sections.values() if version > seen]
        lines = [line for version, line in self._log if version > seen]
        if lines or not seen:
            frames.append(b"event: %s\ndata: [%s]\n\n" % (b"log" if seen else b"whole-log", b",".join(lines)))
        joined = b"".join([*frames, self._mark])
        self._since = (seen, joined)
        return joined

    async def wait(self, seen: int, seconds: float = KEEP_ALIVE_S) -> bool:
        """Until there is something newer; False when the time went by or the hub is closed."""
        while self.version <= seen and not self._closed:
            try:
                await asyncio.wait_for(self._news.wait(), seconds)
            except TimeoutError:
                return False
        return not self._closed

    @property
    def closed(self) -> bool:
        """The server stops: viewers are let go."""
        return self._closed

    def close(self) -> None:
        """Let all viewers go."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
