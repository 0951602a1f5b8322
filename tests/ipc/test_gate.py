"""The gate is closed whenever anything is not as it should be, and says what."""

import mmap
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import RegionError
from ipc._words import HEADER_WORDS, Words
from ipc.gate import (
    FIRST_SLOT,
    GATE_KIND,
    GATE_WORDS,
    GENERATION,
    SLOTS,
    GateReader,
    GateState,
    GateWord,
    GateWriter,
    lease_verdict,
    read_scopes,
    scope_key,
    session_scopes,
    set_operator_word,
)
from ipc.gate_names import check_scope

SCOPES = session_scopes("kraken", "main", "kraken-trd")
NOW = 1_000_000_000_000


def make(tmp_path: Path) -> tuple[GateWriter, GateReader]:
    writer = GateWriter(tmp_path / "gate", tmp_path / "operator")
    writer.set("desk", GateState.ARMED)
    for scope in SCOPES:
        writer.add_scope(scope)
    writer.renew(NOW, 500_000_000)
    return writer, GateReader(tmp_path / "gate", tmp_path / "operator", SCOPES)


def test_open_only_when_desk_is_armed_and_the_lease_is_fresh(tmp_path: Path) -> None:
    writer, reader = make(tmp_path)
    assert reader.closed_reason(NOW) == ""
    assert reader.closed_reason(NOW + 500_000_000) == ""
    assert "lease" in reader.closed_reason(NOW + 500_000_001)
    writer.renew(NOW + 600_000_000, 500_000_000)
    assert reader.closed_reason(NOW + 700_000_000) == ""


def test_words_are_read_by_scope_and_those_without_a_slot_are_left_out(tmp_path: Path) -> None:
    writer, _ = make(tmp_path)
    generation = writer.close([SCOPES[0]])
    found = read_scopes(tmp_path / "gate", ["desk", *SCOPES, "strategy:unheard-of"])
    assert found.keys() == {"desk", *SCOPES}
    assert found[SCOPES[0]] == GateWord(generation, GateState.TRIPPING)
    assert found["desk"].state == GateState.ARMED


def test_a_new_desk_is_disarmed(tmp_path: Path) -> None:
    writer = GateWriter(tmp_path / "gate", tmp_path / "operator")
    writer.renew(NOW, 500_000_000)
    assert "desk is DISARMED" in GateReader(tmp_path / "gate", tmp_path / "operator").closed_reason(NOW)


def test_a_missing_gate_is_closed_and_found_once_it_exists(tmp_path: Path) -> None:
    reader = GateReader(tmp_path / "gate", tmp_path / "operator", SCOPES)
    assert "cannot be opened" in reader.closed_reason(NOW)
    make(tmp_path)
    assert reader.closed_reason(NOW + 100_000_000) == ""


def test_a_missing_operator_file_is_closed(tmp_path: Path) -> None:
    writer, _ = make(tmp_path)
    (tmp_path / "operator").unlink()
    reader = GateReader(tmp_path / "gate", tmp_path / "operator", SCOPES)
    assert "operator" in reader.closed_reason(NOW)
    assert not writer.intact()


@pytest.mark.parametrize("state", [s for s in GateState if s != GateState.ARMED])
@pytest.mark.parametrize("scope", ["desk", *SCOPES])
def test_every_word_that_applies_closes_it(tmp_path: Path, scope: str, state: GateState) -> None:
    writer, reader = make(tmp_path)
    assert reader.closed_reason(NOW) == ""
    writer.set(scope, state)
    assert reader.closed_reason(NOW) == f"{scope} is {state.name}"


def test_a_scope_that_gets_its_slot_later_is_obeyed_at_once(tmp_path: Path) -> None:
    writer, reader = make(tmp_path)
    assert reader.closed_reason(NOW, "mm1", "BTC-USD") == ""
    writer.close(["strategy:mm1"])
    assert reader.closed_reason(NOW, "mm1", "BTC-USD") == "strategy:mm1 is TRIPPING"
    assert reader.closed_reason(NOW, "mm2", "BTC-USD") == ""
    writer.close(["instrument:BTC-USD"])
    assert "instrument:BTC-USD" in reader.closed_reason(NOW, "mm2", "BTC-USD")
    assert reader.closed_reason(NOW, "mm2", "ETH-USD") == ""


def test_another_sessions_scope_closes_nothing_here(tmp_path: Path) -> None:
    writer, reader = make(tmp_path)
    writer.close(["session:binance-trd", "venue:binance"])
    assert reader.closed_reason(NOW) == ""
    assert not reader.must_cancel()


