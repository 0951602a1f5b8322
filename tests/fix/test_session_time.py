"""Heartbeats, test requests, halts, rollover, rejects, garbled input, market-data batches."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.calendar import DAY_S, daily_resets
from base.errors import SessionError
from fix.codec import MdDecoder, checksum
from fix.session_events import (
    Disconnect,
    Garbled,
    Halted,
    HeartbeatRoundTrip,
    LoggedOn,
    NumbersReset,
    RejectReceived,
    State,
)
from fix.settings import SequencePolicy
from fix.store import MemoryStore
from tests.fix.session_kit import ACCEPTOR, Rig, S, logged_on, settings

TEN_PM = 22 * 3600


def test_silence_of_ours_is_broken_by_a_heartbeat():
    rig = logged_on()
    rig.wait(29.9)
    assert rig.out() == []
    rig.wait(0.2)
    assert rig.types() == ["0"]


def test_what_we_send_puts_the_heartbeat_off():
    rig = logged_on()
    rig.wait(20)
    rig.send()
    rig.out()
    rig.wait(15)
    assert rig.out() == []


def test_silence_of_the_peer_leads_to_a_test_request_then_to_the_end():
    rig = logged_on()
    rig.wait(36.1)
    assert "1" in rig.types()
    rig.wait(36)
    assert rig.types()[-1] == "5"
    assert "not answered" in rig.events(Disconnect)[0].reason


def test_the_answer_to_a_test_request_is_a_round_trip_time():
    rig = logged_on()
    rig.session.test_request(rig.clock.mono_ns(), rig.clock.wall_ns())
    (test,) = rig.out()
    rig.clock.advance(7_000_000)
    rig.say("0", b"112=%s\x01" % test.need(112))
    assert rig.event(HeartbeatRoundTrip).ns == 7_000_000


def test_any_traffic_keeps_the_session_alive():
    rig = logged_on()
    for _ in range(20):
        rig.wait(30)
        rig.say("0")
    assert "1" not in rig.types()
    assert rig.state is State.LOGGED_ON


def test_a_process_that_was_stopped_asks_before_it_gives_up():
    rig = logged_on()
    rig.clock.advance(600 * S)
    rig.tick()
    assert "1" in rig.types()
    rig.clock.advance(35 * S)
    rig.tick()
    assert not rig.events(Disconnect)
    rig.clock.advance(2 * S)
    rig.tick()
    assert rig.events(Disconnect)


def test_a_test_request_is_echoed():
    rig = logged_on()
    rig.say("1", b"112=hello there\x01")
    (beat,) = rig.out()
    assert (beat.msg_type, beat.get(112)) == ("0", b"hello there")


def test_a_test_request_without_its_id_is_rejected():
    rig = logged_on()
    rig.say("1")
    (reject,) = rig.out()
    assert [reject.get(tag) for tag in (35, 45, 371, 372, 373)] == [b"3", b"2", b"112", b"1", b"1"]
    assert rig.session.next_in == 3


def test_a_reject_says_what_it_is_about():
    rig = logged_on()
    rig.say("3", b"45=17\x01371=44\x01372=D\x01373=5\x0158=bad price\x01")
    event = rig.event(RejectReceived)
    assert (event.ref_seq_num, event.ref_tag_id, event.ref_msg_type, event.reason, event.text) == (
        17, 44, "D", 5, "bad price",
    )  # fmt: skip
    assert rig.out() == []


def test_a_reject_without_fields_is_no_accident():
    rig = logged_on()
    rig.say("3")
    event = rig.event(RejectReceived)
    assert (event.ref_seq_num, event.ref_tag_id, event.reason) == (0, 0, -1)


def test_every_live_state_has_a_deadline():
    rig = Rig()
    assert rig.session.deadline_ns is None
    rig.connect()
    assert rig.session.deadline_ns == rig.clock.mono_ns() + 10 * S
    rig.say("A", b"98=0\x01108=30\x01")
    rig.tick()
    assert rig.session.deadline_ns == rig.clock.mono_ns() + 30 * S
    rig.say("8", b"", 9)
    assert rig.session.deadline_ns == rig.clock.mono_ns() + 10 * S
    rig.session.logout("", rig.clock.mono_ns(), rig.clock.wall_ns())
    assert rig.session.deadline_ns == rig.clock.mono_ns() + 5 * S
    rig.wait(5.1)
    assert rig.state is State.DISCONNECTING
    assert rig.session.deadline_ns is not None
    rig.drop()
    assert rig.session.deadline_ns is None


# --- garbled input


def test_garbled_input_is_counted_and_moves_no_number():
    rig = logged_on()
    good = rig.peer("8")
    rig.feed(good.replace(b"35=8", b"35=9") + rig.peer("8", seq=2))
    assert rig.app.seqs() == [2]
    assert rig.event(Garbled) == Garbled(1, 1)
    rig.feed(b"rubbish" + good.replace(b"35=8", b"35=9") + rig.peer("8", seq=3))
    assert rig.events(Garbled)[-1].total > 1
    assert rig.session.next_in == 4


def test_garbled_input_is_no_sign_of_life():
    rig = logged_on()
    before = rig.session.last_received_ns
    rig.clock.advance(S)
    rig.feed(b"noise" * 10)
    assert rig.session.last_received_ns == before


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_any_cut_of_the_stream_delivers_the_same(cuts):
    rig = logged_on()
    stream = b"".join(rig.peer("8", b"37=%d\x01" % n) for n in range(5))
    at = 0
    for cut in cuts:
        rig.feed(stream[at : at + cut])
        at += cut
    rig.feed(stream[at:])
    assert rig.app.seqs() == [2, 3, 4, 5, 6]


def test_defects_are_listed_beside_a_fill_that_is_delivered_all_the_same():
    rig = logged_on()
    raw = rig.peer("8", b"37=o\x0158=x\x01")
    broken = raw.replace(b"58=x\x01", b"5y=x\x01")
    rig.feed(broken[:-7] + b"10=%03d\x01" % (sum(broken[:-7]) % 256))
    ((kind, _, _, defects, _),) = rig.app.messages
    assert kind == "8"
    assert defects


def test_unknown_types_are_delivered():
    rig = logged_on()
    rig.say("XLR", b"6136=a\x01")
    assert rig.app.messages[0][0] == "XLR"


# --- halt


def halted() -> Rig:
    rig = logged_on(settings(sequence_policy=SequencePolicy.HALT))
    rig.say("8", b"", 1)
    return rig


def test_halt_names_the_command_to_run():
    rig = halted()
    event = rig.event(Halted)
    assert event.command == "qd session reset venue-trading"
    assert "expecting 2 but received 1" in event.reason
    assert rig.types() == ["5"]


def test_a_halted_session_does_not_connect_not_even_after_a_restart():
    rig = halted()
    rig.drop()
    assert rig.state is State.HALTED
    with pytest.raises(SessionError, match="too low"):
        rig.connect()
    again = Rig(rig.settings, rig.store)
    assert again.state is State.HALTED
    with pytest.raises(SessionError):
        again.connect()


def test_the_operators_reset_lets_it_go_on():
    rig = halted()
    rig.drop()
    rig.out()
    rig.session.reset_numbers(1, 50, "operator", rig.clock.wall_ns())
    rig.connect()
    (logon,) = rig.out()
    assert (logon.seq_num, logon.get(141)) == (50, None)
    assert rig.event(NumbersReset) == NumbersReset(1, 50, "operator")


def test_numbers_are_not_set_while_connected():
    rig = logged_on()
    with pytest.raises(SessionError, match="logged_on"):
        rig.session.reset_numbers(1, 1, "operator", 1)


def test_own_number_too_low_halts():
    rig = Rig(settings(sequence_policy=SequencePolicy.HALT))
    rig.connect()
    rig.say("5", b"58=MsgSeqNum too low, expecting 12 but received 1\x01")
    assert rig.event(Halted)
    rig.drop()
    assert rig.state is State.HALTED


# --- rollover


def at(rig: Rig, hour: int, minute: int, day: int = 15) -> None:
    wall = int(datetime(2025, 6, day, hour, minute, tzinfo=UTC).timestamp()) * S
    rig.clock.advance(wall - rig.clock.wall_ns())


def test_at_the_rollover_the_session_logs_out_and_starts_at_one():
    rig = Rig(settings(resets=daily_resets([TEN_PM]), heartbeat_s=3600))
    at(rig, 21, 59)
    rig.store.reset(rig.clock.wall_ns())
    rig.logon()
    rig.send()
    rig.out()
    rig.wait(61)
    assert rig.types() == ["5"]
    rig.say("5")
    rig.drop()
    rig.seq = 1
    rig.connect()
    (logon,) = rig.out()
    assert (logon.seq_num, logon.get(141)) == (1, b"Y")
    rig.say("A", b"98=0\x01108=30\x01141=Y\x01")
    rig.drop()
    rig.connect()
    (second,) = rig.out()
    assert (second.seq_num, second.get(141)) == (2, None)


def test_a_rollover_missed_while_down_is_made_up_for():
    rig = Rig(settings(resets=daily_resets([TEN_PM])))
    at(rig, 21, 0)
    rig.store.reset(rig.clock.wall_ns())
    rig.logon()
    rig.drop()
    at(rig, 3, 0, day=16)
    rig.connect()
    (logon,) = rig.out()
    assert (logon.seq_num, logon.get(141)) == (1, b"Y")


def test_an_acceptor_rolls_over_by_itself():
    rig = Rig(settings(ACCEPTOR, resets=daily_resets([TEN_PM])))
    at(rig, 21, 59)
    rig.store.reset(rig.clock.wall_ns())
    rig.logon(body=b"98=0\x01108=300\x01")
    rig.say("D")
    rig.wait(61)
    rig.say("5")
    rig.drop()
    assert (rig.session.next_in, rig.session.next_out) == (1, 1)
    rig.seq = 1
    rig.logon()
    assert rig.events(LoggedOn)[-1].next_in == 2


@given(st.integers(0, 400 * DAY_S * S), st.sets(st.integers(0, DAY_S - 1), max_size=3))
def test_rollovers_lie_around_now_and_never_further_than_a_day(offset, at_s):
    wall = 1_750_000_000 * S + offset
    resets = daily_resets(sorted(at_s))
    if resets is None:
        assert not at_s
        return
    before, after = resets.last(wall), resets.next(wall)
    assert before is not None
    assert after is not None
    assert before <= wall < after
    assert after - before <= DAY_S * S
    assert before // S % DAY_S in at_s
    assert after // S % DAY_S in at_s


# --- the store


class FullStore(MemoryStore):
    @property
    def full(self) -> bool:
        return True


def test_a_full_store_stops_orders_and_lets_cancels_pass():
    rig = logged_on(store=FullStore(1))
    with pytest.raises(SessionError, match="full"):
        rig.send("D")
    rig.send("F")
    rig.send("q")
    assert rig.types() == ["F", "q"]


def test_a_kill_acts_first_and_is_stored_all_the_same():
    rig = logged_on()
    order = []
    rig.session._write = lambda raw: order.append(("write", rig.store.next_out))
    rig.send("q", b"530=7\x01", act_first=True)
    rig.send("D")
    assert order == [("write", 2), ("write", 4)]
    assert rig.store.next_out == 4


def test_replies_from_within_the_handler_leave_at_once():
    rig = logged_on()
    rig.app.during = lambda message: rig.send("F")
    rig.say("8")
    assert rig.types() == ["F"]


# --- market data in batches


def decoder() -> MdDecoder:
    made = MdDecoder()
    made.add_symbol("BTC/USD", 3, 2, 8)
    return made


def update(rig: Rig, seq: int | None = None) -> bytes:
    return rig.peer("X", b"262=1\x01268=1\x01279=1\x01269=0\x0155=BTC/USD\x01270=50000.1\x01271=2\x01", seq)


def test_runs_of_market_data_take_the_batch_path_and_count():
    rig = logged_on()
    rig.session.md_decoder = decoder()
    rig.feed(b"".join(update(rig) for _ in range(50)))
    assert sum(rig.app.batches) == 50
    assert rig.app.messages == []
    assert rig.session.next_in == 52


def test_other_messages_between_market_data_take_the_usual_path():
    rig = logged_on()
    rig.session.md_decoder = decoder()
    rig.feed(update(rig) + rig.peer("1", b"112=x\x01") + update(rig) + rig.peer("y") + update(rig))
    assert rig.app.batches == [1, 1, 1]
    assert [m[0] for m in rig.app.messages] == ["y"]
    assert rig.types() == ["0"]
    assert rig.session.next_in == 7


def test_a_hole_in_market_data_reaches_the_session():
    rig = logged_on(settings(supports_resend=False))
    rig.session.md_decoder = decoder()
    rig.feed(update(rig) + update(rig, 9))
    assert rig.app.batches == [1]
    assert rig.event(Disconnect).fresh
    assert rig.session.next_in == 3


def test_a_batch_that_its_owner_refuses_moves_no_number():
    rig = logged_on()
    rig.session.md_decoder = decoder()
    rig.app.fail = OSError("bus")
    with pytest.raises(OSError, match="bus"):
        rig.feed(update(rig))
    assert rig.session.next_in == 2


def test_batches_are_a_sign_of_life():
    rig = logged_on()
    rig.session.md_decoder = decoder()
    rig.clock.advance(S)
    rig.feed(update(rig))
    assert rig.session.last_received_ns == rig.clock.mono_ns()


def test_messages_that_a_wrong_length_hides_are_read_after_a_silence():
    rig = logged_on()
    raw = rig.peer("8", b"37=o\x01")
    length = raw.split(b"\x01", 2)[1]
    head = raw.replace(length, b"9=%d" % (int(length[2:]) + 9000), 1)[:-7]
    rig.feed(head + b"10=%03d\x01" % checksum(head))
    rig.say("8", b"37=p\x01")
    assert rig.out() == []
    rig.wait(36.1)
    (request,) = [m for m in rig.out() if m.msg_type not in ("0", "1")]
    assert (request.msg_type, request.get(7)) == ("2", b"2")
    assert rig.event(Garbled).count == 1


def test_the_answer_to_our_test_request_is_found_behind_a_wrong_length():
    rig = logged_on()
    raw = rig.peer("0", seq=2)
    length = raw.split(b"\x01", 2)[1]
    head = raw.replace(length, b"9=%d" % (int(length[2:]) + 9000), 1)[:-7]
    rig.feed(head + b"10=%03d\x01" % checksum(head))
    rig.wait(36.1)
    (test,) = [m for m in rig.out() if m.msg_type == "1"]
    rig.say("0", b"112=%s\x01" % test.need(112), 2)
    rig.wait(36.1)
    assert rig.session.is_logged_on
    assert rig.session.next_in == 3
