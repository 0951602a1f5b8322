"""The native part under arbitrary bytes, and what it gives back."""

import gc
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import ConfigError
from fix._dictionary import Tables
from fix.dictionary import STRICT, Checks, Dictionary
from tests.fix.dictionary_kit import ORDER, PARTIES, order

FIX44 = Dictionary.standard("4.4")
CLEAN = order(ORDER + PARTIES)
FIELDS = (
    "8=FIX.4.4| 9=5| 35=D| 35=X| 35= 268=2| 279=0| 269=0| 453=1| 448=a| 354=3| 355=a|b| 354=999999999| "
    "354=-1| =| | = 10=000| 999999999=1| 9999999999=1| 0=| 802=1| 523=x| 146=2| 55=a| 555=1|"
)
PIECES = [piece.replace("|", "\x01").encode() for piece in FIELDS.split()]


def masks() -> st.SearchStrategy[Checks]:
    names = [name for name in Checks.__dataclass_fields__ if name != "mask"]
    return st.fixed_dictionaries({name: st.booleans() for name in names}).map(lambda on: Checks(**on))


@settings(max_examples=400, deadline=None)
@given(raw=st.binary(max_size=400), options=masks())
def test_any_bytes_are_judged_without_harm(raw: bytes, options: Checks) -> None:
    faults = FIX44.faults(raw, options, limit=64)
    assert FIX44.check(raw, options) == (faults[0] if faults else None)


@settings(max_examples=600, deadline=None)
@given(parts=st.lists(st.sampled_from(PIECES) | st.binary(max_size=6), max_size=60), options=masks())
def test_any_mixture_of_fields_is_judged_without_harm(parts: list[bytes], options: Checks) -> None:
    raw = b"".join(parts)
    for cut in (raw, raw[: len(raw) // 2], raw + CLEAN, CLEAN[:40] + raw):
        faults = FIX44.faults(cut, options, limit=64)
        assert FIX44.check(cut, options) == (faults[0] if faults else None)


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, len(CLEAN) - 1), byte=st.integers(0, 255), more=st.integers(0, 3))
def test_a_clean_message_with_a_byte_changed_is_judged_without_harm(at: int, byte: int, more: int) -> None:
    changed = CLEAN[:at] + bytes([byte]) * more + CLEAN[at + 1 :]
    faults = FIX44.faults(changed, limit=64)
    assert FIX44.check(changed) == (faults[0] if faults else None)
    FIX44.check(CLEAN[:at])


def test_a_message_of_many_entries_and_fields_takes_time_in_proportion() -> None:
    entries = "".join(f"448=P{i}|447=D|452=1|" for i in range(20_000))
    assert FIX44.check(order(ORDER + "453=20000|" + entries)) is None
    assert len(FIX44.faults(order(ORDER + "58=x|" * 20_000), limit=64)) == 64


def test_checks_leave_nothing_behind() -> None:
    bad = order(ORDER + "999=1|44=x|")
    for raw in (CLEAN, bad):
        FIX44.check(raw)
        FIX44.faults(bytearray(raw))
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(3000):
            for raw in (CLEAN, bad):
                FIX44.check(raw)
                FIX44.faults(bytearray(raw))
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 8192
    finally:
        tracemalloc.stop()


def test_a_buffer_is_free_again_after_the_check() -> None:
    data = bytearray(CLEAN)
    FIX44.check(data)
    FIX44.faults(data)
    data.extend(b"more")  # a buffer still held would forbid this
    with pytest.raises(TypeError):
        FIX44.check("text")  # type: ignore[arg-type]


def test_tables_can_be_made_and_dropped_again_and_again() -> None:
    fields = [(n, 0, [b"a", b"bb", b"ccc"], False, 0) for n in range(1, 200)]
    members = [(n, n % 2 == 0, -1) for n in range(1, 200)]
    for _ in range(200):
        tables = Tables(fields, [(0, members, 1024), (0, [], 1024)], 0, 1, {b"D": 0}, [b"E"])
        assert tables.check(b"8=a\x01", STRICT.mask) == (1, 2, 0)


def test_a_group_that_holds_itself_ends_where_no_dictionary_goes() -> None:
    fields = [
        (1, 1, [], False, 0),
        (2, 0, [], False, 0),
        (8, 0, [], False, 0),
        (35, 0, [], False, 0),
        (9, 0, [], False, 0),
    ]
    header = (0, [(8, True, -1), (9, True, -1), (35, True, -1)], 1024)
    tables = Tables(
        fields,
        [header, (0, [], 9), (0, [(1, False, 3)], 9), (1, [(2, True, -1), (1, False, 3)], 9)],
        0,
        1,
        {b"D": 2},
        [],
    )
    raw = b"8=F\x019=1\x0135=D\x01" + b"1=1\x012=x\x01" * 200
    assert tables.faults(raw, STRICT.mask, 64)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (([(0, 0, [], False, 0)], [(0, [], 9)], 0, 0, {}, []), "field 0"),
        (([(1, 99, [], False, 0)], [(0, [], 9)], 0, 0, {}, []), "type 99"),
        (([(1, 0, [], False, 0)], [(0, [(2, False, -1)], 9)], 0, 0, {}, []), "member 2: no such field"),
        (([(1, 0, [], False, 0)], [(0, [(1, False, 7)], 9)], 0, 0, {}, []), "member 1: no such field or group"),
        (([(1, 0, [], False, 0)], [(0, [(1, False, -1)] * 10, 9)], 0, 0, {}, []), "10 members, at most 9"),
        (([(1, 0, [], False, 0)], [(1, [(1, False, -1)], 4096)], 0, 0, {}, []), "at most 4096"),
        (([], [(0, [], 9)], 0, 3, {}, []), "header and trailer"),
        (([], [(0, [], 9)], 0, 0, {b"D": 4}, []), "message b'D': no such block"),
        (([], [(0, [], 9)], 0, 0, {b"": 0}, []), "expected 1 to 16 characters"),
    ],
)
def test_tables_that_do_not_hang_together_are_refused(arguments: tuple[object, ...], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        Tables(*arguments)  # type: ignore[arg-type]
