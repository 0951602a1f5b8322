"""Framing: whole messages in, whatever the chunks; garbled bytes skipped and counted; nothing lost behind them."""

import time
from itertools import pairwise

import pytest
import simplefix
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import CodecError
from fix.codec import Framer, Garble, GarbleReason, Message, checksum, encode

SENT_NS = 1_750_000_000_123_000_000


def message(seq_num: int, body: bytes = b"11=order\x0155=BTC/USD\x01", msg_type: str = "D") -> bytes:
    return encode("FIX.4.4", msg_type, "ME", "YOU", seq_num, SENT_NS, body)


def reframed(fields: bytes, begin: bytes = b"8=FIX.4.4\x01") -> bytes:
    """A frame with right BodyLength and CheckSum around any bytes."""
    head = begin + b"9=%d\x01" % len(fields)
    return head + fields + b"10=%03d\x01" % checksum(head + fields)


def drained(stream: bytes, cuts: list[int], framer: Framer) -> list[bytes]:
    """Raw messages of the stream fed in the pieces that the cuts make."""
    found = []
    edges = [0, *sorted(c for c in cuts if c < len(stream)), len(stream)]
    for lo, hi in pairwise(edges):
        framer.feed(stream[lo:hi])
        found += [m.raw for m in framer]
    return found


def test_one_message_comes_out_at_every_split() -> None:
    raw = message(1)
    for cut in range(len(raw)):
        framer = Framer()
        framer.feed(raw[:cut])
        assert framer.next() is None
        framer.feed(memoryview(raw)[cut:])
        found = framer.next()
        assert found is not None
        assert found.raw == raw
        assert framer.pending == 0


@given(
    texts=st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=6),
    cuts=st.lists(st.integers(0, 700), max_size=12),
)
def test_any_chunking_gives_the_messages_that_simplefix_reads(texts: list[bytes], cuts: list[int]) -> None:
    stream, parser = b"", simplefix.FixParser()
    for i, text in enumerate(texts):
        stream += message(i + 1, b"95=%d\x0196=%s\x0158=x\x01" % (len(text), text))
    framer = Framer()
    found = drained(stream, cuts, framer)
    parser.append_buffer(stream)
    for raw, text in zip(found, texts, strict=True):
        theirs = parser.get_message()
        assert Message.parse(raw).fields() == [(int(tag), value) for tag, value in theirs.pairs]
        assert Message.parse(raw).get(96) == text
    assert framer.garbled_messages == framer.garbled_bytes == 0
    assert framer.messages == len(texts)


def test_zero_padded_body_length_is_read() -> None:
    fields = b"35=0\x0149=SPOT\x0156=ME\x0134=2\x0152=20250101-00:00:00.000000\x01"
    head = b"8=FIX.4.4\x019=%07d\x01" % len(fields) + fields
    framer = Framer()
    framer.feed(head + b"10=%03d\x01" % checksum(head))
    found = framer.next()
    assert found is not None
    assert found.seq_num == 2


def test_checksum_field_inside_data_does_not_end_a_message() -> None:
    inner = message(9)
    raw = message(1, b"95=%d\x0196=%s\x01" % (len(inner), inner))
    framer = Framer()
    framer.feed(raw + message(2))
    assert [m.seq_num for m in framer] == [1, 2]