def test_each_close_raises_the_generation_owners_watch(tmp_path: Path) -> None:
    writer, reader = make(tmp_path)
    assert reader.generation() == 0
    assert writer.close(["venue:kraken"]) == 1
    assert reader.generation() == 1
    assert writer.get("venue:kraken") == GateWord(1, GateState.TRIPPING)
    assert writer.close(["desk"]) == 2
    writer.set("desk", GateState.TRIPPED)
    assert writer.get("desk") == GateWord(2, GateState.TRIPPED)


def test_owners_cancel_on_trips_and_on_the_operator_word_only(tmp_path: Path) -> None:
    writer, reader = make(tmp_path)
    assert not reader.must_cancel()
    writer.set("desk", GateState.DISARMED)
    assert not reader.must_cancel()
    writer.set("desk", GateState.ARMED)
    writer.close(["strategy:mm1"])
    assert reader.must_cancel("mm1")
    assert not reader.must_cancel("mm2")
    set_operator_word(tmp_path / "operator", "fire", 5)
    assert reader.must_cancel("mm2")


def test_owners_cancel_for_a_scope_that_gets_its_slot_after_they_looked_and_in_a_gate_made_anew(tmp_path: Path) -> None:
    writer, reader = make(tmp_path)
    assert not reader.must_cancel("maker", "BTC-USD")
    writer.close(["strategy:maker"])
    assert reader.must_cancel("maker", "BTC-USD")
    assert not reader.must_cancel("taker", "BTC-USD")
    (tmp_path / "gate").unlink()
    again = writer.rebuilt()
    writer.lapse()
    again.renew(NOW, 500_000_000)
    again.set("strategy:maker", GateState.ARMED)
    assert reader.lapsed_ns(NOW + 100_000_000) == 0
    assert not reader.must_cancel("maker", "BTC-USD")
    again.close(["instrument:BTC-USD"])
    assert reader.must_cancel("maker", "BTC-USD")


def test_the_operator_word_closes_until_the_kill_switch_clears_it(tmp_path: Path) -> None:
    writer, reader = make(tmp_path)
    set_operator_word(tmp_path / "operator", "prices look wrong", 77)
    assert reader.closed_reason(NOW) == "operator word set: prices look wrong"
    assert writer.operator_word() == (77, "prices look wrong")
    writer.clear_operator()
    assert reader.closed_reason(NOW) == ""


def test_a_restarted_kill_switch_keeps_words_and_generation(tmp_path: Path) -> None:
    writer, reader = make(tmp_path)
    generation = writer.close(["desk"])
    again = GateWriter(tmp_path / "gate", tmp_path / "operator")
    assert again.get("desk") == GateWord(generation, GateState.TRIPPING)
    assert again.generation == generation
    again.raise_to(40)
    again.raise_to(12)
    assert again.close(["desk"]) == 41
    assert reader.generation() == 41  # the reader's mapping is the same file


def test_a_restarted_kill_switch_knows_the_scopes_of_the_one_before_by_name(tmp_path: Path) -> None:
    writer, _ = make(tmp_path)
    generation = writer.close(["strategy:m\u00e4ker", "instrument:BTC-USD"])
    again = GateWriter(tmp_path / "gate", tmp_path / "operator")
    assert set(again.scopes()) == {"desk", *SCOPES, "strategy:m\u00e4ker", "instrument:BTC-USD"}
    assert again.get("strategy:m\u00e4ker") == GateWord(generation, GateState.TRIPPING)
    assert again.nameless() == []


def test_words_whose_names_are_lost_are_found_and_opened_only_on_demand(tmp_path: Path) -> None:
    writer, reader = make(tmp_path)
    writer.close(["strategy:maker", "strategy:taker"])
    names = tmp_path / "gate.scopes"
    names.write_bytes(names.read_bytes().replace(b'"strategy:maker"\n', b'"strat') + b"\xff\n")
    again = GateWriter(tmp_path / "gate", tmp_path / "operator")
    assert len(again.nameless()) == 1
    assert "strategy:maker is TRIPPING" in reader.closed_reason(NOW, "maker")
    again.open_nameless()
    assert again.nameless() == []
    assert reader.closed_reason(NOW, "maker") == ""


