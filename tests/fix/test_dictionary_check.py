"""What the native check says of one message: each kind of fault, with the standard's number and text."""

import pytest

from base.errors import ConfigError
from fix._dictionary import format_ok
from fix.dictionary import STRICT, Checks, Dictionary, Fault
from fix.dictionary_types import REASONS, TYPES
from tests.fix.dictionary_kit import HEAD, ORDER, PARTIES, frame, message, order

FIX44 = Dictionary.standard("4.4")
FIX42 = Dictionary.standard("4.2")
FIX50 = Dictionary.standard("5.0sp2")


def said(raw: bytes, dictionary: Dictionary = FIX44, options: Checks = STRICT) -> tuple[int, int] | None:
    """Reason and tag, with the text held against the standard's."""
    fault = dictionary.check(raw, options)
    if fault is None:
        return None
    assert fault.text == REASONS[fault.reason]
    assert dictionary.faults(raw, options)[0] == fault
    return fault.reason, fault.tag


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (ORDER, None),
        (ORDER + "999=1|", (0, 999)),
        (ORDER + "9999=1|", (0, 9999)),
        (ORDER + "0=1|", (0, 0)),
        (ORDER + "-1=1|", (0, -1)),
        (ORDER + "044=1|", (0, 44)),
        (ORDER + "x=1|", (0, 0)),
        (ORDER + "=1|", (0, 0)),
        (ORDER + "12345678901=1|", (0, 0)),
        (ORDER.replace("11=A-1|", ""), (1, 11)),
        (ORDER.replace("60=20260105-09:30:00.123|", ""), (1, 60)),
        (ORDER + "41=A-0|", (2, 41)),
        (ORDER.replace("59=1|", "59=|"), (4, 59)),
        (ORDER.replace("54=1|", "54=Q|"), (5, 54)),
        (ORDER + "423=11|", None),
        (ORDER + "423=99|", (5, 423)),
        (ORDER + "167=CORP|", None),
        (ORDER + "167=CORPS|", (5, 167)),
        (ORDER + "18=G 6|", None),
        (ORDER + "18=G ~|", (5, 18)),
        (ORDER.replace("44=84000.5|", "44=84000,5|"), (6, 44)),
        (ORDER.replace("54=1|", "54=1|54=1|"), (13, 54)),
        (ORDER + "54=1|", (13, 54)),
        (ORDER + "50=SUB|", (14, 50)),
        (ORDER + "93=3|89=abc|58=late|", (14, 58)),
        (ORDER + "354=5|355=a~b=c|".replace("~", "\x01"), None),
        (ORDER + "348=8|355=ab|54=Z~|", (1, 354)),
        (ORDER + PARTIES, None),
        (ORDER + "453=0|", None),
        (ORDER + PARTIES.replace("453=2", "453=3"), (16, 453)),
        (ORDER + PARTIES.replace("453=2", "453=1"), (16, 453)),
        (ORDER + PARTIES.replace("453=2", "453=0"), (16, 453)),
        (ORDER + "453=1|58=none|", (16, 453)),
        (ORDER + "453=1|447=D|448=FIRM|452=1|", (15, 447)),
        (ORDER + "453=1|448=FIRM|452=1|447=D|", (15, 447)),
        (ORDER + "453=1|448=FIRM|447=D|447=D|", (13, 447)),
        (ORDER + "453=1|448=FIRM|447=D|452=x|", (6, 452)),
        (ORDER + "453=1|448=FIRM|447=~|452=1|", (5, 447)),
        (ORDER + "453=1|448=FIRM|447=|452=1|", (4, 447)),
        (ORDER + "453=1|448=FIRM|447=D|452=1|802=2|523=a|803=1|523=b|803=2|", None),
        (ORDER + "453=1|448=FIRM|447=D|452=1|802=2|523=a|803=1|", (16, 802)),
        (ORDER + "453=x|", (6, 453)),
        (ORDER + "58=a|b|", (17, 58)),
        (ORDER + "354=5|355=a\x01b=c|", None),
        (ORDER + "354=4|355=a\x01b=c|", (5, 354)),
    ],
)  # fmt: skip
def test_each_kind_of_fault_has_the_standards_reason_and_tag(body: str, expected: tuple[int, int] | None) -> None:
    assert said(order(body)) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (message("0", ""), None),
        (message("U7", ""), (11, 0)),
        (message("ZZZ", "1=2|"), (11, 0)),
        (frame(f"35=0|{HEAD}58=x|".replace("56=VENUE|", "")), (2, 58)),
        (frame(f"35=0|{HEAD}".replace("56=VENUE|", "")), (1, 56)),
        (frame(f"35=0|{HEAD}".replace("34=7|", "34=7|34=8|")), (13, 34)),
        (frame(f"35=0|{HEAD}".replace("34=7|", "34=x|")), (6, 34)),
        (frame(f"35=0|112=x|{HEAD}"), (14, 49)),
        (b"9=5\x018=FIX.4.4\x0135=0\x0110=000\x01", (14, 9)),
        (b"8=FIX.4.4\x0135=0\x019=5\x0110=000\x01", (14, 35)),
        (b"8=FIX.4.4\x019=5\x0149=DESK\x0135=0\x0110=000\x01", (14, 49)),
        (message("0", "") + b"93=1\x01", (14, 93)),
        (message("0", "")[:-7], (1, 10)),
        (b"", (1, 8)),
    ],
)
def test_header_trailer_and_type_are_held_to_their_places(raw: bytes, expected: tuple[int, int] | None) -> None:
    assert said(raw) == expected


