"""The page in a real browser, over a desk on two simulated venues: what people need of it at three in the morning."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipc.alert_spool import AlertSpool
from ipc.events import Alert
from quarterdeck import supervisord
from tests.e2e.conftest import ROOT, RunningDesk, lenient, make_desk, run_desk, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--no-first-run", "--disable-gpu"]  # fmt: skip
WIDTHS = {"phone": (390, 844), "desk": (1440, 900)}
PATIENCE_MS = 60_000
WORD = "correct horse battery"
HOSTILE = "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium here (apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as p:
        found = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture(scope="module")
def desk(browser: Any) -> Iterator[RunningDesk]:
    path = Path(tempfile.mkdtemp(prefix="qd-"))

    def with_page(text: str) -> str:
        return lenient(text) + '\n[monitor]\noperators = "run:operators"\n'

    try:
        for running in run_desk(make_desk(path, with_page)):
            add(running, "ada", "trip,reset")
            for n in range(3):
                running.order("kraken", "BTC-USD", "buy", "0.01", str(40_000 + n))
            yield running
    finally:
        shutil.rmtree(path, ignore_errors=True)


def add(desk: RunningDesk, name: str, rights: str) -> None:
    command = [sys.executable, "-m", "quarterdeck.cli", "operator", "add", name, "--may", rights, "--config"]
    done = subprocess.run(
        [*command, str(desk.desk.path)], cwd=ROOT, env=supervisord.environment(), input=f"{WORD}\n", text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


class Tab:
    """A page that is open, with everything that it complained of and asked for."""

    def __init__(self, browser: Any, desk: RunningDesk, width: str = "desk", scheme: str = "light") -> None:
        self.url = (desk.desk.run_dir / "monitor.url").read_text().strip()
        size = dict(zip(("width", "height"), WIDTHS[width], strict=True))
        self.context = browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")
        self.context.set_default_timeout(PATIENCE_MS)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda m: self.complaints.append(m.text))
        self.page.on("pageerror", lambda e: self.complaints.append(str(e)))
        self.page.on("request", lambda r: self.asked.append(r.url))
        self.page.goto(self.url)
        self.see("#state-word", re.compile("^(?!CONNECTING)"))

    def __enter__(self) -> "Tab":
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def see(self, selector: str, text: str | re.Pattern[str]) -> Any:
        """Wait until it is there with that text, and to be seen."""
        found = self.page.locator(selector).filter(has_text=text).first
        found.wait_for(state="visible")
        return found

    def gone(self, selector: str) -> None:
        self.page.locator(selector).first.wait_for(state="hidden")

    def sign_in(self, word: str = WORD) -> None:
        self.page.fill("#sign-form [name=name]", "ada")
        self.page.fill("#sign-form [name=password]", word)
        self.page.click("#sign-form [type=submit]")

    def kill_in_view(self) -> None:
        box, size = self.page.locator("#kill").bounding_box(), self.page.viewport_size
        assert box["x"] >= 0
        assert box["y"] >= 0
        assert box["x"] + box["width"] <= size["width"]
        assert box["y"] + box["height"] <= size["height"] / 4


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", list(WIDTHS))
def test_state_first_and_the_kill_button_in_view(
    browser: Any, desk: RunningDesk, width: str, scheme: str, tmp_path: Path
) -> None:
    with Tab(browser, desk, width, scheme) as tab:
        tab.see("#state-word", "READY")
        tab.see("#f-gate", "ARMED: open")
        tab.see("#f-lease", "fresh")
        tab.see("#t-sessions tr", "kraken-trd")
        tab.see("#t-books tr", "binance BTC-USDT")
        tab.see("#t-processes tr", "monitor")
        tab.kill_in_view()
        assert tab.page.locator("#state svg, #facts dd svg").count() == 8  # a sign beside each word
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width][0]
        tab.page.screenshot(path=tmp_path / f"{width}-{scheme}.png")
        tab.page.locator("#processes").scroll_into_view_if_needed()
        tab.kill_in_view()
        dark = tab.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 20, 26)"
        assert dark == (scheme == "dark")
        assert tab.complaints == []
        assert {u for u in tab.asked if not u.startswith((tab.url, "data:"))} == set()


def test_depth_orders_and_events_and_text_of_venues_is_only_text(browser: Any, desk: RunningDesk) -> None:
    with Tab(browser, desk) as tab:
        page = tab.page
        page.locator("#depth").scroll_into_view_if_needed()
        page.select_option("#depth-book", "binance BTC-USDT L2")
        tab.see("#depth-said", "LIVE, spread")
        assert page.locator("#depth-chart path.area").count() == 2
        assert page.locator("#depth-chart text").count() >= 12  # both axes, and which side is which
        assert page.locator("#t-depth tbody tr").count() >= 5
        tab.see("#t-orders tr", "40000").click()
        tab.see("#t-life tr", "ExecutionReport")
        page.keyboard.press("Escape")
        tab.gone("#d-life")

        alert = Alert("kraken-md", "warning", "venue", f"says: {HOSTILE}", time.time_ns(), HOSTILE)
        AlertSpool(desk.desk.shm_dir, "hostile").put(alert)
        row = tab.see("#t-events tr", "says: <img")
        assert row.locator("img, script").count() == 0
        tab.see("#t-alarms tr", "says: <img")
        assert page.locator("main img, main script").count() == 0
        assert "pwned" not in page.title()

        page.click("#events-pause")
        AlertSpool(desk.desk.shm_dir, "later").put(Alert("kraken-md", "info", "venue", "came later", time.time_ns()))
        tab.see("#events-said", re.compile("paused; [1-9]"))
        assert page.locator("#t-events tr", has_text="came later").count() == 0
        page.click("#events-pause")
        tab.see("#t-events tr", "came later")
        page.fill("#events-filter", "came later")
        wait_for(lambda: page.locator("#t-events tbody tr").count() == 1, 60, "filtered")
        assert tab.complaints == []


def test_sign_in_trip_until_proven_reset(browser: Any, desk: RunningDesk, tmp_path: Path) -> None:
    with Tab(browser, desk, "phone") as tab:
        page = tab.page
        page.click("#kill")
        tab.sign_in("wrong horse battery")
        tab.see("#sign-form .bad", "wrong name or password")
        tab.sign_in()
        tab.see("#sign", "Sign out ada")
        tab.see("#kill-plan", "3 open orders: 3 at kraken")
        tab.see("#kill-plan", "What it reaches")
        page.screenshot(path=tmp_path / "plan.png")
        page.fill("#kill-form [name=reason]", "fat finger")
        page.fill("#kill-form [name=confirm]", "venue:kraken")
        page.click("#kill-form [type=submit]")
        tab.see("#kill-form .bad", "Not tripped: to confirm, type desk")
        assert desk.view().gate == "ARMED"
        page.fill("#kill-form [name=confirm]", "desk")
        page.click("#kill-form [type=submit]")
        tab.gone("#d-kill")
        tab.see("#f-gate", "CLOSED")
        tab.see("#trip-count", re.compile(r"([3-9]) of \1 orders proven dead"))
        tab.see("#t-scopes tr", "TRIPPED")
        tab.see("#state-word", "TRIPPED")
        page.screenshot(path=tmp_path / "tripped.png")
        assert "fat finger" in page.locator("#trip-head").inner_text()
        assert "ada at the page" in desk.ask("kill", "status")["last_trip"]["reason"]
        assert desk.working("kraken") == []

        page.locator("#t-scopes button").first.click()
        page.fill("#reset-form [name=reason]", "all is well")
        page.fill("#reset-form [name=confirm]", "no")
        page.click("#reset-form [type=submit]")
        tab.see("#reset-form .bad", "Not reset: to confirm, type desk")
        page.fill("#reset-form [name=confirm]", "desk")
        page.click("#reset-form [type=submit]")
        tab.gone("#d-reset")
        tab.see("#f-gate", "ARMED: open")
        trail = desk.qd("kill", "audit", "--config", str(desk.desk.path)).stdout
        assert len(re.findall("ada at the page", trail)) >= 2
        page.click("#sign")
        tab.see("#sign", "Sign in")
        refusals = [c for c in tab.complaints if not re.search("status of (403|409)", c)]
        assert refusals == []


def test_a_page_without_news_says_so_and_the_end_of_its_process_trips_nothing(browser: Any, desk: RunningDesk) -> None:
    with Tab(browser, desk) as tab:
        pid = desk.pid("monitor")
        os.kill(pid, signal.SIGSTOP)
        try:
            tab.see("#not-live", re.compile(r"NOT LIVE since \d\d:\d\d:\d\d UTC"))
            assert "grayscale" in tab.page.evaluate("getComputedStyle(document.querySelector('main')).filter")
            tab.kill_in_view()
        finally:
            os.kill(pid, signal.SIGCONT)
        tab.gone("#not-live")
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: desk.pid("monitor") not in (0, pid), 60, "the page's process was started anew")
        tab.see("#t-processes tr", str(desk.pid("monitor")))  # the next life is found by itself
        tab.gone("#not-live")
        desk.wait_ready()
        assert [s["state"] for s in desk.ask("kill", "status")["scopes"] if s["state"] != "ARMED"] == []
