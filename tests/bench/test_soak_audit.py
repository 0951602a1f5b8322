"""The reckoning of a soak names what is lost or doubled, and nothing else."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from base.config import load
from bench.soak_audit import Audit
from bench.soak_desk import configuration
from bench.soak_ears import Session
from ipc.events import ExecutionReport, OrderState, Position
from ipc.sequence import Delivery

NAME = "peer-trd"


def report(exec_id: str, trade_id: str = "", qty: int = 0, order_id: str = "V1", kind: str = "F") -> ExecutionReport:
    return ExecutionReport(
        session=NAME, venue="peer", account="main", instrument="BTC-USD", cl_ord_id="c1", order_id=order_id,
        exec_id=exec_id, exec_type=kind, ord_status="1", side="1", ord_type="2", time_in_force="1", px_scale=2,
        qty_scale=6, order_qty=3, price=100, stop_px=None, last_qty=qty or None, last_px=100, cum_qty=None,
        leaves_qty=None, transact_ns=0, sending_ns=0, recv_ns=0, trade_id=trade_id,
    )  # fmt: skip


def state(name: str = "FILLED", cum: int = 3_000_000, cl_ord_id: str = "c1") -> OrderState:
    return OrderState(
        session=NAME, venue="peer", account="main", instrument="BTC-USD", cl_ord_id=cl_ord_id, order_id="V1",
        state=name, side="1", ord_type="2", time_in_force="1", px_scale=2, qty_scale=6, order_qty=3_000_000,
        price=100, cum_qty=cum, leaves_qty=0, strategy="s", client_id="x", command_id="y", since_ns=1,
    )  # fmt: skip


def position(qty: int = 3_000_000) -> Position:
    return Position(NAME, "peer", "main", "BTC-USD", qty, 6, 0)


GOOD = (report("e1", "t1", 1_000_000), report("e2", "t2", 2_000_000), state(), position())
ORDER: dict[str, Any] = {
    "order_id": "V1", "cl_ord_id": "c1", "instrument": "BTC-USD", "session": "QDPEER", "ord_status": "2",
    "cum_qty": "3", "order_qty": "3", "opened_ns": 5, "closed_ns": 6,
}  # fmt: skip
FILLS: list[dict[str, Any]] = [
    {"order_id": "V1", "cl_ord_id": "c1", "instrument": "BTC-USD", "session": "QDPEER", "side": "1", "trade_id": t,
     "last_px": "1", "last_qty": q, "cum_qty": "3", "time_ns": 7}
    for t, q in (("t1", "1"), ("t2", "2"))
]  # fmt: skip


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    (tmp_path / "config").mkdir()
    path = tmp_path / "config" / "soak.toml"
    path.write_text(configuration(1, 10))
    return Audit(load(path))


def said(*events: Any) -> Session:
    session = Session()
    for seq, event in enumerate(events, 1):
        session.take(Delivery(f"exec.{NAME}", 1, seq, event))
    return session


def found(audit: Audit) -> list[str]:
    return sorted(audit.count().elements())


def test_nothing_is_found_where_all_agree(audit: Audit) -> None:
    audit.trading(NAME, said(*GOOD), [ORDER], FILLS)
    assert found(audit) == []
    assert audit.tallies[NAME][:4] == (1, 2, 2, 0)


def test_a_fill_learnt_without_its_report_is_reconciled_not_lost(audit: Audit) -> None:
    audit.trading(NAME, said(GOOD[0], *GOOD[2:]), [ORDER], FILLS)
    assert found(audit) == []
    assert audit.tallies[NAME][:4] == (1, 2, 1, 1)


@pytest.mark.parametrize(
    ("events", "wrong"),
    [
        ((), ["fills lost", "orders lost", "wrong position"]),
        ((*GOOD[:2], state(cum=1_000_000, name="CANCELED"), position(1_000_000)),
         ["fills lost", "wrong end", "wrong position"]),
        ((*GOOD[:2], state(cum=4_000_000), position()), ["fills doubled"]),
        ((*GOOD, report("e3", "t2", 2_000_000)), ["fills doubled"]),
        ((*GOOD, report("e1", "t1", 1_000_000)), ["fills doubled", "reports doubled", "reports doubled"]),
        ((*GOOD[:2], state("CANCELED"), position()), ["wrong end"]),
        ((*GOOD[:2], state("UNCERTAIN"), position()), ["still open"]),
        ((*GOOD[:3], position(5_000_000)), ["wrong position"]),
    ],
)  # fmt: skip
def test_what_does_not_agree_is_named(audit: Audit, events: tuple[Any, ...], wrong: list[str]) -> None:
    audit.trading(NAME, said(*events), [ORDER], FILLS)
    assert found(audit) == wrong
    assert all(f.session == NAME for f in audit.findings)


def test_a_late_fill_may_complete_an_order_after_its_cancel_was_told(audit: Audit) -> None:
    audit.trading(NAME, said(*GOOD), [{**ORDER, "ord_status": "4"}], FILLS)
    assert found(audit) == []


def test_two_orders_of_the_venue_under_one_name_are_a_doubled_order(audit: Audit) -> None:
    audit.trading(NAME, said(*GOOD), [ORDER, {**ORDER, "order_id": "V2"}], FILLS)
    assert "orders doubled" in found(audit)


def test_an_order_that_was_taken_from_a_strategy_must_be_known(audit: Audit) -> None:
    taken = {"verb": "new", "result": "accepted", "ns": 1}
    lines = [
        {**taken, "said": "c1", "id": "k1"},
        {**taken, "said": "c9", "id": "k2"},
        {**taken, "said": "c1", "id": "k3"},
    ]
    assert audit.commands(NAME, said(*GOOD), lines) == 3
    assert found(audit) == ["orders doubled", "orders doubled", "orders lost"]


def test_copies_are_missed_only_where_the_venue_replays(audit: Audit) -> None:
    copies = said(GOOD[0])
    assert audit.dropcopy("binance-dc", copies, FILLS, replays=False, anew=[]) == (1, 1)
    assert found(audit) == []
    assert audit.dropcopy("peer-dc", copies, FILLS, replays=True, anew=[(6, 8)]) == (1, 1)
    assert found(audit) == []
    audit.dropcopy("peer-dc", copies, FILLS, replays=True, anew=[])
    audit.dropcopy("peer-dc", said(*GOOD, GOOD[1]), FILLS, replays=True, anew=[])
    assert found(audit) == ["copies doubled", "copies lost"]


def test_the_bus_is_held_against_the_journal(audit: Audit) -> None:
    heard = said(*GOOD)
    heard.take(Delivery(f"exec.{NAME}", 1, 1, GOOD[0]))
    audit.bus(NAME, heard, [(1, 9)])
    assert found(audit) == ["events doubled", "events lost"]


def test_the_ledger_may_lack_only_what_it_names_itself(audit: Audit) -> None:
    row = {"order_id": "V1", "trade_id": "t1", "qty": Decimal(1)}
    rest = {"order_id": "V1", "trade_id": "t2", "qty": Decimal(2)}
    assert audit.ledger("peer", FILLS, [row, rest], []) == (2, 0)
    assert audit.ledger("peer", FILLS, [row], [{"order_id": "V1", "kind": "unexplained"}]) == (1, 1)
    assert found(audit) == []
    audit.ledger("peer", FILLS, [row], [])
    audit.ledger("peer", FILLS, [row, rest, rest], [])
    assert found(audit) == ["ledger doubled", "ledger lost"]
