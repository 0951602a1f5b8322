"""TOML text of what tomllib reads: the standard library has no writer. Tables, arrays of tables, and plain values."""

import json
from collections.abc import Iterator, Mapping
from typing import Any


def toml_text(document: Mapping[str, Any]) -> str:
    """The document; ValueError, with the key's path, for a value that TOML does not have."""
    return "\n".join(_table(document, ())).lstrip("\n") + "\n"


def _table(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    later = {key: value for key, value in table.items() if isinstance(value, Mapping) or _is_tables(value)}
    for key, value in table.items():
        if key not in later:
            yield f"{_key(key)} = {_value(value, (*path, key))}"
    for key, value in later.items():
        name = ".".join(map(_key, (*path, key)))
        for item in [value] if isinstance(value, Mapping) else value:
            if not isinstance(value, Mapping):
                yield f"\n[[{name}]]"
            elif not value or any(not isinstance(v, Mapping) and not _is_tables(v) for v in value.values()):
                yield f"\n[{name}]"  # one that holds further tables alone is there by them
            yield from _table(item, (*path, key))


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _key(key: str) -> str:
    plain = key and all(c.isascii() and (c.isalnum() or c in "-_") for c in key)
    return key if plain else _text(key)


def _value(value: Any, path: tuple[str, ...]) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return "[" + ", ".join(_value(item, path) for item in value) + "]"
    raise ValueError(f"{'.'.join(path)}: {value!r} cannot be written as TOML")


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
