"""Market data into the words of base/md_record.h, beside a naive reading of the same bytes by simplefix."""

from dataclasses import dataclass, field

import pytest
import simplefix
from hypothesis import given
from hypothesis import strategies as st

from base.decimals import to_scaled
from base.errors import CodecError
from fix.codec import Framer, MdDecoder, Message, StopReason, encode, key64, parse_utc_ns

SENT_NS = 1_750_000_000_123_000_000
RECV_NS = 1_750_000_000_456_000_000
HEADER, CHANGE = 12, 5
HAS_CHECKSUM, HAS_FIRST, HAS_LAST, DEFECT = 1, 2, 4, 256


@dataclass
class Record:
    header: list[int]
    changes: list[list[int]] = field(default_factory=list)

    @property
    def instrument(self) -> int:
        return self.header[1]

    @property
    def flags(self) -> int:
        return self.header[3]


def records_of(decoder: MdDecoder) -> list[Record]:
    words = memoryview(decoder.records).tolist()
    found, at = [], 0
    while at < len(words):
        record = Record(words[at : at + HEADER])
        at += HEADER
        for _ in range(record.header[0]):
            record.changes.append(words[at : at + CHANGE])
            at += CHANGE
        found.append(record)
    assert at == len(words)
    return found


def signed(key: int) -> int:
    return key - 2**64 if key >= 2**63 else key


def refresh(body: bytes, msg_type: str = "X", seq_num: int = 7) -> bytes:
    return encode("FIX.4.4", msg_type, "VENUE", "DESK", seq_num, SENT_NS, body.replace(b"|", b"\x01"))


def decoder(**tags: int) -> MdDecoder:
    made = MdDecoder(**{"checksum_tag": 5041, "first_id_tag": 25043, "last_id_tag": 25044, **tags})
    made.add_symbol("BTC/USD", 0, 1, 8)
    made.add_symbol(b"ETH/USD", 1, 2, 4)
    made.expect("FIX.4.4", "VENUE", "DESK")
    return made


def decoded(raw: bytes, **tags: int) -> list[Record]:
    d = decoder(**tags)
    count = d.decode_message(Message.parse(raw), RECV_NS)
    found = records_of(d)
    assert len(found) == count
    return found


def what(side: int, action: int = 0, aggressor: int = 0, size: bool = True) -> int:
    return side | action << 8 | aggressor << 16 | size << 24


def test_l2_with_the_symbol_at_message_level_and_a_checksum_behind_the_group() -> None:
    raw = refresh(
        b"55=BTC/USD|262=req|268=2|279=2|269=1|278=O30300.7|270=30300.7|271=0.0|273=13:42:27.208|"
        b"279=0|269=0|278=B3|270=31941.0|271=0.0031746|273=20:40:00.455|5041=4294967295|"
    )
    (record,) = decoded(raw)
    assert record.header == [2, 0, 0, HAS_CHECKSUM, 4294967295, 0, 0, 7, SENT_NS, RECV_NS, signed(key64(b"req")), 0]
    assert record.changes == [[what(1, 2), 303007, 0, 0, 0], [what(0, 0), 319410, 317460, 0, 0]]


def test_symbol_and_update_ids_carry_forward_and_a_new_symbol_opens_a_record() -> None:
    raw = refresh(
        b"262=r|268=4|279=1|269=0|270=10.5|271=1|55=BTC/USD|25043=5|25044=9|279=2|269=1|270=11.5|"
        b"279=0|269=0|270=3.25|271=2|55=ETH/USD|25043=70|25044=71|279=0|269=1|270=4|271=3|"
    )
    first, second = decoded(raw)
    assert (first.instrument, first.flags, first.header[5:7]) == (0, HAS_FIRST | HAS_LAST, [5, 9])
    assert first.changes == [[what(0, 1), 105, 10**8, 0, 0], [what(1, 2, size=False), 115, 0, 0, 0]]
    assert (second.instrument, second.header[5:7]) == (1, [70, 71])
    assert [c[1:3] for c in second.changes] == [[325, 20000], [400, 30000]]


