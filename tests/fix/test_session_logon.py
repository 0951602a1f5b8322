"""Logon and Logout of both roles, refusals, header checks."""

import pytest

from base.errors import ConfigError, SessionError, TransportError
from fix.codec import Message
from fix.session import FixSession
from fix.session_events import Disconnect, Disconnected, LoggedOn, LoggedOut, NumbersReset, Refused, RejectSent, State
from fix.settings import SequencePolicy
from fix.store import MemoryStore
from tests.fix.session_kit import ACCEPTOR, INITIATOR, Recorder, Rig, S, logged_on, settings

RESETS = settings(sequence_policy=SequencePolicy.RESET_AT_LOGON)


def test_initiator_says_logon_first_with_the_dialects_fields():
    rig = Rig()
    rig.app.body = b"553=key\x01"
    rig.connect()
    (logon,) = rig.out()
    assert logon.msg_type == "A"
    assert [logon.get(tag) for tag in (49, 56, 34, 98, 108, 141, 553)] == [
        b"DESK", b"VENUE", b"1", b"0", b"30", None, b"key",
    ]  # fmt: skip
    assert rig.state is State.LOGON_SENT


def test_the_hook_sees_the_exact_text_of_34_and_52():
    rig = Rig(settings(sending_time_digits=6))
    rig.connect()
    (logon,) = rig.out()
    assert rig.app.logons == [(logon.seq_num, logon.get(52), rig.clock.wall_ns())]


def test_each_attempt_asks_the_hook_anew():
    rig = Rig()
    rig.connect()
    rig.drop()
    rig.clock.advance(S)
    rig.connect()
    (first, first_time, _), (second, second_time, _) = rig.app.logons
    assert (first, second) == (1, 2)
    assert first_time != second_time


def test_logon_is_stored_before_it_is_written():
    rig = Rig()
    seen = []
    rig.session.connected(lambda raw: seen.append(dict(rig.store.get(1))[1] == raw), 1, rig.clock.wall_ns())
    assert seen == [True]


def test_answer_brings_logged_on_with_both_numbers():
    rig = Rig()
    rig.logon()
    assert rig.event(LoggedOn) == LoggedOn(30, False, 2, 2)
    assert rig.state is State.LOGGED_ON


def test_no_answer_in_time_ends_the_connection():
    rig = Rig()
    rig.connect()
    rig.wait(10.1)
    assert "no Logon in time" in rig.event(Disconnect).reason
    assert rig.state is State.DISCONNECTING


def test_a_disconnect_that_is_not_obeyed_is_asked_for_again():
    rig = Rig()
    rig.connect()
    rig.wait(10.1)
    rig.wait(5.1)
    assert len(rig.events(Disconnect)) == 2


@pytest.mark.parametrize(
    ("kind", "body", "reason"), [("5", b"58=bad key\x01", -1), ("3", b"45=1\x01373=5\x0158=bad key\x01", 5)]
)
def test_logout_or_reject_before_logon_is_a_refusal(kind, body, reason):
    rig = Rig()
    rig.connect()
    rig.say(kind, body)
    refused = rig.event(Refused)
    assert (refused.text, refused.by_peer, refused.reason) == ("bad key", True, reason)
    assert Message.parse(refused.raw).msg_type == kind
    assert rig.event(Disconnect)
    assert rig.session.next_in == 2


def test_anything_else_before_the_answer_is_a_refusal():
    rig = Rig()
    rig.connect()
    rig.say("8", b"37=x\x01")
    assert "35=8 received before Logon" in rig.event(Refused).text
    assert rig.app.messages == []
    assert rig.session.next_in == 1


def test_the_owner_may_refuse_the_answer():
    rig = Rig()
    rig.app.refusal = "wrong environment"
    rig.connect()
    rig.out()
    rig.say("A", b"98=0\x01108=30\x01")
    assert rig.event(Refused) == Refused("wrong environment", False)
    assert rig.types() == ["5"]
    assert not rig.events(LoggedOn)


def test_reset_policy_carries_141_and_starts_both_at_one_each_time():
    rig = Rig(RESETS)
    for _ in range(3):
        rig.seq = 1
        rig.out()
        rig.connect()
        (logon,) = rig.out()
        assert (logon.seq_num, logon.get(141)) == (1, b"Y")
        rig.say("A", b"98=0\x01108=30\x01")
        assert rig.session.is_logged_on
        rig.send()
        rig.say("8")
        rig.drop()
    assert [e.reset for e in rig.events(LoggedOn)] == [True] * 3


