"""The native CRC-32 against zlib's."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base._segments import crc32


@given(st.binary(max_size=2000), st.integers(0, 2**32 - 1), st.integers(0, 40))
def test_it_is_the_crc_of_zlib_whatever_the_bytes_start_and_alignment(data: bytes, start: int, skip: int) -> None:
    assert crc32(memoryview(data)[skip:], start) == zlib.crc32(data[skip:], start)


@pytest.mark.parametrize("length", [*range(70), 4095, 4096, 4097, 1 << 20])
def test_every_length_around_a_block(length: int) -> None:
    data = bytes(i * 167 >> 3 & 255 for i in range(length))
    assert crc32(data) == zlib.crc32(data)
    assert crc32(data[length // 3 :], crc32(data[: length // 3])) == zlib.crc32(data)
