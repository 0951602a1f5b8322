"""Reading a dialect's options: typed, checked, with the path of what is wrong."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from base.config import SessionConfig, VenueConfig
from base.errors import ConfigError

Value: TypeAlias = str | int | bool | list[str]


class Options:
    """Options of a venue or session. Each getter marks its key as known; `end` refuses the others."""

    def __init__(self, values: Mapping[str, Value], path: str) -> None:
        self._values = values
        self._path = path
        self._known: set[str] = set()

    def text(self, key: str, default: str = "", choices: Iterable[str] = ()) -> str:
        """A text, one of `choices` when there are any."""
        value = self._get(key, default)
        allowed = sorted(choices)
        if not isinstance(value, str) or (allowed and value not in allowed):
            raise self._wrong(key, value, f"one of {allowed}" if allowed else "a text")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, value, "true or false")
        return value

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self._wrong(key, value, f"a whole number from {low} to {high}")
        return value

    def texts(self, key: str, default: Iterable[str], choices: Iterable[str] = ()) -> frozenset[str]:
        """A list of texts, each one of `choices` when there are any."""
        value = self._get(key, list(default))
        allowed = sorted(choices)
        if not isinstance(value, list) or (allowed and not set(value) <= set(allowed)):
            raise self._wrong(key, value, f"a list out of {allowed}" if allowed else "a list of texts")
        return frozenset(value)

    def lines(self, key: str) -> tuple[str, ...]:
        """A list of texts whose order counts, none when the key is missing."""
        value = self._get(key, [])
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise self._wrong(key, value, "a list of texts")
        return tuple(value)

    def end(self) -> None:
        """ConfigError when a key was given that nobody asked for."""
        for key in self._values:
            if key not in self._known:
                raise ConfigError(f"{self._path}.{key}: unknown option; expected one of {sorted(self._known)}")

    def _get(self, key: str, default: Value) -> Value:
        self._known.add(key)
        return self._values.get(key, default)

    def _wrong(self, key: str, value: object, expected: str) -> ConfigError:
        return ConfigError(f"{self._path}.{key}: {value!r} is not {expected}")


def need_three_secrets(venue: VenueConfig, sessions: Mapping[str, SessionConfig], path: str) -> None:
    """ConfigError naming what is missing of key, secret and passphrase, at REST and of any session."""
    rest = venue.rest
    if rest is not None:
        _need(f"{path}.rest", dict(zip(("key", "secret", "passphrase"), rest.references, strict=True)))
        if rest.kill_key and not rest.kill_passphrase:
            raise ConfigError(f"{path}.rest.kill_passphrase: missing, though kill_key has its own")
    for name, session in sessions.items():
        _need(f"session.{name}", {k: getattr(session, k) for k in ("username", "password", "passphrase")})


def _need(path: str, references: Mapping[str, str]) -> None:
    if missing := [key for key, reference in references.items() if not reference]:
        raise ConfigError(f"{path}.{missing[0]}: missing; the venue gives three secrets with each key")


def merged(venue: VenueConfig, session: SessionConfig | None = None) -> dict[str, Value]:
    """The venue's options, overridden by the session's."""
    return {**venue.options, **(session.options if session is not None else {})}
