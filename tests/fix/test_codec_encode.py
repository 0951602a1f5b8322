"""Encoding: strict about what leaves, and read back alike by simplefix and by our own decoder."""

import pytest
import simplefix
from hypothesis import given
from hypothesis import strategies as st

from base.decimals import format_scaled
from base.errors import CodecError, NumberError
from fix.codec import BodyWriter, FieldRules, Message, Template, encode, format_utc

SENT_NS = 1_750_000_000_123_456_789
ORDER = [
    (11, "text"),
    (55, "text"),
    (54, "text"),
    (38, "scaled", 8),
    (44, "scaled"),
    (60, "utc", 6),
    (59, "const", b"1"),
]


def simple(raw: bytes) -> list[tuple[int, bytes]]:
    parser = simplefix.FixParser()
    parser.append_buffer(raw)
    return [(int(tag), value) for tag, value in parser.get_message().pairs]


def order() -> Template:
    return Template("FIX.4.4", "D", "ME", "YOU", ORDER)


def test_the_header_stands_in_one_order_with_extra_fields_behind_the_time() -> None:
    raw = encode(
        "FIXT.1.1", "A", b"ME", "YOU", 12, SENT_NS, b"98=0\x01", extra_header=b"43=Y\x0197=Y\x01", time_digits=6
    )
    assert raw[:-7] == (
        b"8=FIXT.1.1\x019=67\x0135=A\x0149=ME\x0156=YOU\x0134=12\x0152=20250615-15:06:40.123456\x0143=Y\x0197=Y\x01"
        b"98=0\x01"
    )
    assert raw[-7:] == b"10=%03d\x01" % (sum(raw[:-7]) % 256)


text = st.text(st.characters(codec="utf-8", exclude_characters="\x01"), min_size=1, max_size=20)


@given(
    cl_ord_id=text,
    symbol=text.map(str.encode),
    qty=st.integers(-(2**63) + 1, 2**63 - 1),
    px=st.integers(-(2**63) + 1, 2**63 - 1),
    scale=st.integers(0, 18),
    seq=st.integers(1, 2**63 - 1),
    sent=st.integers(0, 9 * 10**18),
)
def test_a_template_is_read_back_by_simplefix_and_by_us(
    cl_ord_id: str, symbol: bytes, qty: int, px: int, scale: int, seq: int, sent: int
) -> None:
    raw = order().render(seq, sent, cl_ord_id, symbol, "1", qty, px, scale, sent)
    expected = [
        (35, b"D"),
        (49, b"ME"),
        (56, b"YOU"),
        (34, b"%d" % seq),
        (52, format_utc(sent, 3)),
        (11, cl_ord_id.encode()),
        (55, symbol),
        (54, b"1"),
        (38, format_scaled(qty, 8).encode()),
        (44, format_scaled(px, scale).encode()),
        (60, format_utc(sent, 6)),
        (59, b"1"),
    ]
    assert simple(raw)[2:-1] == expected
    ours = Message.parse(raw)
    assert ours.fields()[2:-1] == expected
    assert (ours.get_scaled(38, 8), ours.get_scaled(44, scale), ours.defects) == (qty, px, ())


@given(sends=st.lists(st.integers(0, 3 * 10**9), min_size=1, max_size=30))
def test_the_time_of_a_template_is_right_at_every_send(sends: list[int]) -> None:
    template = Template("FIX.4.4", "0", "A", "B", (), time_digits=6)
    for gap in sends:
        assert Message.parse(template.render(1, SENT_NS + gap)).get(52) == format_utc(SENT_NS + gap, 6)


def test_none_leaves_a_field_out() -> None:
    raw = order().render(1, SENT_NS, "id", "S", "1", None, None, 0, None)
    assert [tag for tag, _ in simple(raw)] == [8, 9, 35, 49, 56, 34, 52, 11, 55, 54, 59, 10]


def test_a_template_recovers_after_a_refused_value() -> None:
    template = order()
    good = template.render(1, SENT_NS, "id", "S", "1", 1, 1, 0, SENT_NS)
    with pytest.raises(CodecError):
        template.render(1, SENT_NS, "id", "", "1", 1, 1, 0, SENT_NS)
    assert template.render(1, SENT_NS, "id", "S", "1", 1, 1, 0, SENT_NS) == good


def test_a_long_value_is_no_trouble() -> None:
    raw = order().render(1, SENT_NS, "x" * 100_000, "S", "1", 1, 1, 0, SENT_NS)
    assert Message.parse(raw).get(11) == b"x" * 100_000


REFUSED = [
    (("a\x01b", "S", "1", 1, 1, 0, 0), "tag 11: SOH"),
    (("", "S", "1", 1, 1, 0, 0), "tag 11: empty"),
    (("id", b"", "1", 1, 1, 0, 0), "tag 55: empty"),
    (("id", 5, "1", 1, 1, 0, 0), "tag 55: expected bytes or str, got int"),
    (("id", "S", "1", "1", 1, 0, 0), "tag 38: expected an int, got str"),
    (("id", "S", "1", 1.5, 1, 0, 0), "tag 38: expected an int, got float"),
    (("id", "S", "1", 2**63, 1, 0, 0), "tag 38: 9223372036854775808 does not fit"),
    (("id", "S", "1", 1, 1, 19, 0), "tag 44: value outside"),
    (("id", "S", "1", 1, 1, 0, -1), "tag 60: value outside"),
    (("id", "S", "1", 1, 1, 0), "expected 7 values, got 6"),
]


@pytest.mark.parametrize(("values", "why"), REFUSED)
def test_a_template_refuses_what_no_venue_could_read(values: tuple[object, ...], why: str) -> None:
    with pytest.raises(CodecError, match=why):
        order().render(1, SENT_NS, *values)  # type: ignore[arg-type]


