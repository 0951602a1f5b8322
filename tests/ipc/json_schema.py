"""A validator for the part of JSON Schema 2020-12 that the published schema uses; any other keyword is an error."""

from typing import Any

_SAYS_NOTHING = {"title", "description", "default", "$schema", "$defs", "contentEncoding"}
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "boolean": (bool,), "null": (type(None),), "array": (list,), "object": (dict,),
}  # fmt: skip


def faults(root: dict[str, Any], schema: dict[str, Any], value: Any, at: str = "$") -> list[str]:
    """What is wrong with `value`, each with its place; [] when it is valid."""
    out: list[str] = []
    for keyword, rule in schema.items():
        if keyword not in _SAYS_NOTHING:
            out += _RULES[keyword](root, schema, rule, value, at)
    return out


def _type(_root: Any, _schema: Any, rule: str, value: Any, at: str) -> list[str]:
    right = isinstance(value, _TYPES[rule]) and (rule == "boolean" or not isinstance(value, bool))
    return [] if right else [f"{at}: {value!r} is no {rule}"]


def _enum(_root: Any, _schema: Any, rule: list[Any], value: Any, at: str) -> list[str]:
    return [] if value in rule else [f"{at}: {value!r} is none of {rule}"]


def _ref(root: dict[str, Any], _schema: Any, rule: str, value: Any, at: str) -> list[str]:
    return faults(root, root["$defs"][rule.removeprefix("#/$defs/")], value, at)


def _any_of(root: dict[str, Any], _schema: Any, rule: list[Any], value: Any, at: str) -> list[str]:
    found = [faults(root, branch, value, at) for branch in rule]
    return [] if [] in found else [f"{at}: none of {len(rule)} fits: {found}"]


def _prefix(root: dict[str, Any], _schema: Any, rule: list[Any], value: Any, at: str) -> list[str]:
    items = value if isinstance(value, list) else []
    pairs = enumerate(zip(rule, items, strict=False))
    return [fault for i, (branch, item) in pairs for fault in faults(root, branch, item, f"{at}[{i}]")]


def _items(root: dict[str, Any], schema: dict[str, Any], rule: dict[str, Any], value: Any, at: str) -> list[str]:
    items = value[len(schema.get("prefixItems", ())) :] if isinstance(value, list) else []
    return [fault for i, item in enumerate(items) for fault in faults(root, rule, item, f"{at}[{i}]")]


def _least(_root: Any, _schema: Any, rule: int, value: Any, at: str) -> list[str]:
    short = isinstance(value, list) and len(value) < rule
    return [f"{at}: {len(value)} items, at least {rule}"] if short else []


def _most(_root: Any, _schema: Any, rule: int, value: Any, at: str) -> list[str]:
    long = isinstance(value, list) and len(value) > rule
    return [f"{at}: {len(value)} items, at most {rule}"] if long else []


def _values(root: dict[str, Any], _schema: Any, rule: dict[str, Any], value: Any, at: str) -> list[str]:
    entries = value.items() if isinstance(value, dict) else ()
    return [fault for key, item in entries for fault in faults(root, rule, item, f"{at}.{key}")]


_RULES = {
    "type": _type, "enum": _enum, "$ref": _ref, "anyOf": _any_of, "prefixItems": _prefix, "items": _items,
    "minItems": _least, "maxItems": _most, "additionalProperties": _values,
}  # fmt: skip
