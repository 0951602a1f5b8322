"""From the elements of QuickFIX's dictionary format to a Model; every complaint names file, line and element."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from base.errors import ConfigError
from fix.dictionary_model import FieldDef, GroupDef, Member, MessageDef, Model
from fix.dictionary_types import TYPES
from fix.dictionary_xml import Element, read_xml

_SECTIONS = ("header", "trailer", "messages", "components", "fields")
_MEMBERS = ("field", "group", "component")
_MAX_TAG = 999_999_999
_MAX_NESTING = 12


class Source:
    """One dictionary file, its sections checked, nothing resolved yet."""

    def __init__(self, path: Path | str) -> None:
        self.root = root = read_xml(path)
        if root.name != "fix":
            raise root.error("expected the root element <fix>")
        version = (root.get("type", "FIX"), root.need("major"), root.need("minor"))
        self.version = ".".join(version)
        self.parts = {each.name: each for each in root.named(*_SECTIONS)}

    def section(self, name: str) -> list[Element]:
        """Children of a section; none when the file has no such section."""
        part = self.parts.get(name)
        return [] if part is None else part.children

    def need(self, *names: str) -> None:
        """ConfigError unless these sections are there."""
        for name in names:
            if name not in self.parts:
                raise self.root.error(f"section <{name}> is missing")


def load(sources: Sequence[Source]) -> Model:
    """One model of a file and those that extend it, the later on top of the earlier. ConfigError."""
    first = sources[0]
    first.need("messages", "fields")
    if not first.version.startswith("FIX.5"):
        first.need("header", "trailer")
    loader = _Loader(first.version)
    for source in sources:
        loader.add(source)
    return loader.model()


class _Loader:
    def __init__(self, version: str) -> None:
        self._model = Model(version)
        self._numbers: dict[str, int] = {}
        self._components: dict[str, Element] = {}
        self._resolved: dict[str, tuple[Member, ...]] = {}
        self._depths: dict[int, int] = {}
        self._messages: dict[str, list[Element]] = {}
        self._header: list[Element] = []
        self._trailer: list[Element] = []

    def add(self, source: Source) -> None:
        for each in _named(source, "fields", "field"):
            self._add_field(each)
        here: set[str] = set()
        for each in _named(source, "components", "component"):
            name = each.need("name")
            if name in here:
                raise each.error("this component is defined twice")
            here.add(name)
            self._components[name] = each
        self._add_messages(source)
        self._header += source.section("header")
        self._trailer += source.section("trailer")

    def _add_messages(self, source: Source) -> None:
        here: set[str] = set()
        for each in _named(source, "messages", "message"):
            msg_type = each.need("msgtype")
            each.need("name")
            if msg_type in here:
                raise each.error(f"message type {msg_type!r} is defined twice")
            here.add(msg_type)
            if not _yes(each, "extends", default=True):
                self._messages.pop(msg_type, None)
            self._messages.setdefault(msg_type, []).append(each)

    # --- fields

    def _add_field(self, element: Element) -> None:
        number, name = _number(element), element.need("name")
        known = self._model.fields.get(number)
        if known is not None and known.name != name:
            raise element.error(f"duplicate field number: {number} is {known.name!r} already")
        if self._numbers.get(name, number) != number:
            raise element.error(f"duplicate field name: {name!r} is number {self._numbers[name]} already")
        self._numbers[name] = number
        type_ = self._type(element)
        values = {}
        for each in element.named("value"):
            enum = each.need("enum")
            values[enum] = each.get("description", enum)
        self._model.fields[number] = FieldDef(number, name, type_, values, _yes(element, "allowOtherValues"))

    def _type(self, element: Element) -> str:
        type_ = element.need("type").upper()
        if type_ not in TYPES:
            self._model.notes.append(f"{element.path}:{element.line}: type {type_!r} is not known, any text will do")
            return "STRING"
        if type_ == "CHAR" and self._model.version in ("FIX.4.0", "FIX.4.1"):
            return "STRING"  # their CHAR is any text
        return type_

    # --- members

    def model(self) -> Model:
        model = self._model
        model.header = self._members(self._header)
        model.trailer = self._members(self._trailer)
        for part, members in ((self._header, model.header), (self._trailer, model.trailer)):
            self._check_depth(members, part[0] if part else None)
        for msg_type, elements in self._messages.items():
            last = elements[-1]
            category = last.get("msgcat", "app")
            if category not in ("app", "admin"):
                raise last.error(f"msgcat is {category!r}, expected 'app' or 'admin'")
            members = self._members(child for element in elements for child in element.children)
            self._check_depth(members, last)
            model.messages[msg_type] = MessageDef(msg_type, last.need("name"), category == "admin", members)
        self._resolve_all_components()
        return model

    def _resolve_all_components(self) -> None:
        """Those that no message uses are held to the same rules."""
        for name, component in self._components.items():
            if name not in self._resolved:
                self._members(component.children, (name,))

    def _check_depth(self, members: tuple[Member, ...], element: Element | None) -> None:
        if element is not None and self._depth(members) > _MAX_NESTING:
            raise element.error(f"groups are nested more than {_MAX_NESTING} deep")

    def _depth(self, members: tuple[Member, ...]) -> int:
        """How deep groups are nested in these members."""
        deepest = 0
        for member in members:
            if member.group is not None:
                key = id(member.group)  # components share their groups: each is measured once
                if key not in self._depths:
                    self._depths[key] = 1 + self._depth(member.group.members)
                deepest = max(deepest, self._depths[key])
        return deepest

    def _members(self, elements: Iterable[Element], inside: tuple[str, ...] = (), depth: int = 0) -> tuple[Member, ...]:
        """Members in order, components taken apart; a tag said again changes its first mention."""
        members: dict[int, Member] = {}
        for element in elements:
            for member in self._read(element, inside, depth):
                before = members.get(member.tag)
                group = member.group or (before.group if before is not None else None)
                members[member.tag] = member if group is member.group else member._replace(group=group)
        return tuple(members.values())

    def _read(self, element: Element, inside: tuple[str, ...], depth: int) -> Iterator[Member]:
        if element.name not in _MEMBERS:
            raise element.error(f"not expected here, only {', '.join(f'<{n}>' for n in _MEMBERS)}")
        required = _yes(element, "required")
        if element.name == "component":
            yield from self._component(element, inside, depth, required)
            return
        tag = self._tag(element)
        if element.name == "field":
            yield Member(tag, required)
            return
        if depth >= _MAX_NESTING:
            raise element.error(f"groups are nested more than {_MAX_NESTING} deep")
        members = self._members(element.children, inside, depth + 1)
        if not members:
            raise element.error("a group without fields")
        yield Member(tag, required, GroupDef(tag, members))

    def _component(self, element: Element, inside: tuple[str, ...], depth: int, required: bool) -> Iterator[Member]:
        name = element.need("name")
        component = self._components.get(name)
        if component is None:
            raise element.error("unknown component, expected a name defined under <components>")
        if name in inside:
            raise element.error(f"component cycle: {' > '.join([*inside[inside.index(name) :], name])}")
        members = self._resolved.get(name)
        if members is None:
            members = self._resolved[name] = self._members(component.children, (*inside, name), depth)
        for member in members:
            yield member if required else member._replace(required=False)

    def _tag(self, element: Element) -> int:
        number = self._numbers.get(element.need("name"))
        if number is None:
            raise element.error("unknown field, expected a name defined under <fields>")
        return number


def _named(source: Source, section: str, name: str) -> Iterator[Element]:
    part = source.parts.get(section)
    if part is not None:
        yield from part.named(name)


def _number(element: Element) -> int:
    text = element.need("number")
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(_MAX_TAG)) else 0
    if number < 1:
        raise element.error(f"attribute 'number' is {text!r}, expected 1 to {_MAX_TAG}")
    return number


def _yes(element: Element, key: str, default: bool = False) -> bool:
    value = element.get(key, "Y" if default else "N")
    if value not in ("Y", "N", "y", "n"):
        raise element.error(f"attribute {key!r} is {value!r}, expected 'Y' or 'N'")
    return value in "Yy"


def with_transport(application: Model, transport: Model, path: str) -> Model:
    """The application's messages inside the transport's header and trailer, with its administrative messages.

    What an application's file says of header, trailer and administrative messages is added to the transport's.
    """
    fields = {**transport.fields, **application.fields}
    for number, each in transport.fields.items():
        if fields[number].name != each.name:
            names = f"{fields[number].name!r} here, {each.name!r} in the transport's file"
            raise ConfigError(f"{path}: field {number} is {names}")
    for member in (*transport.header, *transport.trailer):  # theirs is what their own file says
        if transport.fields[member.tag].values:
            fields[member.tag] = transport.fields[member.tag]
    messages = {**application.messages}
    for msg_type, said in transport.messages.items():
        if said.admin:
            own = application.messages.get(msg_type)
            messages[msg_type] = said._replace(members=_added(said.members, own.members)) if own is not None else said
    return Model(
        transport.version, _added(transport.header, application.header),
        _added(transport.trailer, application.trailer), messages, fields, [*application.notes, *transport.notes],
    )  # fmt: skip


def _added(members: tuple[Member, ...], more: tuple[Member, ...]) -> tuple[Member, ...]:
    """`more` in the places of those that are there already, the rest behind them."""
    return tuple({member.tag: member for member in (*members, *more)}.values())
