"""The page: its size, the time to the first state, and what ten viewers cost its process, on a desk of one simulated
venue at full rate.
"""

import http.client
import re
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import psutil

from base.config import DeskConfig, load
from base.errors import QuarterdeckError
from bench.report import Row, print_rows
from ipc.view.status import read_desk
from quarterdeck import supervisord

ROOT = Path(__file__).resolve().parent.parent
READY_S = 60.0
RATE = 1000  # messages a second of the venue
VIEWERS = 10
SPAN_S = 10.0
TRIES = 11
FILES = ("/", "/page.css", "/page.js")
FLAGS = ("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--no-first-run", "--disable-gpu")  # fmt: skip


def run(as_json: bool) -> int:
    """Start the desk in a place of its own, measure, stop it. No mark: the figures are in docs/monitor.md."""
    folder = Path(tempfile.mkdtemp(prefix="qd-"))
    try:
        with _desk(folder) as desk:
            url = urlsplit((desk.run_dir / "monitor.url").read_text().strip())
            rows = list(_rows(desk, url.hostname or "", url.port or 0))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print_rows(rows, as_json)
    return 0


@contextmanager
def _desk(folder: Path) -> Iterator[DeskConfig]:
    (folder / "config").mkdir()
    path = folder / "config" / "desk.toml"
    path.write_text(one_venue((ROOT / "config" / "desk.toml").read_text()))
    desk = load(path)
    try:
        supervisord.start(desk)
        if not supervisord.wait_until(lambda: read_desk(desk).ready, READY_S):
            raise QuarterdeckError(f"the desk is not ready within {READY_S} s")
        yield desk
    finally:
        if supervisord.running(desk):
            supervisord.stop(desk)
        shutil.rmtree(desk.shm_dir, ignore_errors=True)


def one_venue(text: str) -> str:
    """The default configuration with Kraken alone, at RATE."""
    tables = re.split(r"(?m)^(?=\[)", text)
    other = r'(?s)\[+(venue|sim|session)\.(?!kraken\b)|\[\[kill\.limits\]\]\nscope = "venue:(?!kraken")'
    kept = "".join(t for t in tables if not re.match(other, t))
    kept = re.sub(r'"(binance-md|drb-md|cbx-md)"', "", kept)
    kept = re.sub(r', USDT = "\d+"', "", kept)  # nothing here is quoted in it
    kept = re.sub(r"(, )+\]", "]", kept).replace('sessions = ["binance-kill"]', "sessions = []")
    return kept.replace("messages_per_s = 200", f"messages_per_s = {RATE}")


def _rows(desk: DeskConfig, host: str, port: int) -> Iterator[Row]:
    sizes = [_size(host, port, path) for path in FILES]
    yield Row(f"the page: {len(FILES)} files", round(sum(sizes) / 1000, 1), "kB")
    process = psutil.Process(next(p.pid for p in read_desk(desk).processes if p.name == "monitor"))
    idle = _cost(process)
    yield Row("processor, nobody looks", idle[0], "% of a core")
    yield Row("resident memory, nobody looks", idle[1], "MB")
    firsts = [_first_state(host, port) for _ in range(TRIES)]
    yield Row("connect to first whole state, first viewer, median", round(median(f[0] for f in firsts), 1), "ms")
    yield Row("connect to first whole state, first viewer, longest", round(max(f[0] for f in firsts), 1), "ms")
    yield Row("first whole state", round(median(f[1] for f in firsts) / 1000, 1), "kB")
    yield from _chromium(host, port)
    for count in (1, VIEWERS):
        with _viewers(host, port, count) as taken:
            before = sum(taken)
            cpu, memory = _cost(process)
            yield Row(f"processor, {count} viewers", cpu, "% of a core")
            yield Row(f"resident memory, {count} viewers", memory, "MB")
            yield Row(f"to each of {count} viewers", round((sum(taken) - before) / count / SPAN_S / 1000, 1), "kB/s")


def _cost(process: psutil.Process) -> tuple[float, float]:
    """Percent of a core over SPAN_S, resident MB."""
    time.sleep(1)  # what began just now is not counted
    before, began = process.cpu_times(), time.monotonic()
    time.sleep(SPAN_S)
    after, took = process.cpu_times(), time.monotonic() - began
    used = after.user + after.system - before.user - before.system
    return round(100 * used / took, 1), round(process.memory_info().rss / 1e6, 1)


def _size(host: str, port: int, path: str) -> int:
    connection = http.client.HTTPConnection(host, port)
    connection.request("GET", path)
    found = len(connection.getresponse().read())
    connection.close()
    return found


def _open(host: str, port: int) -> socket.socket:
    s = socket.create_connection((host, port), READY_S)
    s.sendall(f"GET /events HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
    return s


def _first_state(host: str, port: int) -> tuple[float, int]:
    """ms until a whole state has come, and its bytes; then nobody looks any more."""
    began, got = time.monotonic_ns(), b""
    with _open(host, port) as s:
        while b"event: tick" not in got:
            part = s.recv(1 << 16)
            if not part:
                raise QuarterdeckError(f"the page's stream ended: {got[:200]!r}")
            got += part
        took_ns = time.monotonic_ns() - began
    time.sleep(1.2)  # the process notices, and looks each second again
    return took_ns / 1e6, len(got)


@contextmanager
def _viewers(host: str, port: int, count: int) -> Iterator[list[int]]:
    """So many read the stream as fast as it comes; the list holds the bytes that each was given."""
    taken, sockets = [0] * count, [_open(host, port) for _ in range(count)]

    def read(n: int) -> None:
        while part := _taken(sockets[n]):
            taken[n] += part

    threads = [threading.Thread(target=read, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield taken
    finally:
        for s in sockets:
            s.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        for s in sockets:
            s.close()


def _taken(s: socket.socket) -> int:
    try:
        return len(s.recv(1 << 16))
    except OSError:
        return 0


def _chromium(host: str, port: int) -> Iterator[Row]:
    """A real browser, where there is one: from asking for the page to the state on it, and how many requests."""
    program = shutil.which("chromium")
    try:
        playwright = import_module("playwright.sync_api")
    except ModuleNotFoundError:
        return
    if program is None:
        return
    times, asked = [], 0
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=program, args=list(FLAGS))
        for _ in range(TRIES):
            page = browser.new_page()
            urls: list[str] = []
            page.on("request", lambda r, urls=urls: urls.append(r.url))
            began = time.monotonic()
            page.goto(f"http://{host}:{port}/", wait_until="commit")
            page.locator("body:not(.waiting)").wait_for()
            times.append((time.monotonic() - began) * 1000)
            asked = len([u for u in urls if u.startswith("http")])
            page.close()
            time.sleep(1.2)
        browser.close()
    yield Row("Chromium: from the address to the state, median", round(median(times), 1), "ms")
    yield Row("Chromium: requests until then", asked, "requests")
