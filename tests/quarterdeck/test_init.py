"""`qd init`: what it writes loads, has nothing wrong with it but the secrets, and says what is left to do."""

import re
import tomllib
from itertools import combinations
from pathlib import Path

import pytest

from base.config import DeskConfig, load
from base.errors import ConfigError
from quarterdeck import cli
from quarterdeck.commands import init
from quarterdeck.config_problems import problems
from quarterdeck.starter import REFERENCE, Wanted, examples, instruments_of, marked, starter

VENUES = sorted(p.stem for p in (Path(__file__).resolve().parents[2] / "config" / "examples").glob("*.toml"))
MISSING = re.compile(r"environment variable \w+ is not set$")


def written(folder: Path, wanted: Wanted) -> tuple[DeskConfig, str]:
    path = folder / "config" / "desk.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(starter(wanted))
    return load(path), path.read_text()


def others(desk: DeskConfig) -> list[str]:
    """Problems beside secrets that are not there."""
    return [line for line in problems(desk) if not MISSING.search(line)]


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for path in examples().values():
        for name in REFERENCE.findall(path.read_text()):
            monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("environment", ["production", "test"])
def test_of_each_venue_only_the_secrets_are_missing(venue: str, environment: str, tmp_path: Path) -> None:
    desk, text = written(tmp_path, Wanted((venue,), environment))
    assert others(desk) == []
    assert desk.config.desk.environment == environment
    assert bool(desk.config.kill.user) == (environment == "production")
    example = load(examples()[venue]).config
    assert desk.config.venue == example.venue
    assert desk.config.session == example.session
    assert marked(text) > 4
    addresses = re.findall(r"(?m)^address = .*", text)
    assert environment == "production" or all("# CHANGE: the test network's" in a for a in addresses)


def test_of_every_pair_and_of_all_together_too(tmp_path: Path) -> None:
    for venues in [*combinations(VENUES, 2), tuple(VENUES)]:
        desk, _ = written(tmp_path, Wanted(venues, name="both"))
        singles = [load(examples()[v]).config for v in venues]
        assert set(desk.config.session) == {s for one in singles for s in one.session}
        assert set(desk.config.kill.sessions) == {s for one in singles for s in one.kill.sessions}
        assert {s for b in desk.config.book.values() for s in b.sessions} == {
            s for one in singles for b in one.book.values() for s in b.sessions
        }
        (of_desk,) = [x for x in desk.config.kill.limits if x.scope == "desk"]
        whole = [x for one in singles for x in one.kill.limits if x.scope == "desk"]
        assert of_desk.max_open_orders == min(x.max_open_orders or 0 for x in whole)
        assert others(desk) == [], venues


def test_a_simulated_desk_needs_no_secret_and_reaches_nobody(tmp_path: Path) -> None:
    desk, text = written(tmp_path, Wanted(("kraken", "crypto_com"), "sim", name="try"))
    assert problems(desk) == []
    assert set(desk.config.sim) == {"kraken", "crypto-com"}
    assert all(s.address.startswith("run:sim-") for s in desk.config.session.values())
    assert (desk.config.desk.environment, desk.config.desk.user, marked(text)) == ("sim", "", 0)
    assert desk.run_dir.name == "run-try"


def test_only_the_chosen_instruments_stand_anywhere(tmp_path: Path) -> None:
    assert set(instruments_of(["kraken", "crypto_com"])) >= {"BTC-USD", "ETH-USD", "BTC-USDT", "ETH-USDT"}
    desk, text = written(tmp_path, Wanted(("kraken", "crypto_com"), instruments=("BTC-USD", "BTC-USDT")))
    assert sorted(name for _, name in desk.instruments) == ["BTC-USD", "BTC-USDT"]
    assert "ETH" not in re.sub(r"(?m)#.*", "", text)
    assert "cdc-md-eth" not in desk.config.session
    assert desk.config.book["l2"].sessions == ["kraken-md", "cdc-md-btc"]
    assert others(desk) == []


def test_what_there_is_not_is_named() -> None:
    with pytest.raises(ConfigError, match="no example of krakn; there are binance, "):
        starter(Wanted(("krakn",)))
    with pytest.raises(ConfigError, match="no example has XRP-USD; there are BTC-USD"):
        starter(Wanted(("kraken",), instruments=("XRP-USD",)))
    with pytest.raises(ConfigError, match="crypto_com: none of the instruments is of it"):
        starter(Wanted(("kraken", "crypto_com"), instruments=("BTC-USD",)))
    with pytest.raises(ConfigError, match="no venue is named"):
        starter(Wanted(()))


def test_by_flags_it_writes_once_and_says_the_next_steps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["init", "--venue", "kraken", "--yes"]
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    out = tmp_path / "config" / "kraken.toml"
    assert said.startswith("config/kraken.toml: 1 venues, 3 sessions\nnext:\n  1. decide the ")
    assert "KRAKEN_KILL_SECRET" in said
    assert "3. qd check config/kraken.toml, then qd up config/kraken.toml" in said
    before = out.read_bytes()
    assert cli.main(command) == 1
    assert "is there already; nothing was written" in capsys.readouterr().err
    assert out.read_bytes() == before
    assert cli.main(["init", "--venue", "kraken", "--name", "A B", "--yes"]) == 1


def test_on_a_terminal_it_asks_for_what_was_not_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    answers = iter(["deribit, kraken", "", "BTC-USD BTC-USD-PERP", "", str(tmp_path / "x" / "d.toml")])

    def answer(question: str) -> str:
        asked.append(question)
        return next(answers)

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", answer)
    assert cli.main(["init"]) == 0
    assert [q.split()[0] for q in asked] == ["Venues", "Environment", "Instruments", "Name", "File"]
    document = tomllib.loads((tmp_path / "x" / "d.toml").read_text())
    assert document["desk"]["name"] == "deribit-kraken"
    assert document["desk"]["environment"] == "production"
    assert [i["name"] for i in document["venue"]["deribit"]["instruments"]] == ["BTC-USD-PERP"]
    assert "2 venues" in capsys.readouterr().out
    assert init._default("anything", "so") == "so"