def test_a_type_of_the_standard_that_the_dictionary_does_not_have_is_a_business_fault() -> None:
    assert "AT" not in FIX44.messages  # AllocationReportAck
    assert FIX44.check(message("AT", "")) == Fault(-1, 0, "Unsupported Message Type", 3)
    assert FIX42.check(message("AB", "", "FIX.4.2")) == Fault(11, 0, "Invalid MsgType")  # not in 4.2 at all
    assert FIX42.check(message("k", "", "FIX.4.2")) == Fault(-1, 0, "Unsupported Message Type", 3)
    assert FIX50.check(message("CF", "", "FIXT.1.1")) == Fault(-1, 0, "Unsupported Message Type", 3)


def test_fix_4_2_leaves_out_the_reasons_that_it_does_not_have() -> None:
    fault = FIX42.check(message("D", "11=1|21=1|55=A|54=1|60=20260105-09:30:00|40=1|40=1|", "FIX.4.2"))
    assert fault is not None
    assert (fault.reason, fault.reason_in("FIX.4.2"), fault.reason_in("FIX.4.4")) == (13, -1, 13)
    assert Fault(11, 0, "").reason_in("FIX.4.2") == 11


def test_fixt_has_the_transports_header_and_the_applications_messages() -> None:
    body = ORDER.replace("55=", "453=1|448=F|447=D|452=1|55=")
    assert FIX50.begin_string == "FIXT.1.1"
    assert FIX50.check(message("D", body, "FIXT.1.1")) is None
    assert FIX50.check(message("D", body, "FIXT.1.1", HEAD + "1128=9|")) is None
    assert said(message("D", body, "FIXT.1.1", HEAD + "1128=99|"), FIX50) == (5, 1128)
    assert said(message("A", "98=0|108=30|", "FIXT.1.1"), FIX50) == (1, 1137)
    assert FIX50.check(message("A", "98=0|108=30|1137=9|", "FIXT.1.1")) is None
    assert said(message("A", "98=0|108=30|1137=9|55=X|", "FIXT.1.1"), FIX50) == (2, 55)


def test_the_first_fault_is_the_first_on_the_wire_and_what_is_missing_comes_last() -> None:
    raw = order("55=|54=Q|44=x|999=1|41=1|")
    assert [(f.reason, f.tag) for f in FIX44.faults(raw)] == [
        (4, 55), (5, 54), (6, 44), (0, 999), (2, 41), (1, 11), (1, 60), (1, 40),
    ]  # fmt: skip
    assert FIX44.faults(raw, limit=2) == FIX44.faults(raw)[:2]


def test_an_unknown_tag_inside_a_group_does_not_end_it() -> None:
    body = ORDER + "453=2|448=FIRM|9001=1|447=D|452=1|448=TRADER|447=D|452=11|"
    assert [(f.reason, f.tag) for f in FIX44.faults(order(body))] == [(0, 9001)]
    assert FIX44.check(order(body), Checks(user_defined_fields=False)) is None


@pytest.mark.parametrize(
    ("body", "switch"),
    [
        (ORDER + "50=SUB|", "fields_out_of_order"),
        (ORDER.replace("59=1|", "59=|"), "fields_have_values"),
        (ORDER + "9999=1|", "user_defined_fields"),
        (ORDER + "999=1|", "unknown_fields"),
        (ORDER + "41=A-0|", "unknown_fields"),
        (ORDER.replace("11=A-1|", ""), "required"),
        (ORDER.replace("54=1|", "54=Q|"), "values"),
        (ORDER.replace("44=84000.5|", "44=x|"), "formats"),
        (ORDER + "453=1|448=FIRM|452=1|447=D|", "group_order"),
        (ORDER + "453=2|447=D|448=FIRM|447=D|448=TRADER|", "group_order"),
        (ORDER + "453=2|448=FIRM|", "group_counts"),
        (ORDER + "59=1|", "repeated"),
    ],
)
def test_each_check_can_be_switched_off_alone(body: str, switch: str) -> None:
    raw = order(body)
    assert FIX44.check(raw) is not None
    assert FIX44.check(raw, Checks(**{switch: False})) is None
    others = {name: False for name in Checks.__dataclass_fields__ if name not in (switch, "mask", "undefined_tags")}
    assert FIX44.check(raw, Checks(**others)) is not None


