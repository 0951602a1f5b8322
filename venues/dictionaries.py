"""The dictionary of a venue session: the venue's own on top of the standard's, or the file that the session names."""

from dataclasses import replace
from functools import cache
from pathlib import Path

from base.config import SessionConfig, VenueConfig
from base.errors import ConfigError
from fix.dictionary import Dictionary
from fix.dictionary_load import Source
from fix.settings import SessionSettings, Validation
from venues.interface import SessionContext

_HERE = Path(__file__).parent
_VERSIONS = {"FIX.4.2": "4.2", "FIX.4.4": "4.4", "FIXT.1.1": "5.0sp2"}
_BEGIN = {"FIX.5.0": "FIXT.1.1"}


def session_dictionary(context: SessionContext, begin_string: str) -> Dictionary:
    """What this session's messages are held against. ConfigError names the session's key, or file, line and element."""
    config, path = context.config, f"session.{context.name}"
    own = configured_dictionary(config, path)
    if own is None:
        return venue_dictionary(context.venue.dictionary or context.venue.dialect, begin_string)
    if own.begin_string != begin_string:
        what = f"{config.dictionary} is for {own.begin_string}"
        raise ConfigError(f"{path}.dictionary: {what}, the session speaks {begin_string}")
    return own


def check_dictionary(venue: VenueConfig, path: str) -> None:
    """ConfigError naming `path` when a venue asks for the dictionary of one that has none."""
    known = sorted(folder.parent.name for folder in _HERE.glob("*/dictionary*.xml"))
    if venue.dictionary and venue.dictionary not in known:
        raise ConfigError(f"{path}.dictionary: {venue.dictionary!r} has none; there are {sorted(set(known))}")


def configured_dictionary(config: SessionConfig, path: str) -> Dictionary | None:
    """The dictionary that a session names, None when it names none. ConfigError."""
    if config.dictionary:
        return _read(config.dictionary, config.transport_dictionary)
    if config.transport_dictionary:
        raise ConfigError(f"{path}.transport_dictionary: goes with dictionary, which is missing")
    return None


@cache
def venue_dictionary(dialect: str, begin_string: str) -> Dictionary:
    """The standard's dictionary with what the file for that version in the dialect's folder says of the venue."""
    if begin_string not in _VERSIONS:
        raise ConfigError(f"no dictionary for {begin_string}, there are {', '.join(_VERSIONS)}")
    standard, own = Dictionary.standard(_VERSIONS[begin_string]), own_dictionaries(dialect)
    return standard.extended(own[begin_string]) if begin_string in own else standard


@cache
def own_dictionaries(dialect: str) -> dict[str, Path]:
    """A dialect's `dictionary*.xml`, by the BeginString(8) of the sessions that they are for."""
    found = sorted((_HERE / dialect).glob("dictionary*.xml"))
    return {_BEGIN.get(version, version): path for path in found for version in [Source(path).version]}


@cache
def _read(path: str, transport: str) -> Dictionary:
    return Dictionary.load(path, transport or None)


def validated(settings: SessionSettings, context: SessionContext) -> SessionSettings:
    """The settings with what the session's `validate` asks for."""
    return replace(settings, validation=Validation(context.config.validate))
