"""Our numbers begin at 1 with each connection, the peer's go on: it says where, and what is missing is had."""

import pytest

from base.errors import ConfigError
from fix.codec import Message
from fix.session_events import Disconnect, GapClosed, GapOpened, LoggedOn, NumbersReset, State
from fix.settings import SequencePolicy
from tests.fix.session_kit import ACCEPTOR, INITIATOR, Rig, settings

REPORT = b"37=o\x0117=e\x01"
RESTART = settings(sequence_policy=SequencePolicy.OURS_RESTART, resend_end_zero=False, resend_most=1000)


def logon_of(rig: Rig) -> Message:
    (logon,) = rig.out()
    return logon


def resumed(next_in: int = 10) -> Rig:
    """A session that had `next_in - 1` messages, lost its connection, and has the peer's second Logon."""
    rig = Rig(RESTART)
    rig.connect()
    assert (logon_of(rig).get(141), rig.session.next_out) == (b"Y", 2)
    rig.say("A", b"98=0\x01108=30\x01141=Y\x01")
    for _ in range(next_in - 2):
        rig.say("8", REPORT)
    rig.send()
    rig.drop()
    rig.out()
    rig.app.events.clear()
    rig.connect()
    logon = logon_of(rig)
    assert (logon.seq_num, logon.get(141)) == (1, b"N")
    rig.say("A", b"98=0\x01108=30\x01", 1)
    assert rig.event(LoggedOn).next_in == next_in
    rig.app.messages.clear()
    return rig


def stand(rig: Rig, new_seq: int) -> None:
    rig.say("4", b"123=Y\x0136=%d\x01" % new_seq, 2)


def asked(rig: Rig) -> list[tuple[int, bytes | None, bytes | None]]:
    return [(m.seq_num, m.get(7), m.get(16)) for m in rig.out() if m.msg_type == "2"]


def test_what_was_missed_is_asked_for_and_delivered_in_order():
    rig = resumed(10)
    assert rig.state is State.RECOVERING
    stand(rig, 13)
    assert rig.event(GapOpened) == GapOpened(10, 12)
    assert asked(rig) == [(2, b"10", b"12")]
    for seq in (10, 11):
        rig.say("8", REPORT, seq, dup=True)
    rig.say("4", b"123=Y\x0136=13\x01", 12, dup=True)
    assert rig.event(GapClosed) == GapClosed(12)
    assert rig.state is State.LOGGED_ON
    rig.say("8", REPORT, 13)
    assert rig.app.seqs() == [10, 11, 13]
    assert rig.session.next_out == 3


def test_nothing_missed_is_at_once_ready():
    rig = resumed(10)
    stand(rig, 10)
    assert (rig.state, asked(rig)) == (State.LOGGED_ON, [])
    rig.say("8", REPORT, 10)
    assert rig.app.seqs() == [10]


def test_a_long_gap_is_asked_for_in_pages_one_at_a_time():
    rig = resumed(2)
    stand(rig, 2102)
    assert asked(rig) == [(2, b"2", b"1001")]
    rig.say("8", REPORT, 2, dup=True)
    rig.say("4", b"123=Y\x0136=1001\x01", 3, dup=True)
    assert asked(rig) == []
    rig.say("8", REPORT, 1001, dup=True)
    assert asked(rig) == [(3, b"1002", b"2001")]
    rig.say("4", b"123=Y\x0136=2002\x01", 1002, dup=True)
    assert asked(rig) == [(4, b"2002", b"2101")]
    rig.say("4", b"123=Y\x0136=2102\x01", 2002, dup=True)
    assert rig.state is State.LOGGED_ON


def test_what_comes_live_while_pages_are_fetched_waits_its_turn():
    rig = resumed(10)
    stand(rig, 12)
    rig.out()
    rig.say("8", REPORT, 12)
    assert rig.app.seqs() == []
    for seq in (10, 11):
        rig.say("8", REPORT, seq, dup=True)
    assert rig.app.seqs() == [10, 11, 12]
    assert rig.state is State.LOGGED_ON


def test_a_first_message_that_is_no_gap_fill_says_it_by_its_number():
    rig = resumed(10)
    rig.say("8", REPORT, 10)
    assert (rig.state, rig.app.seqs()) == (State.LOGGED_ON, [10])
    rig = resumed(10)
    rig.say("8", REPORT, 12)
    assert asked(rig) == [(2, b"10", b"11")]