def test_message_types_can_be_let_pass_with_header_and_trailer_still_checked() -> None:
    options = Checks(message_types=False)
    assert FIX44.check(message("U7", "1=2|3=4|"), options) is None
    assert said(frame(f"35=U7|{HEAD}".replace("56=VENUE|", "")), options=options) == (1, 56)


def test_an_undefined_tag_is_invalid_as_engines_say_or_undefined_as_asked() -> None:
    options = Checks(undefined_tags=True)
    assert said(order(ORDER + "999=1|"), options=options) == (3, 999)
    assert said(order(ORDER + "x=1|"), options=options) == (0, 0)


FORMATS = {
    "INT": ("1 -1 007 0", "+1 1.0 1x - 1,0"),
    "LENGTH": ("1 0 007", "-1 x 1.0"), "SEQNUM": ("1 0", "-1 x"), "NUMINGROUP": ("0 2", "-1 x"),
    "DAYOFMONTH": ("1 31 09", "0 32 x 001 00"),
    "FLOAT": ("1 -1 1.5 1. .5 -0.5 00.10", "+1 1e5 . - 1,0 1.0.0 0x1"),
    "QTY": ("1.5", "a"), "PRICE": ("-1.5", "a"), "AMT": ("0", "a"), "PRICEOFFSET": ("1", "a"),
    "PERCENTAGE": (".1", "%"),
    "CHAR": ("a 1", "ab"), "BOOLEAN": ("Y N", "y n 1 YN"),
    "MULTIPLECHARVALUE": ("a|a b", "ab|a  b| a|a "), "MULTIPLEVALUESTRING": ("ab|a bc", " a|a |a  b"),
    "MULTIPLESTRINGVALUE": ("ab cd", "a  b"),
    "CURRENCY": ("USD USDT 1INCH XBT.M", "US/D"), "COUNTRY": ("DE us", "D DEU D1"), "LANGUAGE": ("en", "eng"),
    "EXCHANGE": ("XNAS anything", ""), "STRING": ("a é", ""),
    "UTCTIMESTAMP": (
        "20260105-09:30:00 20260105-09:30:00.1 20260105-09:30:00.123456789012 20261231-23:59:60 20240229-00:00:00",
        "20260105 20260105-9:30:00 20260105-09:30 20260105-24:00:00 20260231-00:00:00 20260105-09:30:00. "
        "20260105T09:30:00 2026-01-05T09:30:00Z 20261305-00:00:00 20260105-09:30:00.1234567890123 20250229-00:00:00",
    ),
    "UTCTIMEONLY": ("09:30:00 09:30:00.123", "09:30 24:00:00 09:30:00.x"),
    "UTCDATE": ("20260105", "2026-01-05 20260132"), "UTCDATEONLY": ("20260105", "20260100"),
    "LOCALMKTDATE": ("20260105", "260105"), "LOCALMKTTIME": ("09:30:00", "09:30:00.1"),
    "MONTHYEAR": ("202601 20260131 202601w1 202601w5", "202613 2026 202601w0 202601w6 20260132"),
    "TZTIMEONLY": ("07:39Z 07:39:12+05:30 07:39-05 07:39:12.5Z", "07:39 07:39+ 25:00Z 07:39+5 07:60Z"),
    "TZTIMESTAMP": ("20060901-07:39Z 20060901-02:39:12-05", "20060901-07:39 20061301-07:39Z 20060901"),
    "DATA": ("abc", ""),
}  # fmt: skip


@pytest.mark.parametrize("kind", FORMATS)
def test_each_type_has_its_format(kind: str) -> None:
    good, bad = (text.split("|" if "MULTIPLE" in kind else None) for text in FORMATS[kind])
    assert [value for value in good if not format_ok(TYPES[kind], value.encode())] == []
    assert [value for value in bad if value and format_ok(TYPES[kind], value.encode())] == []


def test_a_type_number_out_of_range_is_an_error() -> None:
    with pytest.raises(ConfigError, match="field type 99"):
        format_ok(99, b"x")


def test_every_kind_of_buffer_is_read() -> None:
    raw = order(ORDER + "999=1|")
    for each in (raw, bytearray(raw), memoryview(raw)):
        assert FIX44.check(each) == Fault(0, 999, "Invalid tag number")
        assert FIX44.faults(each) == [Fault(0, 999, "Invalid tag number")]
