"""Every wire sample published by the venues, at every byte split: as published, and with its frame put right."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from base.errors import CodecError
from fix.codec import FieldRules, Framer, Message, checksum, encode

SAMPLES = Path(os.environ.get("QUARTERDECK_DATA", Path(__file__).parents[3] / "shared" / "data")) / "fix"
FOLLOWING = encode("FIX.4.4", "0", "A", "B", 77, 1_750_000_000_123_000_000)

pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"no wire samples at {SAMPLES}")


def samples() -> Iterator[tuple[str, bytes, bool]]:
    """(where, bytes with SOH, published with a right frame)."""
    for path in sorted(SAMPLES.glob("*.fix")) if SAMPLES.is_dir() else ():
        notes: list[str] = []
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if line.startswith("#"):
                notes.append(line)
            elif line.startswith("8="):
                valid = "checksum-invalid" not in " ".join(notes)
                yield f"{path.name}:{number}", line.strip().encode().replace(b"|", b"\x01"), valid
                notes = []


def put_right(raw: bytes) -> bytes:
    """The sample with the BodyLength and CheckSum of its own fields."""
    begin, _, rest = raw.partition(b"\x01")
    if rest.startswith(b"9="):
        rest = rest.partition(b"\x01")[2]
    fields = rest.rpartition(b"\x0110=")[0] + b"\x01" if b"\x0110=" in rest else rest
    fields = fields if fields.endswith(b"\x01") else fields + b"\x01"
    start = begin + b"\x019=%d\x01" % len(fields) + fields
    return start + b"10=%03d\x01" % checksum(start)


ALL = list(samples())
FRAMED = [(where, raw) for where, raw, _ in ALL if b"35=" in {field[:3] for field in raw.split(b"\x01")[1:3]}]


def test_there_are_samples_of_many_venues() -> None:
    assert len(ALL) > 100
    assert len({where.partition(":")[0] for where, _, _ in ALL}) >= 8


@pytest.mark.parametrize(("where", "raw"), FRAMED, ids=[where for where, _ in FRAMED])
def test_a_sample_with_its_frame_put_right_is_read_at_every_split(where: str, raw: bytes) -> None:
    good = put_right(raw)
    for cut in range(len(good) + 1):
        framer = Framer()
        framer.feed(good[:cut])
        found = [m.raw for m in framer]
        framer.feed(good[cut:] + FOLLOWING)
        found += [m.raw for m in framer]
        assert found == [good, FOLLOWING], (where, cut)
        assert framer.garbled_bytes == 0
    message = Message.parse(good, FieldRules(count_tags=[25003]))
    pairs = [field.partition(b"=") for field in good.split(b"\x01")[:-1]]
    if all(tag.isdigit() and value for tag, _, value in pairs):
        assert message.fields() == [(int(tag), value) for tag, _, value in pairs]


def test_a_sample_whose_third_field_is_not_the_type_is_garbled_even_with_a_right_frame() -> None:
    others = [raw for where, raw, _ in ALL if where not in {w for w, _ in FRAMED}]
    assert others
    for raw in others:
        with pytest.raises(CodecError, match="MSG_TYPE"):
            Message.parse(put_right(raw))


PUBLISHED_WRONG = [(where, raw) for where, raw, valid in ALL if not valid]


@pytest.mark.parametrize(("where", "raw"), PUBLISHED_WRONG, ids=[where for where, _ in PUBLISHED_WRONG])
def test_a_sample_published_with_a_wrong_frame_is_garbled_at_every_split(where: str, raw: bytes) -> None:
    with pytest.raises(CodecError):
        Message.parse(raw)
    for cut in range(len(raw) + 1):
        framer = Framer()
        framer.feed(raw[:cut])
        found = [m.seq_num for m in framer]
        framer.feed(raw[cut:] + FOLLOWING)
        framer.end()  # some promise more bytes than they have
        found += [m.seq_num for m in framer]
        assert found == [77], (where, cut)
        assert framer.garbled_messages > 0
        assert framer.garbled_bytes == len(raw)


PUBLISHED_RIGHT = [(where, raw.rstrip(b"\x01") + b"\x01") for where, raw, valid in ALL if valid]


@pytest.mark.parametrize(("where", "raw"), PUBLISHED_RIGHT, ids=[where for where, _ in PUBLISHED_RIGHT])
def test_a_sample_published_as_valid_is_valid(where: str, raw: bytes) -> None:
    assert Message.parse(raw).raw == raw
