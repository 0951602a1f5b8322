"""`qd kill why` and `qd kill audit` of trips that the real process made, and what a reader finds in them."""

import contextlib
import io
import json
import re
from typing import Any

import pytest

from quarterdeck.cli import main
from tests.procs.kill_venue import KillDesk
from tests.procs.test_killswitch import Make, desk_of  # noqa: F401 - the fixture

pytestmark = pytest.mark.e2e


def qd(desk: KillDesk, *args: str) -> tuple[int, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(["kill", *args, "--config", str(desk.desk.path)])
    return status, out.getvalue() + err.getvalue()


def shape(text: str) -> list[str]:
    """What does not depend on the moment: numbers and times become #, plurals one, lines of a timeline are sorted."""
    text = re.sub(r"t\d+-\d+", "TRIP", text)
    text = re.sub(r"[ab]\d{3,}\w*", "ORDER", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", "WHEN", text)
    text = re.sub(r"\d[\d.,]*", "#", text)
    text = re.sub(r"(cancel|answer|list|cancel-all|order)s\b", r"\1", text)
    text = re.sub(r", the last after # ms(?! with)", "", text)
    text = re.sub(r"\([ab] # ms(, [ab] # ms)*\)", "(OWNERS)", text)
    text = re.sub(r"the last after # ms with # in it", "LAST", text)
    text = re.sub(r", # order by its own count", "", text)  # owners may have been quicker
    sections: list[str] = []
    block: list[str] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("  "):
            block.append(re.sub(r"\s+", " ", line).strip())
            continue
        sections += sorted(block) if sections and sections[-1].startswith("What was done") else block
        block = []
        sections += [line] if line else []
    return sections


DESK_TRIP = """
Trip TRIP of desk, WHEN
TRIPPED: every order is proven dead, the gate is closed
What tripped it
A person tripped it: test (by test)
What was done (time after the trip was received)
# ms alarm: critical tripped: desk: operator: test (by test)
# ms desk: every order proven dead
# ms fence complete: nobody who owns order can send any more (OWNERS)
# ms gate closed (generation #): no new order leaves
# ms the first cancel was handed to its wire
# ms x rest: # cancel-all sent; # answer, the first after # ms; # open-order list, LAST
What traded on the way
nothing
What proves it
proven dead: # of # order
# by their own final report
the last proof came after # ms
What is open
no order; the gate stays closed until a person resets it
What to do next
# Find the cause; nothing opens by itself.
# Then: qd kill reset --reason "the cause, and what was done"
"""


def golden(text: str) -> list[str]:
    return text.strip().splitlines()


def test_a_desk_trip_is_told_from_its_cause_to_what_to_do_next(desk_of: Make) -> None:  # noqa: F811
    desk = desk_of()
    desk.start(orders=2)
    desk.trip()
    desk.wait_proven()
    desk.wait(lambda: "proofs" in qd(desk, "audit")[1], "written")
    told: list[str] = []

    def as_it_ends() -> bool:  # an answer may come after the last proof
        told[:] = [x for x in shape(qd(desk, "why")[1]) if "commands" not in x]
        return told == golden(DESK_TRIP)

    desk.wait(as_it_ends, lambda: f"told as it was: {told}")
    assert qd(desk, "why")[0] == 0
    trip_id = desk.status()["last_trip"]["trip_id"]
    desk.kill("killswitch")
    assert qd(desk, "why", trip_id)[1].startswith(f"Trip {trip_id} of desk")  # without a kill switch, too
    status, text = qd(desk, "why", "t1")
    assert status == 1
    assert trip_id in text
    status, text = qd(desk, "audit", "--verify")
    assert status == 0
    assert "nothing was changed, nothing is missing" in text
    rows = [json.loads(x) for x in qd(desk, "audit", "--trip", trip_id, "--json")[1].splitlines()]
    assert {"trip", "sent", "answer", "listed", "PROVEN", "proofs"} <= {r["event"] for r in rows}
    (proofs,) = [r["facts"]["orders"] for r in rows if r["event"] == "proofs"]
    assert len(proofs) == 4
    assert all(p["how"] for p in proofs)
    (path,) = (desk.desk.data_dir / "kill").glob("audit-*.jsonl")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    status, text = qd(desk, "audit", "--verify")
    assert status == 1
    assert "are missing at the end: the anchor names them" in text
    assert "THE AUDIT TRAIL IS NOT WHOLE" in qd(desk, "why")[1]


def test_a_limit_and_a_reset_are_told_with_figures_and_who_opened_again(desk_of: Make) -> None:  # noqa: F811
    desk = desk_of(limits='[[kill.limits]]\nscope = "session:a"\nmax_open_orders = 4\n')
    desk.start(orders=2)
    desk.place("a", 6)
    trip = desk.wait_proven()
    assert desk.ask("reset", scope="session:a", reason="raised the limit", by="kim").accepted
    desk.wait(lambda: "over: session:a was opened again" in qd(desk, "why")[1], "told")
    text = qd(desk, "why")[1]
    assert re.search(r"A limit was passed: open orders \d+ of session:a: over 4", text)
    assert "Nothing: session:a is ARMED again. Reset by kim: raised the limit" in text
    assert f"Trip {trip['trip_id']} of session:a" in text


def under_way(desk: KillDesk) -> dict[str, Any]:
    desk.start(orders=2)
    desk.venue.deaf = True
    desk.trip()
    desk.wait(lambda: "not_proven" in qd(desk, "why")[1], "overdue")
    return desk.status()["last_trip"]  # type: ignore[no-any-return]


def test_a_trip_under_way_says_what_is_open_and_what_a_person_does_meanwhile(desk_of: Make) -> None:  # noqa: F811
    desk = desk_of(owners=("a",), proof_s=1)
    trip = under_way(desk)
    text = qd(desk, "why")[1]
    assert "UNDER WAY: NOT EVERY ORDER IS PROVEN DEAD" in text
    assert "proven dead: 0 of 2 orders" in text
    names = trip["unproven"]
    opened = text.split("What is open")[1]
    assert all(name in opened for name in names)
    assert "Meanwhile look at the venues' own pages" in opened
    assert '--reason "the cause, and what was done" --force' in opened
    desk.kill("killswitch")
    text = qd(desk, "why")[1]
    assert "The kill switch does not answer. Start it" in text
    assert "as of the last line of the audit trail" in text