@pytest.mark.parametrize("damage", ["removed", "emptied", "replaced", "a folder for a while"])
def test_names_that_were_lost_under_a_running_kill_switch_are_written_again(tmp_path: Path, damage: str) -> None:
    writer, _ = make(tmp_path)
    names = tmp_path / "gate.scopes"
    writer.mend_names()
    before = names.stat().st_ino
    writer.mend_names()
    assert names.stat().st_ino == before, "a whole file is left alone"
    if damage == "emptied":
        names.write_bytes(b"")
    else:
        names.unlink()
    if damage == "replaced":
        names.write_bytes(b'"strategy:other"\n')
    if damage == "a folder for a while":
        names.mkdir()
        writer.close(["strategy:maker"])
        writer.mend_names()
        assert "gate.scopes" in writer.names_fault
        names.rmdir()
    else:
        writer.close(["strategy:maker"])
    writer.mend_names()
    assert writer.names_fault == ""
    again = GateWriter(tmp_path / "gate", tmp_path / "operator")
    assert {"desk", *SCOPES, "strategy:maker"} == set(again.scopes())
    assert again.nameless() == []


def test_a_scope_closes_though_its_name_cannot_be_written_and_that_is_said(tmp_path: Path) -> None:
    writer, reader = make(tmp_path)
    (tmp_path / "gate.scopes").unlink()
    (tmp_path / "gate.scopes").mkdir()
    writer.close(["strategy:maker"])
    assert "strategy:maker is TRIPPING" in reader.closed_reason(NOW, "maker")
    assert "gate.scopes" in writer.names_fault


def test_a_replaced_file_is_found_once_the_old_lease_runs_out(tmp_path: Path) -> None:
    _, reader = make(tmp_path)
    assert reader.closed_reason(NOW) == ""
    (tmp_path / "gate").unlink()
    writer = GateWriter(tmp_path / "gate", tmp_path / "operator")
    writer.set("desk", GateState.ARMED)
    later = NOW + 2_000_000_000
    assert "lease" in reader.closed_reason(later)
    writer.renew(later, 500_000_000)
    assert reader.closed_reason(later + 50_000_000) == ""


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda raw: raw[:40], "no region"),
        (lambda raw: b"X" + raw[1:], "magic"),
        (lambda raw: raw[:8] + struct.pack("<Q", 9) + raw[16:], "layout 9"),
        (lambda raw: raw[:16] + b"status\0\0" + raw[24:], "kind"),
        (lambda raw: raw[:-8], "words in the file"),
        (lambda raw: raw[:32] + b"\1" * 16 + raw[48:], "another boot"),
    ],
)
def test_a_foreign_file_is_closed_and_named(tmp_path: Path, damage: object, says: str) -> None:
    make(tmp_path)
    raw = (tmp_path / "gate").read_bytes()
    (tmp_path / "gate").write_bytes(damage(raw))  # type: ignore[operator]
    with pytest.raises(RegionError, match=says):
        Words.open(tmp_path / "gate", GATE_KIND)
    reader = GateReader(tmp_path / "gate", tmp_path / "operator", SCOPES)
    assert says in reader.closed_reason(NOW)


def test_readers_cannot_write(tmp_path: Path) -> None:
    make(tmp_path)
    words = Words.open(tmp_path / "gate", GATE_KIND)
    with pytest.raises(RegionError, match="reading only"):
        words.store(0, 1)
    with pytest.raises(RegionError, match="no word"):
        words.load(GATE_WORDS)


def test_the_file_is_allocated_in_full(tmp_path: Path) -> None:
    make(tmp_path)
    stat = os.stat(tmp_path / "gate")
    assert stat.st_blocks * 512 >= stat.st_size == (HEADER_WORDS + GATE_WORDS) * 8