def test_an_answer_that_ignored_the_reset_is_refused():
    rig = Rig(RESETS)
    rig.connect()
    rig.say("A", b"98=0\x01108=30\x01", seq=7)
    assert "141=Y" in rig.event(Refused).text


@pytest.mark.parametrize("theirs", [1, 4711])
def test_numbers_that_begin_again_quietly_do_so_on_each_connection_without_a_word_of_141(theirs: int):
    rig = Rig(settings(sequence_policy=SequencePolicy.RESET_QUIETLY))
    for seq in (theirs, theirs + 50):  # the peer's begin where it likes
        rig.connect()
        (logon,) = rig.out()
        assert (logon.seq_num, logon.get(141)) == (1, None)
        rig.say("A", b"98=0\x01108=30\x01", seq)
        rig.say("8", b"37=o\x01", seq + 1)
        assert (rig.state, rig.session.next_out, rig.session.next_in) == (State.LOGGED_ON, 2, seq + 2)
        rig.say("8", b"37=o\x01", seq + 9)  # a hole: the connection may end by it, and nothing is said of 141 then
        rig.drop()
        rig.out()


def test_a_reset_that_nobody_asked_for_leads_to_a_fresh_logon():
    rig = Rig()
    rig.logon()
    rig.drop()
    rig.connect()
    rig.say("A", b"98=0\x01108=30\x01141=Y\x01", seq=1)
    assert rig.event(Disconnect).fresh
    rig.drop()
    rig.out()
    rig.connect()
    (logon,) = rig.out()
    assert (logon.seq_num, logon.get(141)) == (1, b"Y")


def test_a_fresh_logon_is_remembered_by_the_store_until_it_succeeds():
    rig = Rig(settings(supports_resend=False))
    rig.logon()
    rig.say("8", seq=9)
    rig.drop()
    again = Rig(rig.settings, rig.store)
    again.connect()
    again.drop()
    again = Rig(rig.settings, rig.store)
    again.logon()
    assert again.event(LoggedOn).reset
    again.drop()
    once_more = Rig(rig.settings, rig.store)
    once_more.connect()
    (logon,) = once_more.out()
    assert logon.get(141) is None


def test_connecting_twice_is_an_error():
    rig = Rig()
    rig.connect()
    with pytest.raises(SessionError, match="logon_sent"):
        rig.connect()


# --- acceptor


def test_acceptor_answers_a_logon_and_takes_its_heartbeat():
    rig = Rig(ACCEPTOR)
    rig.connect()
    assert rig.out() == []
    assert rig.state is State.AWAIT_LOGON
    rig.say("A", b"98=0\x01108=7\x01")
    (answer,) = rig.out()
    assert [answer.get(tag) for tag in (35, 34, 98, 108, 141)] == [b"A", b"1", b"0", b"7", None]
    assert rig.event(LoggedOn).heartbeat_s == 7


def test_acceptor_learns_the_peer_from_its_logon():
    rig = Rig(settings(ACCEPTOR, target_comp_id=""))
    rig.logon(sender="SOMEONE")
    assert rig.session.target_comp_id == "SOMEONE"
    rig.drop()
    assert rig.session.target_comp_id == ""


def test_acceptor_honours_a_reset():
    rig = Rig(ACCEPTOR)
    rig.logon()
    rig.say("D")
    rig.drop()
    rig.seq = 1
    rig.connect()
    rig.say("A", b"98=0\x01108=30\x01141=Y\x01")
    (answer,) = rig.out()
    assert (answer.seq_num, answer.get(141)) == (1, b"Y")
    assert rig.session.next_in == 2
    assert rig.events(NumbersReset)


@pytest.mark.parametrize(
    ("body", "seq", "text"),
    [
        (b"98=0\x01", 1, "HeartBtInt"),
        (b"98=0\x01108=0\x01", 1, "HeartBtInt"),
        (b"98=0\x01108=soon\x01", 1, "HeartBtInt"),
        (b"98=0\x01108=9999\x01", 1, "HeartBtInt"),
        (b"98=4\x01108=30\x01", 1, "EncryptMethod"),
        (b"98=0\x01108=30\x01141=Y\x01", 5, "MsgSeqNum 1"),
    ],
)
def test_acceptor_refuses_a_wrong_logon_with_the_reason(body, seq, text):
    rig = Rig(ACCEPTOR)
    rig.connect()
    rig.say("A", body, seq=seq)
    assert text in rig.event(Refused).text
    (logout,) = rig.out()
    assert logout.msg_type == "5"
    assert text in (logout.get_str(58) or "")
    assert rig.event(Disconnect)


def test_acceptor_that_resets_at_logon_demands_141():
    rig = Rig(settings(ACCEPTOR, sequence_policy=SequencePolicy.RESET_AT_LOGON))
    rig.connect()
    rig.say("A", b"98=0\x01108=30\x01")
    assert "141" in rig.event(Refused).text


