"""Fields of a message: by tag, as exact numbers and times, in groups; what is malformed is listed."""

import copy
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import simplefix
from hypothesis import given
from hypothesis import strategies as st

from base.decimals import format_scaled as plain_format
from base.decimals import to_scaled
from base.errors import CodecError, NumberError
from fix.codec import (
    Defect,
    DefectKind,
    FieldRules,
    GroupEntry,
    GroupSpec,
    Message,
    checksum,
    format_scaled,
    format_utc,
    key64,
    parse_int,
    parse_scaled,
    parse_utc_ns,
)

HEAD = b"35=8\x0149=A\x0156=B\x0134=12\x0152=20250615-15:06:40.123\x01"


def parse(body: bytes, rules: FieldRules | None = None) -> Message:
    fields = HEAD + body.replace(b"|", b"\x01")
    start = b"8=FIX.4.4\x019=%d\x01" % len(fields) + fields
    return Message.parse(start + b"10=%03d\x01" % checksum(start), rules)


def offset(message: Message, text: bytes) -> int:
    return message.raw.index(text)


def test_header_and_getters() -> None:
    m = parse(b"11=id-1|38=1.50|44=-3|60=20250615-15:06:40|43=Y|54=1|58=caf\xc3\xa9 \xff|")
    assert (m.begin_string, m.msg_type, m.seq_num, m.poss_dup) == (b"FIX.4.4", "8", 12, True)
    assert m.get(11) == m.need(11) == b"id-1"
    assert m.get_str(58) == m.need_str(58) == "café \\xff"
    assert m.get_int(44) == m.need_int(44) == -3
    assert m.get_scaled(38, 4) == m.need_scaled(38, 4) == 15000
    assert m.get_utc_ns(60) == m.need_utc_ns(60) == 1_750_000_000 * 10**9
    assert m.get_bool(43) is True
    assert m.get_char(54) == "1"
    assert m.pick((11, 99, 54)) == (b"id-1", None, b"1")
    assert m.has(11)
    assert not m.has(99)
    assert m.defects == ()
    assert len(m) == len(m.fields()) == 15


def test_absent_is_none_or_an_error_that_names_the_tag() -> None:
    m = parse(b"11=x|")
    assert [m.get(9999), m.get_str(1), m.get_int(1), m.get_scaled(1, 2), m.get_utc_ns(1)] == [None] * 5
    assert (m.get_bool(1), m.get_char(1), m.poss_dup) == (None, None, False)
    for need in (m.need, m.need_str, m.need_int, m.need_utc_ns, lambda tag: m.need_scaled(tag, 2)):
        with pytest.raises(CodecError, match="tag 1234 is missing"):
            need(1234)


def test_unreadable_values_name_tag_offset_and_value() -> None:
    m = parse(b"38=1.5x|44=9e3|60=yesterday|43=maybe|54=BUY|14=99999999999999999999|")
    at = offset(m, b"1.5x")
    with pytest.raises(NumberError, match=rf"tag 38 at offset {at}: b'1.5x' is not a number"):
        m.get_scaled(38, 8)
    with pytest.raises(NumberError, match="tag 44"):
        m.get_int(44)
    with pytest.raises(NumberError, match="does not fit 64 bits"):
        m.get_int(14)
    with pytest.raises(CodecError, match=r"tag 60 .* is not a UTC timestamp"):
        m.get_utc_ns(60)
    with pytest.raises(CodecError, match=r"tag 43 .* is not Y or N"):
        m.get_bool(43)
    with pytest.raises(CodecError, match=r"tag 54 .* is not one character"):
        m.get_char(54)
    with pytest.raises(NumberError, match="scale must be 0 to 18"):
        m.get_scaled(38, 19)


@pytest.mark.parametrize("text", [b"0", b"x", b"-4", b"1.0"])
def test_a_sequence_number_that_is_none_reads_as_zero(text: bytes) -> None:
    fields = b"35=0\x0134=" + text + b"\x01"
    start = b"8=FIX.4.4\x019=%d\x01" % len(fields) + fields
    assert Message.parse(start + b"10=%03d\x01" % checksum(start)).seq_num == 0


