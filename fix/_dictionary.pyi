"""Tables of a dictionary and the native check of a message against them; made by fix.dictionary_tables."""

from collections.abc import Iterable
from typing import final

from typing_extensions import Buffer

def format_ok(type: int, value: bytes) -> bool:  # noqa: A002
    """Whether a value that is not empty has the format of a type (numbers of fix.dictionary_types)."""

@final
class Tables:
    """A compiled dictionary; immutable."""

    def __init__(
        self,
        fields: list[tuple[int, int, list[bytes], bool, int]],
        blocks: list[tuple[int, list[tuple[int, bool, int]], int]],
        header: int,
        trailer: int,
        messages: dict[bytes, int],
        unsupported: Iterable[bytes],
    ) -> None:
        """Fields (tag, type, values, others allowed, length tag of data or 0); blocks (count tag or 0, members, limit)
        with members (tag, required, block of the group it counts or -1); MsgTypes to their blocks; those of the
        standard."""
    def check(self, data: Buffer, checks: int) -> tuple[int, int, int] | None:
        """(reason, tag, business) of the first fault of a whole message, None when there is none."""
    def faults(self, data: Buffer, checks: int, limit: int = ...) -> list[tuple[int, int, int]]:
        """All faults up to `limit` (at most 64), in the order of the bytes."""