def test_acceptor_asks_its_owner_about_the_credentials():
    rig = Rig(ACCEPTOR)
    rig.app.refusal = "unknown user"
    rig.connect()
    rig.say("A", b"98=0\x01108=30\x01")
    assert rig.event(Refused) == Refused("unknown user", False)
    assert rig.types() == ["5"]


def test_first_message_other_than_logon_is_not_answered():
    rig = Rig(ACCEPTOR)
    rig.connect()
    rig.say("D")
    assert rig.out() == []
    assert "not a Logon" in rig.event(Disconnect).reason


def test_strangers_get_no_answer():
    rig = Rig(ACCEPTOR)
    rig.connect()
    rig.say("A", b"98=0\x01108=30\x01", sender="STRANGER")
    assert rig.out() == []
    assert "STRANGER" in rig.event(Refused).text


def test_a_silent_connection_is_closed():
    rig = Rig(ACCEPTOR)
    rig.connect()
    rig.wait(10.1)
    assert rig.event(Disconnect)


def test_a_second_logon_is_rejected():
    rig = logged_on()
    rig.say("A", b"98=0\x01108=30\x01")
    assert rig.types() == ["3"]
    assert rig.state is State.LOGGED_ON
    assert rig.session.next_in == 3


def test_a_logon_with_reset_while_logged_on_starts_both_numbers_anew():
    rig = logged_on(ACCEPTOR)
    rig.say("D")
    rig.say("A", b"98=0\x01108=30\x01141=Y\x01", seq=1)
    (answer,) = rig.out()
    assert (answer.msg_type, answer.seq_num, answer.get(141)) == ("A", 1, b"Y")
    assert (rig.session.next_in, rig.session.next_out) == (2, 2)


# --- header


@pytest.mark.parametrize("who", [{"sender": "EVIL"}, {"target": "EVIL"}])
def test_wrong_comp_ids_are_rejected_and_end_the_session(who):
    rig = logged_on()
    rig.say("8", **who)
    reject, logout = rig.out()
    assert (reject.msg_type, reject.get(58), reject.get(373)) == ("3", b"CompID problem", b"9")
    assert logout.msg_type == "5"
    assert rig.app.messages == []
    assert rig.session.next_in == 3
    assert rig.event(Disconnect)


def test_another_begin_string_ends_the_session():
    rig = logged_on()
    rig.say("8", begin="FIX.4.2")
    assert rig.types() == ["5"]
    assert "BeginString" in rig.event(Disconnect).reason


def test_a_missing_number_ends_the_session():
    rig = logged_on()
    raw = rig.peer("8").replace(b"\x0134=2\x01", b"\x0144=2\x01")  # same length, same digit sum but one
    total = (sum(raw[:-7])) % 256
    rig.feed(raw[:-7] + b"10=%03d\x01" % total)
    assert "MsgSeqNum(34)" in rig.event(Disconnect).reason
    assert rig.session.next_in == 2


def test_logon_with_a_clock_far_off_is_refused():
    rig = Rig(ACCEPTOR)
    rig.connect()
    rig.say("A", b"98=0\x01108=30\x01", time_ns=rig.clock.wall_ns() - 121 * S)
    assert "SendingTime" in rig.event(Refused).text


def test_an_administrative_message_with_a_clock_far_off_is_rejected_and_ends_the_session():
    rig = logged_on()
    rig.say("0", time_ns=rig.clock.wall_ns() + 121 * S)
    reject, logout = rig.out()
    assert (reject.get(373), logout.msg_type) == (b"10", "5")
    assert rig.event(RejectSent).reason == 10


def test_a_fill_with_a_clock_far_off_is_delivered_before_the_session_ends():
    rig = logged_on()
    rig.say("8", time_ns=rig.clock.wall_ns() - 121 * S)
    assert [(m[0], m[3][0].tag) for m in rig.app.messages] == [("8", 52)]
    assert rig.session.next_in == 3
    assert "SendingTime" in rig.event(Disconnect).reason


def test_the_clock_check_can_be_off():
    rig = logged_on(settings(max_latency_s=0))
    rig.say("0", time_ns=S)
    assert rig.out() == []
    assert rig.state is State.LOGGED_ON


# --- logout


def test_logout_is_a_handshake():
    rig = logged_on()
    rig.session.logout("done for today", rig.clock.mono_ns(), rig.clock.wall_ns())
    (logout,) = rig.out()
    assert (logout.msg_type, logout.get(58)) == ("5", b"done for today")
    assert rig.state is State.LOGOUT_SENT
    rig.say("5")
    assert rig.event(LoggedOut) == LoggedOut("", True)
    assert rig.out() == []
    rig.drop()
    assert rig.event(Disconnected).clean


