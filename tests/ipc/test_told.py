"""Reports are known again by the venue's own names for them."""

from typing import Any

import msgspec
import pytest

from ipc.events import ExecutionReport
from ipc.told import Name, Told, name_of


def named(**more: Any) -> Name | None:
    """The name of such a report; None: it has none."""
    fields: dict[str, Any] = {
        "session": "s", "venue": "v", "account": "main", "instrument": "BTC-USD", "venue_symbol": "BTC/USD",
        "cl_ord_id": "A", "order_id": "O1", "exec_id": "E1", "exec_type": "F", "ord_status": "1", "side": "1",
        "ord_type": "2", "time_in_force": "1", "px_scale": 2, "qty_scale": 4, "order_qty": 10, "price": 5,
        "stop_px": None, "last_qty": 1, "last_px": 5, "cum_qty": 1, "leaves_qty": 9, "transact_ns": 0,
        "sending_ns": 0, "recv_ns": 0,
    }  # fmt: skip
    return name_of(ExecutionReport(**(fields | more)))


@pytest.mark.parametrize(
    "other",
    [
        {"exec_id": "E2"}, {"trade_id": "T2"}, {"exec_type": "4"}, {"order_id": "O2"}, {"venue_symbol": "ETH/USD"},
        {"cum_qty": 77},
    ],
    ids=lambda other: next(iter(other)),
)  # fmt: skip
def test_a_report_is_known_again_and_another_one_is_not(other: dict[str, Any]) -> None:
    told = Told()
    assert named() not in told
    told.note(named())
    assert named(recv_ns=5, poss_dup=True, client_id="x", swept=True) in told
    assert named(**other) not in told


def test_without_an_order_id_the_order_is_told_by_our_own_name() -> None:
    told = Told()
    told.note(named(order_id="", cl_ord_id="A"))
    assert named(order_id="", cl_ord_id="A") in told
    assert named(order_id="", cl_ord_id="B") not in told


@pytest.mark.parametrize(
    "nameless",
    [{"exec_id": ""}, {"exec_type": "I"}, {"origin": "rest"}, {"origin": "local"}],
    ids=["no name", "an answer", "over REST", "our own"],
)
def test_what_has_no_name_of_its_own_is_always_news(nameless: dict[str, Any]) -> None:
    told = Told()
    told.note(named(**nameless))
    assert named(**nameless) not in told
    assert told.latest(1 << 20) == []


def test_the_latest_are_kept_and_as_many_as_fit_are_written() -> None:
    told = Told(kept=10)
    for n in range(30):
        told.note(named(exec_id=f"E{n}"))
    assert [n for n in range(30) if named(exec_id=f"E{n}") in told] == list(range(20, 30))
    assert [name[2] for name in told.latest(1 << 20)] == [f"E{n}" for n in range(20, 30)]
    size = len(msgspec.msgpack.encode(told.latest(1 << 20)[-1]))
    assert [name[2] for name in told.latest(3 * size + 1)] == ["E27", "E28", "E29"]


def test_what_a_writing_has_takes_the_place_of_what_was_read_before() -> None:
    first, then = Told(), Told()
    for n in range(3):
        first.note(named(exec_id=f"E{n}"))
    then.note(named(exec_id="E2"))
    then.replace(first.latest(1 << 20))
    assert [name[2] for name in then.latest(1 << 20)] == ["E0", "E1", "E2"]
