"""Writes the fuzzer's seed inputs, one file each, into the folder named: python tests/fuzz/seeds.py DIR."""

import sys
from collections.abc import Iterator
from pathlib import Path

from fix.codec import encode

SENT_NS = 1_735_689_600_123_000_000
BOOK = (
    b"262=r\x0155=BTC/USD\x01268=2\x01279=0\x01269=0\x01278=B1\x01270=84000.5\x01271=0.25\x01273=10:00:00.123\x01"
    b"279=2\x01269=1\x01278=O2\x01270=84001\x015041=4294967295\x01"
)
CARRIED = (
    b"262=r\x01268=3\x01279=0\x01269=0\x01270=5\x01271=1\x0155=A\x0125043=1\x0125044=3\x01279=1\x01269=1\x01270=6\x01"
    b"271=2\x01279=0\x01269=2\x01270=7\x01271=3\x0155=B\x011003=9\x0160=20250101-00:00:00.000001\x012446=2\x01"
)
QUEUE = (
    b"262=r\x0155=A\x01268=1\x01269=0\x01278=id-1\x01270=1\x01271=0.000000000000000001\x01"
    b"5273=2025-01-01T00:00:00.000000001Z\x01"
)
FIELDS = (
    b"11=order\x0138=1.50\x0144=-0.00000001\x0195=6\x0196=a\x0110=0\x0155=BTC/USD\x01268=1\x01269=0\x01270=1\x01",
    b"93=3\x0189=a\x01b\x01354=2\x01355=x\x01\x0158=\x0107=x\x01=x\x01abc\x0144=1\x0144=2\x015001=1\x015002=\x01\x01",
    b"95=99\x0196=short\x0195=-1\x0196=x\x0195=3\x0158=other\x01",
)
NUMBERS = (
    b"9223372036854775807",
    b"-0.00000001",
    b"00001.500",
    b".5",
    b"5.",
    b"1e5",
    b"20240229-23:59:60.123456789",
    b"2025-01-01T00:00:00.000000001Z",
    b"10:00:00.123",
    b"99999999999999999999",
)


def streams() -> Iterator[bytes]:
    order = encode("FIX.4.4", "D", "T", "S", 1, SENT_NS, FIELDS[0])
    book = encode("FIX.4.4", "X", "S", "T", 7, SENT_NS, BOOK)
    yield order + book
    yield order[:-4] + b"000\x01" + book
    yield b"junk 8=FI" + order[:30] + book + order
    yield order.replace(b"\x019=", b"\x019=0000") + book
    yield book.replace(b"\x019=", b"\x019=9") + order
    yield encode("FIX.4.4", "n", "T", "S", 2, SENT_NS, b"212=%d\x01213=%s\x01" % (len(order), order)) + book


def seeds() -> Iterator[bytes]:
    for chunking in (b"\x00", b"\x07"):
        for stream in streams():
            yield b"\x00" + chunking + stream
    for body in FIELDS:
        yield b"\x01" + body
    for body in (BOOK, CARRIED, QUEUE):
        yield b"\x02\x01" + body
        yield b"\x02\x00" + body
    for number in NUMBERS:
        yield b"\x03" + number


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, seed in enumerate(seeds()):
        (folder / f"seed-{i:03d}").write_bytes(seed)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