DEFECTIVE = [
    (b"58|", DefectKind.NO_EQUALS, 0, (0, b"58")),
    (b"|", DefectKind.NO_EQUALS, 0, (0, b"")),
    (b"x1=5|", DefectKind.BAD_TAG, 0, (0, b"x1=5")),
    (b"0=5|", DefectKind.BAD_TAG, 0, (0, b"0=5")),
    (b"058=5|", DefectKind.BAD_TAG, 0, (0, b"058=5")),
    (b"-58=5|", DefectKind.BAD_TAG, 0, (0, b"-58=5")),
    (b"1234567890=5|", DefectKind.BAD_TAG, 0, (0, b"1234567890=5")),
    (b"=5|", DefectKind.BAD_TAG, 0, (0, b"=5")),
    (b"58=|", DefectKind.EMPTY_VALUE, 58, (58, b"")),
    (b"34=13|", DefectKind.REPEATED_TAG, 34, (34, b"13")),
    (b"96=abc|", None, 0, (96, b"abc")),
]


@pytest.mark.parametrize(("text", "kind", "tag", "pair"), DEFECTIVE)
def test_a_malformed_field_is_listed_and_the_rest_stays_readable(
    text: bytes, kind: DefectKind | None, tag: int, pair: tuple[int, bytes]
) -> None:
    m = parse(b"11=before|" + text + b"151=7|")
    assert m.get(11) == b"before"
    assert m.get_int(151) == 7
    assert m.seq_num == 12
    assert pair in m.fields()
    place = offset(m, b"before\x01") + 7
    assert m.defects == (() if kind is None else (Defect(kind, tag, place),))


@pytest.mark.parametrize(
    "text", [b"95=99|96=abc|", b"95=2|96=abc|", b"95=-1|96=abc|", b"95=x|96=abc|", b"95=3|58=abc|"]
)
def test_a_wrong_data_length_is_a_defect_and_the_value_ends_at_soh(text: bytes) -> None:
    m = parse(text + b"151=7|")
    assert [d.kind for d in m.defects] == [DefectKind.DATA_LENGTH]
    assert b"abc" in (m.get(96), m.get(58))
    assert m.get_int(151) == 7


def test_data_fields_hold_soh_and_whole_messages() -> None:
    inner = parse(b"58=x|").raw
    for length_tag, data_tag in ((95, 96), (90, 91), (93, 89), (354, 355), (212, 213), (618, 619), (621, 622)):
        m = parse(b"%d=%d|%d=%s|11=after|" % (length_tag, len(inner), data_tag, inner))
        assert m.get(data_tag) == inner
        assert m.get(11) == b"after"
        assert m.defects == ()


def test_a_callers_own_data_and_count_tags() -> None:
    body = b"5001=3|5002=a|b|25003=2|25004=1|25005=2|25004=3|25005=4|"
    assert parse(body).defects != ()
    m = parse(body, FieldRules({5001: 5002}, [25003]))
    assert m.get(5002) == b"a\x01b"
    assert m.defects == ()
    for bad in ({0: 5}, {5: 0}, {70000: 5}):
        with pytest.raises(CodecError, match="tag"):
            FieldRules(bad)
    with pytest.raises(CodecError, match="count tag 0"):
        FieldRules(count_tags=[0])


def test_a_dictionary_may_have_hundreds_of_data_fields() -> None:
    rules = FieldRules({length: length + 1 for length in range(6000, 6400, 2)})
    assert parse(b"6398=3\x016399=a\x01b\x01", rules).get(6399) == b"a\x01b"


def test_no_more_than_sixteen_defects_are_kept_however_many_there_are() -> None:
    m = parse(b"58=|" * 5000)
    assert len(m.defects) == 16
    assert len(m) == 5008


fields = st.lists(
    st.tuples(
        st.integers(1, 99999).filter(lambda tag: tag not in {8, 9, 10, 35, 34}),
        st.binary(min_size=1, max_size=30).filter(lambda value: b"\x01" not in value),
    ),
    max_size=60,
)


@given(fields=fields)
def test_fields_are_what_simplefix_reads(fields: list[tuple[int, bytes]]) -> None:
    """Length tags are left out: simplefix takes its length from any tag, in front of it or not."""
    lengths = {90, 93, 95, 212, 348, 350, 352, 354, 356, 358, 360, 362, 364, 445, 618, 621}
    fields = [(tag, value) for tag, value in fields if tag not in lengths]
    message = simplefix.FixMessage()
    for tag, value in [(8, b"FIX.4.4"), (35, b"8"), (34, b"1"), *fields]:
        message.append_pair(tag, value)
    ours = Message.parse(message.encode())
    assert ours.fields()[3:-1] == [(34, b"1"), *fields]
    for tag, value in reversed(fields):
        assert ours.get(tag) == next(v for t, v in [(8, b"FIX.4.4"), *ours.fields()] if t == tag)
        assert value == message.get(tag, len([1 for t, v in fields[: fields.index((tag, value))] if t == tag]) + 1)


