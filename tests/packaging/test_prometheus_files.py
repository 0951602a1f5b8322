"""Dashboards, alert rules and the page of metrics name nothing that is not exported, and leave out nothing that is."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipc.metrics_catalog import CATALOG
from ipc.metrics_text import every_series

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "config" / "prometheus" / "quarterdeck.rules.yml"
BOARDS = sorted((ROOT / "config" / "grafana").glob("*.json"))
SERIES = every_series()
OF_TARGET = {"desk", "job", "instance", "alertname"}  # what Prometheus itself adds
SELECTOR = re.compile(r"\b(quarterdeck_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')
GROUPED = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
SHOWN = re.compile(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}")


def labels_of(series: str) -> set[str]:
    return {*SERIES[series].labels, *({"le"} if series.endswith("_bucket") else ())} | OF_TARGET


def problems(expr: str, shown: str = "") -> Iterator[str]:
    """What of an expression, or of a text that shows its labels, no series has."""
    known = set(OF_TARGET)
    for name, matchers in SELECTOR.findall(expr):
        if name not in SERIES:
            yield f"{name} is not exported"
            continue
        known |= labels_of(name)
        yield from (f"{name} has no label {m}" for m in MATCHER.findall(matchers) if m not in labels_of(name))
    for group in GROUPED.findall(expr):
        yield from (f"no label {g}" for g in re.findall(r"\w+", group) if g not in known)
    yield from (f"no label {s} to show" for s in SHOWN.findall(shown) if s not in known)


def targets(board: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield target["expr"], target["legendFormat"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"]).groups()  # type: ignore[union-attr]
            yield f"sum by ({label}) ({series})", ""


def expressions() -> str:
    return "\n".join([RULES.read_text(), *(expr for b in BOARDS for expr, _ in targets(json.loads(b.read_text())))])


@pytest.mark.parametrize("path", BOARDS, ids=lambda p: p.stem)
def test_every_name_and_label_of_a_dashboard_is_exported(path: Path) -> None:
    board = json.loads(path.read_text())
    assert board["uid"] == path.stem
    assert [p for expr, legend in targets(board) for p in problems(expr, legend)] == []
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in board["panels"]]
    assert len(set(places)) == len(places)
    assert all(p["gridPos"]["x"] + p["gridPos"]["w"] <= 24 for p in board["panels"])


def test_every_name_and_label_of_the_alert_rules_is_exported() -> None:
    found = re.findall(r"- alert: (\w+)\n((?: {8}.*\n)+)", RULES.read_text() + "\n")
    assert len(found) == len(re.findall(r"- alert:", RULES.read_text())) > 15
    assert [(name, p) for name, text in found for p in problems(_expr(text), text)] == []


def _expr(rule: str) -> str:
    return re.search(r"expr: (.*)", rule).group(1)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("expr", "says"),
    [
        ("rate(quarterdeck_nothing_total[1m])", "quarterdeck_nothing_total is not exported"),
        ('quarterdeck_up{session="a"} == 0', "quarterdeck_up has no label session"),
        ("sum by (venue) (quarterdeck_up)", "no label venue"),
        ("quarterdeck_loop_lag_seconds", "quarterdeck_loop_lag_seconds is not exported"),
    ],
    ids=["name", "matcher", "group", "histogram without part"],
)
def test_the_check_would_see_a_mistake(expr: str, says: str) -> None:
    assert list(problems(expr)) == [says]


def test_the_dashboards_leave_no_metric_of_orders_sessions_books_and_kill_switch_out() -> None:
    used = {SERIES[name].name for name, _ in SELECTOR.findall(expressions()) if name in SERIES}
    left_out = {m.name.removeprefix("quarterdeck_") for m in CATALOG} - {u.removeprefix("quarterdeck_") for u in used}
    assert left_out == {
        "figure", "heartbeat_age_seconds", "ledger_amended_total", "ledger_reports_total", "ledger_unreadable_total",
        "log_lines_lost_total", "metrics_unreadable", "readiness", "start_time_seconds",
    }  # fmt: skip


def test_the_page_has_every_metric_as_the_catalogue_has_it() -> None:
    tool = [sys.executable, str(ROOT / "tools" / "metrics-page"), "--check"]
    assert subprocess.run(tool, capture_output=True, text=True, check=False).stderr == ""


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("no promtool on this host (Debian: prometheus)")
    return subprocess.run([tool, *arguments], cwd=RULES.parent, capture_output=True, text=True, check=False, timeout=60)


def test_promtool_accepts_configuration_and_rules() -> None:
    done = promtool("check", "config", "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rules found" in done.stdout


def test_each_alert_fires_when_it_should_and_only_then() -> None:
    done = promtool("test", "rules", "quarterdeck.rules.test.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    alerts = set(re.findall(r"- alert: (\w+)", RULES.read_text()))
    tested = set(re.findall(r"alertname: (\w+)", (RULES.parent / "quarterdeck.rules.test.yml").read_text()))
    assert alerts == tested
