"""`qd kill limits`: numbers as people read them."""

import pytest

from quarterdeck.limits_screen import short


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1234.5678", "1234.57"),
        ("12.345678", "12.3457"),
        ("0.123456789", "0.12345679"),
        ("25.00000000", "25"),
        ("-0.5", "-0.5"),
        ("1" + "0" * 39, "1" + "0" * 39),
        ("123456789012345678901234567890.125", "123456789012345678901234567890.12"),
        ("", ""),
    ],
)
def test_a_number_of_any_size_is_shown_without_the_digits_that_say_nothing(text: str, shown: str) -> None:
    assert short(text) == shown
