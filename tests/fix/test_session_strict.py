"""Validation of what is received: what is rejected, what is delivered all the same, and that no bytes do harm."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import SessionError, TransportError
from fix.codec import Message
from fix.dictionary import Dictionary
from fix.session import FixSession
from fix.session_events import (
    Disconnect,
    NumbersReset,
    RejectReceived,
    RejectSent,
    ResendServed,
    State,
)
from fix.settings import SessionSettings, Validation
from tests.fix.session_kit import ACCEPTOR, INITIATOR, Rig, logged_on, settings

REPORT = b"37=o\x0117=e\x01150=0\x0139=0\x0155=B\x0154=1\x01151=1\x0114=0\x016=0\x01"
ORDER = b"11=a\x0155=B\x0154=1\x0138=1\x0140=1\x0160=20250101-00:00:00\x01"
STRICT, NOTED = Validation.REJECT, Validation.DEFECTS


class StrictRig(Rig):
    """A session that validates with our own dictionary."""

    def __init__(self, given: SessionSettings) -> None:
        super().__init__(given)
        self.session = FixSession(given, self.store, self.app, dictionary=Dictionary.standard("4.4"))


def strict(base: SessionSettings = INITIATOR, **changes: object) -> StrictRig:
    rig = StrictRig(settings(base, **{"validation": STRICT, **changes}))
    rig.logon()
    rig.app.events.clear()
    return rig


@pytest.mark.parametrize("validation", [STRICT, NOTED])
@pytest.mark.parametrize(
    "odd", [b"9999=x\x01", b"58=a\x0158=b\x01", b"39=0\x01", b"32=much\x01", b"453=2\x01448=a\x01"]
)
def test_a_report_is_delivered_whatever_is_wrong_with_it(validation, odd):
    """LESSONS: a fill with an unknown tag was rejected, and the application never saw it."""
    rig = strict(validation=validation)
    rig.say("8", REPORT + odd)
    assert [(kind, seq) for kind, seq, *_ in rig.app.messages] == [("8", 2)]
    assert rig.app.messages[0][3], "its defects stand beside it"
    assert rig.out() == []
    assert rig.session.next_in == 3


def test_a_report_past_a_gap_is_validated_when_its_turn_comes_and_delivered():
    rig = strict()
    rig.say("8", REPORT + b"9999=x\x01", 3)
    rig.say("B", b"148=h\x0133=1\x0158=t\x019999=x\x01", 4)
    rig.out()
    rig.say("8", REPORT, 2, dup=True)
    assert rig.app.seqs() == [2, 3]
    assert rig.types() == ["3"]
    assert rig.session.next_in == 5


def test_an_acceptor_that_notes_defects_delivers_and_lists_them():
    rig = strict(ACCEPTOR, validation=NOTED)
    rig.say("D", ORDER + b"9999=x\x01")
    (delivered,) = rig.app.messages
    assert [(defect.tag, defect.text) for defect in delivered[3]] == [(9999, "Invalid tag number")]
    assert rig.out() == []


def test_a_strict_acceptor_rejects_and_says_so():
    rig = strict(ACCEPTOR)
    rig.say("D", ORDER + b"9999=x\x01")
    assert rig.app.messages == []
    assert rig.event(RejectSent) == RejectSent(2, 0, "Invalid tag number")
    assert rig.session.next_in == 3


def test_strictness_without_a_dictionary_still_knows_the_standard():
    rig = logged_on(settings(ACCEPTOR, validation=STRICT))
    rig.say("D", b"9999=x\x01")
    assert rig.app.seqs() == [2]
    rig.say("0", b"", 2, header=b"43=Y\x01")
    (reject,) = rig.out()
    assert (reject.get(371), reject.get(373)) == (b"122", b"1")


def test_a_reject_of_ours_that_is_rejected_is_not_answered():
    rig = strict()
    rig.say("3", b"9999=x\x01")
    assert rig.out() == []
    assert rig.event(RejectReceived)


def test_fix_4_2_gets_no_reason_that_it_does_not_know():
    rig = StrictRig(settings(ACCEPTOR, begin_string="FIX.4.2", validation=STRICT))
    rig.session = FixSession(rig.settings, rig.store, rig.app, dictionary=Dictionary.standard("4.2"))
    rig.logon(begin="FIX.4.2")
    rig.say("D", b"21=1\x01" + ORDER + b"11=b\x01", begin="FIX.4.2")
    (reject,) = rig.out()
    assert (reject.get(58), reject.get(371), reject.get(373)) == (b"Tag appears more than once", b"11", None)


def test_what_was_asked_again_and_could_not_be_written_was_not_served():
    """LESSONS: a resend range marked as sent though it never left."""
    rig = logged_on(ACCEPTOR)
    rig.send("8", REPORT)
    rig.session._write = _broken
    rig.say("2", b"7=1\x0116=0\x01")
    assert not rig.events(ResendServed)
    assert "write failed" in rig.event(Disconnect).reason


def test_a_request_of_ours_that_could_not_be_written_is_sent_after_the_reconnect():
    """LESSONS: the same, for what we miss ourselves."""
    rig = logged_on()
    rig.session._write = _broken
    rig.say("8", REPORT, 4)
    assert rig.state is State.DISCONNECTING
    rig.drop()
    rig.out()
    rig.connect()
    rig.say("A", b"98=0\x01108=30\x01", 5)
    assert [(m.msg_type, m.get(7)) for m in rig.out()] == [("A", None), ("2", b"2")]


def _broken(raw: bytes) -> None:
    raise TransportError("closed")


def test_the_application_may_refuse_a_message():
    rig = logged_on(ACCEPTOR)
    rig.app.during = lambda message: rig.session.business_reject(message, 3, "no", 1, rig.clock.wall_ns())
    rig.say("D", ORDER)
    (refusal,) = rig.out()
    assert [refusal.get(tag) for tag in (35, 45, 58, 372, 380)] == [b"j", b"2", b"no", b"D", b"3"]


def test_numbers_begin_again_only_on_a_quiet_session():
    rig = Rig()
    with pytest.raises(SessionError, match="disconnected"):
        rig.session.restart_numbers(1, 1)
    rig.logon()
    rig.say("8", REPORT, 9)
    with pytest.raises(SessionError, match="recovering"):
        rig.session.restart_numbers(1, 1)


def test_nothing_is_sent_while_a_reset_is_not_answered():
    rig = logged_on()
    rig.session.restart_numbers(rig.clock.mono_ns(), rig.clock.wall_ns())
    with pytest.raises(SessionError, match="logon_sent"):
        rig.send()
    rig.say("A", b"98=0\x01108=30\x01141=Y\x01", 1)
    assert rig.send() == 2
    assert [e.next_in for e in rig.events(NumbersReset)] == [2, 2]


def test_a_reset_that_the_connection_did_not_survive_ends_in_a_fresh_logon():
    rig = logged_on()
    rig.say("8", REPORT)
    rig.session.restart_numbers(rig.clock.mono_ns(), rig.clock.wall_ns())
    rig.drop()
    rig.out()
    rig.connect()
    rig.say("A", b"98=0\x01108=30\x01", 1)  # the peer had begun again: its number is too low for us
    assert rig.event(Disconnect).fresh
    rig.drop()
    rig.out()
    rig.connect()
    assert rig.out()[0].get(141) == b"Y"


# --- no bytes do harm

FIELDS = st.sampled_from([
    b"34=2", b"34=9223372036854775807", b"36=5", b"36=99999999999999999999", b"123=Y", b"43=Y", b"122=x",
    b"122=20250615-15:06:40", b"7=1", b"16=0", b"7=-1", b"112=x", b"112=", b"141=Y", b"98=0", b"108=0", b"108=-1",
    b"58=\xff\xfe", b"=", b"a=b", b"0=x", b"95=3", b"96=abc", b"453=2", b"448=a", b"49=DESK", b"56=VENUE", b"52=x",
    b"789=9", b"1137=9", b"45=1", b"380=3", b"97=Y", b"115=A", b"128=", b"9999=x", b"37=o", b"11=a",
])  # fmt: skip
KINDS = st.sampled_from(["0", "1", "2", "3", "4", "5", "A", "8", "D", "j", "ZZ", "\u00e9"])
MESSAGES = st.lists(st.tuples(KINDS, st.integers(-2, 3), st.lists(FIELDS, max_size=6)), max_size=25)


def seal(kind: str, seq: int, fields: list[bytes], time_text: bytes) -> bytes:
    head = b"35=%s\x0134=%d\x0149=VENUE\x0156=DESK\x0152=%s\x01" % (kind.encode(), seq, time_text)
    body = head + b"".join(field + b"\x01" for field in fields)
    raw = b"8=FIX.4.4\x019=%d\x01" % len(body) + body
    return raw + b"10=%03d\x01" % (sum(raw) % 256)


@given(MESSAGES, st.sampled_from(list(Validation)), st.booleans())
def test_no_message_makes_a_session_raise_or_a_reject_answered_by_a_reject(messages, validation, acceptor):
    base = settings(ACCEPTOR, sender_comp_id="DESK", target_comp_id="VENUE") if acceptor else INITIATOR
    rig = StrictRig(settings(base, validation=validation, resend_repeats=3))
    rig.logon()
    for kind, off, fields in messages:
        if not rig.session.is_logged_on:
            rig.session.disconnected("as it wished", rig.clock.mono_ns(), rig.clock.wall_ns())
            break
        before = rig.session.next_in, rig.session.epoch
        rig.feed(seal(kind, rig.session.next_in + off, fields, b"20250615-15:06:40.000"))
        if kind == "3":
            assert "3" not in rig.types()
        if rig.session.epoch == before[1]:
            assert rig.session.next_in >= before[0], "the number expected goes back with a reset only"
        rig.out()


@given(st.binary(max_size=400), st.integers(0, 1 << 32))
def test_no_bytes_make_a_session_raise(data, seed):
    rig = StrictRig(settings(ACCEPTOR, validation=STRICT))
    rig.logon()
    good = bytearray(rig.peer("D", ORDER))
    rng = random.Random(seed)
    for _ in range(3):
        good[rng.randrange(len(good))] = rng.randrange(256)
    rig.feed(bytes(good) + data + rig.peer("1", b"112=x\x01"))
    assert all(isinstance(message, Message) for message in rig.out())
    assert rig.session.next_in >= 2


def test_a_flood_of_bad_messages_is_answered_one_for_one_and_nothing_grows():
    """LESSONS: unbounded queues, an endless loop on one bad message."""
    rig = strict(ACCEPTOR)
    for _ in range(2000):
        rig.say("D", b"9999=x\x01")
    assert rig.types() == ["3"] * 2000
    assert rig.session.framer.pending == 0
    assert rig.session.next_in == 2002
