"""What `make run SECONDS=n` promises."""

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import RunningDesk, end_desk, make_desk

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

KEYS = {
    "sessions_ready", "sessions_total", "books_live", "books_total", "md_messages", "orders_sent", "fills",
    "working_at_trip", "proven_dead", "gate_closed_ms", "all_proven_ms", "ledger_fills", "ledger_breaks",
}  # fmt: skip


def test_the_desk_trades_loses_a_process_and_a_report_and_proves_every_order_dead(folder: Path) -> None:
    desk = make_desk(folder, whole=True)
    try:
        done = RunningDesk(desk).qd("run", str(desk.path), "--seconds", "6", timeout=540)
    finally:
        end_desk(desk)
    said = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stdout + done.stderr
    assert said.keys() >= KEYS
    assert said["sessions_ready"] == said["sessions_total"] == 12
    assert said["books_live"] == said["books_total"] == 10
    assert said["working_at_trip"] >= 20
    assert said["proven_dead"] == said["working_at_trip"]
    assert said["still_working_at_venues"] == 0
    assert said["ledger_fills"] == said["fills"] > 0
    assert said["ledger_breaks"] == 0
    assert said["md_messages"] > 1000


def test_a_desk_that_is_not_simulated_is_not_wiped(folder: Path) -> None:
    desk = make_desk(folder, lambda t: t.replace('environment = "sim"', 'environment = "test"'))
    (desk.data_dir / "kept").mkdir(parents=True)
    done = RunningDesk(desk).qd("run", str(desk.path), "--seconds", "1")
    assert done.returncode == 1
    assert "simulated desks" in done.stderr
    assert (desk.data_dir / "kept").exists()
