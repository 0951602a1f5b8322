"""Each `qd` command that a page shows is one that `qd` understands. (That they do what is said: tests/e2e.)"""

import contextlib
import io
import re
from collections.abc import Iterator
from itertools import product

import pytest

from quarterdeck.cli import COMMANDS, parser
from tests.docs.shown import Shown, in_blocks, inline

MENTIONED = set(inline()) - set(in_blocks())  # these may leave out what they need
COMMANDS_SHOWN = sorted({s for s in (*in_blocks(), *inline()) if s.words[0] == "qd"})


def spelled_out(words: list[str]) -> Iterator[list[str]]:
    """With a word for each PLACEHOLDER, without [what may be left out] and `...`, each of a|b|c by itself."""
    text = re.sub(r"\[[^\]]*\]|\.\.\.|…", " ", "\0".join(words).replace("\0", "\1")).split("\1")
    kept = [w.strip() for w in text if w.strip()]
    choices = [["1"] if re.fullmatch(r"[A-Z][A-Z_]*", w) else w.split("|") for w in kept]
    return (list(c) for c in product(*choices))


def test_there_are_commands_on_the_pages() -> None:
    assert len(COMMANDS_SHOWN) > 50


@pytest.mark.parametrize("page", sorted({s.page for s in COMMANDS_SHOWN}))
def test_every_command_of_a_page_is_understood(page: str) -> None:
    whole, wrong = parser(), []
    for shown in (s for s in COMMANDS_SHOWN if s.page == page):
        for words in spelled_out(shown.words[1:]):
            if words == ["1", "--help"] or (len(words) == 1 and words[0] in COMMANDS):
                continue  # `qd VERB --help`, and a command as a whole
            said = io.StringIO()
            try:
                with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
                    whole.parse_args(words)
            except SystemExit as e:
                named = shown in MENTIONED and re.search("are required|expected one argument", said.getvalue())
                if e.code and not named:
                    wrong.append(f"{shown.line}: {said.getvalue().splitlines()[-1]}")
    assert wrong == []


def test_a_command_that_does_not_exist_is_found() -> None:
    words = next(spelled_out(Shown("x", "qd kill trap --reason X").words))
    with pytest.raises(SystemExit), contextlib.redirect_stderr(io.StringIO()):
        parser().parse_args(words[1:])
