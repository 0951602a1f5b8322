"""Gaps, resends, gap fills, sequence resets, duplicates; nothing lost, nothing twice, nothing without bound."""

import pytest

from fix.codec import Message
from fix.session_events import (
    POSS_DUP,
    POSS_RESEND,
    Disconnect,
    GapClosed,
    GapOpened,
    NumbersReset,
    RejectReceived,
    RejectSent,
    ResendServed,
    State,
)
from fix.settings import SequencePolicy
from tests.fix.session_kit import ACCEPTOR, Rig, logged_on, settings

REPORT = b"37=o\x0117=e\x01"


def gap_fill(rig: Rig, seq: int, new_seq: int, *, dup: bool = True) -> bytes:
    return rig.peer("4", b"123=Y\x0136=%d\x01" % new_seq, seq, dup=dup)


def ask(rig: Rig, first: int, last: int = 0, seq: int | None = None) -> None:
    rig.say("2", b"7=%d\x0116=%d\x01" % (first, last), seq)


# --- gaps in what the peer sent


def test_a_gap_is_asked_for_and_what_came_early_waits_its_turn():
    rig = logged_on()
    rig.say("8", REPORT, 4)
    (request,) = rig.out()
    assert [request.get(tag) for tag in (35, 7, 16)] == [b"2", b"2", b"0"]
    assert rig.event(GapOpened) == GapOpened(2, 3)
    assert rig.state is State.RECOVERING
    assert rig.app.messages == []
    for seq in (2, 3):
        rig.say("8", REPORT, seq, dup=True)
    assert rig.app.seqs() == [2, 3, 4]
    assert rig.event(GapClosed) == GapClosed(4)
    assert rig.state is State.LOGGED_ON


def test_a_finite_request_names_the_last_missing_number():
    rig = logged_on(settings(resend_end_zero=False))
    rig.say("8", REPORT, 6)
    (request,) = rig.out()
    assert (request.get(7), request.get(16)) == (b"2", b"5")


def test_one_request_is_outstanding_however_many_messages_come_early():
    rig = logged_on()
    for seq in range(5, 60):
        rig.say("8", REPORT, seq)
    assert rig.types() == ["2"]


def test_what_is_resent_although_held_is_suppressed():
    rig = logged_on()
    rig.say("8", REPORT, 4)
    for seq in (2, 3, 4):
        rig.say("8", REPORT, seq, dup=True)
    assert rig.app.seqs() == [2, 3, 4]
    assert rig.session.duplicates == 1


def test_a_gap_fill_closes_the_gap():
    rig = logged_on()
    rig.say("8", REPORT, 9)
    rig.feed(gap_fill(rig, 2, 9))
    assert rig.app.seqs() == [9]
    assert rig.session.next_in == 10


@pytest.mark.parametrize("reset", [False, True])
def test_a_report_that_is_here_is_delivered_though_the_venue_fills_the_gap_over_it(reset):
    rig = logged_on()
    for seq in (4, 6):
        rig.say("8", REPORT, seq)
    rig.say("0", b"", 5)
    rig.say("3", b"45=1\x01", 7)
    rig.feed(rig.peer("4", b"36=9\x01", 2) if reset else gap_fill(rig, 2, 9))
    assert rig.app.seqs() == [4, 6]
    assert rig.event(RejectReceived).ref_seq_num == 1
    assert rig.session.next_in == 9
    assert rig.event(GapClosed) == GapClosed(8)
    rig.say("8", REPORT, 9)
    assert rig.app.seqs() == [4, 6, 9]


def test_what_a_client_fills_its_gap_over_is_dropped():
    rig = logged_on(ACCEPTOR)
    rig.say("D", b"11=a\x01", 4)
    rig.feed(gap_fill(rig, 2, 8))
    assert rig.app.messages == []
    assert rig.session.next_in == 8
    assert rig.event(GapClosed) == GapClosed(7)


def test_a_report_behind_a_gap_that_ends_the_session_leaves_the_rest_to_the_next_connection():
    rig = logged_on()
    for seq in (4, 6):
        rig.say("8", REPORT, seq)
    rig.app.during = lambda message: rig.session.disconnected("gone", rig.clock.mono_ns(), rig.clock.wall_ns())
    rig.feed(gap_fill(rig, 2, 9))
    assert rig.app.seqs() == [4]
    assert rig.session.next_in == 5


