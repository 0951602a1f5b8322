"""Every command, option and setting that exists is documented, and no other."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import msgspec

from base.config import Config

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SETTINGS = (
    "configuration.md",
    "limits.md",
    "pretrade.md",
    "alarms.md",
    "schedules.md",
)  # configuration.md sends to the others


def settings() -> set[tuple[str, str]]:
    """(struct, key) of everything that a configuration may hold."""
    found: set[tuple[str, str]] = set()
    waiting: list[Any] = [Config]
    seen: set[Any] = set()
    while waiting:
        kind = waiting.pop()
        if kind in seen:
            continue
        seen.add(kind)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            for field in msgspec.structs.fields(kind):
                found.add((kind.__name__, field.encode_name))
                waiting.append(field.type)
        waiting.extend(get_args(kind))
    return found


def test_every_setting_is_documented() -> None:
    text = "\n".join((DOCS / name).read_text() for name in SETTINGS)
    named = set(
        re.findall(r"[a-z][a-z0-9_]*", " ".join(re.findall(r"`[^`]+`|```.*?```|\[\[?[a-z.X_]+\]\]?", text, re.DOTALL)))
    )
    missing = sorted(f"{struct}.{key}" for struct, key in settings() if key not in named)
    print(f"settings: {len(settings()) - len(missing)} of {len(settings())} documented")
    assert missing == []


def test_the_page_of_commands_is_what_the_parsers_understand() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "cli-page", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_argument_of_every_command_says_what_it_is() -> None:
    rows = [line for line in (DOCS / "cli.md").read_text().splitlines() if line.startswith("| `")]
    assert rows
    assert [r for r in rows if re.search(r"\|\s*\|$", r)] == []


def test_every_page_is_listed_in_the_index_once() -> None:
    index = (DOCS / "index.md").read_text()
    listed = re.findall(r"^([a-z][\w/.-]*)$", index, re.MULTILINE)
    pages = {p.relative_to(DOCS).as_posix().removesuffix(".md") for p in DOCS.glob("*.md")} - {"index"}
    assert pages - set(listed) == set()
    assert len(listed) == len(set(listed))
