"""The FIX log: what logging market data costs its session, and how fast logs are read."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import simplefix

from bench.codec import SENT_NS, execution_report, refresh
from bench.report import Row, faster, interleave, print_rows, within
from fix.codec import MdDecoder, Message, encode
from fix.dictionary import Dictionary
from fix.fixlog import FixLog
from fix.fixlog_reader import Filter, Log, Tally, merged
from fix.fixlog_view import Namer, body, fields_of, heading
from fix.session import FixSession
from fix.session_events import FieldDefect, SessionEvent
from fix.settings import Role, SessionSettings
from fix.store import MemoryStore

ROUNDS = 15
RUN = 64  # messages that one socket read brings
RUNS = 50
LOG_BYTES = 8 << 20


class Deaf:
    """Takes market data and throws it away."""

    def logon_body(self, seq_num: int, sending_time: bytes, wall_ns: int) -> bytes:
        """The least there is."""
        return b"98=0\x01108=30\x01"

    def check_logon(self, logon: Message, wall_ns: int) -> str | None:
        """Anybody may."""
        return None

    def on_message(self, message: Message, flags: int, defects: tuple[FieldDefect, ...]) -> None:
        """None comes."""

    def on_batch(self, decoder: MdDecoder, messages: int) -> None:
        """Decoded; room for the next."""
        decoder.records.clear()

    def on_event(self, event: SessionEvent) -> None:
        """Nobody asks."""


def _session(log: FixLog | None) -> FixSession:
    settings = SessionSettings("md", Role.INITIATOR, "DESK", "VENUE", max_latency_s=0)
    session = FixSession(settings, MemoryStore(1), Deaf())
    decoder = MdDecoder()
    decoder.add_symbol("BTC/USD", 0, 1, 8)
    session.md_decoder = decoder
    session.md_log = log
    session.connected(lambda data: None, 1, SENT_NS)
    logon = b"98=0\x01108=30\x01"
    session.received(encode("FIX.4.4", "A", "VENUE", "DESK", 1, SENT_NS, logon), 1, SENT_NS)
    return session


def _feed(folder: Path, runs: list[bytes], logged: bool) -> Callable[[], float]:
    """Microseconds of the session's own thread for a message; the log's thread works beside it."""

    def work() -> float:
        log = FixLog(folder, "md.md", budget_bytes=LOG_BYTES) if logged else None
        session = _session(log)
        start = time.thread_time_ns()
        for run in runs:
            session.received(run, 1, SENT_NS)
        spent = time.thread_time_ns() - start
        if session.next_in != RUN * RUNS + 2:
            raise AssertionError(f"{session.next_in} messages were taken")
        if log is not None:
            log.close()
            if log.lost:
                raise AssertionError(f"{log.lost} lines were lost")
        return spent / (RUN * RUNS) / 1000

    return work


def _written(folder: Path) -> Path:
    log = FixLog(folder, "trd", budget_bytes=1 << 30)
    report = execution_report()
    for n in range(LOG_BYTES // (len(report) + 32)):
        log.put(SENT_NS + n * 1_000_000, True, report)
    log.close()
    return log.path


def _search(path: Path) -> Callable[[], float]:
    """Microseconds a line of a search that finds nothing."""

    def work() -> float:
        tally, start = Tally(print), time.perf_counter_ns()
        for line in merged([Log(path, tally, Filter(ids=frozenset({"NOWHERE"})))]):
            raise AssertionError(line)
        return (time.perf_counter_ns() - start) / tally.lines / 1000

    return work


def _show(path: Path, most: int) -> Callable[[], float]:
    """Microseconds a message in words."""
    namer = Namer(Dictionary.standard("4.4"))

    def work() -> float:
        start, n = time.perf_counter_ns(), 0
        for line in merged([Log(path, Tally(print), Filter())]):
            fields = fields_of(line.raw)
            "\n".join([heading(line, fields, namer, 20), *body(fields, namer, 120)])
            n += 1
            if n == most:
                break
        return (time.perf_counter_ns() - start) / n / 1000

    return work


def _simplefix(most: int) -> Callable[[], float]:
    """Microseconds of a message that simplefix takes apart, without names."""
    report = execution_report()

    def work() -> float:
        parser, start = simplefix.FixParser(), time.perf_counter_ns()
        for _ in range(most):
            parser.append_buffer(report)
            parser.get_message()
        return (time.perf_counter_ns() - start) / most / 1000

    return work


def run(as_json: bool) -> int:
    """Exit status 0 when every figure reached its mark."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = [b"".join(refresh(5, 2 + i * RUN + n) for n in range(RUN)) for i in range(RUNS)]
        plain, logged = interleave(ROUNDS, [_feed(folder, runs, False), _feed(folder, runs, True)])
        path = _written(folder)
        size = path.stat().st_size / (LOG_BYTES // (len(execution_report()) + 32))
        search, show, parse = interleave(ROUNDS, [_search(path), _show(path, 500), _simplefix(500)])
    rows: list[Row] = [
        within('35=X of five entries, read with fix_log = "all"', logged, "us", '"no_marketdata"', plain, 2.0),
        faster(
            f"a line searched for an order ({size / search:,.0f} MB/s)", search, "us", "simplefix parse", parse, 10.0
        ),
        faster(f"a report in words ({size / show:,.0f} MB/s)", show, "us", "simplefix parse alone", parse, 0.8),
    ]
    print_rows(rows, as_json)
    return 0 if all(row.ok for row in rows) else 4
