"""The dictionary of a venue session: the venue's own on top of the standard's, or the file that the session names."""

from dataclasses import replace
from functools import cache
from pathlib import Path

from base.config import SessionConfig
from base.errors import ConfigError
from fix.dictionary import Dictionary
from fix.settings import SessionSettings, Validation
from venues.interface import SessionContext

_HERE = Path(__file__).parent
_VERSIONS = {"FIX.4.2": "4.2", "FIX.4.4": "4.4", "FIXT.1.1": "5.0sp2"}


def session_dictionary(context: SessionContext, begin_string: str) -> Dictionary:
    """What this session's messages are held against. ConfigError names the session's key, or file, line and element."""
    config, path = context.config, f"session.{context.name}"
    own = configured_dictionary(config, path)
    if own is None:
        return venue_dictionary(context.venue.dialect, begin_string)
    if own.begin_string != begin_string:
        what = f"{config.dictionary} is for {own.begin_string}"
        raise ConfigError(f"{path}.dictionary: {what}, the session speaks {begin_string}")
    return own


def configured_dictionary(config: SessionConfig, path: str) -> Dictionary | None:
    """The dictionary that a session names, None when it names none. ConfigError."""
    if config.dictionary:
        return _read(config.dictionary, config.transport_dictionary)
    if config.transport_dictionary:
        raise ConfigError(f"{path}.transport_dictionary: goes with dictionary, which is missing")
    return None


@cache
def venue_dictionary(dialect: str, begin_string: str) -> Dictionary:
    """The standard's dictionary with what `dictionary.xml` in the dialect's folder says of the venue."""
    if begin_string not in _VERSIONS:
        raise ConfigError(f"no dictionary for {begin_string}, there are {', '.join(_VERSIONS)}")
    standard = Dictionary.standard(_VERSIONS[begin_string])
    own = _HERE / dialect / "dictionary.xml"
    return standard.extended(own) if own.exists() else standard


@cache
def _read(path: str, transport: str) -> Dictionary:
    return Dictionary.load(path, transport or None)


def validated(settings: SessionSettings, context: SessionContext) -> SessionSettings:
    """The settings with what the session's `validate` asks for."""
    return replace(settings, validation=Validation(context.config.validate))
