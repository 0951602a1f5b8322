"""Keeps a log ready beside the loop: space and pages ahead of time in small steps, flushing in a helper thread."""

import logging
from collections.abc import Callable
from typing import Protocol

from base.errors import StoreError
from base.reactor import Reactor, Timer

PREPARE_NS = 50_000_000
SYNC_NS = 1_000_000_000  # between two flushes where a desk is configured to flush at all

log = logging.getLogger("upkeep")


class Kept(Protocol):
    """What can be kept: base.segments.SegmentWriter, fix.file_store.FileStore, ipc.journal.Journal, a venue session."""

    def prepare(self) -> bool:
        """A bounded bit of work ahead; False when nothing is left to do."""
        ...

    def sync(self) -> None:
        """Flush to the device. Blocks; safe in a helper thread."""
        ...


class Upkeep:
    """Calls `prepare` from a timer, and `sync` every `sync_ns` in a helper thread (0: never)."""

    def __init__(self, reactor: Reactor, kept: Kept, name: str, sync_ns: int = 0) -> None:
        self.syncs = 0
        self._reactor = reactor
        self._kept = kept
        self._name = name
        self._sync_ns = sync_ns
        self._timers: list[Timer] = []
        self._prepare()
        if sync_ns:
            self._sync_later()

    def stop(self) -> None:
        """End it; call this before closing what is kept."""
        for timer in self._timers:
            timer.cancel()
        self._sync_ns = 0
        self._timers.clear()

    def _after(self, ns: int, again: Callable[[], object]) -> None:
        self._timers = [timer for timer in self._timers if timer.pending]
        self._timers.append(self._reactor.call_later(ns, again, f"{self._name} upkeep"))

    def _prepare(self) -> None:
        try:
            more = self._kept.prepare()
        except StoreError as error:  # whoever appends next hears of it in person
            log.warning("%s cannot be prepared: %s", self._name, error)
            more = False
        self._after(PREPARE_NS if more else 10 * PREPARE_NS, self._prepare)

    def _sync_later(self) -> None:
        self._after(self._sync_ns, self._sync)

    def _sync(self) -> None:
        self._reactor.run_blocking(self._kept.sync, self._synced, f"{self._name} sync")

    def _synced(self, _: None, error: Exception | None) -> None:
        if error is not None:
            log.error("%s could not be flushed: %s", self._name, error)
        self.syncs += 1
        if self._sync_ns:
            self._sync_later()
