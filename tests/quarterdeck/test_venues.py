"""`qd venues`: the table is what the dialects say, whatever they say; nothing about a venue is kept beside them."""

import json
from pathlib import Path
from typing import Any

import pytest

from base.config import Kind, RestConfig, VenueConfig
from fix.settings import SequencePolicy
from quarterdeck import cli
from tests.venues.fakes import capabilities
from venues import registry
from venues.cancel_plan import CancelPlan, CancelStep, DeadMan, OpenOrders
from venues.facts import WEBSOCKET, Wire
from venues.interface import Capabilities, Disconnect, Replace
from venues.limits import ConnectLimit, Limit, RateLimits

ROOT = Path(__file__).resolve().parents[2]


class Odd:
    """A dialect of which nothing is as elsewhere."""

    name = "odd"

    def __init__(self, **changes: Any) -> None:
        self.changes = changes
        self.plan: dict[str, Any] = {}
        self.shown: dict[str, dict[str, Any]] = {"": {}}

    def variants(self) -> dict[str, dict[str, Any]]:
        return self.shown

    def capabilities(self, venue: VenueConfig) -> Capabilities:
        wires = {kind: Wire() for kind in Kind}
        changes = self.changes | ({"cancel_batch": venue.options["batch"]} if "batch" in venue.options else {})
        return capabilities(**({"wires": wires} | changes))

    def cancel_plan(self, venue: VenueConfig) -> CancelPlan:
        fields = {"steps": (), "proof_list": OpenOrders.REST, "list_lag_ms": 0, "unproven": ("all",)}
        return CancelPlan(**(fields | self.plan))


def mass(says: str, reaches: str, action: str = "owner_mass_cancel", **more: Any) -> CancelStep:
    fields = {"per_instrument": False, "answered_by": "a nod", "when_empty": "-", "certain": True, "dead_owner": "no"}
    return CancelStep(action=action, reaches=reaches, says=says, **(fields | more))  # type: ignore[arg-type]


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch) -> Odd:
    """The only dialect there is."""
    made = Odd()
    monkeypatch.setattr(registry, "names", lambda: ["odd"])
    monkeypatch.setattr(registry, "dialect", lambda name: made)
    monkeypatch.setattr(registry, "simulated", lambda name: made.changes.get("documented") == "1999-12")
    return made


