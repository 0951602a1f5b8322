"""Framing and session rules of the venue's end, without sockets."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from simplefix import FixParser

from base.clock import ManualClock
from sim.session import Acceptor, Numbers, Profile, Refusal
from sim.wire import Field, Framer, Garbled, Message, encode

SECOND = 1_000_000_000
values = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=12)
LENGTHS = {int(tag) for tag in FixParser().raw_len_tags}  # what follows these is a data field
tags = st.integers(100, 9000).filter(lambda tag: tag not in LENGTHS)
bodies = st.lists(st.tuples(tags, values), max_size=8)


@given(st.lists(bodies, min_size=1, max_size=4), st.integers(1, 40), st.binary(max_size=20))
def test_any_chunking_gives_the_same_messages(messages: list[list[Field]], cut: int, noise: bytes) -> None:
    clean = noise.replace(b"8", b"x")
    sent = [encode("FIX.4.4", [(35, "D"), (34, str(n))], body, n % 2 * 7) for n, body in enumerate(messages)]
    stream = clean + b"".join(sent)
    framer = Framer()
    got = [m for n in range(0, len(stream), cut) for m in framer.feed(stream[n : n + cut]) if isinstance(m, Message)]
    assert [m.raw for m in got] == sent
    for message, body in zip(got, messages, strict=True):
        assert message.fields[4:-1] == body


@given(st.integers(20, 60), st.binary(min_size=1, max_size=3))
def test_a_broken_message_is_skipped_and_the_next_one_found(at: int, junk: bytes) -> None:
    whole = encode("FIX.4.4", [(35, "D"), (34, "1")], [(58, "a text that is long enough to be broken")])
    broken = whole[:at] + junk + whole[at + len(junk) :]
    after = encode("FIX.4.4", [(35, "0"), (34, "2")], [])
    found = [m.raw for m in Framer().feed(broken + after + after) if isinstance(m, Message)]
    assert found[-1] == after
    assert (whole in found) == (broken == whole)


def test_a_data_field_may_hold_the_separator_and_a_trailer() -> None:
    data = "ab\x0110=000\x01cd"
    raw = encode("FIX.4.4", [(35, "A")], [(95, str(len(data))), (96, data), (98, "0")])
    (message,) = Framer().feed(raw)
    assert isinstance(message, Message)
    assert (message.get(96), message.get(98)) == (data, "0")


def test_a_data_length_that_is_no_number_is_still_a_message() -> None:
    raw = encode("FIX.4.4", [(35, "A")], [(95, "many"), (96, "x"), (98, "0")])
    (message,) = Framer().feed(raw)
    assert isinstance(message, Message)
    assert (message.get(95), message.get(98)) == ("many", "0")


class Desk:
    """An App that accepts everything and keeps what it hears."""

    def __init__(self) -> None:
        self.numbers = Numbers()
        self.heard: list[str] = []
        self.ended = 0

    def authenticate(self, session: Acceptor, logon: Message) -> Refusal | None:
        session.numbers = self.numbers
        return None

    def not_first(self, session: Acceptor, message: Message) -> Refusal:
        return Refusal("")

    def logon_fields(self, session: Acceptor, logon: Message) -> list[Field]:
        return [(98, "0"), (108, logon.get(108))]

    def logged_on(self, session: Acceptor, logon: Message) -> None: ...
    def message(self, session: Acceptor, message: Message) -> None:
        self.heard.append(message.get(11))

    def logged_out(self, session: Acceptor) -> None: ...
    def garbled(self, session: Acceptor, what: Garbled) -> None: ...
    def resend(self, session: Acceptor, message: Message) -> bool:
        return True

    def bad_sequence(self, session: Acceptor, message: Message) -> bool:
        return False

    def filter_out(self, session: Acceptor, msg_type: str, data: bytes) -> bytes | None:
        return data


class Rig:
    """A session with a clock turned by hand."""

    def __init__(self, profile: Profile | None = None) -> None:
        self.clock, self.app = ManualClock(), Desk()
        self.out: list[Message] = []
        self.session = Acceptor(self.app, profile or Profile(), self.clock, self._write, self._close)

    def _write(self, data: bytes) -> None:
        self.out += [m for m in Framer().feed(data) if isinstance(m, Message)]

    def _close(self) -> None:
        self.app.ended += 1

    def send(self, kind: str, seq: int, *body: tuple[int, Any], head: tuple[Field, ...] = ()) -> None:
        header = [(35, kind), (49, "C"), (56, "V"), (34, str(seq)), *head]
        self.session.received(encode("FIX.4.4", header, [(t, str(v)) for t, v in body]))

    def types(self) -> str:
        return "".join(m.msg_type for m in self.out)


def logged_on(**profile: Any) -> Rig:
    rig = Rig(Profile(**profile))
    rig.send("A", 1, (98, 0), (108, 10))
    return rig


def test_silence_brings_heartbeats_then_a_test_request_then_logout() -> None:
    rig = logged_on()
    for _ in range(13):
        rig.clock.advance(SECOND)
        rig.session.tick()
    assert rig.types() == "A01"
    for _ in range(13):
        rig.clock.advance(SECOND)
        rig.session.tick()
    assert rig.types().endswith("5")
    assert rig.app.ended == 1


def test_messages_beyond_a_gap_wait_and_run_in_order() -> None:
    rig = logged_on()
    rig.send("D", 4, (11, "c"))
    rig.send("D", 3, (11, "b"))
    assert rig.app.heard == []
    assert [(m.get(7), m.get(16)) for m in rig.out if m.msg_type == "2"] == [("2", "3")]
    rig.send("D", 2, (11, "a"), head=((43, "Y"),))
    assert rig.app.heard == ["a", "b", "c"]


def test_a_resend_request_replays_kept_messages_and_fills_the_rest() -> None:
    rig = logged_on(replay_types=frozenset("8"))
    rig.session.send("8", [(37, "1")])
    rig.session.send("j", [(45, "0")])
    rig.session.send("8", [(37, "2")])
    rig.out.clear()
    rig.send("2", 2, (7, 1), (16, 0))
    said = [(m.msg_type, m.seq, m.get(36), m.get(37), m.get(43)) for m in rig.out]
    assert said == [("4", 1, "2", "", "Y"), ("8", 2, "", "1", "Y"), ("4", 3, "4", "", "Y"), ("8", 4, "", "2", "Y")]


def test_a_request_beyond_a_gap_is_answered_before_asking() -> None:
    rig = logged_on()
    rig.session.send("8", [(37, "1")])
    rig.out.clear()
    rig.send("2", 5, (7, 2), (16, 0))
    assert [m.msg_type for m in rig.out] == ["8", "2"]
    rig.send("4", 2, (123, "Y"), (36, 6), head=((43, "Y"),))
    rig.send("D", 6, (11, "x"))
    assert rig.app.heard == ["x"]


def test_a_hard_reset_moves_the_expected_number_up_only() -> None:
    rig = logged_on()
    rig.send("4", 9, (123, "N"), (36, 20))
    rig.send("D", 20, (11, "x"))
    assert rig.app.heard == ["x"]
    rig.send("4", 9, (123, "N"), (36, 3))
    assert rig.out[-1].msg_type == "3"


def test_a_logon_with_too_low_a_number_is_refused() -> None:
    rig = Rig()
    rig.app.numbers.next_in = 5
    rig.send("A", 2, (98, 0), (108, 10))
    assert "too low" in rig.out[-1].get(58)
    assert rig.app.ended == 1


def test_a_logon_with_too_high_a_number_is_accepted_and_the_gap_asked_for() -> None:
    rig = Rig()
    rig.send("A", 3, (98, 0), (108, 10))
    assert [(m.msg_type, m.get(7), m.get(16)) for m in rig.out] == [("A", "", ""), ("2", "1", "2")]


def test_a_foreign_comp_id_ends_the_session() -> None:
    rig = logged_on()
    rig.session.received(encode("FIX.4.4", [(35, "0"), (49, "X"), (56, "V"), (34, "2")], []))
    assert rig.types() == "A35"
