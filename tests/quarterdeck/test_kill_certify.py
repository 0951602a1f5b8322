"""`qd kill certify`: what a person asks for, and the words that keep a production desk from orders nobody meant."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from base.config import DeskConfig, load
from base.errors import CommandError
from ipc.book_eyes import BookView
from quarterdeck.kill_certify import Request, confirmed, summary, watch

ROOT = Path(__file__).resolve().parents[2]


def desk_of(folder: Path, environment: str) -> DeskConfig:
    text = (ROOT / "config" / "desk.toml").read_text()
    if environment == "production":
        text = text.replace("arm_at_start = true", "")
    (folder / "config").mkdir(parents=True, exist_ok=True)
    path = folder / "config" / "desk.toml"
    path.write_text(text.replace('environment = "sim"', f'environment = "{environment}"'))
    return load(path)


@pytest.fixture
def desk(tmp_path: Path) -> DeskConfig:
    return desk_of(tmp_path, "sim")


def test_quantities_are_the_least_that_the_venue_takes_and_prices_as_given(desk: DeskConfig) -> None:
    wanted = Request(desk, "binance", [], [], ["30000", "1500.5"])
    assert wanted.args("", False, "") == {
        "venue": "binance", "instruments": "BTC-USDT ETH-USDT", "qtys": "0.00001 0.0001", "prices": "30000 1500.5",
        "path": "", "others": "", "confirm": "",
    }  # fmt: skip
    assert wanted.lines()[0] == "buy 0.00001 BTC-USDT at 30000, on each trading session"


def test_without_a_price_half_of_the_best_bid_is_taken_at_the_tick(
    desk: DeskConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Eyes:
        def __init__(self, _desk: DeskConfig) -> None: ...

        def look(self, venue: str, instrument: str, mono_ns: int) -> BookView:
            bid = {"BTC-USD": "65432.3", "ETH-USD": "0.01"}[instrument]
            return BookView("LIVE", "", Decimal(bid), Decimal("70000"))

    monkeypatch.setattr("quarterdeck.kill_certify.BookEyes", Eyes)
    wanted = Request(desk, "kraken", ["BTC-USD"], [], [])
    assert (wanted.prices, wanted.qtys) == (["32716.1"], ["0.0001"])
    with pytest.raises(CommandError, match="half of its best bid is less than a tick"):
        Request(desk, "kraken", ["ETH-USD"], [], [])


@pytest.mark.parametrize(("price", "qty"), [("100", "0.10001"), ("100000", "0.00011"), ("1000000", "0.00002")])
def test_the_least_quantity_is_worth_the_least_notional_in_whole_lots(tmp_path: Path, price: str, qty: str) -> None:
    made = desk_of(tmp_path, "sim")
    text = made.path.read_text()
    made.path.write_text(text.replace('min_qty = "0.00001" }', 'min_qty = "0.00001", min_notional = "10" }'))
    assert Request(load(made.path), "binance", ["BTC-USDT"], [], [price]).qtys == [qty]


def test_what_does_not_fit_together_is_named(desk: DeskConfig) -> None:
    for args, says in (
        (("nosuch", [], [], []), "no venue 'nosuch'"),
        (("kraken", ["XRP-USD"], [], ["1"]), "kraken has no 'XRP-USD'; it has BTC-USD, ETH-USD"),
        (("kraken", ["BTC-USD"], ["1", "2"], ["1"]), "--qty: 2 given for 1 instruments"),
        (("kraken", ["BTC-USD"], [], []), "--price is needed for BTC-USD: its book gives none"),
    ):
        with pytest.raises(CommandError, match=says):
            Request(desk, *args)  # type: ignore[arg-type]


def test_a_production_desk_wants_the_flag_and_the_venues_name_typed(tmp_path: Path) -> None:
    desk = desk_of(tmp_path, "production")
    with pytest.raises(CommandError, match="say so with --production"):
        confirmed(desk, "kraken", False, lambda: "kraken")
    with pytest.raises(CommandError, match="'yes' is not 'kraken': nothing was sent"):
        confirmed(desk, "kraken", True, lambda: "yes")
    assert confirmed(desk, "kraken", True, lambda: "kraken\n") == "kraken"


def test_another_desk_is_asked_nothing(desk: DeskConfig) -> None:
    def never() -> str:
        raise AssertionError("asked")

    assert confirmed(desk, "kraken", False, never) == ""


def test_the_end_is_told_in_words_each_line_once() -> None:
    answers: list[dict[str, Any]] = [
        {"said": ["nothing is open"], "over": False},
        {"said": ["nothing is open", "3 orders work"], "over": True, "venue": "x", "why": "cut off", "finding": None},
    ]
    told: list[str] = []
    found = watch(lambda verb, args: answers.pop(0), told.append)
    assert told == ["nothing is open", "3 orders work"]
    assert summary(found) == "x: not certified: cut off"
    finding = {"says": "35=q", "path": "own", "ended": ["a"], "left": ["b"], "answers": ["35=r"]}
    finding |= {"when_empty": "silence", "took_ms": 3}  # type: ignore[dict-item]
    text = summary({"venue": "x", "finding": finding, "words": "certified 2026-11-22: reaches", "kept": "/f"})
    assert text.splitlines()[0] == "x: 35=q on own: certified 2026-11-22: reaches"
    assert "left working, then cancelled by itself: b" in text
