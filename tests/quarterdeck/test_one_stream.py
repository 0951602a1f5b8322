"""What a client hears of sessions that tell the same, and what `qd check` says of them."""

import argparse
from pathlib import Path

import msgspec
import pytest

from base.config import DeskConfig, load
from ipc.events import ExecutionReport, OrderState
from ipc.sequence import Delivery, Gap
from quarterdeck.commands import check
from quarterdeck.config_problems import problems
from quarterdeck.one_stream import OneStream
from quarterdeck.redundancy_words import redundancy_words
from tests.risk.ledger_world import placed, report

VENUE = """
[desk]
name = "t"
environment = "test"
[venue.{venue}]
dialect = "{dialect}"
instruments = [
    {{ name = "BTC-USD", symbol = "BTC-USD", px_scale = 2, qty_scale = 4 }},
    {{ name = "ETH-USD", symbol = "ETH-USD", px_scale = 2, qty_scale = 4 }},
]
"""
SESSION = """
[session.{name}]
venue = "v"
kind = "{kind}"
address = "localhost:1"
sender_comp_id = "{name}"
target_comp_id = "V"
{more}
"""


def desk_of(folder: Path, *sessions: tuple[str, str, str], dialect: str = "fix44", more: str = "") -> DeskConfig:
    text = VENUE.format(venue="v", dialect=dialect)
    text += "".join(SESSION.format(name=n, kind=kind, more=keys) for n, kind, keys in sessions)
    (folder / "config").mkdir(exist_ok=True)
    path = folder / "config" / "desk.toml"
    path.write_text(text + more)
    return load(path)


def said(event: ExecutionReport | OrderState | Gap) -> Delivery:
    return Delivery("exec.x", 1, 1, event)


def test_a_copied_report_is_heard_from_whichever_session_tells_it_first(tmp_path: Path) -> None:
    desk = desk_of(tmp_path, ("dc", "dropcopy", ""), ("dc2", "dropcopy", 'redundant_with = "dc"'))
    stream = OneStream(desk)
    first = report(session="dc", drop_copy=True, exec_id="1", trade_id="t")
    second = msgspec.structs.replace(first, session="dc2", recv_ns=first.recv_ns + 5)
    alone = report(session="dc2", drop_copy=True, exec_id="2", trade_id="u")
    entry = report(session="trd", exec_id="1", trade_id="t")
    heard = stream.pick([said(e) for e in (first, second, alone, placed(), Gap("hole", 1, 2), entry, entry)])
    assert [d.event for d in heard] == [first, alone, placed(), Gap("hole", 1, 2), entry, entry]
    assert stream.repeated == 1


def test_an_owners_report_is_always_heard_and_anothers_only_if_nobody_told_it(tmp_path: Path) -> None:
    desk = desk_of(tmp_path, ("trd", "trading", ""), ("trd2", "trading", ""))
    stream = OneStream(desk)
    own = report(session="trd", exec_id="1", strategy="s")
    beside = msgspec.structs.replace(own, session="trd2", strategy="", foreign=True)
    assert stream.pick([said(own), said(beside)]) == [said(own)]
    late = msgspec.structs.replace(own, exec_id="2")
    early = msgspec.structs.replace(beside, exec_id="2")
    assert stream.pick([said(early), said(late)]) == [said(early), said(late)]  # the second one has the owner's name
    stranger = [msgspec.structs.replace(beside, session=s, exec_id="3") for s in ("trd", "trd2")]
    assert stream.pick([said(e) for e in stranger]) == [said(stranger[0])]


def test_without_such_sessions_everything_is_heard(tmp_path: Path) -> None:
    desk = desk_of(tmp_path, ("dc", "dropcopy", ""), ("dc2", "dropcopy", 'instruments = ["ETH-USD"]'))
    copied = report(session="dc", drop_copy=True, exec_id="1")
    assert len(OneStream(desk).pick([said(copied), said(copied)])) == 2


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            'instruments = ["BTC-USD"]',
            'tells the same of BTC-USD, and the loss of one would be no alarm; expected "dc"',
        ),
        ('redundant_with = "dc"', ""),
    ],
    ids=["not said", "said"],
)
def test_drop_copies_that_tell_the_same_are_to_say_so(tmp_path: Path, keys: str, expected: str) -> None:
    found = problems(desk_of(tmp_path, ("dc", "dropcopy", ""), ("dc2", "dropcopy", keys)))
    about = [p for p in found if "redundant_with" in p]
    assert len(about) == bool(expected)
    assert expected in "".join(about)


def test_two_market_data_sessions_of_one_book_would_publish_one_topic(tmp_path: Path) -> None:
    shard = '\n[book.b]\nsessions = ["md", "md2", "md3"]\n'
    three = [("md", "marketdata", ""), ("md2", "marketdata", ""), ("md3", "marketdata", "level = 3")]
    (problem,) = [p for p in problems(desk_of(tmp_path, *three, more=shard)) if "redundant_with" in p]
    assert 'session.md2.redundant_with: "": session.md tells the same of BTC-USD, ETH-USD, and two would' in problem


def test_check_says_what_counts_once_and_what_a_cancel_reaches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sessions = [
        ("md", "marketdata", ""), ("md2", "marketdata", 'redundant_with = "md"'), ("dc", "dropcopy", ""),
        ("dc2", "dropcopy", 'redundant_with = "dc"'), ("trd", "trading", ""),
        ("trd2", "trading", 'redundant_with = "trd"'),
    ]  # fmt: skip
    desk = desk_of(tmp_path, *sessions, more='\n[book.b]\nsessions = ["md", "md2"]\n')
    assert redundancy_words(desk) == [
        "md, md2: the books of v are taken from one of them at a time; the standby's topics begin with md@",
        "dc, dc2: drop copies of v that tell the same; each report counts once, by its ExecID",
        "trd, trd2: reports arrive on the session that placed the order, each counts once, by its ExecID; a single "
        "cancel reaches the session that placed the order",
    ]
    parser = argparse.ArgumentParser()
    check.add_arguments(parser)
    check.run(parser.parse_args([str(desk.path)]))
    assert "dc, dc2: drop copies of v that tell the same" in capsys.readouterr().out
