"""Tapes say again what was said, with ids, numbers and times that go on."""

from bench.desk_messages import Framer, frames, is_fill, later, many_fills, prepared, value

FILL = (
    b"8=FIX.4.4\x019=000\x0135=8\x0149=VENUE\x0156=DESK\x0134=7\x0152=20261122-10:00:00.123456\x0137=V1\x0111=A1\x01"
    b"17=E0009\x011003=x-41\x0114=0.002\x01151=9.998\x0132=0.001\x0131=50.0\x0139=1\x01150=F\x0110=000\x01"
)


def whole(body: bytes) -> bytes:
    text = b"8=FIX.4.4\x019=%d\x01%b" % (len(body), body)
    return text + b"10=%03d\x01" % (sum(text) & 255)


def test_messages_are_taken_whole_out_of_any_pieces() -> None:
    one, two = (
        whole(b"35=0\x0134=1\x01"),
        whole(b"35=8\x0134=2\x0196=a\x0110=000\x01b\x01"),
    )  # data that looks like an end
    buffer, found = bytearray(), []
    for byte in one + two + one[:9]:
        buffer.append(byte)
        found += frames(buffer)
    assert found == [one, two]
    assert bytes(buffer) == one[:9]


def test_a_message_leaves_with_its_body_and_a_new_number_time_and_checksum() -> None:
    framer = Framer()
    first, second = (framer(prepared(FILL)) for _ in range(2))
    assert frames(bytearray(first + second)) == [first, second]
    assert (value(first, b"34"), value(second, b"34")) == (b"1", b"2")
    assert value(first, b"52") > b"20261122-10:00:00.123456"
    assert len(value(first, b"52")) == len(b"20261122-10:00:00.123456")
    assert first.endswith(b"10=%03d\x01" % (sum(first[:-7]) & 255))
    assert first.split(b"\x01")[7:-2] == FILL.split(b"\x01")[7:-2]


def test_fills_go_on_from_the_one_on_the_tape() -> None:
    assert is_fill(FILL)
    assert not is_fill(FILL.replace(b"32=0.001", b"32=0"))
    texts = list(map(Framer(), many_fills(FILL, 3)))
    assert [(value(t, b"17"), value(t, b"1003")) for t in texts] == [
        (b"E0009", b"x-41"), (b"E0010", b"x-42"), (b"E0011", b"x-43"),
    ]  # fmt: skip
    assert [(float(value(t, b"14")), float(value(t, b"151"))) for t in texts] == [
        (0.002, 9.998), (0.003, 9.997), (0.004, 9.996),
    ]  # fmt: skip


def test_a_fill_that_a_trade_capture_report_tells_goes_on_by_its_id_alone() -> None:
    capture = FILL.replace(b"35=8", b"35=AE").replace(b"17=E0009", b"571=41").replace(b"14=0.002\x01151=9.998\x01", b"")
    assert is_fill(capture)
    texts = list(map(Framer(), many_fills(capture, 2)))
    assert [(value(t, b"571"), value(t, b"32"), value(t, b"14")) for t in texts] == [
        (b"41", b"0.001", b""), (b"42", b"0.001", b""),
    ]  # fmt: skip


def test_ids_without_digits_at_their_end_go_on_too() -> None:
    assert len({later(b"3f-ab", n) for n in range(50)}) == 50
    assert later(b"99", 1) == b"100"