def test_a_peer_that_began_again_is_followed_and_asked_for_its_new_messages():
    rig = resumed(10)
    stand(rig, 5)
    assert rig.events(NumbersReset)[-1].next_in == 2
    assert asked(rig) == [(2, b"2", b"4")]
    rig = resumed(10)
    stand(rig, 2)
    assert (rig.state, rig.session.next_in) == (State.LOGGED_ON, 2)


@pytest.mark.parametrize("how", ["silence", "refused", "unfilled", "low", "senseless"])
def test_whatever_goes_wrong_ends_the_connection_and_the_next_logon_starts_afresh(how: str):
    rig = resumed(10)
    if how == "silence":
        rig.wait(11)
    elif how == "low":
        rig.say("8", REPORT, 2)
    elif how == "senseless":
        stand(rig, 0)
    else:
        stand(rig, 13)
        if how == "refused":
            rig.say("3", b"45=2\x01372=2\x01373=5\x0158=too old\x01", 13)
        else:
            rig.wait(60)
    assert rig.events(Disconnect)[0].fresh
    assert rig.app.messages == []
    rig.drop()
    rig.out()
    rig.connect()
    logon = logon_of(rig)
    assert (logon.seq_num, logon.get(141)) == (1, b"Y")
    rig.say("A", b"98=0\x01108=30\x01", 1)
    assert rig.state is State.LOGGED_ON
    assert rig.session.next_in == 2


def test_it_is_for_initiators_and_pages_need_an_end():
    with pytest.raises(ConfigError, match="sequence_policy"):
        settings(ACCEPTOR, sequence_policy=SequencePolicy.OURS_RESTART)
    with pytest.raises(ConfigError, match="resend_most"):
        settings(INITIATOR, resend_most=1000)


@pytest.mark.parametrize("may_fail", [False, True])
@pytest.mark.parametrize("how", ["logon", "resend"])
def test_a_resumption_that_is_refused_is_given_up_for_a_reset_only_where_the_settings_say_so(how: str, may_fail: bool):
    rig = Rig(settings(sequence_policy=SequencePolicy.CONTINUE, resume_may_fail=may_fail))
    rig.connect()
    rig.say("A", b"98=0\x01108=30\x01", 1)
    rig.drop()
    rig.out()
    rig.connect()
    assert logon_of(rig).get(141) is None
    if how == "logon":
        rig.say("5", b"58=a new session must reset\x01", 2)
    else:
        rig.say("A", b"98=0\x01108=30\x01", 5)
        rig.say("5", b"58=no resend\x01", 6)
    rig.drop()
    rig.out()
    rig.connect()
    assert (logon_of(rig).get(141) == b"Y") is may_fail


@pytest.mark.parametrize(("most", "asked"), [(0, [None] * 4), (2, [None, None, b"Y", b"Y"])])
def test_connections_closed_upon_a_logon_without_a_word_are_counted_where_the_settings_say_so(
    most: int, asked: list[bytes | None]
):
    rig = Rig(settings(sequence_policy=SequencePolicy.CONTINUE, silent_logons=most))
    rig.connect()
    rig.say("A", b"98=0\x01108=30\x01", 1)
    rig.drop()
    rig.out()
    seen = []
    for _ in range(4):
        rig.connect()
        seen.append(logon_of(rig).get(141))
        rig.drop()
        rig.out()
    assert seen == asked


def test_an_answer_of_any_kind_begins_the_count_of_silent_logons_anew():
    rig = Rig(settings(sequence_policy=SequencePolicy.CONTINUE, silent_logons=2))
    for seq in (1, 2, 3):
        rig.connect()
        assert logon_of(rig).get(141) is None
        rig.drop()
        rig.out()
        rig.connect()
        assert logon_of(rig).get(141) is None
        rig.say("A", b"98=0\x01108=30\x01", seq)
        rig.drop()
        rig.out()


def test_a_count_of_silent_logons_is_not_below_zero():
    with pytest.raises(ConfigError, match="silent_logons"):
        settings(INITIATOR, silent_logons=-1)
