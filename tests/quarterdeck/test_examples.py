"""The example configurations: they load, and nothing is wrong with them but what cannot exist here."""

import re
from pathlib import Path

import pytest

from base.config import load
from base.errors import SecretError
from quarterdeck.config_problems import problems
from quarterdeck.logon_preview import preview
from tests.venues.conformance.cases import BYBIT_KEY

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "config" / "examples").glob("*.toml"))
REFERENCE = re.compile(r'"env:(\w+)"')


@pytest.fixture(params=EXAMPLES, ids=lambda p: p.stem)
def example(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    path: Path = request.param
    for name in REFERENCE.findall(path.read_text()):
        monkeypatch.delenv(name, raising=False)
    return path


def test_there_is_one_for_each_dialect_and_a_page_about_it() -> None:
    dialects = {p.parent.name for p in (ROOT / "venues").glob("*/dialect.py")}
    assert {p.stem for p in EXAMPLES} >= dialects
    for path in EXAMPLES:
        assert {v.dialect for v in load(path).config.venue.values()} <= {path.stem, "fix44"}
        page = f"docs/venues/{path.stem}.md"
        assert page in path.read_text()
        assert f"config/examples/{path.name}" in (ROOT / page).read_text()


def test_only_the_secrets_are_missing(example: Path) -> None:
    found = problems(load(example))
    assert found, "the secrets cannot be had here"
    assert [line for line in found if not re.search(r"environment variable \w+ is not set$", line)] == []


def test_with_its_secrets_nothing_is_wrong_and_each_logon_can_be_shown(
    example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in REFERENCE.findall(example.read_text()):
        # 32 bytes in base64 are a password, an API secret or the seed of a private key.
        secret = re.search("SECRET|PRIVATE|PASSWORD", name)
        monkeypatch.setenv(name, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" if secret else "name")
        if "RSA" in name:
            monkeypatch.setenv(name, BYBIT_KEY)
    desk = load(example)
    assert problems(desk) == []
    for session in desk.config.session:
        logon = preview(desk, session)
        assert "35=A|" in logon
        assert "AAECAwQ" not in logon


def test_it_is_shaped_like_production(example: Path) -> None:
    config = load(example).config
    assert config.desk.environment == "production"
    assert not config.kill.arm_at_start
    assert not config.sim
    (desk,) = [limit for limit in config.kill.limits if limit.scope == "desk"]
    assert desk.max_open_orders
    assert desk.max_orders_per_s
    if any(session.kind == "trading" for session in config.session.values()):
        assert desk.max_notional
        assert any(limit.max_position for limit in config.kill.limits)
    for venue in config.venue.values():
        if venue.rest is None:
            assert "rest" not in venue.options  # a plain venue that has none, or none that is carried
            continue
        assert venue.rest.kill_key not in ("", venue.rest.key)  # the kill switch's own
    # Plain TCP goes to loopback only: to a forwarder, where the venue itself has no TLS.
    assert all(session.tls or session.address.startswith("127.0.0.1:") for session in config.session.values())


def test_no_secret_can_be_had_from_the_file_alone(example: Path) -> None:
    desk = load(example)
    signed = next((n for n, s in desk.config.session.items() if s.username), "")
    if signed:  # not every venue's sessions have credentials
        with pytest.raises(SecretError, match="is not set"):
            preview(desk, signed)
    for line in example.read_text().splitlines():
        if re.match(r"(username|password|(kill_)?(key|secret)) *=", line):
            assert REFERENCE.search(line), line
