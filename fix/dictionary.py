"""FIX dictionaries: what messages may hold, what their parts are called, and whether one is as it should be.

Files are in QuickFIX's XML format. The check itself is native and looks at raw bytes; docs/fix-dictionary.md
describes both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import NamedTuple

from typing_extensions import Buffer

from base.errors import ConfigError
from fix._codec import FieldRules
from fix.dictionary_load import Source, load, with_transport
from fix.dictionary_model import MessageDef
from fix.dictionary_tables import compile_tables
from fix.dictionary_types import REASONS, UNSUPPORTED

_HERE = Path(__file__).parent / "dictionaries"
_STANDARD = {
    "4.2": ("FIX42.xml", ""),
    "4.4": ("FIX44.xml", ""),
    "5.0sp2": ("FIX50SP2.xml", "FIXT11.xml"),
    "t1.1": ("FIXT11.xml", ""),
}
_LAST_OF_4_2 = 11


class Fault(NamedTuple):
    """What is wrong with a message first; the texts are the standard's."""

    reason: int
    """SessionRejectReason(373); -1 when `business` says why."""
    tag: int
    """RefTagID(371); 0 when there is none. With reason 0 the number as it stood there: 0 or negative, too."""
    text: str
    business: int = 0
    """BusinessRejectReason(380): 3 for a message type that is the standard's but not the dictionary's; else 0."""

    def reason_in(self, begin_string: str) -> int:
        """373 as far as that version has the number (FIX 4.2 ends at 11); -1: leave 373 out, the text says it."""
        return -1 if begin_string == "FIX.4.2" and self.reason > _LAST_OF_4_2 else self.reason


@dataclass(frozen=True, slots=True)
class Checks:
    """What a check looks at; everything unless switched off. The number is the reason that it may answer."""

    fields_out_of_order: bool = True
    """14: 8, 9 and 35 first, header before body before trailer, 10 last."""
    fields_have_values: bool = True
    """4."""
    user_defined_fields: bool = True
    """0 and 2 for tags from 5000 on."""
    unknown_fields: bool = True
    """0 and 2 for tags below 5000."""
    required: bool = True
    """1."""
    values: bool = True
    """5: enumerations, and length fields that do not lead to the end of their data."""
    formats: bool = True
    """6."""
    group_order: bool = True
    """15; off: entries begin with the tag that the first one begins with, in whatever order."""
    group_counts: bool = True
    """16."""
    repeated: bool = True
    """13."""
    message_types: bool = True
    """11, and 380=3."""
    undefined_tags: bool = False
    """3 instead of 0 for a well-formed tag number that the dictionary does not define; engines say 0."""
    mask: int = field(init=False, repr=False, compare=False)
    """The same as bits, for the native part."""

    def __post_init__(self) -> None:
        names = [each.name for each in fields(self) if each.init]
        object.__setattr__(self, "mask", sum(1 << bit for bit, name in enumerate(names) if getattr(self, name)))


STRICT = Checks()


class Dictionary:
    """One dictionary, immutable: the rules of a session's messages, and their names."""

    def __init__(self, sources: Sequence[Source], transport: Sequence[Source] = ()) -> None:
        self._sources, self._transport = tuple(sources), tuple(transport)
        application = load(sources)
        self._application = application.version
        path = sources[-1].root.path
        self._model = model = with_transport(application, load(transport), path) if transport else application
        self._tables = compile_tables(model, application.version) if model.header else None
        self._check = self._tables.check if self._tables else self._no_check

    @classmethod
    def load(cls, path: Path | str, transport: Path | str | None = None) -> "Dictionary":
        """From a file; for FIX 5.0 and later `transport` has the FIXT.1.1 header and administrative messages.

        ConfigError names file, line and element.
        """
        return cls([Source(path)], [Source(transport)] if transport is not None else ())

    @classmethod
    def standard(cls, version: str) -> "Dictionary":
        """Our own: "4.2", "4.4", "5.0sp2" (with its transport), "t1.1" (the transport alone). ConfigError."""
        return _standard(version)

    def extended(self, path: Path | str) -> "Dictionary":
        """This one with a file's fields, components and messages on top; docs/fix-dictionary.md has the rules."""
        return Dictionary([*self._sources, Source(path)], self._transport)

    # --- the check

    def check(self, raw: Buffer, options: Checks = STRICT) -> Fault | None:
        """The first fault of a whole message in the order of its bytes, None when it is clean."""
        found = self._check(raw, options.mask)
        return None if found is None else _fault(found)

    def faults(self, raw: Buffer, options: Checks = STRICT, limit: int = 16) -> list[Fault]:
        """All of them in that order, as many as `limit` (at most 64)."""
        if self._tables is None:
            self._no_check(raw, 0)
            return []
        return [_fault(found) for found in self._tables.faults(raw, options.mask, limit)]

    def _no_check(self, raw: Buffer, mask: int) -> tuple[int, int, int] | None:
        raise ConfigError(f"{self._sources[0].root.path}: {self.version} needs a transport dictionary beside it")

    def rules(self) -> FieldRules:
        """Its data fields with their lengths, and its NumInGroup tags, for the codec."""
        pairs = {length: data for data, length in self._model.data_lengths().items()}
        return FieldRules(pairs, sorted(self._model.count_tags()))

    # --- what it says

    @property
    def begin_string(self) -> str:
        """BeginString(8) of the messages: FIX.4.2, FIX.4.4, FIXT.1.1."""
        return self._model.version

    @property
    def version(self) -> str:
        """Version of the application's messages: FIX.4.4, FIX.5.0."""
        return self._application

    @property
    def paths(self) -> tuple[str, ...]:
        """Files that it was read from."""
        return tuple(each.root.path for each in (*self._transport, *self._sources))

    @property
    def notes(self) -> tuple[str, ...]:
        """What was read but is not checked, such as types that nobody knows: file, line, what."""
        return tuple(self._model.notes)

    @property
    def messages(self) -> dict[str, MessageDef]:
        """Definitions by MsgType."""
        return self._model.messages

    def message_name(self, msg_type: str) -> str:
        """ "NewOrderSingle" for "D"; "" when unknown."""
        message = self._model.messages.get(msg_type)
        return "" if message is None else message.name

    def field_name(self, tag: int) -> str:
        """ "ClOrdID" for 11; "" when unknown."""
        known = self._model.fields.get(tag)
        return "" if known is None else known.name

    def value_name(self, tag: int, value: str) -> str:
        """ "FILL" for 150 and "2"; "" when unknown."""
        known = self._model.fields.get(tag)
        return "" if known is None else known.values.get(value, "")

    def tag_of(self, name: str) -> int:
        """11 for "ClOrdID"; 0 when unknown."""
        return next((each.number for each in self._model.fields.values() if each.name == name), 0)


def _fault(found: tuple[int, int, int]) -> Fault:
    reason, tag, business = found
    return Fault(reason, tag, UNSUPPORTED if business else REASONS[reason], business)


@cache
def _standard(version: str) -> Dictionary:
    if version not in _STANDARD:
        raise ConfigError(f"no standard dictionary {version!r}, expected one of {', '.join(_STANDARD)}")
    path, transport = _STANDARD[version]
    return Dictionary.load(_HERE / path, _HERE / transport if transport else None)


__all__ = ["STRICT", "Checks", "Dictionary", "Fault"]
