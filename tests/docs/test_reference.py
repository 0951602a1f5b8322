"""Every command, option and setting that exists is documented, and no other."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


@pytest.mark.parametrize("words", [["documented"], ["cli-page", "--check"]], ids=lambda w: w[0])
def test_the_tools_that_hold_pages_and_code_together_find_nothing(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / words[0], *words[1:]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_page_is_listed_in_the_index_once() -> None:
    index = (DOCS / "index.md").read_text()
    listed = re.findall(r"^([a-z][\w/.-]*)$", index, re.MULTILINE)
    pages = {p.relative_to(DOCS).as_posix().removesuffix(".md") for p in DOCS.glob("*.md")} - {"index"}
    assert pages - set(listed) == set()
    assert len(listed) == len(set(listed))
