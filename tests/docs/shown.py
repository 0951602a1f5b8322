"""Every command that a page shows: whole lines of its blocks, and what its text has between backquotes."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GENERATED = {"cli.md", "changes.md"}
_BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_SHELLS = ("sh", "bash", "console", "")
_PROGRAMS = ("qd", "make", "supervisorctl", "supervisord", "promtool", "prometheus", "systemctl", "pip", "python")


class Shown(NamedTuple):
    """One command as a page shows it."""

    page: str
    line: str  # with its comment

    @property
    def words(self) -> list[str]:
        """The command itself: without comment, redirection, what is behind a pipe, the program's folder."""
        words = shlex.split(self.line, comments=True)
        ends = (i for i, w in enumerate(words) if w in ("|", "&", "&&", ">", ">>", "2>"))
        words = words[: next(ends, len(words))]
        while words and (words[0] in ("nohup", "sudo", "$") or re.fullmatch(r"[A-Z_]+=\S+", words[0])):
            words = words[1:]
        return [Path(words[0]).name, *words[1:]] if words else []


def in_blocks() -> Iterator[Shown]:
    """Lines of shell blocks that begin a program of ours."""
    for page in _pages():
        for language, block in _BLOCK.findall(page.read_text()):
            for line in block.replace("\\\n", " ").splitlines():
                shown = Shown(page.relative_to(ROOT).as_posix(), line.strip())
                if language in _SHELLS and line and line[0] not in " #" and re.search(r"\w", line) and _ours(shown):
                    yield shown


def inline() -> Iterator[Shown]:
    """`qd ...` in running text, and lines of it that are set off by their indent, between what they say."""
    for page in _pages():
        name, text = page.relative_to(ROOT).as_posix(), _BLOCK.sub("", page.read_text())
        for line in re.findall(r"^ {4}((?:\.venv/bin/)?qd [^|\n]+)$", text, re.MULTILINE):
            if not re.match(r"qd \w+:", line):  # what it says when something is wrong
                yield Shown(name, re.split(r"\s{2,}", line)[0])
        for found in re.findall(r"`((?:\.venv/bin/)?qd [^`]+)`", text):
            yield Shown(name, " ".join(found.split()))


def _pages() -> Iterator[Path]:
    return (p for p in PAGES if p.name not in GENERATED)


def _ours(shown: Shown) -> bool:
    try:
        return bool(shown.words) and shown.words[0] in _PROGRAMS
    except ValueError:  # an apostrophe: no shell command
        return False
