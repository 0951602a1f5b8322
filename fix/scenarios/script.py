"""Scenario scripts: what a peer sends, what must come back, in a form that people can read. docs/fix-scenarios.md.

A file holds scenarios one after the other. One begins with its number in brackets and its title at the left margin; the
prose behind that is the rule; indented lines are the steps.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from base.errors import ConfigError

VERSIONS = ("4.2", "4.4", "5.0sp2")
ROLES = ("acceptor", "initiator")
VERBS = frozenset({
    "connect", "logon", ">", "<", "raw", "end", "silence", "wait", "cut", "app", "got", "other", "logout", "reset",
    "numbers", "seq",
})  # fmt: skip
_HEAD = re.compile(r"\[(?P<number>[\w.-]+)\] (?P<title>\S.*)")


@dataclass(frozen=True)
class Step:
    """One line: a verb, its words, and the fields (`tag=value`, split at `|`) of a message."""

    line: int
    verb: str
    text: str

    @property
    def fields(self) -> list[tuple[str, str]]:
        """`tag=value` pairs in the order written; a leading `!TAG`, `TAG?` or `...` has an empty value."""
        return [(tag, value) for tag, _, value in (part.partition("=") for part in self.text.split("|")[1:])]

    @property
    def msg_type(self) -> str:
        return self.text.split("|")[0]


@dataclass(frozen=True)
class Scenario:
    """One rule with its steps."""

    number: str
    title: str
    rule: str
    path: str
    line: int
    role: str
    versions: tuple[str, ...]
    options: dict[str, str] = field(default_factory=dict)
    """Settings of the session that differ from the default, and `offline`: why it is not played over a socket."""
    steps: tuple[Step, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.number} {self.title}"


def load(role: str, folder: Path | None = None) -> list[Scenario]:
    """All scenarios of a role, in the order of their files. ConfigError names file and line."""
    files = sorted(((folder or Path(__file__).parent) / role).glob("*.scenarios"))
    return [scenario for path in files for scenario in parse(path, role)]


def parse(path: Path, role: str) -> Iterator[Scenario]:
    """The scenarios of one file."""
    lines = path.read_text("utf-8").splitlines()
    heads = [n for n, line in enumerate(lines) if line.startswith("[")]
    for begin, end in zip(heads, [*heads[1:], len(lines)], strict=True):
        yield _scenario(path, role, begin, lines[begin:end])


def _scenario(path: Path, role: str, begin: int, lines: list[str]) -> Scenario:
    head = _HEAD.fullmatch(lines[0].rstrip())
    if head is None:
        raise ConfigError(f"{path}:{begin + 1}: expected [number] title, got {lines[0]!r}")
    rule, steps, options = [], [], {}
    versions: tuple[str, ...] = VERSIONS
    for n, line in enumerate(lines[1:], begin + 2):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if not line.startswith(" "):
            rule.append(text)
        elif text.startswith("versions "):
            versions = tuple(text.split()[1:])
        elif text.startswith("with "):
            options.update(_option(path, n, text[5:]))
        else:
            steps.append(_step(path, n, text))
    if not steps or not rule or not set(versions) <= set(VERSIONS):
        raise ConfigError(f"{path}:{begin + 1}: a scenario needs a rule, steps, and versions of {VERSIONS}")
    place = f"{role}/{path.name}"
    name, title, text = head["number"], head["title"], " ".join(rule)
    return Scenario(name, title, text, place, begin + 1, role, versions, options, tuple(steps))


def _option(path: Path, line: int, text: str) -> dict[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"{path}:{line}: expected `with setting = value`")
    return {key.strip(): value.strip()}


def _step(path: Path, line: int, text: str) -> Step:
    verb, _, rest = text.partition(" ")
    if verb not in VERBS:
        raise ConfigError(f"{path}:{line}: {verb!r} is no step; there are {' '.join(sorted(VERBS))}")
    return Step(line, verb, rest.strip())
