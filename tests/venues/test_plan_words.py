"""What `qd kill plan` tells a person: all of the plan's data, in words, and nothing that the data does not say."""

from pathlib import Path

import msgspec
import pytest

from base.config import DeskConfig, load
from base.errors import ConfigError
from base.kill_config import KillConfig
from risk.kill_plan import make_plan
from tests.venues.conformance.cases import CASES, Case
from venues.cancel_plan import DeadMan
from venues.certified import Finding, finding_path, read_finding, stale, venue_fingerprint, write_finding
from venues.kill_topology import kill_venue, plan_of, topology_of
from venues.plan_words import VenueFacts, plan_text

ROOT = Path(__file__).resolve().parents[2]
DAY = 86_400_000_000_000
NOW = 1_795_000_000_000_000_000


@pytest.fixture
def desk(tmp_path: Path) -> DeskConfig:
    (tmp_path / "config").mkdir()
    path = tmp_path / "config" / "desk.toml"
    path.write_text((ROOT / "config" / "desk.toml").read_text())
    return load(path)


def page(desk: DeskConfig, scope: str = "desk", dead_man_s: int = 0) -> str:
    topology = topology_of(desk, NOW)
    facts = {
        n: VenueFacts(
            plan=plan_of(desk, n), venue=v, sessions=dict.fromkeys(v.kill_sessions, "READY"), dead_man_s=dead_man_s
        )
        for n, v in topology.venues.items()
    }
    return " ".join(plan_text(topology, make_plan(topology, scope), facts, KillConfig()).split())


def part(text: str, venue: str) -> str:
    """The words about one venue."""
    return text.partition(f"{venue}, account")[2].partition(", account")[0]


def test_kraken_says_silence_two_readings_of_530_7_and_rest_for_the_account(desk: DeskConfig) -> None:
    said = part(page(desk), "kraken")
    for words in (
        "35=q 530=7, by the kill switch NOT USED in this scope: the kill switch has no session of its own",
        "reaches orders of this SenderCompID; a dead owner's once its process runs again",
        "with nothing to cancel: silence: no report, and there is no 35=r",
        "35=q 530=7 is documented two ways",
        "POST /0/private/CancelAll, over REST, by the kill switch itself reaches every order of the account",
        "dead owner at once by POST /0/private/CancelAll, POST /0/private/CancelOrder;",
        "POST /0/private/CancelOrder, for each order that is left, over REST, by the kill switch itself",
        "for what the cancel-all has not ended after 3 s",
        "there is no drop copy",
        "NOT ARMED: the venue has a timer (POST /0/private/CancelAllOrdersAfter",
        "maintenance: 35=h 340=1",
        "by hand",
    ):
        assert words in said, words


def test_binance_says_one_a_symbol_account_wide_and_how_late_drop_copy_is(desk: DeskConfig) -> None:
    said = part(page(desk), "binance")
    for words in (
        "35=q 530=1, one for each instrument, by the kill switch on binance-kill (READY)",
        "every order of the account, whoever placed it, on BTC-USDT, ETH-USDT; a dead owner's, too",
        "with nothing to cancel: 35=r 531=0 with 25016=-2011",
        "drop copy comes 1 s late: it can refute a proof, and proves nothing",
        "absence from two lists (GET /api/v3/openOrders) after the fence, more than 1 s apart",
        "the venue has no cancel-all-after timer",
        "the venue has no timer and is taken to keep orders",
    ):
        assert words in said, words


def test_steps_that_reach_beyond_the_scope_are_said_with_why_they_rest(desk: DeskConfig) -> None:
    said = part(page(desk, "strategy:mm"), "binance")
    assert said.count("NOT USED in this scope: reaches orders of other strategies") == 3
    assert "kraken, account" not in page(desk, "venue:binance")