def test_other_languages_find_a_scope_by_the_documented_layout(tmp_path: Path) -> None:
    """The layout page is enough: FNV-1a key, open addressing, state in the low byte."""
    writer, _ = make(tmp_path)
    writer.close(["session:kraken-trd"])
    key = 0xCBF29CE484222325
    for b in b"session:kraken-trd":
        key = ((key ^ b) * 0x100000001B3) % 2**64
    with open(tmp_path / "gate", "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as m:
        word = lambda i: struct.unpack_from("<Q", m, (8 + i) * 8)[0]  # noqa: E731
        assert m[:7] == b"QDWRDS1"
        at = key % SLOTS
        while word(FIRST_SLOT + 2 * at) != key:
            assert word(FIRST_SLOT + 2 * at) != 0
            at = (at + 1) % SLOTS
        assert word(FIRST_SLOT + 2 * at + 1) == 1 << 8 | GateState.TRIPPING
        assert word(GENERATION) == 1


def test_a_full_table_is_an_error_and_all_its_scopes_are_found(tmp_path: Path) -> None:
    writer = GateWriter(tmp_path / "gate", tmp_path / "operator")
    for i in range(SLOTS):
        writer.add_scope(f"strategy:s{i}")
    with pytest.raises(RegionError, match="taken"):
        writer.add_scope("strategy:one-more")
    writer.set("desk", GateState.ARMED)
    writer.renew(NOW, 1)
    writer.close(["strategy:s4095"])
    reader = GateReader(tmp_path / "gate", tmp_path / "operator")
    assert reader.closed_reason(NOW, "s4095") == "strategy:s4095 is TRIPPING"
    assert reader.closed_reason(NOW, "s0") == ""


def test_scopes_are_checked() -> None:
    for good in ("desk", "venue:kraken", "account:kraken/main", "strategy:a b"):
        assert check_scope(good) == good
    for bad in ("", "venue", "venue:", "planet:mars", "desk:x"):
        with pytest.raises(RegionError):
            check_scope(bad)
    assert scope_key("desk") != scope_key("venue:kraken")


def test_lease_lapse_is_measured_from_its_expiry(tmp_path: Path) -> None:
    writer, reader = make(tmp_path)
    expiry = NOW + 500_000_000
    assert reader.lapsed_ns(expiry) == 0
    assert reader.lapsed_ns(expiry + 7) == 7
    assert reader.lapsed_ns(expiry + 10_000_000_000) == 10_000_000_000
    writer.renew(expiry + 11_000_000_000, 500_000_000)
    assert reader.lapsed_ns(expiry + 11_000_000_000) == 0


def test_without_a_gate_the_lapse_counts_from_the_first_look(tmp_path: Path) -> None:
    reader = GateReader(tmp_path / "gate", tmp_path / "operator")
    assert reader.lapsed_ns(NOW) >= 1
    assert reader.lapsed_ns(NOW + 10_000_000_000) == 10_000_000_000


@given(lapsed=st.integers(-5, 30), after=st.integers(1, 20))
def test_lease_verdict(lapsed: int, after: int) -> None:
    expected = "fresh" if lapsed <= 0 else "cancel" if lapsed >= after else "paused"
    assert lease_verdict(lapsed, after) == expected


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["desk", *SCOPES, "strategy:a", "instrument:BTC-USD"]), st.sampled_from(GateState)),
        max_size=20,
    )
)
def test_open_exactly_when_all_words_are_armed(tmp_path_factory: pytest.TempPathFactory, steps: list) -> None:  # type: ignore[type-arg]
    writer, reader = make(tmp_path_factory.mktemp("g"))
    words = dict.fromkeys(["desk", *SCOPES], GateState.ARMED)
    for scope, state in steps:
        writer.set(scope, state)
        words[scope] = state
        applies = [s for s in words if not s.startswith(("strategy", "instrument")) or s in ("strategy:a",)]
        is_open = all(words[s] == GateState.ARMED for s in applies)
        assert (reader.closed_reason(NOW, "a", "ETH-USD") == "") == is_open


def test_a_close_is_seen_by_another_process(tmp_path: Path) -> None:
    """A reader in another process sees the gate close, and its fence comes back through its own status page."""
    writer, _ = make(tmp_path)
    code = f"""
import time
from ipc.gate import GateReader
from ipc.readiness import StatusPage
page = StatusPage({str(tmp_path / "page")!r}, "owner")
gate = GateReader({str(tmp_path / "gate")!r}, {str(tmp_path / "operator")!r}, {SCOPES!r})
page.set("READY", "")
end = time.monotonic() + 20
while gate.generation() == 0 and time.monotonic() < end: pass
assert gate.closed_reason(time.monotonic_ns())
page.fence(gate.generation())
"""
    owner = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    try:
        from ipc.readiness import read_status

        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                if read_status(tmp_path / "page").readiness == "READY":
                    break
            except RegionError:
                pass
            time.sleep(0.001)
        generation = writer.close(["session:kraken-trd"])
        assert owner.wait(20) == 0
        assert read_status(tmp_path / "page").fence == generation == 1
    finally:
        owner.kill()
        owner.wait()


def test_the_check_before_each_send_is_cheap(tmp_path: Path) -> None:
    """Against the cheapest comparable thing, a dictionary look-up in a method: same run, same machine."""
    _, reader = make(tmp_path)

    class Peer:
        def __init__(self) -> None:
            self.table = {("a", "b"): 1}

        def get(self, mono_ns: int, strategy: str, instrument: str) -> int:
            return self.table[strategy, instrument]

    def best(call: object) -> float:
        times = []
        for _ in range(30):
            begin = time.perf_counter()
            for _ in range(2000):
                call(NOW, "a", "b")  # type: ignore[operator]
            times.append(time.perf_counter() - begin)
        return min(times)

    assert reader.closed_reason(NOW, "a", "b") == ""
    assert best(reader.closed_reason) < 6 * best(Peer().get)