def test_a_symbol_that_comes_back_opens_a_third_record() -> None:
    entry = b"279=0|269=0|270=1|271=1|55=%s|"
    raw = refresh(b"268=3|" + entry % b"BTC/USD" + entry % b"ETH/USD" + entry % b"BTC/USD")
    assert [r.instrument for r in decoded(raw)] == [0, 1, 0]


def test_other_update_ids_of_the_same_symbol_open_a_record() -> None:
    raw = refresh(b"268=2|279=0|269=0|270=1|271=1|55=BTC/USD|25043=1|25044=2|279=0|269=0|270=2|271=1|25043=3|25044=4|")
    assert [r.header[5:7] for r in decoded(raw)] == [[1, 2], [3, 4]]


def test_a_snapshot_with_its_update_id_before_the_group() -> None:
    raw = refresh(b"262=x|55=BTC/USD|25044=10762840|268=2|269=0|270=105427.9|271=1|269=1|270=105428.0|271=2|", "W")
    (record,) = decoded(raw)
    assert record.header[2:7] == [1, HAS_LAST, 0, 0, 10762840]
    assert record.changes == [[what(0), 1054279, 10**8, 0, 0], [what(1), 1054280, 2 * 10**8, 0, 0]]


@pytest.mark.parametrize("msg_type", ["W", "X"])
def test_an_empty_message_is_one_record_without_changes(msg_type: str) -> None:
    (record,) = decoded(refresh(b"262=x|55=BTC/USD|25044=0|268=0|", msg_type))
    assert (record.header[0], record.instrument, record.flags) == (0, 0, HAS_LAST)


def test_l3_keys_and_queue_times() -> None:
    raw = refresh(
        b"55=BTC/USD|268=3|279=0|269=0|278=OQ-1|270=5|271=1|5273=2025-06-15T15:06:40.123456789Z|"
        b"279=1|269=0|278=OQ-1|270=5|279=2|269=0|278=OQ-1|"
    )
    (record,) = decoded(raw, order_key_tag=278, queue_time_tag=5273)
    key, when = signed(key64(b"OQ-1")), parse_utc_ns(b"20250615-15:06:40.123456789")
    assert record.changes == [
        [what(0), 50, 10**8, key, when],
        [what(0, 1, size=False), 50, 0, key, 0],
        [what(0, 2, size=False), 0, 0, key, 0],
    ]
    assert record.flags == 0


def test_trades_carry_id_time_and_aggressor() -> None:
    raw = refresh(
        b"55=BTC/USD|268=4|279=0|269=2|270=5|271=1|1003=760268|60=20250615-15:06:39.000001|2446=2|"
        b"279=0|269=2|270=5|271=1|278=T-9|273=15:06:38.5|2446=1|279=0|269=2|270=5|271=1|272=20250101|273=10:00:00|"
        b"279=0|269=2|270=5|271=1|273=23:59:59|"
    )
    (record,) = decoded(raw)
    assert record.changes == [
        [what(2, 0, 2), 50, 10**8, 760268, parse_utc_ns(b"20250615-15:06:39.000001")],
        [what(2, 0, 1), 50, 10**8, signed(key64(b"T-9")), parse_utc_ns(b"20250615-15:06:38.5")],
        [what(2), 50, 10**8, 0, parse_utc_ns(b"20250101-10:00:00")],
        [what(2), 50, 10**8, 0, parse_utc_ns(b"20250614-23:59:59")],  # the day before: it is not yet that late
    ]


def test_an_unknown_symbol_is_told_without_numbers() -> None:
    known, unknown = decoded(
        refresh(b"268=2|279=0|269=0|270=1|271=1|55=BTC/USD|279=0|269=0|270=1.23456789|271=x|55=NEW|")
    )
    assert (known.instrument, unknown.instrument) == (0, -1)
    assert (unknown.header[0], unknown.flags) == (0, 0)


