"""Operators' entries: hashed, read back, and no password that cannot be."""

import pytest

from base.errors import SecretError
from base.operators import OperatorEntry, check_password, new_operator, read_operators, write_operators

WORD = "correct horse battery"


@pytest.fixture(scope="module")
def ada() -> OperatorEntry:
    return new_operator("ada", WORD, ("trip", "reset"))


def test_an_entry_is_read_back_as_it_was_written_and_holds_no_password(ada: OperatorEntry) -> None:
    text = write_operators({"ada": ada})
    assert WORD not in text
    assert read_operators(f"# a remark\n\n{text}") == {"ada": ada}


def test_only_the_right_name_with_the_right_password_fits(ada: OperatorEntry) -> None:
    entries = {"ada": ada}
    assert check_password(entries, "ada", WORD) == ada
    assert check_password(entries, "ada", WORD + ".") is None
    assert check_password(entries, "eve", WORD) is None
    assert check_password(entries, "ada", "x" * 5000) is None
    assert check_password({}, "", "") is None


def test_two_with_one_password_have_different_hashes(ada: OperatorEntry) -> None:
    assert new_operator("bob", WORD, ("trip",)).digest != ada.digest


@pytest.mark.parametrize(
    ("name", "word", "rights"),
    [("a b", WORD, ("trip",)), ("", WORD, ("trip",)), ("ada", "short", ("trip",)), ("ada", "x" * 1025, ("trip",)),
     ("ada", WORD, ()), ("ada", WORD, ("root",))],
    ids=["space", "no name", "short", "long", "no right", "unknown right"],
)  # fmt: skip
def test_what_cannot_be_is_refused(name: str, word: str, rights: tuple[str, ...]) -> None:
    with pytest.raises(SecretError):
        new_operator(name, word, rights)


def test_a_line_that_cannot_be_read_is_named_and_not_repeated(ada: OperatorEntry) -> None:
    good = ada.line()
    for bad in ("ada:secret", good.replace("scrypt", "plain"), good.replace(":32768:", ":1048576:"), good[:-8]):
        with pytest.raises(SecretError, match="line 2") as e:
            read_operators(f"\n{bad}\n")
        assert bad not in str(e.value)
    with pytest.raises(SecretError, match="twice"):
        read_operators(f"{good}\n{good}\n")
