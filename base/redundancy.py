"""Sessions of one kind to one venue that stand in for each other: which belong together, and what they must share.

`[session.X] redundant_with = "Y"` puts X beside Y, the first of its group. Y itself names nobody.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from base.errors import ConfigError

if TYPE_CHECKING:
    from base.config import Config, SessionConfig


def groups_of(sessions: "Mapping[str, SessionConfig]") -> dict[str, tuple[str, ...]]:
    """Each group by its first session: that one, then those beside it in the order of the file."""
    found: dict[str, tuple[str, ...]] = {}
    for name, session in sessions.items():
        if session.redundant_with:
            found[session.redundant_with] = (*found.get(session.redundant_with, (session.redundant_with,)), name)
    return found


def check_redundancy(config: "Config", instruments: Callable[[str], list[str]], at: str) -> None:
    """ConfigError for a session beside one that it could not stand in for. `instruments`: names of a session's."""
    for name, session in config.session.items():
        if not session.redundant_with:
            continue
        path, first = f"{at}: session.{name}", session.redundant_with
        other = config.session.get(first)
        if other is None or first == name:
            raise ConfigError(
                f"{path}.redundant_with: {first!r} is no other session; there are {sorted(config.session)}"
            )
        if other.redundant_with:
            raise ConfigError(
                f"{path}.redundant_with: session.{first} stands beside {other.redundant_with!r} itself; name that one"
            )
        for key in ("venue", "kind") if session.kind != "marketdata" else ("venue", "kind", "level", "depth"):
            mine, its = getattr(session, key), getattr(other, key)
            if mine != its:
                raise ConfigError(f"{path}.{key}: {mine}; session.{first}, which it stands beside, has {its}")
        if sorted(instruments(name)) != sorted(instruments(first)):
            raise ConfigError(f"{path}.instruments: expected those of session.{first}, which it stands beside")
        for own in (name, first):
            if own in config.kill.sessions:
                raise ConfigError(f"{path}.redundant_with: session.{own} is the kill switch's own (kill.sessions)")
    for name, session in config.session.items():
        if session.redundant_with:
            _same_shard(config, name, session.redundant_with, at)


def _same_shard(config: "Config", name: str, first: str, at: str) -> None:
    """A book has one writer: it can go over to another source only if it keeps both."""
    for shard, book in config.book.items():
        if (name in book.sessions) != (first in book.sessions):
            absent = first if name in book.sessions else name
            raise ConfigError(
                f"{at}: book.{shard}.sessions: {absent!r} is missing: session.{name} stands beside session.{first}, and"
                " one shard keeps the books of both"
            )
