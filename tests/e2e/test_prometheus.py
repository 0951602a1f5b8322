"""A real Prometheus scrapes a small desk: what the dashboards ask for is there, and a killed session is an alert."""

import json
import os
import re
import shutil
import signal
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import ROOT, RunningDesk, lenient, make_desk, run_desk, wait_for
from tests.packaging.test_prometheus_files import BOARDS, RULES, SELECTOR, SERIES, targets

pytestmark = pytest.mark.e2e
SECONDS = 90.0
# What a desk of one venue without drop copy, L3 or sessions that are down has nothing to say of.
ABSENT = {"quarterdeck_session_venue_left"}


def one_venue(text: str) -> str:
    """The default desk with Kraken's L2 books and orders, ledger, alarms and the page."""
    tables = re.split(r"(?m)^(?=\[)", text)
    other = r"\[+(venue|sim|session)\.(binance|coinbase-exchange|deribit|cbx|drb)|\[session\.kraken-l3|\[book\.l3"
    mine = [t for t in tables if not re.match(other, t)]
    mine = [t for t in mine if not re.search(r'scope = "venue:(binance|coinbase-exchange|deribit)"', t)]
    text = "".join(mine).replace('sessions = ["binance-kill"]\n', "")
    return lenient(re.sub(r', "(binance|cbx|drb)-md"|, USDT = "\d+"', "", text))


class Prometheus:
    """A server of its own and what it answers."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, path: str, **query: str) -> Any:
        """The data of an answer of its API; None while it cannot answer."""
        url = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)["data"]
        except OSError:
            return None

    def series(self, expr: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (self.ask("query", query=expr) or {"result": []})["result"]
        return found

    def value(self, expr: str) -> float:
        found = self.series(expr)
        return float(found[0]["value"][1]) if found else float("nan")

    def firing(self) -> set[tuple[str, str]]:
        """Names of alerts that fire, with what they are about."""
        alerts = (self.ask("alerts") or {"alerts": []})["alerts"]
        labels = [a["labels"] for a in alerts if a["state"] == "firing"]
        return {(of["alertname"], of.get("scope", of.get("process", of.get("session", "")))) for of in labels}


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[Prometheus]:
    """The shipped configuration at a pace of one second, pointed at `target`."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("no prometheus on this host (Debian: prometheus)")
    folder.mkdir()
    text = (ROOT / "config" / "prometheus" / "prometheus.yml").read_text()
    text = text.replace("5s", "1s").replace("127.0.0.1:8700", target).replace("quarterdeck.rules.yml", str(RULES))
    (folder / "prometheus.yml").write_text(text)
    command = [
        program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
        "--web.listen-address=127.0.0.1:0", "--log.level=info",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        found: re.Match[str] = wait_for(
            lambda: re.search(r'Listening on".* address=(127\.0\.0\.1:[1-9]\d*)', (folder / "log").read_text()),
            SECONDS,
            lambda: f"prometheus listens: {(folder / 'log').read_text()[-2000:]}",
        )
        yield Prometheus(f"http://{found.group(1)}")
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDesk]:
    if shutil.which("prometheus") is None:
        pytest.skip("no prometheus on this host (Debian: prometheus)")
    folder = Path(f"/tmp/qd-prom-{os.getpid()}")
    try:
        yield from run_desk(make_desk(folder, one_venue, whole=True))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_prometheus_scrapes_a_desk_has_what_the_dashboards_show_and_alerts_of_a_killed_session(
    desk: RunningDesk, tmp_path: Path
) -> None:
    page = urllib.parse.urlsplit((desk.desk.run_dir / "monitor.url").read_text().strip()).netloc
    with prometheus(tmp_path / "prometheus", page) as server:
        desk.order("kraken", "BTC-USD", "buy", "0.01", "20000")
        too_much = desk.qd(
            "order", "kraken", "BTC-USD", "buy", "6", "--price", "20000", "--config", str(desk.desk.path)
        )
        assert too_much.returncode != 0
        sent = 'quarterdeck_orders_sent_total{session="kraken-trd"}'
        wait_for(lambda: server.value(sent) == 1, SECONDS, lambda: f"an order; {server.ask('targets')}")
        up = [(t["labels"]["desk"], t["health"]) for t in server.ask("targets")["activeTargets"]]
        assert up == [("default", "up")]

        shown = [expr for path in BOARDS for expr, _ in targets(json.loads(path.read_text()))]
        wanted = {name for expr in shown for name, _ in SELECTOR.findall(expr)} - ABSENT
        there: set[str] = set()

        def complete() -> bool:
            there.update(s["metric"]["__name__"] for s in server.series('{__name__=~"quarterdeck_.*"}'))
            return wanted <= there

        wait_for(complete, SECONDS, lambda: f"series of the dashboards that are not there: {sorted(wanted - there)}")
        assert there <= SERIES.keys()
        ran = [e.replace("$__rate_interval", "30s").replace("$desk", ".*") for e in shown]
        ran = [e.replace("$session", ".*").replace("$venue", ".*") for e in ran]
        assert [e for e in ran if server.ask("query", query=e) is None] == []

        count = server.value
        due = {
            'quarterdeck_command_to_wire_seconds_count{session="kraken-trd",request="new"}': 1,
            'quarterdeck_order_ack_seconds_count{session="kraken-trd"}': 1,
            'quarterdeck_orders_open{session="kraken-trd",state="NEW"}': 1,
            "sum(quarterdeck_pretrade_refused_total)": 1,
            'quarterdeck_wire_to_book_seconds_count{session="kraken-md"} > bool 10': 1,
            "quarterdeck_metrics_unreadable": 0,
            'quarterdeck_kill_armed{scope="desk"}': 1,
        }
        wait_for(
            lambda: all(count(expr) == n for expr, n in due.items()), SECONDS,
            lambda: {expr: count(expr) for expr in due},
        )  # fmt: skip
        assert not {name for name, _ in server.firing()} & {"QuarterdeckKillTripped", "QuarterdeckUnreachable"}

        os.kill(desk.pid("kraken-trd"), signal.SIGKILL)
        tripped = ("QuarterdeckKillTripped", "session:kraken-trd")
        wait_for(lambda: tripped in server.firing(), SECONDS, lambda: f"alert of the trip: {server.firing()}")
        wait_for(
            lambda: count('quarterdeck_kill_trips_total{cause="process"}') == 1, SECONDS, "the trip is counted"
        )  # fmt: skip
        # Its next life counts from nothing, and shows the order of the one before.
        wait_for(lambda: count(sent) == 0, SECONDS, "a new file")
