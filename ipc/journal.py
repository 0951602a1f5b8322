"""A process's journal: its published execution events and its commands' order ids, on disk before they are told.

Records: one kind byte, then for FRAME the bus frame as it went out, for ORDER_ID a MessagePack array
[client_id, command_id, cl_ord_id, wall_ns]. Other processes may read a journal while its owner writes it.
"""

from collections.abc import Iterator
from pathlib import Path


class Journal:
    """The writer's side. One per process; the role's lock must be held."""

    def __init__(self, directory: Path, *, remember: int = 20_000) -> None:
        """Open or create, and index the last `remember` order ids. StoreError or CorruptError name file and offset."""
        raise NotImplementedError

    def next_epoch(self, wall_ns: int) -> int:
        """An epoch above every one journalled, `wall_ns` where the clock has not stepped back."""
        raise NotImplementedError

    def frame(self, data: bytes) -> None:
        """Hand a frame to the kernel before it is published. StoreError when it cannot be written."""
        raise NotImplementedError

    def order_id(self, client_id: str, command_id: str, cl_ord_id: str, wall_ns: int) -> None:
        """Store which order a command became, BEFORE it is sent. StoreError: do not send."""
        raise NotImplementedError

    def lookup(self, client_id: str, command_id: str) -> str | None:
        """The cl_ord_id that this command became, also in an earlier life of the process; None when not known."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def read_frames(directory: Path) -> Iterator[bytes]:
    """Every frame in a journal's order, its owner alive or dead; ends at the last whole record."""
    raise NotImplementedError
