"""Where a desk lives, out of a configuration of which only [desk] is sound."""

from pathlib import Path

import pytest

from base.config import load
from base.errors import ConfigError
from base.places import read_places

SOUND = """
[desk]
name = "d"
data_dir = "elsewhere"
environment = "sim"
[venue]
[session]
"""


def write(folder: Path, text: str) -> Path:
    (folder / "config").mkdir(exist_ok=True)
    path = folder / "config" / "desk.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("shm", ["", 'shm_dir = "/dev/shm/own"\n'], ids=["derived", "named"])
def test_they_are_those_of_the_whole_configuration(tmp_path: Path, shm: str) -> None:
    path = write(tmp_path, SOUND.replace("[venue]", f"{shm}[venue]"))
    desk, places = load(path), read_places(path)
    assert (places.run_dir, places.data_dir) == (desk.run_dir, desk.data_dir)
    assert (places.log_dir, places.shm_dir) == (desk.log_dir, desk.shm_dir)
    assert places.data_dir == tmp_path / "elsewhere"


@pytest.mark.parametrize(
    "harm",
    ["unknown = 1\n[venue]", "[venue]\nx = = 1", "[venue.x]\nlag_ms = \n[venue]", '[kill]\nlease_ms = "soon"\n[venue]'],
    ids=["unknown key", "no TOML", "half a line", "wrong kind"],
)
def test_what_is_wrong_elsewhere_keeps_nobody_from_tripping(tmp_path: Path, harm: str) -> None:
    sound = read_places(write(tmp_path, SOUND))
    path = write(tmp_path, SOUND.replace("[venue]", harm))
    with pytest.raises(ConfigError):
        load(path)
    assert read_places(path) == sound


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[desk]\nname = \n", "is not TOML"),
        ("[desk]\nrun_dir = 'r'\n", "desk.name: missing"),
        ("[desk]\nname = 5\n", "desk.name: 5 is no text"),
        ("desk = 1\n", "desk.name: None is no text"),
        ("= =\n", r"without a \[desk\] table"),
    ],
    ids=["broken", "nameless", "number", "no table", "none"],
)
def test_a_broken_desk_table_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=f"{path}.*{said}"):
        read_places(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_places(tmp_path / "none.toml")
