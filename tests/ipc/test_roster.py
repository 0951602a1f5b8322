"""Which processes a desk has, and in which order they start."""

from pathlib import Path

import pytest

from base.config import DeskConfig, Kind, load
from ipc.roster import BYSTANDERS, book_topic, command_endpoint, publisher_endpoint, roster

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> DeskConfig:
    monkeypatch.delenv("QD_STATE_DIR", raising=False)
    return load(ROOT / "config" / "desk.toml")


def test_the_default_desk_has_these_processes_in_this_order(desk: DeskConfig) -> None:
    config = desk.config
    kinds = {
        kind: [(name, kind) for name in desk.sessions(Kind(kind))] for kind in ("marketdata", "dropcopy", "trading")
    }
    kinds["trading"] = [t for t in kinds["trading"] if t[0] not in config.kill.sessions]
    assert len(config.sim) >= 4
    assert [(r.name, r.kind) for r in roster(desk)] == [
        *((f"sim-{venue}", "simvenue") for venue in config.sim), ("killswitch", "killswitch"), ("alarms", "alarms"),
        *((f"book-{shard}", "book") for shard in config.book), ("ledger", "ledger"),
        *kinds["marketdata"], *kinds["dropcopy"], *kinds["trading"], ("monitor", "monitor"),
    ]  # fmt: skip


def test_the_kill_switch_starts_before_and_stops_after_everything_that_can_trade(desk: DeskConfig) -> None:
    priority = {r.name: r.priority for r in roster(desk)}
    others = {n: p for n, p in priority.items() if n != "killswitch" and not n.startswith("sim-")}
    assert all(priority["killswitch"] < p for p in others.values())
    assert all(priority["kraken-trd"] >= p for n, p in priority.items() if n != "monitor")
    assert [r.priority for r in roster(desk)] == sorted(priority.values())


def test_the_kill_switch_is_in_a_group_of_its_own(desk: DeskConfig) -> None:
    assert [r.name for r in roster(desk) if r.group == "kill"] == ["killswitch"]


def test_each_process_has_one_name_and_its_own_endpoints(desk: DeskConfig) -> None:
    names = [r.name for r in roster(desk)]
    assert len(set(names)) == len(names)
    assert publisher_endpoint(desk, "x") == f"ipc://{desk.run_dir}/x.pub"
    assert command_endpoint(desk, "x") == f"ipc://{desk.run_dir}/x.cmd"


def test_a_session_of_the_kill_switch_has_no_process(desk: DeskConfig) -> None:
    assert "binance-kill" in desk.config.session
    assert "binance-kill" not in [r.name for r in roster(desk)]


def test_the_arguments_select_the_part_of_the_configuration(desk: DeskConfig) -> None:
    arguments = {r.name: r.arguments for r in roster(desk)}
    assert arguments["sim-kraken"] == ("--venue", "kraken")
    assert arguments["book-l3"] == ("--shard", "l3")
    assert arguments["binance-dc"] == ("--session", "binance-dc")
    assert arguments["killswitch"] == ()


def test_single_orders_have_topics_of_their_own() -> None:
    assert book_topic("v", "BTC-USD", 2) == "md.v.BTC-USD"
    assert book_topic("v", "BTC-USD", 3) == "md3.v.BTC-USD"


def test_a_session_beside_another_publishes_books_under_topics_of_its_own() -> None:
    assert book_topic("v", "BTC-USD", 2, "md2") == "md@md2.v.BTC-USD"
    assert book_topic("v", "BTC-USD", 3, "md2") == "md3@md2.v.BTC-USD"


def test_the_page_starts_last_and_is_a_bystander(desk: DeskConfig) -> None:
    roles = roster(desk)
    assert roles[-1].name == "monitor"
    assert [r.kind for r in roles if r.kind in BYSTANDERS] == ["monitor"]


def test_a_forwarder_is_there_when_it_is_configured_and_trips_nothing_whatever_strangers_do_to_it(
    desk: DeskConfig, tmp_path: Path
) -> None:
    assert "forwarder" not in {r.kind for r in roster(desk)}
    path = tmp_path / "config" / "desk.toml"
    path.parent.mkdir()
    path.write_text(desk.path.read_text() + '\n[remote]\nhost = "127.0.0.1"\n')
    forwarder = next(r for r in roster(load(path)) if r.kind == "forwarder")
    assert (forwarder.name, forwarder.arguments) == ("forwarder", ())
    assert "forwarder" in BYSTANDERS
