"""`qd metrics`: a desk that does not run is shown as down, and a file is replaced as a whole."""

from pathlib import Path

import pytest

from quarterdeck.cli import main

CONFIG = """
[desk]
name = "t"
environment = "test"
shm_dir = "{folder}/shm"

[venue]
[session]
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "config" / "desk.toml"
    path.parent.mkdir()
    path.write_text(CONFIG.format(folder=tmp_path))
    return str(path)


def test_a_desk_that_does_not_run_is_down(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "--config", config]) == 0
    assert 'quarterdeck_up{process="killswitch",kind="killswitch"} 0\n' in capsys.readouterr().out
    assert main(["metrics", "--openmetrics", "--config", config]) == 0
    assert capsys.readouterr().out.endswith("# EOF\n")


def test_a_text_file_is_written_whole_and_leaves_nothing_beside_it(config: str, tmp_path: Path) -> None:
    file = tmp_path / "collected" / "quarterdeck.prom"
    file.parent.mkdir()
    file.write_text("old")
    assert main(["metrics", "--textfile", str(file), "--config", config]) == 0
    assert file.read_text().startswith("# HELP quarterdeck_")
    assert file.stat().st_mode & 0o777 == 0o644
    assert list(file.parent.iterdir()) == [file]


def test_a_place_that_cannot_be_written_is_one_line(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "nowhere" / "quarterdeck.prom"
    assert main(["metrics", "--textfile", str(file), "--config", config]) == 1
    assert capsys.readouterr().err == f"qd metrics: {file}: cannot be written: No such file or directory\n"
