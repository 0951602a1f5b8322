"""Socket to shared memory: the shipped market-data and book processes over TLS, beside a bare pipe in the same run."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import trustme
import zmq

from base.config import DeskConfig, load
from base.errors import QuarterdeckError, RegionError
from bench.report import Row, at_most, print_rows, within
from ipc.books import BookRegion
from ipc.bus import Subscriber
from ipc.events import ProcessState
from ipc.readiness import read_all

ROOT = Path(__file__).resolve().parent.parent
MESSAGES = 300_000
PACED_RATE = 2_000
PACED_MESSAGES = 12_000
ROUNDS, MIN_ROUNDS, ENOUGH_S = 5, 3, 130
DEADLINE_S = 90

CONFIG = """
[desk]
name = "pipeline"
environment = "test"
shm_dir = "{root}/shm"

[venue.kraken]
dialect = "kraken"
instruments = [{{ name = "BTC-USD", symbol = "BTC/USD", px_scale = 1, qty_scale = 8 }}]

[session.feed]
venue = "kraken"
kind = "marketdata"
address = "127.0.0.1:{port}"
ca_file = "{root}/ca.pem"
server_name = "localhost"
sender_comp_id = "BENCH"
target_comp_id = "KRAKEN-MD"
depth = 0

[book.l2]
sessions = ["feed"]
"""


def environment(root: Path) -> dict[str, str]:
    """Children find the packages and keep their state below `root`."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "QD_STATE_DIR": str(root)}