def test_an_unknown_entry_type_is_passed_on_without_numbers() -> None:
    (record,) = decoded(refresh(b"55=BTC/USD|268=1|279=0|269=B|270=1|271=99999999999999|"))
    assert record.changes == [[255, 0, 0, 0, 0]]
    assert not record.flags & DEFECT


DEFECTS = [
    (b"55=BTC/USD|268=1|279=0|269=0|270=1.23|271=1|", 270),  # two decimals at scale 1
    (b"55=BTC/USD|268=1|279=0|269=0|270=1|271=99999999999999|", 271),
    (b"55=BTC/USD|268=1|279=0|269=0|270=1e5|271=1|", 270),
    (b"55=BTC/USD|268=1|279=0|269=0|271=1|", 270),
    (b"55=BTC/USD|268=1|279=0|269=0|270=1|", 271),
    (b"55=BTC/USD|268=1|279=1|269=0|270=1|", 271),
    (b"55=BTC/USD|268=1|279=5|269=0|270=1|271=1|", 279),
    (b"55=BTC/USD|268=1|279=0|270=1|271=1|", 269),
    (b"55=BTC/USD|268=2|279=0|269=0|270=1|271=1|", 268),
    (b"55=BTC/USD|268=1|279=0|269=0|270=1|271=1|279=0|269=0|270=2|271=1|", 268),
    (b"55=BTC/USD|268=x|279=0|269=0|270=1|271=1|", 268),
    (b"55=BTC/USD|279=0|269=0|270=1|271=1|", 268),
    (b"55=BTC/USD|268=1|279=0|269=0|270=1|270=2|271=1|", 270),
    (b"55=BTC/USD|268=1|279=0|269=0|270=1|271=1|5041=4294967296|", 5041),
    (b"55=BTC/USD|268=1|279=0|269=0|270=1|271=1|25044=x|", 25044),
]


@pytest.mark.parametrize(("body", "tag"), DEFECTS)
def test_what_does_not_fit_marks_its_record_with_the_tag(body: bytes, tag: int) -> None:
    (record,) = decoded(refresh(body))
    assert record.flags & DEFECT
    assert record.header[11] == tag
    wrong = [c for c in record.changes if c[1] not in {0, 10, 20}]
    assert wrong == []


def test_a_defect_of_one_symbol_leaves_the_others_good() -> None:
    good, bad = decoded(refresh(b"268=2|279=0|269=0|270=1|271=1|55=BTC/USD|279=0|269=0|270=1.123|271=1|55=ETH/USD|"))
    assert (good.flags, bad.flags, bad.changes) == (0, DEFECT, [])


def test_an_unreadable_field_marks_every_record_of_the_message() -> None:
    raw = refresh(b"268=2|279=0|269=0|270=1|271=1|55=BTC/USD|279=0|269=0|270=1|271=1|55=ETH/USD|58=x|")
    broken = raw.replace(b"58=x", b"58xx")
    body = broken[broken.index(b"35=") : -7]
    start = b"8=FIX.4.4\x019=%d\x01" % len(body) + body
    assert [r.flags for r in decoded(start + b"10=%03d\x01" % (sum(start) % 256))] == [DEFECT, DEFECT]


def test_l3_without_an_order_id_is_a_defect() -> None:
    (record,) = decoded(refresh(b"55=BTC/USD|268=1|279=0|269=0|270=1|271=1|"), order_key_tag=278)
    assert (record.flags, record.header[11], record.changes) == (DEFECT, 278, [])


def test_a_scale_can_change() -> None:
    d = decoder()
    d.add_symbol("BTC/USD", 5, 3, 2)
    d.decode_message(Message.parse(refresh(b"55=BTC/USD|268=1|279=0|269=0|270=1.234|271=1|")), 1)
    assert records_of(d)[0].changes[0][1:3] == [1234, 100]
    assert records_of(d)[0].instrument == 5


