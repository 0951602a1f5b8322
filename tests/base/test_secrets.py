"""Secrets are found by reference, from places others cannot read, and never repeated in an error."""

import os
from pathlib import Path

import pytest

from base.errors import SecretError
from base.secrets import MAX_BYTES, resolve


def put(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QD_TEST_VALUE", "swordfish")
    assert resolve("env:QD_TEST_VALUE") == "swordfish"
    monkeypatch.setenv("QD_TEST_VALUE", "")
    with pytest.raises(SecretError, match="QD_TEST_VALUE"):
        resolve("env:QD_TEST_VALUE")


def test_file_loses_one_line_end_only(tmp_path: Path) -> None:
    assert resolve(f"file:{put(tmp_path / 'a', b'sword fish ' + bytes([10]))}") == "sword fish "
    assert resolve("run:a", tmp_path) == "sword fish "


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o660, 0o666, 0o610])
def test_a_file_open_to_others_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    path = put(tmp_path / "a", b"swordfish", mode)
    with pytest.raises(SecretError, match=f"mode {mode:04o}.*chmod 600") as caught:
        resolve(f"file:{path}")
    assert "swordfish" not in str(caught.value)


def test_a_read_only_file_will_do(tmp_path: Path) -> None:
    assert resolve(f"file:{put(tmp_path / 'a', b'swordfish', 0o400)}") == "swordfish"


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"", "empty"), (b"\n", "empty"), (b"\xff\xfe", "UTF-8"), (b"a" * (MAX_BYTES + 1), "more than")],
)
def test_unusable_content_is_named_with_its_file(tmp_path: Path, content: bytes, text: str) -> None:
    path = put(tmp_path / "a", content)
    with pytest.raises(SecretError, match=text) as caught:
        resolve(f"file:{path}")
    assert str(path) in str(caught.value)


def test_missing_files_directories_and_pipes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match="No such file"):
        resolve(f"file:{tmp_path}/none")
    with pytest.raises(SecretError, match="regular file"):
        resolve(f"file:{tmp_path}")
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(SecretError, match="regular file"):
        resolve(f"file:{tmp_path}/pipe")


@pytest.mark.parametrize("reference", ["swordfish", "sword:fish", "", "env:", "vault:x"])
def test_a_secret_put_in_place_of_a_reference_is_not_repeated(reference: str) -> None:
    with pytest.raises(SecretError) as caught:
        resolve(reference)
    assert "fish" not in str(caught.value)
    assert "env:NAME" in str(caught.value)
