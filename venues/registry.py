"""The venues there are: every folder here that has a dialect."""

from functools import cache
from importlib import import_module
from importlib.resources import files

from base.errors import ConfigError
from venues.interface import Dialect


@cache
def names() -> list[str]:
    """Every dialect's name, which is its folder's, sorted."""
    return sorted(f.name for f in files("venues").iterdir() if f.is_dir() and (f / "dialect.py").is_file())


def simulated(name: str) -> bool:
    """Whether the venue's own side is there, too."""
    return (files("venues") / name / "sim.py").is_file()


def dialect(name: str, path: str = "dialect") -> Dialect:
    """The dialect of that name, loaded when first asked for; ConfigError naming `path` when there is none."""
    if name not in names():
        raise ConfigError(f"{path}: no dialect {name!r}; there are {names()}")
    made: Dialect = import_module(f"venues.{name}.dialect").DIALECT
    return made