def test_what_was_being_sent_again_has_no_numbers_after_a_reset():
    rig = logged_on(settings(ACCEPTOR, resend_chunk=10))
    for _ in range(30):
        rig.send("8", REPORT)
    ask(rig, 2)
    rig.say("A", b"98=0\x01108=30\x01141=Y\x01", 1)
    rig.out()
    rig.tick()
    assert rig.out() == []


def test_replays_carry_the_last_number_processed_once():
    rig = logged_on(settings(ACCEPTOR, last_processed=True, extra_header=b"50=sub\x01"))
    rig.send("8", REPORT)
    rig.out()
    ask(rig, 2)
    (again,) = rig.out()
    tags = [tag for tag, _ in again.fields()]
    assert (tags.count(369), tags.count(50)) == (1, 1)


def test_a_test_request_that_is_sent_again_and_new_here_is_answered():
    rig = logged_on()
    rig.say("1", b"112=x\x01", dup=True)
    (answer,) = rig.out()
    assert (answer.msg_type, answer.get(112)) == ("0", b"x")


def test_a_second_hole_is_asked_for_once_the_first_is_filled():
    rig = logged_on(settings(resend_end_zero=False))
    rig.say("8", REPORT, 4)
    rig.say("8", REPORT, 8)
    rig.out()
    rig.feed(gap_fill(rig, 2, 4))
    (request,) = rig.out()
    assert (request.get(7), request.get(16)) == (b"5", b"7")
    rig.feed(gap_fill(rig, 5, 8))
    assert rig.app.seqs() == [4, 8]
    assert rig.state is State.LOGGED_ON


def test_holding_is_bounded_and_what_was_not_held_is_asked_for_again():
    rig = logged_on(settings(gap_buffer=3))
    for seq in range(4, 10):
        rig.say("8", REPORT, seq)
    rig.out()
    for seq in (2, 3):
        rig.say("8", REPORT, seq, dup=True)
    assert rig.app.seqs() == [2, 3, 4, 5, 6]
    assert rig.out() == []  # 16=0 covers what came before the answer began
    rig.wait(10.1)
    asked = [m for m in rig.out() if m.msg_type == "2"]
    assert asked[-1].get(7) == b"7"
    for seq in (7, 8, 9):
        rig.say("8", REPORT, seq, dup=True)
    assert rig.app.seqs() == list(range(2, 10))
    assert rig.state is State.LOGGED_ON


def test_what_was_dropped_after_the_answer_began_is_asked_for_at_once():
    rig = logged_on(settings(gap_buffer=1))
    rig.say("8", REPORT, 4)
    rig.out()
    rig.say("8", REPORT, 2, dup=True)
    rig.say("8", REPORT, 5)  # live, and no room for it
    rig.say("8", REPORT, 3, dup=True)
    assert rig.app.seqs() == [2, 3, 4]
    (request,) = rig.out()
    assert (request.msg_type, request.get(7)) == ("2", b"5")


def test_a_gap_without_progress_is_asked_for_again_and_then_ends_loudly():
    rig = logged_on(settings(gap_retries=2, heartbeat_s=300))
    rig.say("8", REPORT, 4)
    rig.wait(35)
    requests = [m for m in rig.out() if m.msg_type == "2"]
    assert len(requests) == 3
    assert "was not filled" in rig.events(Disconnect)[0].reason
    assert rig.session.next_in == 2


def test_progress_renews_the_deadline():
    rig = logged_on(settings(heartbeat_s=300))
    rig.say("8", REPORT, 9)
    for seq in range(2, 9):
        rig.wait(9)
        rig.say("8", REPORT, seq, dup=True)
    assert [m.msg_type for m in rig.out() if m.msg_type == "2"] == ["2"]
    assert rig.app.seqs() == list(range(2, 10))


def test_a_gap_survives_the_reconnect():
    rig = logged_on()
    rig.say("8", REPORT, 5)
    rig.drop()
    assert rig.session.next_in == 2
    rig.out()
    rig.connect()
    rig.say("A", b"98=0\x01108=30\x01", 6)
    logon, request = rig.out()
    assert (logon.msg_type, request.msg_type, request.get(7)) == ("A", "2", b"2")
    rig.feed(gap_fill(rig, 2, 5))
    rig.say("8", REPORT, 5, dup=True)
    assert rig.app.seqs() == [5]
    assert rig.session.next_in == 7