def test_sequence_numbers_begin_at_one() -> None:
    with pytest.raises(CodecError, match="tag 34"):
        order().render(0, SENT_NS, "id", "S", "1", 1, 1, 0, 0)
    with pytest.raises(CodecError, match="tag 52"):
        Template("FIX.4.4", "0", "A", "B", ()).render(1, -5)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("FIX 4.4", "D", "A", "B", []), "tag 8"),
        (("", "D", "A", "B", []), "tag 8"),
        (("FIX.4.4", "", "A", "B", []), "tag 35"),
        (("FIX.4.4", "D", "A\x01", "B", []), "tag 49"),
        (("FIX.4.4", "D", "A", "", []), "tag 56"),
        (("FIX.4.4", "D", "A", "B", [(0, "text")]), "tag 0"),
        (("FIX.4.4", "D", "A", "B", [(10, "text")]), "frame"),
        (("FIX.4.4", "D", "A", "B", [(11, "float")]), "kind"),
        (("FIX.4.4", "D", "A", "B", [(11, "const", b"")]), "tag 11: empty"),
        (("FIX.4.4", "D", "A", "B", [(60, "utc", 4)]), "decimals"),
        (("FIX.4.4", "D", "A", "B", [(38, "scaled", 19)]), "scale"),
        (("FIX.4.4", "D", "A", "B", [(95, "data", 0)]), "tag 0"),
    ],
)
def test_a_wrong_template_is_refused_when_it_is_made(arguments: tuple[object, ...], why: str) -> None:
    with pytest.raises((CodecError, NumberError), match=why):
        Template(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"11=x", "body at offset 0: tag 11: SOH"),
        (b"11=\x01", "tag 11: empty"),
        (b"11\x01", "tag 0"),
        (b"x=1\x01", "tag 0"),
        (b"58=x\x0110=000\x01", "offset 5: .*tag 10"),
        (b"35=D\x01", "tag 35"),
        (b"011=x\x01", "tag 0"),
        (b"95=5\x0196=abc\x01", "tag 96: SOH .* or a data field"),
        (b"95=3\x0158=abc\x01", "tag 58"),
        (b"95=3\x01", "tag 95"),
    ],
)
def test_a_malformed_body_is_refused_with_tag_and_offset(body: bytes, why: str) -> None:
    with pytest.raises(CodecError, match=why):
        encode("FIX.4.4", "D", "A", "B", 1, SENT_NS, body)
    with pytest.raises(CodecError):
        encode("FIX.4.4", "D", "A", "B", 1, SENT_NS, extra_header=body)


@given(values=st.lists(st.binary(min_size=1, max_size=60), max_size=8))
def test_data_fields_with_soh_come_back(values: list[bytes]) -> None:
    writer, pairs = (
        BodyWriter(),
        [(95, 96), (354, 355), (348, 349), (350, 351), (352, 353), (356, 357), (358, 359), (360, 361)],
    )
    template = Template("FIX.4.4", "n", "A", "B", [(lt, "data", dt) for lt, dt in pairs[: len(values)]])
    for (length_tag, data_tag), value in zip(pairs, values, strict=False):
        writer.data(length_tag, data_tag, value)
    raw = encode("FIX.4.4", "n", "A", "B", 1, SENT_NS, writer.take())
    assert template.render(1, SENT_NS, *values) == raw
    ours = Message.parse(raw)
    assert ours.defects == ()
    for (_, data_tag), value in zip(pairs, values, strict=False):
        assert ours.get(data_tag) == value


def test_a_callers_data_pair_is_checked_by_its_own_rules() -> None:
    rules = FieldRules({5001: 5002})
    body = b"5001=3\x015002=a\x01b\x01"
    raw = encode("FIX.4.4", "n", "A", "B", 1, SENT_NS, body, rules=rules)
    assert Message.parse(raw, rules).get(5002) == b"a\x01b"
    with pytest.raises(CodecError):
        encode("FIX.4.4", "n", "A", "B", 1, SENT_NS, body)


def test_a_writer_writes_each_kind() -> None:
    w = BodyWriter()
    w.text(58, "é")
    w.text(11, b"id")
    w.integer(108, -30)
    w.scaled(44, -150, 2)
    w.utc(60, SENT_NS)
    w.utc(62, SENT_NS, 9)
    w.boolean(141, True)
    w.boolean(43, False)
    w.raw(b"1=a\x01")
    expected = (
        "58=é\x0111=id\x01108=-30\x0144=-1.5\x0160=20250615-15:06:40.123\x01"
        "62=20250615-15:06:40.123456789\x01141=Y\x0143=N\x011=a\x01"
    ).encode()
    assert len(w) == len(expected)
    assert w.take() == expected
    assert w.take() == b""
    w.integer(1, 2)
    w.clear()
    assert len(w) == 0


def test_a_refused_field_leaves_nothing_behind_in_a_writer() -> None:
    w = BodyWriter()
    w.integer(1, 1)
    refused = [
        lambda: w.text(58, ""),
        lambda: w.text(58, b"a\x01"),
        lambda: w.text(0, "x"),
        lambda: w.text(10**9, "x"),
        lambda: w.text(58, None),
        lambda: w.integer(1, 2**63),
        lambda: w.integer(0, 1),
        lambda: w.scaled(1, 1, 19),
        lambda: w.utc(60, -1),
        lambda: w.utc(60, 1, 5),
        lambda: w.data(95, 96, b""),
        lambda: w.data(95, 0, b"x"),
        lambda: w.raw(b"x"),
        lambda: w.text(58, "\ud800"),
    ]
    for work in refused:
        with pytest.raises((CodecError, UnicodeEncodeError)):
            work()
        assert len(w) == 4
    assert w.take() == b"1=1\x01"