def test_a_thousand_symbols_are_told_apart() -> None:
    d = decoder()
    for i in range(1000):
        d.add_symbol(f"S{i}-USD", i, 0, 0)
    for i in range(0, 1000, 7):
        d.records.clear()
        d.decode_message(Message.parse(refresh(b"55=S%d-USD|268=1|279=0|269=0|270=1|271=1|" % i)), 1)
        assert records_of(d)[0].instrument == i


# ---- against a naive reading ----

entries = st.lists(
    st.fixed_dictionaries(
        {
            "279": st.sampled_from(["0", "1", "2"]),
            "269": st.sampled_from(["0", "1", "2"]),
            "270": st.integers(0, 10**9).map(lambda v: f"{v // 10}.{v % 10}0"),
            "271": st.integers(0, 10**12).map(lambda v: f"{v // 10**4}.{v % 10**4:04d}"),
        },
        optional={"55": st.sampled_from(["BTC/USD", "ETH/USD", "NEW"]), "25044": st.integers(1, 3).map(str)},
    ),
    min_size=1,
    max_size=8,
)


def naive(raw: bytes) -> list[tuple[object, ...]]:
    """(instrument, last id, what, px, qty) of each entry, read with simplefix and dictionaries."""
    parser = simplefix.FixParser()
    parser.append_buffer(raw)
    pairs = [(t.decode(), v.decode()) for t, v in parser.get_message().pairs]
    symbols = {"BTC/USD": (0, 1, 8), "ETH/USD": (1, 2, 4)}
    groups: list[dict[str, str]] = []
    carried: dict[str, str] = {}
    for tag, value in pairs:
        if tag == "279":
            groups.append({})
        (groups[-1] if groups else carried)[tag] = value
    found: list[tuple[object, ...]] = []
    for group in groups:
        carried.update({t: v for t, v in group.items() if t in {"55", "25044"}})
        instrument, px_scale, qty_scale = symbols.get(carried["55"], (-1, 0, 0))
        if instrument < 0:
            continue
        word = what(int(group["269"]), int(group["279"]))
        px, qty = to_scaled(group["270"], px_scale), to_scaled(group["271"], qty_scale)
        found.append((instrument, int(carried.get("25044", 0)), word, px, qty))
    return found


@given(data=st.data(), group=entries, message_level=st.booleans())
def test_any_order_inside_the_entries_reads_alike(
    data: st.DataObject, group: list[dict[str, str]], message_level: bool
) -> None:
    body = b"55=BTC/USD|" if message_level else b""
    body += b"268=%d|" % len(group)
    if not message_level:
        group[0].setdefault("55", "ETH/USD")
    for entry in group:
        rest = data.draw(st.permutations([t for t in entry if t != "279"]))
        body += "".join(f"{tag}={entry[tag]}|" for tag in ["279", *rest]).encode()
    raw = refresh(body)
    found = [
        (r.instrument, r.header[6] if r.flags & HAS_LAST else 0, *change[:3])
        for r in decoded(raw)
        for change in r.changes
    ]
    expected = naive(raw)
    # an id that comes later in the message also covers the entries of its record that came before it
    assert [f[0:1] + f[2:] for f in found] == [e[0:1] + e[2:] for e in expected]
    assert all(f[1] == e[1] or e[1] == 0 for f, e in zip(found, expected, strict=True))
    assert not any(r.flags & DEFECT for r in decoded(raw))


# ---- batches ----

BOOK = b"55=BTC/USD|268=1|279=0|269=0|270=1|271=1|"


def stream(numbers: range) -> bytes:
    return b"".join(refresh(BOOK, seq_num=n) for n in numbers)


def test_a_batch_takes_what_is_in_sequence_and_leaves_the_rest() -> None:
    d, framer = decoder(), Framer()
    tail = refresh(BOOK, seq_num=9)
    framer.feed(stream(range(3, 9)) + tail[:-5])
    assert d.decode(framer, 3, RECV_NS) == (6, 9, StopReason.INCOMPLETE)
    assert [r.header[7] for r in records_of(d)] == [3, 4, 5, 6, 7, 8]
    framer.feed(tail[-5:])
    assert d.decode(framer, 9, RECV_NS) == (1, 10, StopReason.INCOMPLETE)
    assert framer.messages == 7
    assert framer.pending == 0