def test_a_logout_during_a_gap_moves_no_number():
    rig = logged_on()
    rig.say("8", REPORT, 5)
    rig.say("5", b"", 6)
    assert rig.session.next_in == 2
    assert rig.event(Disconnect)


def test_the_peers_request_is_answered_before_our_own_is_sent():
    rig = logged_on()
    rig.send()
    rig.out()
    ask(rig, 2, seq=5)
    fill, request = rig.out()
    assert (fill.msg_type, fill.get(123)) == ("4", b"Y")
    assert (request.msg_type, request.get(7)) == ("2", b"2")
    rig.feed(gap_fill(rig, 2, 5))
    assert rig.session.next_in == 6


def test_heartbeats_and_tests_past_a_gap_are_answered_and_not_processed_again():
    rig = logged_on()
    rig.say("1", b"112=are you there\x01", 4)
    assert rig.types() == ["0", "2"]
    rig.feed(gap_fill(rig, 2, 4))
    assert rig.types() == []
    assert rig.session.next_in == 5


def test_a_venue_without_resend_gets_neither_request_nor_fill_but_a_fresh_logon():
    rig = logged_on(settings(supports_resend=False))
    rig.say("8", REPORT, 4)
    assert rig.types() == ["5"]
    assert rig.event(Disconnect).fresh
    rig.drop()
    rig.connect()
    (logon,) = rig.out()
    assert (logon.seq_num, logon.get(141)) == (1, b"Y")


def test_a_request_from_a_venue_without_resend_ends_the_session():
    rig = logged_on(settings(supports_resend=False))
    ask(rig, 1)
    assert rig.types() == ["5"]
    assert rig.event(Disconnect).fresh


def test_an_owner_that_raises_keeps_the_number_and_gets_the_message_again():
    rig = logged_on()
    rig.app.fail = OSError("journal full")
    with pytest.raises(OSError, match="journal full"):
        rig.say("8", REPORT)
    assert rig.session.next_in == 2
    rig.app.fail = None
    rig.say("8", REPORT)
    (request,) = rig.out()
    assert (request.msg_type, request.get(7)) == ("2", b"2")
    rig.say("8", REPORT, 2, dup=True)
    assert rig.app.seqs() == [2, 3]


def test_what_follows_a_message_that_raised_is_not_lost():
    rig = logged_on()
    rig.app.fail = OSError("journal full")
    with pytest.raises(OSError, match="journal full"):
        rig.feed(rig.peer("8", REPORT) + rig.peer("8", REPORT))
    rig.app.fail = None
    rig.feed(b"")
    assert rig.types() == ["2"]


# --- duplicates and numbers too low


def test_poss_dup_below_the_expected_number_is_suppressed():
    rig = logged_on()
    rig.say("8", REPORT)
    rig.say("8", REPORT, 2, dup=True)
    assert rig.app.seqs() == [2]
    assert rig.out() == []
    assert rig.session.duplicates == 1


def test_poss_dup_in_sequence_is_delivered_with_its_flag():
    rig = logged_on()
    rig.say("8", REPORT, dup=True)
    assert [m[2] for m in rig.app.messages] == [POSS_DUP]


def test_poss_dup_without_the_original_time_is_delivered_with_a_defect():
    rig = logged_on()
    rig.say("8", REPORT, header=b"43=Y\x01")
    assert [(m[2], m[3][0].tag) for m in rig.app.messages] == [(POSS_DUP, 122)]


def test_poss_resend_is_delivered_with_its_flag():
    rig = logged_on()
    rig.say("8", REPORT, header=b"97=Y\x01")
    assert [m[2] for m in rig.app.messages] == [POSS_RESEND]


def test_a_replayed_logout_is_no_logout():
    rig = logged_on()
    rig.say("5", b"", dup=True)
    assert rig.state is State.LOGGED_ON
    assert rig.session.next_in == 3


# --- SequenceReset