# ---- numbers and times ----


def outcome(work, *arguments):  # type: ignore[no-untyped-def]
    try:
        return work(*arguments)
    except NumberError:
        return "NumberError"


decimals = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False, places=None).map(lambda d: format(d, "f")),
    st.from_regex(r"-?[0-9]{1,22}(\.[0-9]{1,22})?", fullmatch=True),
    st.integers(-(2**65), 2**65).map(str),
)


@given(text=decimals, scale=st.integers(0, 18))
def test_scaled_numbers_agree_with_decimal(text: str, scale: int) -> None:
    assert outcome(parse_scaled, text.encode(), scale) == outcome(to_scaled, text, scale)


@given(value=st.integers(-(2**63) + 1, 2**63 - 1), scale=st.integers(0, 18), zeros=st.integers(0, 30))
def test_scaled_numbers_come_back(value: int, scale: int, zeros: int) -> None:
    text = format_scaled(value, scale)
    assert text.decode() == plain_format(value, scale)
    assert Decimal(text.decode()) == Decimal(value).scaleb(-scale)
    assert parse_scaled(text, scale) == value
    padded = (text if b"." in text else text + b".") + b"0" * zeros
    sign, digits = (b"-", padded[1:]) if padded[:1] == b"-" else (b"", padded)
    assert parse_scaled(sign + b"0" * zeros + digits, scale) == value


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"-",
        b".",
        b"-.",
        b"+1",
        b"1e5",
        b"1,5",
        b" 1",
        b"1 ",
        b"1.2.3",
        b"--1",
        b"1-",
        b"nan",
        b"0x1",
        b"1.x",
        b"\xd9\xa1",
    ],
)
def test_malformed_numbers_are_refused(text: bytes) -> None:
    for work in (parse_int, lambda t: parse_scaled(t, 8)):
        with pytest.raises(NumberError):
            work(text)


def test_edges_of_numbers() -> None:
    assert parse_scaled(b"9223372036854775807", 0) == parse_int(b"9223372036854775807") == 2**63 - 1
    assert parse_scaled(b"-9.223372036854775807", 18) == -(2**63) + 1
    assert parse_scaled(b".5", 1) == 5
    assert parse_scaled(b"5.", 1) == 50
    assert parse_scaled(b"-0.00", 0) == 0
    for text in (b"12345678901234567890", b"-10000000000000000000", b"1" + b"0" * 40):
        with pytest.raises(NumberError, match="fit"):
            parse_int(text)
    for text, scale in (
        (b"12345678901234567890", 0),
        (b"12.345678901234567890", 18),
        (b"9223372036854775808", 0),
        (b"10", 18),
        (b"92233720368.54775808", 8),
        (b"1" + b"0" * 40, 0),
    ):
        with pytest.raises(NumberError, match="fit"):
            parse_scaled(text, scale)
    with pytest.raises(NumberError, match="more than 2 decimals"):
        parse_scaled(b"1.001", 2)


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(
    when=st.datetimes(datetime(1970, 1, 1), datetime(2261, 12, 31)).map(lambda d: d.replace(tzinfo=UTC)),  # noqa: DTZ001
    below=st.integers(0, 999),
)
def test_times_agree_with_datetime(when: datetime, below: int) -> None:
    ns = (when - EPOCH) // timedelta(microseconds=1) * 1000 + below
    text = when.strftime("%Y%m%d-%H:%M:%S.%f") + f"{below:03d}"
    assert parse_utc_ns(text.encode()) == ns
    assert parse_utc_ns(when.strftime("%Y-%m-%dT%H:%M:%S.%f").encode() + b"%03dZ" % below) == ns
    for digits, cut in ((0, 17), (3, 21), (6, 24), (9, 27)):
        assert format_utc(ns, digits) == text[:cut].encode()
        assert parse_utc_ns(text[:cut].encode()) == ns // 10 ** (9 - digits) * 10 ** (9 - digits)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"20250229-00:00:00",
        b"20251301-00:00:00",
        b"20250100-00:00:00",
        b"20250101-24:00:00",
        b"20250101-00:60:00",
        b"20250101-00:00:61",
        b"20250101-00:00:00.",
        b"20250101-00:00:00.x",
        b"20250101 00:00:00",
        b"20250101-00:00",
        b"19691231-23:59:59",
        b"22620101-00:00:00",
        b"20250101-00:00:00Z",
        b"2025-01-01T00:00:00",
        b"20250101-0a:00:00",
        b"20250101-00:00:00.1234567890123",
    ],
)
def test_malformed_times_are_refused(text: bytes) -> None:
    with pytest.raises(CodecError):
        parse_utc_ns(text)