HEART = encode("FIX.4.4", "0", "VENUE", "DESK", 5, SENT_NS)
STOPS = [
    (HEART, StopReason.OTHER_TYPE),
    (encode("FIX.4.4", "XLR", "VENUE", "DESK", 5, SENT_NS), StopReason.OTHER_TYPE),
    (refresh(BOOK, seq_num=6), StopReason.SEQ_NUM),
    (refresh(BOOK, seq_num=4), StopReason.SEQ_NUM),
    (encode("FIX.4.4", "X", "OTHER", "DESK", 5, SENT_NS, BOOK.replace(b"|", b"\x01")), StopReason.COMP_ID),
    (encode("FIX.4.4", "X", "VENUE", "OTHER", 5, SENT_NS, BOOK.replace(b"|", b"\x01")), StopReason.COMP_ID),
    (encode("FIX.4.2", "X", "VENUE", "DESK", 5, SENT_NS, BOOK.replace(b"|", b"\x01")), StopReason.COMP_ID),
    (
        encode("FIX.4.4", "X", "VENUE", "DESK", 5, SENT_NS, BOOK.replace(b"|", b"\x01"), extra_header=b"43=Y\x01"),
        StopReason.POSS_DUP,
    ),
]


@pytest.mark.parametrize(("raw", "why"), STOPS)
def test_a_batch_stops_before_what_the_session_must_see(raw: bytes, why: StopReason) -> None:
    d, framer = decoder(), Framer()
    framer.feed(refresh(BOOK, seq_num=4) + raw + refresh(BOOK, seq_num=5))
    assert d.decode(framer, 4, RECV_NS) == (1, 5, why)
    words = len(d.records)
    assert d.decode(framer, 5, RECV_NS) == (0, 5, why)
    assert len(d.records) == words
    seen = framer.next()
    assert seen is not None
    assert seen.raw == raw
    assert d.decode(framer, 5, RECV_NS) == (1, 6, StopReason.INCOMPLETE)


def test_a_batch_stops_at_a_broken_header_and_at_garble() -> None:
    d, framer = decoder(), Framer()
    raw = refresh(BOOK, seq_num=5)
    body = raw[raw.index(b"35=") : -7].replace(b"34=5", b"33=5")
    start = b"8=FIX.4.4\x019=%d\x01" % len(body) + body
    framer.feed(start + b"10=%03d\x01" % (sum(start) % 256))
    assert d.decode(framer, 5, RECV_NS) == (0, 5, StopReason.HEADER)
    framer.next()
    framer.feed(b"junk" + raw)
    assert d.decode(framer, 5, RECV_NS) == (0, 5, StopReason.GARBLED)
    assert framer.garbled_bytes == 0  # counted when the session takes the next message
    found = framer.next()
    assert found is not None
    assert found.raw == raw
    assert framer.garbled_bytes == 4


def test_a_batch_ends_at_its_limit() -> None:
    d, framer = decoder(), Framer()
    framer.feed(stream(range(1, 11)))
    assert d.decode(framer, 1, RECV_NS, max_messages=4) == (4, 5, StopReason.LIMIT)
    assert d.decode(framer, 5, RECV_NS, 100) == (6, 11, StopReason.INCOMPLETE)


@given(cuts=st.lists(st.integers(0, 2000), max_size=10))
def test_batches_over_any_chunks_give_the_records_of_single_messages(cuts: list[int]) -> None:
    whole = stream(range(1, 9)) + HEART + stream(range(6, 8))
    d, one, framer, seq = decoder(), decoder(), Framer(), 1
    for lo, hi in zip([0, *sorted(cuts)], [*sorted(cuts), len(whole)], strict=True):
        framer.feed(whole[lo:hi])
        while True:
            _, seq, why = d.decode(framer, seq, RECV_NS)
            if why is StopReason.INCOMPLETE:
                break
            message = framer.next()
            assert message is not None
            if message.msg_type == "X":
                d.decode_message(message, RECV_NS)
    single = Framer()
    single.feed(whole)
    for message in single:
        if message.msg_type == "X":
            one.decode_message(message, RECV_NS)
    assert memoryview(d.records).tolist() == memoryview(one.records).tolist()


