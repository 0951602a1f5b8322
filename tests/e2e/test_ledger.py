"""The ledger of a whole desk: what it counts is what the venues' matching engines did, whoever dies meanwhile."""

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from ipc.ledger_read import Filter, LedgerReader
from quarterdeck.demo import Demo
from tests.e2e.conftest import RunningDesk, lenient, make_desk, run_desk, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def text(value: Decimal) -> str:
    """As the venues print it: without superfluous zeros."""
    plain = format(value, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


class Book:
    """The ledger beside what the venues say."""

    def __init__(self, desk: RunningDesk) -> None:
        self.desk = desk
        self.path = desk.desk.data_dir / "ledger" / "ledger.db"

    def at_venues(self) -> list[tuple[str, ...]]:
        """Every fill that the venues' matching engines made."""
        found = []
        for venue in self.desk.desk.config.sim:
            begin, more = 0, True
            while more:
                page = self.desk.venue(venue, "GET", f"/record/fills?from={begin}")
                found += [
                    (venue, f["order_id"], f["trade_id"], f["side"], f["last_qty"], f["last_px"]) for f in page["fills"]
                ]
                begin = page["next"]
                more = begin > 0
        return sorted(found)

    def recorded(self) -> list[tuple[str, ...]]:
        """Every fill of record."""
        sides = {"buy": "1", "sell": "2"}
        with LedgerReader(self.path) as reader:
            return sorted(
                (f["venue"], f["order_id"], f["trade_id"], sides[f["side"]], text(f["qty"]), text(f["px"]))
                for f in reader.fills(Filter())
            )

    def fills_at_venues(self) -> int:
        return sum(self.desk.venue(v, "GET", "/stats")["fills"] for v in self.desk.desk.config.sim)

    def counts(self) -> dict[str, int]:
        with LedgerReader(self.path) as reader:
            return reader.counts()

    def agrees(self) -> bool:
        counts = self.counts()
        return counts["fills"] == self.fills_at_venues() and not counts["waiting"]


def kill(desk: RunningDesk, process: str) -> None:
    before = desk.pid(process)
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: desk.pid(process) not in (before, 0), 60, f"{process} started again")
    wait_for(lambda: desk.readiness(process) == "READY", 60, lambda: f"{process}: {desk.unready()}")


def quote_until(desk: RunningDesk, book: Book, more: int, seconds: float) -> None:
    """Wait for so many more fills at the venues."""
    enough = book.fills_at_venues() + more
    wait_for(
        lambda: book.fills_at_venues() >= enough,
        seconds,
        lambda: f"{more} fills; {desk.unready()}, gate {desk.view().gate}",
    )


@pytest.fixture(scope="module")
def desk() -> Iterator[RunningDesk]:
    """A desk whose orders stay when a trading process dies: fills go on while nobody hears them."""
    path = Path(tempfile.mkdtemp(prefix="qd-"))

    def change(given: str) -> str:
        return (
            lenient(given)
            .replace("arm_at_start = true", "arm_at_start = true\ndead_owner_trips = false")
            .replace("break_after_ms = 5000", "break_after_ms = 2500")
        )

    try:
        yield from run_desk(make_desk(path, change))
    finally:
        shutil.rmtree(path, ignore_errors=True)


def test_a_fill_that_the_drop_copy_never_showed_is_a_break_within_the_stated_time(desk: RunningDesk) -> None:
    config = ("--config", str(desk.desk.path))
    fault = {"kind": "lost_report", "arguments": {"exec_type": "F", "session": "QDDC1"}}
    desk.venue("binance", "POST", "/fault", fault)
    cl_ord_id = desk.order("binance", "BTC-USDT", "buy", "0.01", "30000")
    order = wait_for(
        lambda: next((o for o in desk.working("binance") if o["cl_ord_id"] == cl_ord_id), None), 60, "it works"
    )
    desk.venue("binance", "POST", "/fill", {"order_id": order["order_id"]})

    def breaks() -> list[str]:
        return desk.qd("ledger", "breaks", "--json", *config).stdout.splitlines()

    found = wait_for(breaks, 60, "the break is shown")
    assert len(found) == 1
    assert '"kind":"missing","lacks":"drop_copy"' in found[0]
    assert order["order_id"] in found[0]
    number = str(json.loads(found[0])["id"])
    accepted = desk.qd("ledger", "accept", number, "--reason", "seen on the venue's page", *config)
    assert accepted.returncode == 0, accepted.stderr
    wait_for(lambda: not breaks(), 60, "closed")
    assert "accepted: seen on the venue's page" in desk.qd("ledger", "breaks", "--all", "--json", *config).stdout


def test_no_fill_is_lost_or_doubled_whoever_is_killed_in_the_middle_of_it(desk: RunningDesk) -> None:
    desk.wait_ready()
    demo, book = Demo(desk.desk, lambda _: None), Book(desk)
    try:
        demo.start_quoter()
        quote_until(desk, book, 10, 180)
        for process in ("binance-trd", "ledger", "kraken-trd"):
            kill(desk, process)
            quote_until(desk, book, 3, 180)
        os.kill(desk.pid("ledger"), signal.SIGSTOP)  # away for a while: it catches up
        quote_until(desk, book, 10, 180)
        os.kill(desk.pid("ledger"), signal.SIGKILL)
    finally:
        demo.stop_quoter()
    trip = ("kill", "trip", "--reason", "end of the test", "--config", str(desk.desk.path))
    wait_for(lambda: desk.qd(*trip).returncode == 0, 60, "a trip that is answered")
    wait_for(lambda: desk.ask("kill", "status")["last_trip"]["all_proven_ms"] is not None, 60, "all proven")
    wait_for(lambda: desk.readiness("ledger") == "READY", 60, lambda: f"the ledger is back: {desk.unready()}")
    wait_for(book.agrees, 60, lambda: f"{book.counts()}, at the venues {book.fills_at_venues()}")
    assert book.recorded() == book.at_venues()
    shown = desk.qd("ledger", "breaks", "--config", str(desk.desk.path)).stdout
    assert book.counts()["breaks"] == 0, shown