def test_sequence_reset_moves_the_expected_number_whatever_its_own():
    rig = logged_on()
    rig.say("4", b"36=20\x01", seq=1)
    assert rig.session.next_in == 20
    rig.say("4", b"123=N\x0136=30\x01", seq=999)
    assert rig.session.next_in == 30
    assert [e.next_in for e in rig.events(NumbersReset)] == [20, 30]
    assert rig.out() == []


def test_sequence_reset_closes_a_gap():
    rig = logged_on()
    rig.say("8", REPORT, 5)
    rig.say("4", b"36=6\x01", 6)
    assert rig.state is State.LOGGED_ON
    assert rig.session.next_in == 6


@pytest.mark.parametrize(("body", "reason"), [(b"36=1\x01", 5), (b"", 1), (b"36=x\x01", 6), (b"36=0\x01", 5)])
def test_a_reset_that_goes_back_or_names_no_number_is_rejected(body, reason):
    rig = logged_on()
    rig.say("8", REPORT)
    rig.say("4", body, 3)
    assert rig.types() == ["3"]
    assert rig.event(RejectSent).reason == reason


@pytest.mark.parametrize("body", [b"123=Y\x0136=2\x01", b"123=Y\x0136=1\x01", b"123=Y\x01"])
def test_a_gap_fill_that_fills_nothing_is_rejected_and_moves_no_number(body):
    rig = logged_on()
    rig.say("4", body)
    assert rig.types() == ["3"]
    assert rig.session.next_in == 2


# --- what the peer asks of us


def test_initiator_answers_with_one_gap_fill_and_never_an_old_order():
    rig = logged_on()
    for kind in ("D", "G", "F", "q"):
        rig.send(kind)
    rig.out()
    ask(rig, 2)
    (fill,) = rig.out()
    assert [fill.get(tag) for tag in (35, 34, 43, 123, 36)] == [b"4", b"2", b"Y", b"Y", b"6"]
    assert fill.get(122) is not None
    assert rig.event(ResendServed) == ResendServed(2, 5, 0)
    assert rig.session.next_out == 6


def test_a_fill_ends_where_the_request_ends():
    rig = logged_on()
    for _ in range(6):
        rig.send()
    rig.out()
    ask(rig, 3, 5)
    (fill,) = rig.out()
    assert (fill.seq_num, fill.get(36)) == (3, b"6")


def test_gap_fills_may_go_without_poss_dup():
    rig = logged_on(settings(gap_fill_poss_dup=False))
    rig.send()
    rig.out()
    ask(rig, 1)
    (fill,) = rig.out()
    assert (fill.get(43), fill.get(122)) == (None, None)


def test_initiator_replays_only_what_its_settings_name():
    rig = logged_on(settings(initiator_replays=frozenset({"F"})))
    for kind in ("D", "F", "D"):
        rig.send(kind, b"11=%s\x01" % kind.encode())
    rig.out()
    ask(rig, 1)
    first, cancel, last = rig.out()
    assert (first.seq_num, first.get(36)) == (1, b"3")
    assert (cancel.msg_type, cancel.seq_num, cancel.get(43), cancel.get(11)) == ("F", 3, b"Y", b"F")
    assert (last.seq_num, last.get(36)) == (4, b"5")


def test_acceptor_replays_application_messages_and_fills_the_others():
    rig = logged_on(ACCEPTOR)
    rig.send("8", b"37=1\x01")
    originals = [rig.wire[-1]]
    rig.say("1", b"112=x\x01")  # our Heartbeat takes a number
    rig.send("8", b"37=2\x01")
    originals.append(rig.wire[-1])
    rig.out()
    rig.clock.advance(5_000_000_000)
    ask(rig, 1)
    fill, one, fill2, two = rig.out()
    assert (fill.seq_num, fill.get(36)) == (1, b"2")
    assert (fill2.seq_num, fill2.get(36)) == (3, b"4")
    for original, again in zip(map(Message.parse, originals), (one, two), strict=True):
        assert (again.msg_type, again.seq_num, again.get(37)) == ("8", original.seq_num, original.get(37))
        assert (again.get(43), again.get(122)) == (b"Y", original.get(52))
        assert again.get(52) != original.get(52)
    assert rig.event(ResendServed).replayed == 2