def test_a_leap_second_and_picoseconds_are_read() -> None:
    assert parse_utc_ns(b"20161231-23:59:60") == parse_utc_ns(b"20170101-00:00:00")
    assert parse_utc_ns(b"20250101-00:00:00.123456789999") == parse_utc_ns(b"20250101-00:00:00.123456789")
    for ns in (-1, 2**63 - 1):
        with pytest.raises(CodecError):
            format_utc(ns)


@given(text=st.binary(max_size=50))
def test_key_is_the_headers_function(text: bytes) -> None:
    h, mask = 14695981039346656037, 2**64 - 1
    for byte in text:
        h = (h ^ byte) * 1099511628211 & mask
    h = (h ^ h >> 32) * 0xD6E8FEB86659FD93 & mask
    h ^= h >> 32
    assert key64(text) == (h or 1)


# ---- groups ----

PARTY_SUB = GroupSpec(802, [523, 803])
PARTY = GroupSpec(453, [448, 447, 452], [PARTY_SUB])


def test_groups_by_delimiter_whatever_the_order_inside() -> None:
    spec = GroupSpec(268, [269, 270, 271, 279, 55])
    m = parse(b"262=r|268=3|279=0|269=1|270=5|279=1|270=6|269=0|55=B|279=2|893=Y|270=99|")
    entries = m.group(spec)
    assert [e.pick((279, 269, 270, 55)) for e in entries] == [
        (b"0", b"1", b"5", None),
        (b"1", b"0", b"6", b"B"),
        (b"2", None, None, None),
    ]
    assert entries[1].fields() == [(279, b"1"), (270, b"6"), (269, b"0"), (55, b"B")]
    assert entries[0].message is m
    assert m.defects == ()
    other = parse(b"268=2|270=5|269=0|270=6|269=1|")
    assert [e.need_int(269) for e in other.group(spec)] == [0, 1]


def test_nested_groups_stay_with_their_entry() -> None:
    m = parse(b"453=2|448=a|802=2|523=x|803=1|523=y|803=2|447=D|448=b|452=3|11=after|")
    first, second = m.group(PARTY)
    assert [s.get(523) for s in first.group(PARTY_SUB)] == [b"x", b"y"]
    assert (first.get(447), second.get(452), second.get(11)) == (b"D", b"3", None)
    assert second.group(PARTY_SUB) == []
    assert m.defects == ()


@pytest.mark.parametrize(("count", "entries"), [(b"3", 2), (b"1", 2), (b"x", 2), (b"-2", 2), (b"0", 2)])
def test_a_wrong_count_is_a_defect_and_the_entries_are_still_there(count: bytes, entries: int) -> None:
    m = parse(b"453=" + count + b"|448=a|452=1|448=b|452=2|58=x|")
    for _ in range(2):
        assert len(m.group(PARTY)) == entries
        assert m.defects == (Defect(DefectKind.GROUP_COUNT, 453, offset(m, b"453=")),)


def test_no_group_no_entries() -> None:
    assert parse(b"58=x|").group(PARTY) == []
    m = parse(b"453=0|58=x|")
    assert m.group(PARTY) == []
    assert m.defects == ()
    with pytest.raises(CodecError, match="member tag 0"):
        GroupSpec(453, [0])


@given(
    data=st.data(),
    entries=st.lists(
        st.dictionaries(st.sampled_from([270, 271, 272, 273]), st.integers(0, 999)), min_size=1, max_size=8
    ),
)
def test_groups_agree_with_a_plain_reading(data: st.DataObject, entries: list[dict[int, int]]) -> None:
    body = b"268=%d|" % len(entries)
    for i, entry in enumerate(entries):
        order = data.draw(st.permutations(list(entry)))
        body += b"269=%d|" % i + b"".join(b"%d=%d|" % (tag, entry[tag]) for tag in order)
    m = parse(body + b"58=end|")
    found = m.group(GroupSpec(268, [269, 270, 271, 272, 273]))
    assert [{t: int(v) for t, v in e.fields() if t != 269} for e in found] == entries
    assert [e.need_int(269) for e in found] == list(range(len(entries)))