@contextmanager
def child(root: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process of this project, ended when the block is left."""
    command = [sys.executable, "-m", *arguments]
    with subprocess.Popen(command, cwd=ROOT, env=environment(root), stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def said(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The next line of JSON that a child prints."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise QuarterdeckError(f"{process.args!r}: ended without a word, status {process.wait()}")
    answer: dict[str, Any] = json.loads(line)
    return answer


def certificates(root: Path) -> tuple[str, str]:
    """A throw-away CA in `root`; (certificate, key) files of "localhost"."""
    ca = trustme.CA()
    cert = ca.issue_cert("localhost")
    ca.cert_pem.write_to_path(str(root / "ca.pem"))
    cert.private_key_and_cert_chain_pem.write_to_path(str(root / "server.pem"))
    return str(root / "server.pem"), str(root / "server.pem")


def bare(messages: int, rate: int, *options: str) -> tuple[float, float]:
    """(messages a second, p50 us) of the bare pipe."""
    with tempfile.TemporaryDirectory(prefix="qd-") as folder, ExitStack() as stack:
        root = Path(folder)
        endpoint = f"ipc://{root}/bare"
        cert, key = certificates(root)
        feed = stack.enter_context(child(root, "bench.pipeline_feed", cert, key, str(messages), str(rate)))
        port = said(feed)["port"]
        sink = stack.enter_context(child(root, "bench.pipeline_bare", "--sink", endpoint, str(messages)))
        stack.enter_context(child(root, "bench.pipeline_bare", str(port), str(root / "ca.pem"), endpoint, *options))
        begin = said(feed)["begin_mono_ns"]
        end = said(sink)
        return messages * 1e9 / (end["end_mono_ns"] - begin), end["p50_ns"] / 1000


def shipped(messages: int, rate: int) -> tuple[float, float, dict[str, int]]:
    """(messages a second, p50 us, losses) of the shipped processes; QuarterdeckError when they do not finish."""
    with tempfile.TemporaryDirectory(prefix="qd-", dir="/dev/shm") as folder, ExitStack() as stack:
        root = Path(folder)
        cert, key = certificates(root)
        feed = stack.enter_context(child(root, "bench.pipeline_feed", cert, key, str(messages), str(rate)))
        (root / "config").mkdir()
        config = root / "config" / "desk.toml"
        config.write_text(CONFIG.format(root=root, port=said(feed)["port"]))
        stack.enter_context(child(root, "procs.book", "--config", str(config), "--shard", "l2"))
        stack.enter_context(child(root, "procs.marketdata", "--config", str(config), "--session", "feed"))
        begin = said(feed)["begin_mono_ns"]
        end, said_of = _applied(root, messages)
        return messages * 1e9 / (end - begin), said_of.pop("p50_us"), said_of


def _applied(root: Path, messages: int) -> tuple[int, dict[str, int]]:
    """When the shared book had taken every message; what was lost on the way."""
    desk = load(root / "config" / "desk.toml")
    give_up = time.monotonic() + DEADLINE_S
    reader = None
    while reader is None or reader.times()[3] < messages + 1:  # the snapshot counts as one
        if time.monotonic() > give_up:
            pages = {n: f"{s.readiness} {s.reason}" for n, s in read_all(desk.shm_dir / "proc").items()}
            raise QuarterdeckError(f"book at {reader and reader.times()[3]} of {messages} messages; {pages}")
        time.sleep(0.002)
        if reader is None:
            try:
                reader = BookRegion.open(desk.shm_dir / "book-l2").book("kraken", "BTC-USD")
            except RegionError:
                continue
    end_ns = time.monotonic_ns()
    book, feed = counters(desk, "book-l2"), counters(desk, "feed")
    lost = {"not_live": int(reader.status()[0] != 1), "p50_us": book["wire_to_book_p50_us"]}
    lost |= {name: book[name] for name in ("gaps", "refused_changes")}
    lost |= {"fresh_snapshots": feed["snapshots"] - 1, "unpublished": messages + 1 - feed["md_messages"]}
    return end_ns, lost


def counters(desk: DeskConfig, process: str) -> dict[str, int]:
    """What a process says of itself, once it has said all."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    subscriber = Subscriber(context)
    subscriber.connect(f"ipc://{desk.run_dir}/{process}.pub")
    subscriber.subscribe("state.")
    give_up = time.monotonic() + DEADLINE_S
    found: dict[str, int] = {}
    while not found:
        if time.monotonic() > give_up:
            raise QuarterdeckError(f"{process} does not say its state")
        subscriber.socket.poll(1_000)
        for delivery in subscriber.receive():
            if isinstance(delivery.event, ProcessState):
                found = delivery.event.counters
    subscriber.close()
    context.destroy(linger=0)
    return found


def run(as_json: bool) -> int:
    """Print throughput at full speed, latency at a pace, each as a ratio to the bare pipe, and what was lost."""
    fast: list[float] = []
    floor: list[float] = []
    objects: list[float] = []
    losses = Counter[str]()
    begin = time.monotonic()
    while len(fast) < MIN_ROUNDS or (len(fast) < ROUNDS and time.monotonic() < begin + ENOUGH_S):
        floor.append(bare(MESSAGES, 0)[0])
        objects.append(bare(MESSAGES, 0, "--messages")[0])
        rate, _, lost = shipped(MESSAGES, 0)
        fast.append(rate)
        losses.update(lost)
    paced_floor = bare(PACED_MESSAGES, PACED_RATE)[1]
    _, paced, lost = shipped(PACED_MESSAGES, PACED_RATE)
    losses.update(lost)
    ours, theirs = statistics.median(fast), statistics.median(floor)
    share, gone = ours / theirs, sum(losses.values())
    other = statistics.median(objects)
    what = ", ".join(f"{name} {n}" for name, n in losses.items() if n) or "every message applied, book LIVE"
    rows = [
        Row("socket to shared memory", ours, "messages/s", "bare pipe", theirs, share, 0.8, share >= 0.8),
        Row("socket to shared memory", ours, "messages/s", "bare pipe of messages", other, ours / other),
        Row("socket to shared memory", ours, "messages/s", reach=100_000, ok=ours >= 100_000),
        within(f"p50 at {PACED_RATE} messages/s", paced, "us", "bare pipe", paced_floor, 1.6),
        at_most(f"lost in {len(fast) + 1} runs ({what})", gone, "", 0),
    ]  # fmt: skip
    print_rows(rows, as_json)
    return 0 if all(r.ok for r in rows) else 4