def test_replays_keep_the_extra_header_once():
    rig = logged_on(settings(ACCEPTOR, extra_header=b"50=sub\x01"))
    rig.send("8", b"37=1\x01")
    rig.out()
    ask(rig, 2)
    (again,) = rig.out()
    assert [tag for tag, _ in again.fields()].count(50) == 1
    assert again.get(37) == b"1"


def test_a_long_replay_is_served_in_chunks_in_order():
    rig = logged_on(settings(ACCEPTOR, resend_chunk=10))
    for number in range(35):
        rig.send("8", b"37=%d\x01" % number)
    rig.out()
    ask(rig, 2)
    assert len(rig.out()) == 10
    sent = []
    for _ in range(10):
        assert rig.session.deadline_ns is not None
        rig.tick()
        sent += [m.seq_num for m in rig.out()]
    assert sent == list(range(12, 37))
    assert rig.event(ResendServed) == ResendServed(2, 36, 35)


@pytest.mark.parametrize(("first", "last"), [(0, 0), (9, 0), (3, 2)])
def test_a_request_for_what_cannot_be_is_rejected(first, last):
    rig = logged_on()
    ask(rig, first, last)
    assert rig.types() == ["3"]
    assert rig.session.next_in == 3


@pytest.mark.parametrize(
    ("body", "tag", "reason"),
    [(b"16=0\x01", b"7", b"1"), (b"7=1\x01", b"16", b"1"), (b"7=x\x0116=0\x01", b"7", b"6")],
)
def test_a_request_without_its_fields_is_rejected(body, tag, reason):
    rig = logged_on()
    rig.say("2", body)
    (reject,) = rig.out()
    assert (reject.get(371), reject.get(373)) == (tag, reason)


def test_a_peer_that_asks_for_the_same_for_ever_is_ended():
    rig = logged_on(settings(resend_repeats=3))
    for _ in range(4):
        ask(rig, 1)
    assert "came 4 times" in rig.event(Disconnect).reason


# --- policies for numbers too low


def test_too_low_under_continue_leads_to_a_fresh_logon():
    rig = logged_on()
    rig.say("8", REPORT, 1)
    assert rig.types() == ["5"]
    assert rig.event(Disconnect).fresh
    assert rig.app.messages == []


def test_too_low_at_an_acceptor_ends_the_connection_and_keeps_the_numbers():
    rig = logged_on(ACCEPTOR)
    rig.say("D", b"11=a\x01", 1)
    assert not rig.event(Disconnect).fresh
    assert rig.session.next_in == 2


def test_too_low_under_trust_venue_adopts_the_venues_number():
    rig = logged_on(settings(sequence_policy=SequencePolicy.TRUST_VENUE))
    for _ in range(5):
        rig.say("8", REPORT)
    rig.say("8", REPORT, 3)
    assert rig.app.seqs()[-1] == 3
    assert rig.session.next_in == 4
    assert "adopted" in rig.event(NumbersReset).reason
    assert rig.state is State.LOGGED_ON


def test_own_number_too_low_under_continue_leads_to_a_fresh_logon():
    rig = Rig()
    rig.connect()
    rig.say("5", b"58=MsgSeqNum too low, expecting 12 but received 1\x01")
    rig.drop()
    rig.out()
    rig.connect()
    (logon,) = rig.out()
    assert (logon.seq_num, logon.get(141)) == (1, b"Y")


def test_own_number_too_low_under_trust_venue_takes_the_number_from_the_text():
    rig = Rig(settings(sequence_policy=SequencePolicy.TRUST_VENUE))
    rig.connect()
    rig.say("5", b"58=MsgSeqNum too low, expecting 12 but received 1\x01")
    rig.drop()
    rig.out()
    rig.connect()
    (logon,) = rig.out()
    assert (logon.seq_num, logon.get(141)) == (12, None)


def test_a_reset_in_the_middle_may_change_the_interval_at_an_acceptor():
    rig = logged_on(ACCEPTOR)
    rig.say("A", b"98=0\x01108=20\x01141=Y\x01", 1)
    (answer,) = rig.out()
    assert (answer.get(108), answer.get(141), answer.seq_num) == (b"20", b"Y", 1)
    rig.wait(20.1)
    assert "0" in rig.types()
