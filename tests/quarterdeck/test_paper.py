"""A paper desk can reach no host but this one, no secret, no person and no folder of the desk that it is like."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import quarterdeck as qd
from base.clock import SystemClock
from base.config import load
from quarterdeck.cli import main
from quarterdeck.paper import dangers, derive, load_paper, overlaps, paper_path, write_paper
from quarterdeck.toml_text import toml_text
from sim.desk import ensure_secrets, setup_of
from sim.run import build

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "config" / "examples").glob("*.toml"))
HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.(com|net|io|org|example|exchange|us|global|tech)\b")


def values(found: Any) -> list[Any]:
    """Every value of a document."""
    if isinstance(found, dict):
        return [v for value in found.values() for v in values(value)]
    if isinstance(found, list):
        return [v for value in found for v in values(value)]
    return [found]


@pytest.fixture(params=EXAMPLES, ids=lambda p: p.stem)
def production(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A production configuration in a place of its own, with something that nobody knows in it."""
    path = tmp_path / "config" / "desk.toml"
    path.parent.mkdir()
    path.write_text(request.param.read_text())
    return path


def test_nothing_of_it_reaches_another_host_a_secret_or_a_person(production: Path) -> None:
    paper = write_paper(production, paper_path(production))
    said = [v for v in values(tomllib.loads(paper.path.read_text())) if isinstance(v, str)]
    assert [v for v in said if HOST.search(v) or v.startswith(("env:", "file:"))] == []
    assert paper.config.desk.environment == "sim"
    for session in paper.config.session.values():
        assert session.address == f"run:sim-{session.venue}#any"  # the address file of a process that binds 127.0.0.1
        assert session.tls
    assert {n.kind for n in paper.config.alarms.notifiers} == {"command"} if paper.config.alarms else True
    assert dangers(paper) == []
    assert dangers(load(production)) != []


def test_its_folders_are_its_own(production: Path) -> None:
    paper, real = write_paper(production, paper_path(production)), load(production)
    assert overlaps(real, paper) == []
    assert overlaps(real, real) != []
    assert paper.config.desk.name == f"{real.config.desk.name}-paper"


def test_instruments_limits_accounts_and_names_are_the_same(production: Path) -> None:
    paper, real = write_paper(production, paper_path(production)), load(production)
    assert paper.instruments == real.instruments
    assert paper.config.kill.limits == real.config.kill.limits
    assert list(paper.config.session) == list(real.config.session)
    assert {n: v.account for n, v in paper.config.venue.items()} == {n: v.account for n, v in real.config.venue.items()}


def test_its_venues_can_be_simulated_with_secrets_that_are_made_up(production: Path) -> None:
    paper = write_paper(production, paper_path(production))
    ensure_secrets(paper)
    for venue, config in paper.config.venue.items():
        simulated = build(config.dialect, setup_of(paper, venue), SystemClock())
        assert {g.name for g in simulated.setup.grants} == {
            n for n, s in paper.config.session.items() if s.venue == venue
        }


@pytest.fixture
def kraken(tmp_path: Path) -> Path:
    path = tmp_path / "config" / "desk.toml"
    path.parent.mkdir()
    path.write_text((ROOT / "config" / "examples" / "kraken.toml").read_text())
    return path


def test_a_strategy_finds_it_by_the_production_file_and_never_an_old_one(kraken: Path) -> None:
    with pytest.raises(qd.ConfigError, match=r"desk-paper\.toml: not there; `qd paper"):
        qd.connect(kraken, paper=True)
    assert main(["paper", str(kraken)]) == 0
    with qd.connect(kraken, paper=True) as desk, qd.connect(kraken) as real:
        assert (desk.paper, real.paper) == (True, False)
    kraken.write_text(kraken.read_text() + "\n")
    with pytest.raises(qd.ConfigError, match=r"not of desk\.toml as it is now"):
        qd.connect(kraken, paper=True)


def test_one_that_was_edited_to_reach_out_is_refused(kraken: Path) -> None:
    path = write_paper(kraken, paper_path(kraken)).path
    path.write_text(path.read_text().replace('"run:sim-kraken#any"', '"fix.kraken.com:4001"', 1))
    with pytest.raises(
        qd.ConfigError, match=r"session\.kraken-trd\.address: fix\.kraken\.com:\.\.\. is not of a simulated"
    ):
        load_paper(kraken)


def test_what_is_not_known_is_left_out_and_named(kraken: Path) -> None:
    text = kraken.read_text().replace('name = "kraken"\n', 'name = "kraken"\nshm_dir = "/dev/shm/x"\n', 1)
    kraken.write_text(text)
    paper = write_paper(kraken, paper_path(kraken), replay="/tapes", messages_per_s=7)
    assert str(paper.shm_dir) == "/dev/shm/x-paper"
    assert (paper.config.sim["kraken"].replay, paper.config.sim["kraken"].messages_per_s) == ("/tapes", 7)


def test_neither_a_simulated_desk_nor_a_file_of_somebodys_own_is_written_over(kraken: Path) -> None:
    with pytest.raises(qd.ConfigError, match="every venue of this desk is simulated already"):
        derive(ROOT / "config" / "desk.toml")
    paper_path(kraken).write_text("mine = 1\n")
    with pytest.raises(qd.ConfigError, match="was not written by `qd paper`"):
        write_paper(kraken, paper_path(kraken))
    assert paper_path(kraken).read_text() == "mine = 1\n"


def test_toml_is_written_as_it_is_read() -> None:
    document = {
        "a b": 'quote " and \\ and \x7f and ü', "n": -3, "yes": True, "list": ["x", 1, [False]],
        "t": {"deep": {"k": {}}, "v": 1}, "many": [{"x": 1, "sub": {"y": "z"}}, {"x": 2}],
    }  # fmt: skip
    assert tomllib.loads(toml_text(document)) == document
    with pytest.raises(ValueError, match=r"t\.x: 1\.5"):
        toml_text({"t": {"x": 1.5}})


def test_sessions_of_one_name_at_several_addresses_are_told_apart(tmp_path: Path) -> None:
    production = tmp_path / "desk.toml"
    production.write_text((ROOT / "config" / "examples" / "kraken.toml").read_text())
    sessions = load(write_paper(production, tmp_path / "desk-paper.toml").path).config.session.values()
    names = [(s.venue, s.sender_comp_id) for s in sessions]
    assert len(names) == len(set(names)) > 1
