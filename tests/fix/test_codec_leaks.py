"""The native codec gives back every reference and every byte it takes."""

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from base.errors import CodecError, NumberError
from fix.codec import BodyWriter, FieldRules, Framer, GroupSpec, MdDecoder, Message, Template, encode

SENT_NS = 1_750_000_000_123_000_000
PARTY = GroupSpec(453, [448, 447])
MANY = b"".join(b"%d=%d\x01" % (5000 + i, i) for i in range(300))
REPORT = b"11=id-12345\x01453=2\x01448=a\x01447=D\x01448=b\x0138=1.x\x01" + MANY
ER = encode("FIX.4.4", "8", "A", "B", 1, SENT_NS, REPORT)
BOOK = encode("FIX.4.4", "X", "A", "B", 1, SENT_NS, b"55=S\x01268=1\x01279=0\x01269=0\x01270=1\x01271=1\x01")


def read_all() -> None:
    framer = Framer(rules=FieldRules({5001: 5002}))
    framer.feed(b"junk" + ER + ER[:100])
    framer.fill(lambda view: 0, 1000)
    message = framer.next()
    assert message is not None
    for entry in message.group(PARTY):
        entry.fields()
    message.pick((11, 38, 9999))
    message.get_str(11)
    repr((message.defects, framer.garbled, framer.last_garble))
    framer.reset()


def refuse_all() -> None:
    message = Message.parse(ER)
    for work in (
        lambda: message.get_scaled(38, 2),
        lambda: message.need(9999),
        lambda: message.get_utc_ns(11),
        lambda: Message.parse(ER[:-1]),
        lambda: Message.parse(b"x"),
        lambda: FieldRules({0: 0}),
        lambda: GroupSpec(1, [0]),
        lambda: MdDecoder(checksum_tag=270),
        lambda: Template("FIX.4.4", "D", "A", "B", [(0, "text")]),
        lambda: Framer().fill(lambda view: 99, 10),
        lambda: BodyWriter().text(58, ""),
    ):
        with pytest.raises((CodecError, NumberError)):
            work()


def write_all() -> None:
    template = Template("FIX.4.4", "D", "A", "B", [(11, "text"), (44, "scaled"), (95, "data", 96), (1, "const", b"x")])
    template.render(1, SENT_NS, "id", 5, 2, b"a\x01b")
    with pytest.raises(CodecError):
        template.render(1, SENT_NS, "", 5, 2, b"x")
    writer = BodyWriter()
    writer.text(58, "x" * 3000)
    encode("FIX.4.4", "D", "A", "B", 1, SENT_NS, writer.take(), extra_header=b"43=Y\x01")


def decode_all() -> None:
    decoder, framer = MdDecoder(), Framer()
    for i in range(100):
        decoder.add_symbol(f"S{i}", i, 1, 1)
    decoder.add_symbol("S", 100, 1, 1)
    decoder.expect("FIX.4.4", "A", "B")
    framer.feed(BOOK)
    assert decoder.decode(framer, 1, 1)[0] == 1
    decoder.decode_message(Message.parse(BOOK), 1)
    with memoryview(decoder.records) as view:
        assert len(view) == 34
    decoder.records.clear()


WORKS = [read_all, refuse_all, write_all, decode_all]


@pytest.mark.parametrize("work", WORKS, ids=[w.__name__ for w in WORKS])
def test_no_object_is_left_behind(work: Callable[[], None]) -> None:
    for _ in range(50):
        work()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(300):
        work()
    gc.collect()
    assert sys.getallocatedblocks() - before < 100


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("work", WORKS, ids=[w.__name__ for w in WORKS])
def test_no_native_memory_is_left_behind(work: Callable[[], None]) -> None:
    """Each round takes at least 8 KB natively; 2,000 rounds would show as 16 MB."""
    for _ in range(300):
        work()
    before = resident()
    for _ in range(2000):
        work()
    assert resident() - before < 4_000_000


def test_values_have_one_owner() -> None:
    message = Message.parse(ER)
    raw = message.raw
    assert sys.getrefcount(message.get(11)) == sys.getrefcount(bytes(bytearray(b"id-12345")))
    assert sys.getrefcount(message.pick((11,))[0]) == 2
    count = sys.getrefcount(raw)
    entries = message.group(PARTY)
    assert sys.getrefcount(message) == 2 + len(entries)
    del entries, message
    assert sys.getrefcount(raw) == count - 1


def test_none_is_not_worn_out_by_absent_fields() -> None:
    message, before = Message.parse(ER), sys.getrefcount(None)
    for _ in range(10_000):
        message.pick((9999, 9998))
        message.get(9999)
    assert abs(sys.getrefcount(None) - before) < 100
