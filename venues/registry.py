"""The venues there are: name of a dialect -> where it lives. The only list of them."""

from importlib import import_module

from base.errors import ConfigError
from venues.interface import Dialect

_WHERE = {
    "binance": "venues.binance.dialect",
    "fix44": "venues.fix44.dialect",
    "kraken": "venues.kraken.dialect",
}


def names() -> list[str]:
    """Every dialect's name, sorted."""
    return sorted(_WHERE)


def dialect(name: str, path: str = "dialect") -> Dialect:
    """The dialect of that name, loaded when first asked for; ConfigError naming `path` when there is none."""
    where = _WHERE.get(name)
    if where is None:
        raise ConfigError(f"{path}: no dialect {name!r}; there are {names()}")
    made: Dialect = import_module(where).DIALECT
    return made