def qd(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(["venues", *arguments]) == 0
    return capsys.readouterr().out


def block(text: str, title: str) -> list[list[str]]:
    """The lines of one block, each cut where its columns begin."""
    lines = text.split(title, 1)[1].split("\n\n", maxsplit=1)[0].splitlines()[1:]
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def words(text: str) -> dict[str, str]:
    """The full words: label to text."""
    found: dict[str, str] = {}
    label = ""
    for line in text.splitlines()[2:]:
        label = line[:22].strip() or label
        found[label] = f"{found.get(label, '')} {line[22:].strip()}".strip()
    return found


def data(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(qd(capsys, "--json", *arguments))["venues"]
    return found


# --- of a dialect that is like no other


def test_sessions_are_the_dialects(odd: Odd, capsys: pytest.CaptureFixture[str]) -> None:
    odd.changes = {
        "documented": "1999-12", "levels": frozenset({3, 2}), "kinds": frozenset({Kind.MARKETDATA, Kind.DROPCOPY}),
        "wires": {Kind.MARKETDATA: WEBSOCKET, Kind.DROPCOPY: Wire("FIXT.1.1", SequencePolicy.HALT, True, "7")},
    }  # fmt: skip
    assert block(qd(capsys), "Sessions")[1] == [
        "odd", "-", "L2 L3 WebSocket", "FIX 5.0, go on, halt, resend", "1999-12", "yes",
    ]  # fmt: skip
    said = words(qd(capsys, "--venue", "odd"))
    assert said["market data"].startswith("WebSocket; level 2 and 3; has no sequence numbers; nothing is ever sent")
    assert said["drop copy"].startswith("FIX 5.0; numbers go on; one that is too low stops the session")
    assert (said["no session for"], said["documentation of"]) == ("trading", "1999-12")
    assert said["simulated venue"] == "there"


@pytest.mark.parametrize(
    ("wire", "shown"),
    [
        (Wire("FIX.4.2", SequencePolicy.TRUST_VENUE, resend=False), "FIX 4.2, venue's"),
        (Wire("FIX.4.4", SequencePolicy.OURS_RESTART, resend=True), "FIX 4.4, ours from 1, resend"),
        (Wire("FIXT.1.1", SequencePolicy.CONTINUE, resend=True, appl_ver_id="9"), "FIX 5.0 SP2, go on, resend"),
        (Wire("FIXT.1.1", SequencePolicy.RESET_AT_LOGON, resend=False), "FIXT 1.1, from 1"),
    ],
)
def test_every_policy_has_a_word(odd: Odd, capsys: pytest.CaptureFixture[str], wire: Wire, shown: str) -> None:
    odd.changes = {"kinds": frozenset({Kind.TRADING}), "levels": frozenset(), "wires": {Kind.TRADING: wire}}
    assert block(qd(capsys), "Sessions")[1] == ["odd", shown, "-", "-", "?", "-"]


@pytest.mark.parametrize("policy", SequencePolicy)
def test_no_policy_is_without_a_word(odd: Odd, capsys: pytest.CaptureFixture[str], policy: SequencePolicy) -> None:
    wire = Wire(numbers=policy, resend=False)
    odd.changes = {"kinds": frozenset({Kind.TRADING}), "levels": frozenset(), "wires": {Kind.TRADING: wire}}
    assert block(qd(capsys), "Sessions")[1][1].startswith("FIX 4.4, ")


@pytest.mark.parametrize(
    ("changes", "books", "copies"),
    [
        ({"checksum": True, "drop_copy_fills_only": True}, "checked by checksum", True),
        ({"update_ids": True}, "checked by update ids", False),
        ({}, "checked by the session's sequence numbers alone", False),
        ({"levels": frozenset()}, "none", False),
    ],
)
def test_what_books_are_checked_by_and_what_drop_copy_tells(
    odd: Odd, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], books: str, copies: bool
) -> None:
    odd.changes = changes
    assert ("fills alone" in block(qd(capsys), "Sessions")[1][3]) is copies
    said = words(qd(capsys, "--venue", "odd"))
    assert (said["books"], "fills alone" in said["drop copy"]) == (books, copies)


def test_orders_are_the_dialects(odd: Odd, capsys: pytest.CaptureFixture[str]) -> None:
    odd.changes = {
        "new_types": frozenset({"P", "~"}), "times_in_force": frozenset({"7", "X"}), "replace": Replace.CANCEL_NEW,
        "order_batch": 5, "cancel_batch": 77, "session_status": False, "rest": frozenset({"order"}),
        "mass_status": True,
    }  # fmt: skip
    (line,) = block(qd(capsys), "Orders")[2:]
    assert line == ["odd", "pegged, ~", "ATC X", "cancel + new", "5, 77", "REST", "session"]
    (one,) = data(capsys)
    assert (one["ord_types"], one["replace"]) == ({"P": "pegged", "~": ""}, "cancel_new")
    assert (one["order_batch"], one["cancel_batch"]) == (5, 77)
    odd.changes = {"new_types": frozenset(), "times_in_force": frozenset(), "replace": Replace.NONE}
    assert block(qd(capsys), "Orders")[2:] == [["odd", "-", "-", "-", "1, 1", "session", "-"]]


def test_cancelling_is_the_plans(odd: Odd, capsys: pytest.CaptureFixture[str]) -> None:
    odd.changes = {"disconnect": Disconnect.CANCELS, "open_orders": OpenOrders.REPLAY, "mass_cancel_report": True}
    odd.plan = {
        "steps": (
            mass("35=XX", "connection"),
            mass("35=q 530=9", "account", "own_mass_cancel", certain=False, per_instrument=True),
            mass("a cut", "session", "owner_disconnect", certain=False, timing="in a year"),
        ),
        "dead_man": DeadMan(says="POST /never", disable_says="POST /ever", least_s=7, most_s=420, certain=False),
    }  # fmt: skip
    cells = [cell for line in block(qd(capsys), "Cancelling")[2:] for cell in line]
    assert cells[:2] == ["odd", "35=XX: connection"]
    assert {"yes", "35=r", "cancels?", "7 s to 7 min?", "replay"} <= set(cells)
    assert "35=q 530=9: account, one instrument?" in " ".join(cells)
    said = words(qd(capsys, "--venue", "odd"))
    assert said["mass cancel"].startswith("35=XX of the session that placed them reaches orders of the connection;")
    assert "kill switch's own session reaches orders of the account, one request an instrument" in said["mass cancel"]
    assert said["a lost connection"] == "cancels the working orders (a cut; in a year); not certain"
    assert said["dead man's timer"] == "POST /never, 7 s to 7 min; not tried"


@pytest.mark.parametrize(
    ("disconnect", "asks", "shown"),
    [("keeps", False, "keeps"), ("unknown", False, "orders stay?"), ("unknown", True, "cancels if asked to")],
)
def test_what_a_lost_connection_does(
    odd: Odd, capsys: pytest.CaptureFixture[str], disconnect: str, asks: bool, shown: str
) -> None:
    odd.changes = {"disconnect": Disconnect(disconnect), "mass_cancel": False}
    odd.plan = {"steps": (mass("a cut", "session", "owner_disconnect"),) if asks else ()}
    assert block(qd(capsys), "Cancelling")[2] == ["odd", "-", "-", "-", shown, "-", "REST list"]


def test_rest_is_the_dialects(odd: Odd, capsys: pytest.CaptureFixture[str]) -> None:
    odd.changes = {"rest": frozenset({"trades", "cancel_after", "buying_power"})}
    lines = block(qd(capsys), "REST, where")
    assert lines[-1] == ["odd", "-", "-", "yes", "-", "yes", "-", "-", "-", "yes"]
    assert words(qd(capsys, "--venue", "odd"))["REST"] == "fills, buying power beyond balances, dead man's timer"
    odd.changes = {}
    assert block(qd(capsys), "REST, where")[-1] == ["odd"] + ["-"] * 9


def test_limits_are_the_dialects(odd: Odd, capsys: pytest.CaptureFixture[str]) -> None:
    odd.changes = {
        "limits": RateLimits(
            orders=(Limit(name="a", most=41, per_s=120, scope="key", breach="ban", reserve=3, source="page 9"),),
            rest=(Limit(name="b", most=43, decay="0.7", scope="address", breach="logout"),),
            connects=(ConnectLimit(kinds=frozenset({Kind.TRADING}), most=47, per_s=5, reserve=1),),
        )
    }  # fmt: skip
    assert block(qd(capsys), "Rate limits")[1] == [
        "odd", "41 in 2 min, key", "-", "43 falls 0.7 a s, address", "47 in 5 s, trading",
    ]  # fmt: skip
    said = words(qd(capsys, "--venue", "odd"))
    assert said["limits, orders"] == (
        "a: 41 in 2 min by key, 3 of it kept for cancels; exceeding it shuts us out for a while [page 9]"
    )
    assert said["limits, market data"] == "none"
    assert said["limits, REST"] == (
        "b: 43 falls by 0.7 a second by address; exceeding it ends the session [no source stated]"
    )
    assert said["limits, logons"].startswith("47 in 5 s for trading, 1 of it kept for the kill path [not documented")


def test_every_variant_is_asked_with_its_own_options(odd: Odd, capsys: pytest.CaptureFixture[str]) -> None:
    odd.shown = {"": {}, "big": {"batch": 5}}
    lines = block(qd(capsys), "Orders")[2:]
    assert [line[0] for line in lines if line] == ["odd", "odd", "big"]
    found = [(v["variant"], v["options"], v["cancel_batch"]) for v in data(capsys)]
    assert found == [("", {}, 1), ("big", {"batch": 5}, 5)]


# --- of those that there are


def test_every_folder_with_a_dialect_is_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    folders = sorted(p.parent.name for p in (ROOT / "venues").glob("*/dialect.py"))
    assert folders
    out = qd(capsys)
    for title in ("Sessions", "Orders", "Cancelling", "REST, where", "Rate limits", "Calendar"):
        named = [line[0] for line in block(out, title) if line]
        assert [name for name in folders if name not in named] == [], title
    assert max(map(len, out.splitlines())) <= 120
    found = data(capsys)
    assert sorted({v["venue"] for v in found}) == folders
    assert {v["venue"]: v["simulated"] for v in found} == {
        name: (ROOT / "venues" / name / "sim.py").exists() for name in folders
    }


def test_what_is_shown_of_a_venue_is_what_its_dialect_answers(capsys: pytest.CaptureFixture[str]) -> None:
    for shown in data(capsys):
        dialect = registry.dialect(shown["venue"])
        assert shown["variant"] in dialect.variants()
        told = [s["kind"] for s in shown["sessions"]]
        assert "trading" not in told or shown["ord_types"]
        assert all(shown["ord_types"].values()), f"{shown['venue']}: its dictionary names every OrdType"
        assert all(shown["times_in_force"].values()), f"{shown['venue']}: its dictionary names every TimeInForce"
        assert shown["documented"]
        rest = RestConfig(address="https://venue.example")
        venue = VenueConfig(dialect=shown["venue"], instruments=[], options=shown["options"], rest=rest)
        claims, plan = dialect.capabilities(venue), dialect.cancel_plan(venue)
        assert told == [kind for kind in Kind if kind in claims.kinds]
        assert [s["numbers"] for s in shown["sessions"]] == [
            w.numbers.value if w.numbers else "" for w in (claims.wires[Kind(kind)] for kind in told)
        ]
        assert (shown["replace"], shown["disconnect"], shown["open_orders"]) == (
            claims.replace, claims.disconnect, claims.open_orders,
        )  # fmt: skip
        assert (set(shown["rest"]), set(shown["ord_types"])) == (claims.rest, claims.new_types)
        assert set(shown["times_in_force"]) == claims.times_in_force
        assert [s["says"] for s in shown["mass_cancels"]] == [s.says for s in plan.steps if "mass" in s.action]
        assert (shown["dead_man"] is None, shown["planned_moves"]) == (plan.dead_man is None, claims.planned_moves)
        assert [x["most"] for x in shown["limits"]["orders"]] == [x.most for x in claims.limits.orders]


def test_one_venue_is_told_in_full_words_by_either_spelling(capsys: pytest.CaptureFixture[str]) -> None:
    out = qd(capsys, "--venue", "coinbase-exchange")
    assert out == qd(capsys, "--venue", "coinbase_exchange")
    assert max(map(len, out.splitlines())) <= 120
    assert words(out)["trading"].startswith("FIX 5.0 SP2; our numbers begin at 1 with each connection")
    assert [v["venue"] for v in data(capsys, "--venue", "coinbase_exchange")] == ["coinbase_exchange"]


def test_the_venues_of_a_desk_are_shown_as_it_configures_them(capsys: pytest.CaptureFixture[str]) -> None:
    config = str(ROOT / "config" / "examples" / "bitfinex.toml")
    (shown,) = data(capsys, "--config", config)
    assert (shown["venue"], shown["variant"]) == ("fix44", "bitfinex")
    assert shown["title"].startswith("Bitfinex")
    assert [s["protocol"] for s in shown["sessions"]] == ["FIX 4.2", "FIX 4.2"]
    assert (sorted(shown["times_in_force"]), shown["disconnect"], shown["rest"]) == (["1", "4"], "cancels", [])
    assert [e["name"] for e in shown["calendar"]] == ["weekly-reset"]
    out = qd(capsys, "--config", config)
    assert "axon" not in out
    assert max(map(len, out.splitlines())) <= 120
    assert words(qd(capsys, "--config", config, "--venue", "bitfinex"))["trading"].startswith("FIX 4.2; numbers go on")
    assert cli.main(["venues", "--config", config, "--venue", "kraken"]) == 1
    assert "no venue 'kraken' in" in capsys.readouterr().err


def test_a_venue_without_a_dialect_is_named_and_cannot_be_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert "okx" in json.loads(qd(capsys, "--json"))["without_dialect"]
    assert cli.main(["venues", "--venue", "okx"]) == 1
    assert "no dialect 'okx'; there are" in capsys.readouterr().err
