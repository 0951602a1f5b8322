"""Symbology and the numbers of an instrument."""

import pytest

from base.errors import ConfigError, NumberError
from base.instruments import Instrument, check_name, scaled_setting

BTC = Instrument(venue="v", name="BTC-USD", symbol="BTC/USD", px_scale=1, qty_scale=8)


@pytest.mark.parametrize(
    "name", ["BTC-USD", "BTC-USD-PERP", "BTC-USD-20261225", "1INCH-USDT", "A-B", "ABCDEFGHIJKLMNOPQRST-ABCDEFGHIJ"]
)
def test_names_of_the_symbology_are_taken(name: str) -> None:
    assert check_name(name, "here") == name


@pytest.mark.parametrize(
    "name",
    [
        "", "BTC", "btc-usd", "BTC/USD", "BTCUSD", "BTC-USD-", "-USD", "BTC-USD-SWAP", "BTC-USD-2026", "BTC-USD-PERP-1",
        "BTC-USD ", "BTC-USD\n", "BTC--USD", "BTC-USD-202612255", "ABCDEFGHIJKLMNOPQRSTU-USD", "BTC-ABCDEFGHIJK",
    ],
)  # fmt: skip
def test_other_names_are_errors_with_their_place_and_what_was_expected(name: str) -> None:
    with pytest.raises(ConfigError) as e:
        check_name(name, "file: venue.v.instruments[3].name")
    assert str(e.value).startswith(f"file: venue.v.instruments[3].name: {name!r}")
    assert "BASE-QUOTE" in str(e.value)


def test_prices_and_quantities_go_through_their_own_scales() -> None:
    assert BTC.px("60047.5") == 600475
    assert BTC.qty("0.00000001") == 1
    assert BTC.px_text(600475) == "60047.5"
    assert BTC.qty_text(-150_000_000) == "-1.5"
    with pytest.raises(NumberError, match=r"60047\.55 has more than 1 decimals"):
        BTC.px("60047.55")


@pytest.mark.parametrize(("text", "says"), [("-0.1", "is negative"), ("x", "not a decimal"), ("0.05", "more than 1")])
def test_a_setting_that_does_not_fit_names_its_path(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as e:
        scaled_setting(text, 1, "file: key")
    assert str(e.value).startswith("file: key: ")