GOOD = message(5)
LENGTH = len(GOOD) - 22  # what 8, 9 and 10 take of it
BROKEN = {
    "junk": (b"hello, is this FIX?", GarbleReason.NO_BEGIN),
    "begin string": (GOOD.replace(b"8=FIX.4.4", b"8=FIX 4.4"), GarbleReason.BEGIN_STRING),
    "begin string without end": (b"8=FIX.4.4.4.4.4.4.4.4.4.4.4", GarbleReason.BEGIN_STRING),
    "no length": (GOOD.replace(b"\x019=", b"\x01"), GarbleReason.BODY_LENGTH),
    "length not a number": (GOOD.replace(b"\x019=", b"\x019=x"), GarbleReason.BODY_LENGTH),
    "length empty": (b"8=FIX.4.4\x019=\x0135=0\x01", GarbleReason.BODY_LENGTH),
    "length negative": (GOOD.replace(b"\x019=", b"\x019=-"), GarbleReason.BODY_LENGTH),
    "length absurd": (b"8=FIX.4.4\x019=99999999\x0135=0\x01", GarbleReason.TOO_LONG),
    "length of twenty digits": (b"8=FIX.4.4\x019=11111111111111111111\x0135=0\x01", GarbleReason.BODY_LENGTH),
    "35 is not third": (reframed(b"34=1\x0135=D\x01"), GarbleReason.MSG_TYPE),
    "35 is empty": (reframed(b"35=\x0134=1\x01"), GarbleReason.MSG_TYPE),
    "checksum": (GOOD[:-4] + b"%03d\x01" % ((int(GOOD[-4:-1]) + 1) % 256), GarbleReason.CHECKSUM),
    "checksum of two digits": (GOOD[:-4] + b"12\x01", GarbleReason.TRAILER),
    "no SOH before 10": (GOOD[:-8] + b"x10=000\x01", GarbleReason.TRAILER),
    "length one short": (GOOD.replace(b"\x019=%d" % LENGTH, b"\x019=%d" % (LENGTH - 1)), GarbleReason.TRAILER),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_garbled_is_skipped_counted_and_named(name: str) -> None:
    broken, reason = BROKEN[name]
    for step in (1, 3, 10_000):
        framer = Framer(max_body_length=1_000_000)
        stream = message(1) + broken + message(2)
        found = drained(stream, list(range(0, len(stream), step)), framer)
        assert found == [message(1), message(2)]
        assert framer.garbled == {reason: 1}
        assert framer.garbled_bytes == len(broken)
        assert framer.last_garble == Garble(reason, len(message(1)))


@pytest.mark.parametrize("before", [b"", b"see ", b"\x01", b"10=\x01"])
def test_message_quoted_inside_one_with_a_wrong_checksum_stays_quoted(before: bytes) -> None:
    data = before + message(66)
    outer = message(1, b"95=%d\x0196=%s\x01" % (len(data), data))
    wrong = outer[:-4] + b"%03d\x01" % ((int(outer[-4:-1]) + 1) % 256)
    framer = Framer()
    framer.feed(wrong + message(2))
    assert [m.seq_num for m in framer] == [2]


def test_message_that_is_a_data_field_stays_one_when_the_frame_around_it_is_broken() -> None:
    inner = message(66)
    outer = message(1, b"95=%d\x0196=%s\x01" % (len(inner), inner))
    framer = Framer()
    framer.feed(outer.replace(b"\x019=", b"\x019=x", 1) + message(2))
    assert [m.seq_num for m in framer] == [2]


def test_messages_swallowed_by_a_wrong_length_come_back() -> None:
    second = message(2)
    first = message(1).replace(b"\x019=%d\x01" % (len(second) - 22), b"\x019=%d\x01" % (2 * len(second) - 22))
    framer = Framer()
    framer.feed(first + second + message(3))
    assert [m.seq_num for m in framer] == [2, 3]
    assert framer.garbled == {GarbleReason.CHECKSUM: 1}


def swallower(swallowed: bytes) -> bytes:
    """A message whose BodyLength reaches over all of the messages behind it, to the last one's trailer."""
    plain = message(1)
    body = len(plain) - 22 + len(swallowed)
    return plain.replace(b"\x019=%d\x01" % (len(plain) - 22), b"\x019=%d\x01" % body)


def test_long_messages_swallowed_again_and_again_come_back() -> None:
    """Sums of blocks are those of the bytes that stand in the buffer now, not of those before it slid."""
    framer = Framer()
    for turn in range(1, 6):
        good = [message(turn * 100 + i, b"58=" + b"%d" % turn * 3000 + b"\x01") for i in range(turn, 15)]
        framer.feed(swallower(b"".join(good)) + b"".join(good) + message(9)[:-9])
        assert [m.raw for m in framer] == good
        framer.feed(message(9)[-9:])
        assert [m.seq_num for m in framer] == [9]
    assert framer.garbled == {GarbleReason.CHECKSUM: 5}


def test_the_end_of_the_stream_frees_what_an_incomplete_message_hides() -> None:
    framer = Framer()
    framer.feed(b"8=FIX.4.4\x019=5000\x0135=D\x0158=x\x01" + message(7))
    assert framer.next() is None
    framer.end()
    assert [m.seq_num for m in framer] == [7]
    assert framer.garbled == {GarbleReason.TRUNCATED: 1}


@given(data=st.data())
@settings(max_examples=150)
def test_no_byte_vanishes_and_chunks_do_not_matter(data: st.DataObject) -> None:
    pieces = data.draw(
        st.lists(
            st.one_of(
                st.sampled_from([message(1), message(2, b"58=8=FIX\x01"), GOOD]),
                st.sampled_from([broken for broken, _ in BROKEN.values()]),
                st.binary(max_size=30),
                st.sampled_from([b"8=FIX", b"8=FIX.4.4\x019=", b"=8=FI", b"10=123\x01", b"8", b"\x019=20\x0135="]),
            ),
            max_size=8,
        )
    )
    stream = b"".join(pieces)
    results = []
    for cuts in ([], data.draw(st.lists(st.integers(0, 1 + len(stream)), max_size=20)), list(range(len(stream)))):
        framer = Framer(max_body_length=5000)
        found = drained(stream, cuts, framer)
        framer.end()
        found += [m.raw for m in framer]
        assert sum(map(len, found)) + framer.garbled_bytes == len(stream) == framer.consumed
        results.append((found, framer.garbled, framer.garbled_bytes, framer.last_garble))
    assert results[0] == results[1] == results[2]


@given(cut=st.integers(0, len(GOOD) - 1), byte=st.integers(0, 255))
def test_one_changed_byte_costs_no_other_message(cut: int, byte: int) -> None:
    changed = GOOD[:cut] + bytes([byte]) + GOOD[cut + 1 :]
    framer = Framer(max_body_length=5000)
    framer.feed(message(1) + changed + message(3) * 3)
    framer.end()
    numbers = [m.seq_num for m in framer]
    assert numbers == ([1, 5, 3, 3, 3] if changed == GOOD else [1, 3, 3, 3])


def _overlapping(n: int, length: int | None) -> bytes:
    """Units of 33 bytes, each a frame's head and a trailer: frames of one length, or all with one end; sums wrong."""
    units = n // 33
    lengths = (length or 33 * (units - i) - 28 for i in range(units))
    return b"".join(b"8=FIX.4.4\x019=%08d\x0135=A\x0110=999\x01" % value for value in lengths)


HOSTILE = {
    "begins": lambda n: b"8=FIX" * (n // 5),
    "eights": lambda n: b"8" * n,
    "heads": lambda n: b"8=FIX.4.4\x019=9000000\x0135=" * (n // 25),
    "frames with one end": lambda n: _overlapping(n, None),
    "long frames that overlap": lambda n: _overlapping(n, n // 66 * 33 + 5),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_streams_take_linear_time(name: str) -> None:
    """Each start re-summing what the one before it summed would take far longer than this."""
    stream = HOSTILE[name](16_000_000)
    framer = Framer(max_body_length=1 << 24)
    start = time.process_time()
    framer.feed(stream)
    framer.end()
    while framer.next() is not None:
        pass
    assert time.process_time() - start < 6
    assert framer.garbled_bytes == len(stream)


def test_buffer_does_not_grow_without_bound() -> None:
    framer = Framer(max_body_length=100_000)
    framer.feed(b"8=FIX.4.4\x019=100000\x0135=D\x0158=")
    while framer.pending < 110_000:
        framer.feed(b"x" * 10_000)
    with pytest.raises(CodecError, match="untaken"):
        framer.feed(b"x")
    assert framer.pending < 130_000


def test_a_message_of_many_megabytes_passes() -> None:
    body = b"58=" + b"y" * 12_000_000 + b"\x01"
    framer = Framer()
    raw = message(3, body)
    for at in range(0, len(raw), 65536):
        framer.feed(raw[at : at + 65536])
    found = framer.next()
    assert found is not None
    assert found.raw == raw


def test_fill_lets_a_socket_write_into_the_buffer() -> None:
    framer, raw = Framer(), message(4)

    def recv_into(view: memoryview) -> int:
        view[: len(raw)] = raw
        return len(raw)

    assert framer.fill(recv_into, 4096) == len(raw)
    found = framer.next()
    assert found is not None
    assert found.raw == raw


def test_a_view_kept_from_fill_pins_the_buffer_instead_of_dangling() -> None:
    framer = Framer()
    kept = []

    def recv_into(view: memoryview) -> int:
        kept.append(view[:10])
        return 0

    framer.fill(recv_into)
    with pytest.raises(BufferError):
        framer.feed(b"x")
    with pytest.raises(BufferError):
        framer.reset()
    kept.clear()
    framer.feed(message(1))
    assert framer.next() is not None


def test_fill_refuses_a_count_beyond_what_was_lent() -> None:
    framer = Framer()
    with pytest.raises(CodecError, match="of 16"):
        framer.fill(lambda view: 17, 16)
    assert framer.pending == 0


def test_an_error_of_the_socket_passes_through_fill() -> None:
    def recv_into(view: memoryview) -> int:
        raise BlockingIOError

    framer = Framer()
    with pytest.raises(BlockingIOError):
        framer.fill(recv_into)
    framer.feed(message(1))
    assert framer.next() is not None


def test_reset_forgets_bytes_and_keeps_counters() -> None:
    framer = Framer()
    framer.feed(b"junk" + message(1)[:20])
    assert framer.next() is None
    framer.reset()
    framer.feed(message(2))
    assert [m.seq_num for m in framer] == [2]
    assert framer.garbled_bytes == 4


@pytest.mark.parametrize("limit", [0, 63, 1 << 31])
def test_a_senseless_limit_is_refused(limit: int) -> None:
    with pytest.raises(CodecError, match="max_body_length"):
        Framer(max_body_length=limit)


@given(st.lists(st.sampled_from([b"good", b"bad", b"noise"]), max_size=12), st.integers(1, 70))
def test_skipping_counts_what_next_would_give(kinds: list[bytes], chunk: int) -> None:
    whole = encode("FIX.4.4", "0", "A", "B", 1, 0, b"112=x\x01")
    parts = {b"good": whole, b"bad": whole.replace(b"112=x", b"112=y"), b"noise": b"8=FI\x01zz"}
    stream = b"".join(parts[kind] for kind in kinds)
    skipping, taking = Framer(), Framer()
    skipped = 0
    for at in range(0, len(stream), chunk):
        skipping.feed(stream[at : at + chunk])
        skipped += skipping.skip()
    taking.feed(stream)
    assert skipped == len(list(taking)) == kinds.count(b"good")
    assert (skipping.garbled_bytes, skipping.consumed) == (taking.garbled_bytes, taking.consumed)


def too_long(seq_num: int, by: int) -> bytes:
    """A message whose BodyLength says more than there is; its CheckSum is right."""
    raw = message(seq_num)
    length = raw.split(b"\x01", 2)[1]
    head = raw.replace(length, b"9=%d" % (int(length[2:]) + by), 1)[:-7]
    return head + b"10=%03d\x01" % checksum(head)


def test_what_a_wrong_length_hides_is_found_when_it_is_given_up() -> None:
    framer = Framer()
    framer.feed(too_long(2, 5000) + message(3) + message(4))
    assert framer.next() is None
    assert framer.give_up()
    assert [m.seq_num for m in framer] == [3, 4]
    assert (framer.garbled_messages, framer.garbled) == (1, {GarbleReason.TRUNCATED: 1})
    assert not framer.give_up()


@pytest.mark.parametrize(
    "tail", [b"", message(3)[:-1], b"8=FIX.4.4\x01" * 40, too_long(3, 1), message(3)[:-4] + b"999\x01"]
)
def test_a_long_message_is_not_given_up_for_anything_but_a_whole_one_behind_a_whole_one(tail: bytes) -> None:
    framer = Framer()
    framer.feed(too_long(2, 5000) + tail)
    assert not framer.give_up()
    quoted = reframed(b"35=C\x0134=2\x0195=%d\x0196=" % len(message(9)) + message(9))[:-9]
    framer.reset()
    framer.feed(quoted)
    assert not framer.give_up()
    assert framer.pending == len(quoted)


def test_giving_up_takes_a_bounded_time_however_many_seem_to_lie_inside() -> None:
    framer = Framer(1 << 20)
    inner = b"10=000\x018=FIX.4.4\x019=%06d\x0135=0\x01"
    size, count = len(inner % 0), 20_000
    frames = b"".join(inner % (size * (count - n - 1) + 5) for n in range(count))
    framer.feed(b"8=FIX.4.4\x019=1000000\x0135=0\x01" + frames + b"10=000\x01")
    start = time.process_time()  # ours: what other processes take is no matter
    framer.give_up()
    assert time.process_time() - start < 2
