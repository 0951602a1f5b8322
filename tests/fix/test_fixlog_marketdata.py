"""Market data in the FIX log: each message of a run on its own, in a file beside the session's, when asked for."""

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.config import Config, DeskConfig, Kind, SessionConfig
from base.instruments import Instrument
from fix._fixlog import LogQueue
from fix.codec import Framer, MdDecoder, encode
from fix.fixlog import FixLog, Masker
from tests.fix.session_kit import INITIATOR, Rig
from tests.venues.kit import Heard, Records, context
from venues.registry import dialect

WALL = 1_750_000_000_123_456_789


def message(number: int, body: bytes = b"") -> bytes:
    return encode("FIX.4.4", "X", "VENUE", "DESK", number, WALL, body)


def update(rig: Rig) -> bytes:
    return rig.peer("X", b"262=1\x01268=1\x01279=1\x01269=0\x0155=BTC/USD\x01270=50000.1\x01271=2\x01")


def lines(log: FixLog) -> list[bytes]:
    log.close()
    return log.path.read_bytes().splitlines()


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    made = Rig(INITIATOR, log=FixLog(tmp_path, "venue"))
    made.session.md_log = FixLog(tmp_path, "venue.md")
    made.logon()
    made.session.md_decoder = MdDecoder()
    made.session.md_decoder.add_symbol("BTC/USD", 3, 2, 8)
    return made


def test_each_message_of_a_run_is_a_line_of_its_own_log(rig):
    before = [update(rig) for _ in range(10)]
    news = rig.peer("B", b"148=x\x01")
    after = [update(rig) for _ in range(10)]
    rig.feed(b"".join([*before, news, *after]))
    assert rig.app.batches == [10, 10]
    md = lines(rig.session.md_log)
    assert [line[30:] for line in md] == before + after
    assert all(line[27:30] == b" < " for line in md)
    own = lines(rig.session._log)
    assert [re.search(rb"\x0135=(\w)", line)[1] for line in own] == [b"A", b"A", b"B"]


def test_runs_that_come_in_pieces_are_logged_once(rig):
    feed = [update(rig) for _ in range(30)]
    stream = b"".join(feed)
    for at in range(0, len(stream), 97):
        rig.feed(stream[at : at + 97])
    assert [line[30:] for line in lines(rig.session.md_log)] == feed


def test_what_is_garbled_between_them_hides_no_message(rig):
    feed = [update(rig) for _ in range(4)]
    rig.feed(feed[0] + feed[1] + b"8=FIX.4.4\x01garbage" + feed[2] + feed[3])
    logged = lines(rig.session.md_log) + lines(rig.session._log)
    # What comes right behind garbage takes the usual path, and so is in the session's own log.
    assert [line[30:] for line in sorted(logged) if b"\x0135=X\x01" in line] == feed


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8))
def test_a_run_is_cut_where_its_messages_end(texts):
    messages = [message(n + 1, b"95=%d\x0196=%s\x0158=%d\x01" % (len(text), text, n)) for n, text in enumerate(texts)]
    one, each = LogQueue(), LogQueue()
    for queue in (one, each):
        queue._begin(Masker(), 1 << 20)
    one.put_run(WALL, True, b"".join(messages))
    for single in messages:
        each.put(WALL, True, single)
    one.turn()
    each.turn()
    assert one.take(1 << 20) == each.take(1 << 20)


@given(st.binary(max_size=200))
def test_any_bytes_may_be_a_run(data):
    queue = LogQueue()
    queue._begin(Masker(), 1 << 20)
    queue.put_run(WALL, True, data)
    queue.turn()
    _, _, size = queue.take(1 << 20)
    assert size == len(data)


def test_what_was_taken_can_be_had_until_the_next_feed():
    framer = Framer()
    first, second = message(1), message(2)
    framer.feed(first + second)
    before = framer.consumed
    framer.next()
    assert framer.since(before) == first
    framer.next()
    assert framer.since(before) == first + second
    assert framer.since(framer.consumed) == b""
    with pytest.raises(Exception, match="since"):
        framer.since(framer.consumed + 1)


@pytest.mark.parametrize(("setting", "kept"), [("all", True), ("no_marketdata", False)])
def test_a_market_data_session_keeps_what_its_configuration_says(tmp_path, setting, kept):
    instruments = [Instrument("fix44", "BTC-USD", "BTC/USD", 2, 8)]
    given_context = context("fix44", Kind.MARKETDATA, instruments, "DESK", "VENUE", fix_log=setting)
    given_context = msgspec.structs.replace(given_context, log_dir=tmp_path)
    session = dialect("fix44").marketdata(given_context, Heard(), Records())
    session.close()
    assert (tmp_path / "fix44-marketdata-DESK.fix.log").exists()
    assert (tmp_path / "fix44-marketdata-DESK.md.fix.log").exists() == kept


def test_no_session_but_market_data_has_a_second_log(tmp_path):
    given_context = context("fix44", Kind.TRADING, [], "DESK", "VENUE", fix_log="all")
    dialect("fix44").trading(msgspec.structs.replace(given_context, log_dir=tmp_path), Heard()).close()
    assert [p.name for p in tmp_path.iterdir()] == ["fix44-trading-DESK.fix.log"]


@given(
    st.integers(1, 500),
    st.lists(st.tuples(st.sampled_from(Kind), st.booleans(), st.sampled_from(["all", "no_marketdata"])), max_size=12),
)
def test_all_logs_of_a_desk_together_keep_to_its_budget(budget_mb, sessions):
    made = {
        f"s{n}": SessionConfig(
            venue="v", kind=kind, address="127.0.0.1:1", sender_comp_id="A", target_comp_id="B", fix_log=fix_log,
            alternate_sender_comp_id="C" if other else "",
        )
        for n, (kind, other, fix_log) in enumerate(sessions)
    }  # fmt: skip
    raw = {
        "desk": {"name": "d", "log_budget_mb": budget_mb},
        "venue": {"v": {"dialect": "fix44", "instruments": []}},
        "session": msgspec.to_builtins(made),
    }
    desk = DeskConfig(msgspec.convert(raw, Config), Path("/tmp/x/config/d.toml"), b"")
    files = sum((1 + other) * (2 if kind == Kind.MARKETDATA and log == "all" else 1) for kind, other, log in sessions)
    processes = len(sessions) + 3  # and the kill switch, the ledger, the informer
    assert files * desk.fix_log_bytes + processes * desk.process_log_bytes <= budget_mb << 20
    assert not files or desk.fix_log_bytes * files > (budget_mb << 20) // 2 - files
