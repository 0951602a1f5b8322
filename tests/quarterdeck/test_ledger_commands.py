"""`qd ledger`: what people read, what programs read, and the day's files."""

import json
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from base.errors import CommandError
from base.instruments import ONE, Contract
from ipc.ledger_read import LedgerReader
from quarterdeck import ledger_export
from quarterdeck.cli import main
from quarterdeck.commands.ledger import in_money, moment_ns, numbers_of
from quarterdeck.ledger_export import export_day
from tests.risk.ledger_kit import Kept
from tests.risk.ledger_world import AFTER_NS, COPY_SOURCE, ENTRY_SOURCE, LONE_SOURCE, T0, S, placed, report

pq = pytest.importorskip("pyarrow.parquet")
ROOT = Path(__file__).resolve().parents[2]
DAY = datetime.fromtimestamp(T0 // S, UTC).date()


@pytest.fixture
def desk(tmp_path: Path) -> str:
    """A configuration whose ledger has two strategies, a break and a bust."""
    (tmp_path / "config").mkdir()
    path = tmp_path / "config" / "desk.toml"
    path.write_text((ROOT / "config" / "desk.toml").read_text())
    (tmp_path / "data" / "ledger").mkdir(parents=True)
    kept = Kept(tmp_path / "data" / "ledger")
    kept.take(ENTRY_SOURCE, placed(), report(trade_id="1", fees=(("USD", "0.10"),), liquidity="M"))
    kept.take(ENTRY_SOURCE, report(trade_id="2", cum_qty=25, last_qty=15, last_px=5100, transact_ns=T0 + S))
    kept.take(COPY_SOURCE, report(COPY_SOURCE, trade_id="1"))
    kept.take(LONE_SOURCE, placed(LONE_SOURCE, strategy="s2", side="2", instrument="ETH-USD"))
    kept.take(LONE_SOURCE, report(LONE_SOURCE, trade_id="9", exec_id="z", side="2", instrument="ETH-USD"))
    kept.take(LONE_SOURCE, report(LONE_SOURCE, exec_type="H", exec_id="y", exec_ref_id="z", instrument="ETH-USD"))
    # The next day the position is closed.
    late = T0 + 86_400 * S
    kept.take(ENTRY_SOURCE, placed(cl_ord_id="c2", side="2", since_ns=late))
    kept.take(ENTRY_SOURCE, report(cl_ord_id="c2", order_id="o2", side="2", trade_id="3", last_qty=25, cum_qty=25,
                                   last_px=5200, transact_ns=late, recv_ns=late))  # fmt: skip
    kept.tick(T0 + AFTER_NS + S)
    kept.close()
    return str(path)


def ask(desk: str, *words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[dict[str, object]]]:
    status = main(["ledger", *words, "--json", "--config", desk])
    return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_positions_are_exact_decimals_as_text(desk: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, rows = ask(desk, "positions", "--strategy", "s1", capsys=capsys)
    assert status == 0
    (row,) = rows
    assert (row["position"], row["realised"], row["currency"], row["fees"]) == ("0", "0.0035", "USD", {"USD": "0.1"})
    assert (row["bought"], row["sold"], row["fills"]) == ("0.0025", "0.0025", 3)


@pytest.mark.parametrize(
    ("words", "trades"),
    [
        ((), ["1", "9", "2", "3"]), (("--strategy", "s1"), ["1", "2", "3"]), (("--venue", "w"), ["9"]),
        (("--instrument", "ETH-USD"), ["9"]), (("--until", DAY.isoformat()), []), (("--limit", "1"), ["3"]),
        (("--since", "2023-11-15T22:00"), ["3"]),
    ],
)  # fmt: skip
def test_fills_are_filtered_and_in_order(
    desk: str, words: tuple[str, ...], trades: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert [f["trade_id"] for f in ask(desk, "fills", *words, capsys=capsys)[1]] == trades


def test_a_busted_fill_is_shown_as_such(desk: str, capsys: pytest.CaptureFixture[str]) -> None:
    (fill,) = ask(desk, "fills", "--venue", "w", capsys=capsys)[1]
    assert (fill["state"], fill["qty"], fill["first_qty"], fill["views"]) == ("busted", "0", "0.001", ["order_entry"])


def test_open_breaks_are_an_exit_status_of_their_own(desk: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, rows = ask(desk, "breaks", capsys=capsys)
    assert status == 3
    assert [(b["kind"], b["lacks"], b["trade_id"]) for b in rows] == [("missing", "drop_copy", "2")]
    assert ask(desk, "breaks", "--strategy", "s2", capsys=capsys) == (0, [])


def test_orders_are_shown_with_what_became_of_them(desk: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ask(desk, "orders", "--strategy", "s1", capsys=capsys)[1]
    assert [(o["cl_ord_id"], o["order_qty"], o["cum_qty"], o["fills"]) for o in rows] == [
        ("c1", "0.01", "0.0025", 2), ("c2", "0.01", "0.0025", 1),
    ]  # fmt: skip
    assert len(ask(desk, "orders", "--limit", "1", capsys=capsys)[1]) == 1


@pytest.mark.parametrize("what", ["positions", "fills", "orders", "breaks", "balances"])
def test_tables_are_for_people(desk: str, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["ledger", what, "--config", desk])
    out = capsys.readouterr().out
    assert out == "no balances\n" if what == "balances" else ("s1" in out or "o1" in out)


def test_a_time_is_a_date_a_time_or_so_long_ago() -> None:
    assert moment_ns("1970-01-02") == 86_400 * S
    assert moment_ns("1970-01-01T01:00:00+01:00") == 0
    assert 0 < moment_ns("2h") < moment_ns("1m")
    with pytest.raises(CommandError, match="no time"):
        moment_ns("yesterdayish")


def test_breaks_are_accepted_by_number_or_all_open_ones_of_a_range() -> None:
    assert numbers_of(["7", "2-5", "3", "7"], [1, 3, 4, 9]) == [7, 3, 4]
    for wrong in ("x", "-3", "3-", "1-2-3", "", "2-2"):
        with pytest.raises(CommandError):
            numbers_of([wrong], [1, 3])


def test_what_cannot_be_is_said_in_a_line(desk: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    for words, says in (
        (("fills", "--since", "99999999d"), "longer ago than there are dates"),
        (("export", "--day", DAY.isoformat(), "--out", str(tmp_path / "file")), "File exists"),
        (("accept", "1", "--reason", " "), "say why"),
        (("accept", "2-9", "--reason", "r"), "no break of 2-9 is open"),
    ):
        assert main(["ledger", *words, "--config", desk]) == 1
        assert says in capsys.readouterr().err


def test_a_day_is_exported_whole_and_the_same_again(
    desk: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["ledger", "export", "--day", DAY.isoformat(), "--out", str(out), "--config", desk]
    assert main(words) == 0
    first = {p.name: p.read_bytes() for p in out.iterdir()}
    assert set(first) == {f"{t}-{DAY}.parquet" for t in ("fills", "orders", "positions", "breaks")}
    assert main(words) == 0
    assert {p.name: p.read_bytes() for p in out.iterdir()} == first
    assert f"fills-{DAY}.parquet 3" in capsys.readouterr().out
    fills = pq.read_table(out / f"fills-{DAY}.parquet")
    assert fills["px"].to_pylist() == [Decimal(50), Decimal(50), Decimal(51)]
    assert fills["fees"].to_pylist()[0] == [{"currency": "USD", "amount": Decimal("0.10")}]
    assert [t.value for t in fills["transact_ns"]] == [T0, T0, T0 + S]
    # As of the end of that day the position was open; the sale came later.
    positions = {
        r["strategy"]: r for r in pq.read_table(out / f"positions-{DAY}.parquet").drop(["last_ns"]).to_pylist()
    }
    assert (positions["s1"]["position"], positions["s1"]["realised"]) == (Decimal("0.0025"), Decimal(0))
    assert positions["s2"]["position"] == 0


def test_the_columns_of_the_files_are_those_of_the_page() -> None:
    import pyarrow as pa

    page = (ROOT / "docs" / "ledger.md").read_text()
    for table in ("fills", "orders", "positions", "breaks"):
        schema = ledger_export.schema_of(pa, table)
        for field in schema:
            assert f"`{field.name}`" in page, f"{table}.{field.name}"
    money = ledger_export.schema_of(pa, "fills").field("px").type
    assert (money.precision, money.scale) == (38, 18)


@pytest.mark.parametrize(("day", "hours"), [("2024-03-31", 23), ("2024-10-27", 25), ("2024-06-01", 24)])
def test_a_day_of_a_zone_with_summer_time_has_its_own_length(day: str, hours: int) -> None:
    begin, end = ledger_export._bounds(date.fromisoformat(day), ZoneInfo("Europe/Berlin"))
    assert end - begin == hours * 3600 * S


def test_an_export_that_fails_leaves_neither_half_a_file_nor_the_old_one_changed(
    desk: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    reader = LedgerReader(Path(desk).parents[1] / "data" / "ledger" / "ledger.db")
    export_day(reader, DAY, ZoneInfo("UTC"), out)
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    monkeypatch.setattr(ledger_export, "SCALE", 1)
    with pytest.raises(CommandError, match="more than 1 decimals"):
        export_day(reader, DAY, ZoneInfo("UTC"), out)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    reader.database.close()


def test_without_pyarrow_the_export_says_what_to_install(desk: str, tmp_path: Path) -> None:
    code = "import sys; sys.modules['pyarrow'] = None; from quarterdeck.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["ledger", "export", "--day", DAY.isoformat(), "--out", str(tmp_path / "out"), "--config", desk]
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'quarterdeck[parquet]'" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_desk_without_a_ledger_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "config" / "desk.toml").read_text()
    path = tmp_path / "desk.toml"
    path.write_text("\n".join(t for t in text.splitlines() if "break_after_ms" not in t).replace("[ledger]", ""))
    assert main(["ledger", "fills", "--config", str(path)]) == 1
    assert "no [ledger]" in capsys.readouterr().err


def test_money_of_contracts_goes_by_what_they_are_of_and_is_left_out_where_nobody_knows() -> None:
    row = {"venue": "v", "instrument": "BTC-USD-PERP", "open_value": Decimal(600), "realised": Decimal(50),
           "bought_value": Decimal(600), "sold_value": Decimal(0), "position": Decimal(10)}  # fmt: skip
    tenth = in_money(row, Contract(1, 1))
    assert (tenth["realised"], tenth["open_value"], tenth["position"]) == (5, 60, 10)
    assert tenth["note"] == "contracts of 0.1"
    assert in_money(row, ONE) == {**row, "note": ""}
    for contract, why in ((Contract(1, 0, inverse=True), "inverse contract"), (None, "no contract_value")):
        told = in_money(row, contract)
        assert told["realised"] is None
        assert told["open_value"] is None
        assert str(told["note"]).startswith(why)
