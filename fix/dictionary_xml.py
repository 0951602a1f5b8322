"""A small tree of elements that know their file and line, read from XML that may not declare anything of its own."""

from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat

from base.errors import ConfigError

_LIMIT = 64 << 20
_DEPTH = 64


class Element:
    """One element: name, attributes, children, and where it stands."""

    __slots__ = ("attributes", "children", "line", "name", "path")

    def __init__(self, path: str, line: int, name: str, attributes: dict[str, str]) -> None:
        self.path = path
        self.line = line
        self.name = name
        self.attributes = attributes
        self.children: list[Element] = []

    def get(self, key: str, default: str = "") -> str:
        """An attribute, or `default`."""
        return self.attributes.get(key, default)

    def need(self, key: str) -> str:
        """An attribute that must be there and not empty. ConfigError."""
        value = self.attributes.get(key, "")
        if not value:
            raise self.error(f"attribute {key!r} is missing or empty")
        return value

    def child(self, name: str) -> "Element | None":
        """The first child of that name."""
        return next((each for each in self.children if each.name == name), None)

    def named(self, *names: str) -> Iterator["Element"]:
        """All children, each of which must have one of `names`. ConfigError."""
        for each in self.children:
            if each.name not in names:
                raise each.error(f"not expected inside <{self.name}>, only {', '.join(f'<{n}>' for n in names)}")
            yield each

    def error(self, text: str) -> ConfigError:
        """An error that names file, line and this element."""
        key = next((k for k in ("name", "number", "enum") if k in self.attributes), None)
        shown = f"<{self.name} {key}={self.attributes[key]!r}>" if key else f"<{self.name}>"
        return ConfigError(f"{self.path}:{self.line}: {shown}: {text}")


class _Reader:
    """Builds the tree; a document type, and with it every entity, is refused before it is read."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._open: list[Element] = []
        self.root: Element | None = None
        self._parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = self._doctype

    def read(self, data: bytes) -> Element:
        try:
            self._parser.Parse(data, True)
        except expat.ExpatError as e:
            raise ConfigError(f"{self._path}:{e.lineno}: not XML: {expat.ErrorString(e.code)}") from e
        except (ValueError, LookupError) as e:  # an encoding that expat has no table for
            raise ConfigError(f"{self._path}: not XML that can be read: {e}") from e
        if self.root is None:  # pragma: no cover - expat has said "no element found" before
            raise ConfigError(f"{self._path}: not XML: no element")
        return self.root

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        element = Element(self._path, self._parser.CurrentLineNumber, name, attributes)
        if len(self._open) >= _DEPTH:
            raise element.error(f"more than {_DEPTH} elements deep")
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def _end(self, name: str) -> None:
        self._open.pop()

    def _doctype(self, name: str, *rest: object) -> None:
        line = self._parser.CurrentLineNumber
        raise ConfigError(f"{self._path}:{line}: <!DOCTYPE or <!ENTITY {name}>: a dictionary may not declare these")


def read_xml(path: Path | str) -> Element:
    """The root element of a file. ConfigError when it cannot be read, is no XML, or declares a document type."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(_LIMIT + 1)
    except OSError as e:
        raise ConfigError(f"{path}: cannot be read: {e.strerror}") from e
    if len(data) > _LIMIT:
        raise ConfigError(f"{path}: larger than {_LIMIT >> 20} MiB")
    return _Reader(str(path)).read(data)
