"""What a dictionary says, after names and components are resolved."""

from dataclasses import dataclass, field
from typing import NamedTuple

FieldValues = dict[str, str]
"""Value as it stands on the wire -> its name."""


@dataclass(slots=True)
class FieldDef:
    """One field of the dictionary; `open_values`: values beside the listed ones are fine."""

    number: int
    name: str
    type: str
    values: FieldValues
    open_values: bool = False


class Member(NamedTuple):
    """A field's place in a message, header, trailer or group entry; `group` when it counts a repeating group."""

    tag: int
    required: bool
    group: "GroupDef | None" = None


class GroupDef(NamedTuple):
    """A repeating group; the first member is the delimiter."""

    count_tag: int
    members: tuple[Member, ...]


class MessageDef(NamedTuple):
    """One message type, without header and trailer."""

    msg_type: str
    name: str
    admin: bool
    members: tuple[Member, ...]


@dataclass(slots=True)
class Model:
    """A whole dictionary; `version` as its root element says: FIX.4.4, FIXT.1.1, FIX.5.0."""

    version: str
    header: tuple[Member, ...] = ()
    trailer: tuple[Member, ...] = ()
    messages: dict[str, MessageDef] = field(default_factory=dict)
    fields: dict[int, FieldDef] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What was read but cannot be checked, with file and line."""

    def data_lengths(self) -> dict[int, int]:
        """Data tag -> tag of its length, which is named like it with `Len` or `Length` behind."""
        tags = {each.name: each.number for each in self.fields.values()}
        lengths = {}
        for each in self.fields.values():
            length = tags.get(each.name + "Len") or tags.get(each.name + "Length")
            if length and each.type in ("DATA", "XMLDATA"):
                lengths[each.number] = length
        return lengths

    def count_tags(self) -> set[int]:
        """NumInGroup tags of all groups, nested ones included."""
        found: set[int] = set()
        seen: set[int] = set()  # components share their groups: each is walked once
        parts = [self.header, self.trailer, *(message.members for message in self.messages.values())]
        while parts:
            for member in parts.pop():
                if member.group is not None and id(member.group) not in seen:
                    seen.add(id(member.group))
                    found.add(member.tag)
                    parts.append(member.group.members)
        return found
