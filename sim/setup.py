"""What a simulated venue is made of: instruments, who may log on, options. From a desk's configuration or by hand."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from base.errors import ConfigError
from base.instruments import Instrument

Options = Mapping[str, str | int | bool | list[str]]


@dataclass(frozen=True, slots=True)
class Grant:
    """One session that may log on. `username` and `password` are the plain values the client proves it knows."""

    kind: str  # trading, marketdata, dropcopy
    sender: str
    target: str
    account: str = "main"
    level: int = 2
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    name: str = ""
    passphrase: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class RestKey:
    """A REST credential of an account."""

    account: str = "main"
    key: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    passphrase: str = field(default="", repr=False)


@dataclass(slots=True)
class Setup:
    """A simulated venue before it starts."""

    venue: str
    instruments: list[Instrument]
    grants: list[Grant] = field(default_factory=list)
    rest_keys: list[RestKey] = field(default_factory=list)
    options: Options = field(default_factory=dict)
    seed: int = 1
    messages_per_s: int = 200
    any_logon: bool = False

    def number(self, name: str, default: int) -> int:
        """A whole-number option. ConfigError when it is something else."""
        value = self.options.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ConfigError(f"sim.{self.venue}.options.{name}: {value!r} is not a whole number")
        return value

    def text(self, name: str, default: str, allowed: tuple[str, ...] = ()) -> str:
        """A text option, one of `allowed` where given."""
        value = self.options.get(name, default)
        if not isinstance(value, str) or (allowed and value not in allowed):
            expected = f"one of {', '.join(allowed)}" if allowed else "a text"
            raise ConfigError(f"sim.{self.venue}.options.{name}: {value!r} is not {expected}")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """A true/false option."""
        value = self.options.get(name, default)
        if not isinstance(value, bool):
            raise ConfigError(f"sim.{self.venue}.options.{name}: {value!r} is neither true nor false")
        return value

    def check_options(self, known: frozenset[str]) -> None:
        """ConfigError for an option that no part of the venue knows."""
        for name in self.options:
            if name not in known and not name.startswith("open."):
                raise ConfigError(f"sim.{self.venue}.options.{name}: unknown; there are {', '.join(sorted(known))}")


def dollar_pairs(venue: str) -> list[Instrument]:
    """Two Spot pairs, for a venue that is told of none."""
    return [
        Instrument(venue, "BTC-USD", "BTC-USD", 2, 8, min_qty=1_000),
        Instrument(venue, "ETH-USD", "ETH-USD", 2, 8, min_qty=10_000),
    ]


def same_symbol(name: str) -> str:
    """The venue's symbol for a desk name, where they are the same."""
    return name