def test_records_being_looked_at_do_not_move() -> None:
    d, framer = decoder(), Framer()
    framer.feed(stream(range(1, 1000)))
    d.decode(framer, 1, RECV_NS, max_messages=1)
    view = memoryview(d.records)
    before = view.tolist()
    n, seq, why = d.decode(framer, 2, RECV_NS)
    assert why is StopReason.LIMIT
    with pytest.raises(BufferError):
        d.decode(framer, seq, RECV_NS)
    with pytest.raises(BufferError):
        d.records.clear()
    assert view.tolist() == before
    view.release()
    assert d.decode(framer, seq, RECV_NS) == (998 - n, 1000, StopReason.INCOMPLETE)
    assert [r.header[7] for r in records_of(d)] == list(range(1, 1000))


def test_wrong_use_is_refused_by_name() -> None:
    with pytest.raises(CodecError, match="expect"):
        MdDecoder().decode(Framer(), 1, 1)
    with pytest.raises(CodecError, match="one meaning"):
        MdDecoder(checksum_tag=270)
    with pytest.raises(CodecError, match="'D'"):
        decoder().decode_message(Message.parse(encode("FIX.4.4", "D", "A", "B", 1, SENT_NS)), 1)
    with pytest.raises(CodecError, match="symbol"):
        decoder().add_symbol("", 1, 1, 1)
    with pytest.raises(CodecError, match="SenderCompID"):
        decoder().expect("FIX.4.4", "x" * 65, "y")


L3_TAGS = {
    "order_key_tag": 278, "checksum_tag": 0, "first_id_tag": 0, "last_id_tag": 83, "last_fragment_tag": 893,
    "aggressor_tag": 5797,
}  # fmt: skip


def test_a_piece_of_a_snapshot_says_that_more_follows_and_its_last_one_does_not() -> None:
    for last, more in ((b"N", 8), (b"Y", 0)):
        raw = refresh(b"262=R|83=5|893=%s|55=BTC/USD|268=1|269=0|278=A|270=5|271=1|" % last, "W")
        (record,) = decoded(raw, **L3_TAGS)
        assert (record.flags, record.header[6], len(record.changes)) == (4 | more, 5, 1)


def test_a_field_of_the_message_between_count_and_entries_is_no_delimiter() -> None:
    raw = refresh(b"83=5|55=BTC/USD|268=2|1682=full|269=0|278=A|270=5|271=1|269=1|278=B|270=6|271=1|", "W")
    (record,) = decoded(raw, **L3_TAGS)
    assert (len(record.changes), record.flags) == (2, 4)


def test_an_entry_without_an_order_id_is_passed_over_where_that_is_no_defect() -> None:
    raw = refresh(b"268=1|279=0|269=0|83=6|55=BTC/USD|271=x|")
    (record,) = decoded(raw, skip_unkeyed=True, **L3_TAGS)
    assert (record.changes, record.flags, record.header[6]) == ([], 4, 6)


@pytest.mark.parametrize(("aggressor", "side"), [(b"5797=1|", 1), (b"5797=2|", 0), (b"", 0)])
def test_a_trade_may_take_its_size_from_the_order_that_it_names(aggressor: bytes, side: int) -> None:
    raw = refresh(b"268=1|279=0|269=2|278=A|83=6|55=BTC/USD|270=5|271=1|1003=7|" + aggressor)
    (record,) = decoded(raw, trade_reduces=True, **L3_TAGS)
    trade, taken = record.changes
    assert (trade[0] & 255, trade[3]) == (2, 7)
    assert taken == [what(side, 3), 50, 10**8, signed(key64(b"A")), 0]