# ---- a message as an object ----


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "incomplete"),
        (b"8=FIX.4.4\x019=5\x01", "incomplete"),
        (b"hello", "NO_BEGIN"),
        (parse(b"58=x|").raw + b"8", "1 bytes before"),
        (parse(b"58=x|").raw[:-2] + b"x\x01", "TRAILER"),
    ],
)
def test_parse_says_why_not(raw: bytes, why: str) -> None:
    with pytest.raises(CodecError, match=why):
        Message.parse(raw)


def test_a_message_outlives_its_source_and_entries_their_message() -> None:
    source = bytearray(parse(b"453=1|448=abc|").raw)
    m = Message.parse(memoryview(source))
    source[:] = b"x" * len(source)
    entry = m.group(PARTY)[0]
    del m
    assert entry.get(448) == b"abc"


def test_messages_and_entries_come_only_from_the_codec() -> None:
    for kind in (Message, GroupEntry, GroupEntry.__mro__[1]):
        with pytest.raises(TypeError):
            kind()
    for bare in (Message.__new__(Message), GroupEntry.__new__(GroupEntry)):
        assert (bare.get(35), bare.fields(), bare.group(PARTY)) == (None, [], [])
    bare = Message.__new__(Message)
    assert (bare.msg_type, bare.seq_num, bare.begin_string, bare.poss_dup, bare.defects) == ("", 0, b"", False, ())
    assert "empty" in repr(bare)


def test_a_message_is_not_pickled_or_copied() -> None:
    for thing in (parse(b"453=1|448=x|"), parse(b"453=1|448=x|").group(PARTY)[0]):
        with pytest.raises(TypeError, match="pickled"):
            copy.copy(thing)


PLAIN_WALL = 1_750_000_000_000_000_000
PLAIN = [
    (8, "FIX.4.4"), (35, "8"), (49, "VENUE"), (56, "DESK"), (34, "7"), (52, format_utc(PLAIN_WALL, 3).decode()),
    (37, "order"),
]  # fmt: skip


def is_plain(fields: list[tuple[int, str]], late_ns: int = 0, latency_ns: int = 10**9) -> bool:
    text = b"".join(b"%d=%s\x01" % (tag, value.encode()) for tag, value in fields[1:])
    head = b"8=%s\x019=%d\x01" % (fields[0][1].encode(), len(text))
    message = Message.parse(head + text + b"10=%03d\x01" % checksum(head + text))
    return message.plain(b"FIX.4.4", b"VENUE", b"DESK", 7, PLAIN_WALL + late_ns, latency_ns)


def test_a_message_as_it_should_be_is_plain():
    assert is_plain(PLAIN)
    assert is_plain([*PLAIN, (43, "N"), (97, "N")])
    assert is_plain(PLAIN, 10**9)
    assert is_plain(PLAIN, -(10**9))
    assert is_plain(PLAIN, 10**15, latency_ns=0)
    for msg_type in ("D", "AE", "6", "11"):
        assert is_plain([PLAIN[0], (35, msg_type), *PLAIN[2:]])


@pytest.mark.parametrize(
    ("at", "field"),
    [
        (0, (8, "FIX.4.2")), (0, (8, "FIX.4.40")), (0, (8, "FIXT.1.1")), (2, (49, "VENUE2")), (2, (49, "VENU")),
        (2, (50, "VENUE")), (3, (56, "desk")), (3, (57, "DESK")), (4, (34, "8")), (4, (34, "6")), (4, (34, "x")),
        (4, (33, "7")), (5, (52, "yesterday")), (5, (53, "1")), (6, (43, "Y")), (6, (97, "Y")), (6, (37, "")),
        *((1, (35, msg_type)) for msg_type in "012345A"),
    ],
)  # fmt: skip
def test_whatever_needs_a_second_look_is_not_plain(at: int, field: tuple[int, str]) -> None:
    assert not is_plain([*PLAIN[:at], field, *PLAIN[at + 1 :]])


def test_a_message_that_is_too_late_or_too_early_is_not_plain():
    assert not is_plain(PLAIN, 10**9 + 1)
    assert not is_plain(PLAIN, -(10**9) - 1)