def test_reports_still_count_while_the_logout_is_open():
    rig = logged_on()
    rig.session.logout("", rig.clock.mono_ns(), rig.clock.wall_ns())
    rig.say("8")
    rig.say("5")
    assert rig.app.seqs() == [2]
    assert rig.session.next_in == 4


def test_an_unanswered_logout_ends_at_its_deadline():
    rig = logged_on()
    rig.session.logout("", rig.clock.mono_ns(), rig.clock.wall_ns())
    rig.wait(5.1)
    assert "not answered" in rig.event(Disconnect).reason
    rig.drop()
    assert not rig.event(Disconnected).clean


def test_a_peers_logout_is_answered():
    rig = logged_on()
    rig.say("5", b"58=maintenance\x01")
    assert rig.types() == ["5"]
    assert rig.event(LoggedOut) == LoggedOut("maintenance", False)
    assert rig.event(Disconnect)


def test_nothing_is_read_after_the_end_was_asked_for():
    rig = logged_on()
    rig.feed(rig.peer("5") + rig.peer("8"))
    assert rig.app.messages == []
    assert rig.session.next_in == 3


def test_a_peer_that_talks_on_after_the_end_fills_no_buffer():
    rig = logged_on()
    rig.say("5")
    for _ in range(50):
        rig.feed(rig.peer("8", b"58=" + b"x" * 100_000 + b"\x01"))
    assert rig.session.framer.pending == 0
    assert rig.app.messages == []


def test_sending_needs_a_logon():
    rig = Rig()
    with pytest.raises(SessionError, match="disconnected"):
        rig.send()
    rig.connect()
    with pytest.raises(SessionError, match="logon_sent"):
        rig.send()
    assert rig.session.next_out == 2


def test_a_new_connection_starts_with_clean_bytes():
    rig = logged_on()
    rig.feed(rig.peer("8")[:20])
    rig.drop()
    rig.seq = 2
    rig.logon()
    rig.say("8")
    assert rig.app.seqs() == [3]


def broken(raw: bytes) -> None:
    raise TransportError("closed")


@pytest.mark.parametrize("given", [INITIATOR, ACCEPTOR])
def test_a_logon_that_cannot_be_written_ends_the_connection(given):
    rig = Rig(given)
    rig.session.connected(broken, rig.clock.mono_ns(), rig.clock.wall_ns())
    if given is ACCEPTOR:
        rig.say("A", b"98=0\x01108=30\x01")
    assert "write failed" in rig.event(Disconnect).reason
    assert rig.state is State.DISCONNECTING
    assert not rig.events(LoggedOn)
    rig.drop()
    assert rig.session.next_out == 2


@pytest.mark.parametrize("act", ["logout", "silence", "gap"])
def test_whatever_cannot_be_written_ends_the_connection_once(act):
    rig = logged_on()
    rig.session._write = broken
    if act == "logout":
        rig.session.logout("", rig.clock.mono_ns(), rig.clock.wall_ns())
    elif act == "silence":
        rig.clock.advance(40 * S)
        rig.tick()
    else:
        rig.say("8", seq=5)
    assert rig.state is State.DISCONNECTING
    assert "write failed" in rig.event(Disconnect).reason
    assert rig.session.next_out == 3


def test_a_write_that_fails_ends_the_session_and_keeps_the_number():
    rig = logged_on()
    rig.session._write = broken  # what a transport does once the peer is gone
    with pytest.raises(TransportError):
        rig.send()
    assert rig.session.next_out == 3
    rig.say("1", b"112=x\x01")
    assert "write failed" in rig.event(Disconnect).reason


@pytest.mark.parametrize(
    ("key", "value"),
    [("sender_comp_id", ""), ("target_comp_id", ""), ("heartbeat_s", 0), ("sending_time_digits", 4),
     ("initiator_replays", frozenset({"D"})), ("gap_timeout_ns", 0)],
)  # fmt: skip
def test_settings_that_cannot_be_name_the_key(key, value):
    with pytest.raises(ConfigError, match=key):
        settings(INITIATOR, **{key: value})


def test_sessions_share_nothing():
    one, two = Recorder(), Recorder()
    first = FixSession(INITIATOR, MemoryStore(1), one)
    FixSession(INITIATOR, MemoryStore(1), two)
    first.connected(lambda raw: None, 1, 1_750_000_000_000_000_000)
    assert (len(one.logons), len(two.logons)) == (1, 0)