def test_a_timer_that_is_armed_is_said_with_what_renews_it(desk: DeskConfig) -> None:
    said = part(page(desk, dead_man_s=60), "kraken")
    assert "armed with 60 s (POST /0/private/CancelAllOrdersAfter timeout=SECONDS)" in said
    assert "fires as well when the engine comes back from downtime" in said


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_every_step_and_doubt_of_every_dialect_is_on_the_page(case: Case, desk: DeskConfig) -> None:
    """The page is made of data alone: what a dialect states is there, whatever the venue."""
    plan = case.dialect.cancel_plan(case.venue)
    mine = kill_venue(desk, "kraken", NOW)
    lists = case.venue.rest is not None
    venue = msgspec.structs.replace(
        mine, name="v", steps=plan.steps, lists=lists, unproven=plan.unproven, kill_sessions=("k",)
    )
    topology = topology_of(desk, NOW)
    topology.owners["o"] = msgspec.structs.replace(topology.owners["kraken-trd"], session="o", venue="v")
    topology.venues.clear()
    topology.venues["v"] = venue
    facts = {"v": VenueFacts(plan=plan, venue=venue, sessions={"k": ""}, dead_man_s=60)}
    text = " ".join(plan_text(topology, make_plan(topology, "venue:v"), facts, KillConfig()).split())
    for step in plan.steps:
        for words in (step.says, step.answered_by, step.when_empty, *step.notes):
            assert words in text, words
    for words in (*plan.unproven, *plan.by_hand, *plan.refused_when, plan.list_says):
        assert words in text, words
    timer = plan.dead_man or DeadMan(says="no cancel-all-after timer", disable_says="")
    assert timer.says in text


def test_a_timer_that_the_venue_has_not_is_a_mistake_with_its_path(desk: DeskConfig) -> None:
    text = desk.path.read_text()
    desk.path.write_text(text.replace("[venue.binance]\n", "[venue.binance]\ndead_man_s = 60\n"))
    with pytest.raises(ConfigError, match=r"venue\.binance\.dead_man_s: 60: the venue has no cancel-all-after timer"):
        topology_of(load(desk.path), NOW)
    desk.path.write_text(text.replace("[venue.kraken]\n", "[venue.kraken]\ndead_man_s = 1\n"))
    with pytest.raises(ConfigError, match=r"venue\.kraken\.dead_man_s: 1 is not within 2 to 86400"):
        topology_of(load(desk.path), NOW)


def finding(desk: DeskConfig, **changes: object) -> Finding:
    fields: dict[str, object] = {
        "venue": "binance", "action": "own_mass_cancel", "path": "binance-kill", "says": "35=q 530=1",
        "reaches": "symbol", "when_empty": "35=r", "answers": (), "ended": ("a",), "left": (), "at_ns": NOW,
        "took_ms": 3, "build": "b", "config": venue_fingerprint(desk, "binance"),
    }  # fmt: skip
    return msgspec.convert({**fields, **changes}, Finding)


def doubts(desk: DeskConfig, at_ns: int = NOW) -> str:
    return "; ".join(t for t in kill_venue(desk, "binance", at_ns).unproven if "certif" in t)


def test_what_was_never_certified_is_said_with_the_command(desk: DeskConfig) -> None:
    assert doubts(desk) == "35=q 530=1 by the kill switch was never certified here: qd kill certify binance"


def test_a_finding_shows_in_the_plan_with_its_date_and_ends_the_doubt(desk: DeskConfig) -> None:
    write_finding(desk, finding(desk))
    assert read_finding(desk, "binance") == (finding(desk), "")
    assert doubts(desk) == ""
    assert "CERTIFIED 2026-11-18: reaches the account's orders on the symbol that it names" in page(desk)


def test_a_finding_is_stale_after_its_days_or_a_change_of_the_venues_configuration(desk: DeskConfig) -> None:
    write_finding(desk, finding(desk))
    assert stale(desk, finding(desk), NOW + 30 * DAY) == ""
    assert "it is older than 30 days" in doubts(desk, NOW + 30 * DAY + 1)
    write_finding(desk, finding(desk, config="another"))
    assert "the configuration of the venue has changed since" in doubts(desk)


@pytest.mark.parametrize("reaches", ["own session", "nothing", "unclear"])
def test_a_finding_that_it_reaches_less_is_a_doubt_and_no_comfort(desk: DeskConfig, reaches: str) -> None:
    write_finding(desk, finding(desk, reaches=reaches))
    assert "nothing may count on it" in doubts(desk)
    assert "CERTIFIED" not in page(desk)


def test_a_finding_that_cannot_be_read_is_none_and_is_named(desk: DeskConfig) -> None:
    write_finding(desk, finding(desk))
    finding_path(desk, "binance").write_bytes(b"{")
    assert "never certified here" in doubts(desk)
    assert str(finding_path(desk, "binance")) in doubts(desk)
