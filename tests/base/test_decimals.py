"""Exact numbers: nothing is rounded, nothing overflows in silence."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.decimals import INT64_MAX, MAX_SCALE, format_scaled, from_scaled, to_scaled
from base.errors import NumberError

scales = st.integers(0, MAX_SCALE)
values = st.integers(-INT64_MAX, INT64_MAX)


@given(values, scales)
def test_text_and_decimal_give_back_the_integer_they_came_from(value: int, scale: int) -> None:
    assert to_scaled(format_scaled(value, scale), scale) == value
    assert to_scaled(from_scaled(value, scale), scale) == value


@given(values, scales)
def test_text_is_plain_digits_without_superfluous_zeros(value: int, scale: int) -> None:
    text = format_scaled(value, scale)
    assert Decimal(text) == Decimal(value).scaleb(-scale)
    assert set(text) <= set("-0123456789.")
    assert "." not in text or text[-1] not in "0."


@pytest.mark.parametrize(
    ("value", "scale", "text"), [(15000, 3, "15"), (-5, 2, "-0.05"), (0, 8, "0"), (7, 0, "7"), (600475, 1, "60047.5")]
)
def test_examples(value: int, scale: int, text: str) -> None:
    assert format_scaled(value, scale) == text


@pytest.mark.parametrize("text", ["", "abc", "1,5", "--1", "0x10", "1 2"])
def test_what_is_no_number_is_named(text: str) -> None:
    with pytest.raises(NumberError, match="not a decimal number") as e:
        to_scaled(text, 2)
    assert repr(text) in str(e.value)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "sNaN"])
def test_what_is_not_finite_is_refused(text: str) -> None:
    with pytest.raises(NumberError, match="not a finite number"):
        to_scaled(text, 2)


def test_more_decimals_than_the_scale_are_refused_not_rounded() -> None:
    with pytest.raises(NumberError, match=r"1\.005 has more than 2 decimals"):
        to_scaled("1.005", 2)
    assert to_scaled("1.0050000", 3) == 1005  # zeros at the end are no decimals


@pytest.mark.parametrize("scale", [0, 8, 18])
def test_the_ends_of_64_bits_fit_and_one_more_does_not(scale: int) -> None:
    assert to_scaled(from_scaled(INT64_MAX, scale), scale) == INT64_MAX
    for sign in (1, -1):
        with pytest.raises(NumberError, match="does not fit 64 bits"):
            to_scaled(from_scaled(sign * (INT64_MAX + 1), scale), scale)


@pytest.mark.parametrize("text", ["1e99", "1e-99", "1e999999999", "-1e60"])
def test_huge_exponents_are_refused_at_once(text: str) -> None:
    with pytest.raises(NumberError):
        to_scaled(text, 8)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=-(10**9), max_value=10**9), scales)
def test_a_number_that_is_taken_is_the_same_number(number: Decimal, scale: int) -> None:
    try:
        scaled = to_scaled(number, scale)
    except NumberError:
        assert number.scaleb(scale) % 1 or abs(number.scaleb(scale)) > INT64_MAX
    else:
        assert from_scaled(scaled, scale) == number
