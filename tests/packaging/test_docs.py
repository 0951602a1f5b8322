"""Documentation: every link leads somewhere, every page of a decision is listed, every command that is shown exists."""

import re
from pathlib import Path

import pytest

from quarterdeck.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
COMMAND = re.compile(r"(?:^|[`\s/])qd ([a-z][a-z-]+)\b")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = set(LINK.findall((folder / "README.md").read_text()))
    assert listed == {p.name for p in folder.glob("*.md")} - {"README.md"}


def shown(page: Path) -> list[str]:
    """Verbs of `qd` in code, in line or as a block."""
    text = page.read_text()
    blocks = re.findall(r"```.*?```|`[^`\n]+`|^    .+$", text, re.DOTALL | re.MULTILINE)
    return [verb for block in blocks for verb in COMMAND.findall(block)]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_command_that_is_shown_exists(page: Path) -> None:
    assert set(shown(page)) <= set(COMMANDS)


def test_the_check_would_see_a_command() -> None:
    assert {"status", "kill", "order"} <= set(shown(ROOT / "README.md"))


@pytest.mark.parametrize("page", ["lessons", "kill-contract"])
def test_every_test_that_a_page_of_promises_names_exists(page: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text()
    named = re.findall(r"`(tests/[\w/.]+\.py)(?:::(\w+))?`", text)
    assert len(named) > 30
    missing = [
        f"{file}::{test}"
        for file, test in named
        if not (ROOT / file).exists() or (test and f"def {test}(" not in (ROOT / file).read_text())
    ]
    assert missing == []


def test_every_scenario_that_the_lessons_name_exists() -> None:
    text = (ROOT / "docs" / "lessons.md").read_text()
    rows = re.findall(r"scenarios? ([^|`]+)", text)
    named = {word for row in rows for word in re.findall(r"\b\d+[\w.]*[\w]", row)}
    scripts = (ROOT / "fix" / "scenarios").rglob("*.scenarios")
    known = {number for file in scripts for number in re.findall(r"^\[([\w.]+)\]", file.read_text(), re.MULTILINE)}
    assert len(named) > 10
    assert named <= known
