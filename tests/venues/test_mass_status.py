"""35=AF over a FIX session: the answer is complete or it is none, and never news of an order."""

from typing import Any

import pytest

from base.config import Kind
from base.errors import VenueError
from ipc.events import ExecutionReport
from tests.venues.conformance.cases import CASES
from tests.venues.kit import Heard, Venue, context
from venues.fix44.dialect import DIALECT
from venues.interface import OpenOrder

I = next(c for c in CASES if c.id == "fix44").instrument  # noqa: E741


class Bench:
    def __init__(self, **options: Any) -> None:
        self.heard = Heard()
        made = context(
            "fix44", Kind.TRADING, [I], "DESK", "VENUE", venue_options={"messages": ["D", "AF"]} | options
        )  # fmt: skip
        self.session = DIALECT.trading(made, self.heard)
        self.venue = Venue(self.session, self.heard, "DESK", "VENUE")
        self.venue.logon()
        self.answers: list[tuple[tuple[OpenOrder, ...], str]] = []

    def ask(self, request_id: str = "M1") -> Any:
        self.session.mass_status(request_id, lambda *said: self.answers.append(said), self.venue.mono, self.venue.wall)
        return self.venue.last("AF")

    def says(self, body: str) -> None:
        self.venue.send("8", body)

    def reports(self) -> list[ExecutionReport]:
        return [e for e in self.heard.events if isinstance(e, ExecutionReport)]


def line(n: int, more: str = "") -> str:
    return f"37=V{n}|11=A{n}|17=E{n}|150=I|39=1|54=2|55=BTC-USD|38=2|14=0.5|151=1.5|44=99.5|6=99|584=M1|{more}"


def test_everything_is_asked_for_at_once() -> None:
    asked = Bench(account="X").ask()
    assert (asked.get(584), asked.get(585), asked.get(1)) == (b"M1", b"7", b"X")


def test_the_answer_is_complete_with_the_last_report() -> None:
    bench = Bench()
    bench.ask()
    bench.says(line(1, "911=2|912=N|"))
    assert bench.answers == []
    bench.says(line(2, "911=2|912=Y|"))
    (orders, error) = bench.answers[0]
    assert (error, [o.order_id for o in orders]) == ("", ["V1", "V2"])
    first = orders[0]
    assert (first.cl_ord_id, first.side, first.order_qty, first.cum_qty, first.price, first.status) == (
        "A1", "2", "2", "0.5", "99.5", "1",
    )  # fmt: skip
    assert bench.reports() == []


@pytest.mark.parametrize("ends", ["911=1|", "912=Y|"])
def test_a_count_or_a_mark_is_enough(ends: str) -> None:
    bench = Bench()
    bench.ask()
    bench.says(line(1, ends))
    assert len(bench.answers[0][0]) == 1


def test_a_last_report_that_comes_too_early_is_no_list() -> None:
    bench = Bench()
    bench.ask()
    bench.says(line(1, "911=3|912=Y|"))
    assert bench.answers == [((), "the last of 3 reports came after 1")]


def test_nothing_to_report_is_an_empty_list_and_no_rejected_order() -> None:
    bench = Bench()
    bench.ask()
    bench.says("37=NONE|17=E|150=I|39=8|103=5|54=7|151=0|14=0|6=0|584=M1|911=0|912=Y|58=no orders|")
    assert (bench.answers, bench.heard.events) == ([((), "")], [])


@pytest.mark.parametrize("body", ["45=2|372=AF|379=M1|380=3|58=not here|", "45=2|372=AF|380=3|58=not here|"])
def test_a_business_reject_is_the_answer(body: str) -> None:
    bench = Bench()
    bench.ask()
    bench.venue.send("j", body)
    assert bench.answers == [((), "not here")]


def test_a_session_reject_is_the_answer() -> None:
    bench = Bench()
    asked = bench.ask()
    bench.venue.send("3", f"45={asked.seq_num}|372=AF|373=99|58=not now|")
    assert bench.answers == [((), "not now")]


def test_what_nobody_asked_for_is_delivered_as_a_report() -> None:
    bench = Bench()
    bench.says(line(1, "912=Y|"))
    assert [r.exec_type for r in bench.reports()] == ["I"]


def test_a_fill_is_a_fill_even_in_an_answer() -> None:
    bench = Bench()
    bench.ask()
    bench.says("37=V1|11=A1|17=E1|150=F|39=1|54=2|55=BTC-USD|38=2|14=1|151=1|32=1|31=99|584=M1|912=Y|")
    assert ([r.exec_type for r in bench.reports()], bench.answers) == (["F"], [])


def test_an_answer_after_a_reconnect_is_not_taken_for_the_one_that_was_asked_before() -> None:
    bench = Bench()
    bench.ask()
    bench.session.disconnected("lost", bench.venue.mono, bench.venue.wall)
    bench.venue.logon()
    bench.says(line(1, "911=1|912=Y|"))
    assert bench.answers == []


def test_a_venue_without_the_message_is_not_asked() -> None:
    bench = Bench(messages=["D"])
    with pytest.raises(VenueError, match="35=AF"):
        bench.ask()
