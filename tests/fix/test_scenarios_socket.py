"""The acceptor scenarios over real sockets: against our acceptor, and against QuickFIX to know where it differs."""

import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from base.clock import SystemClock
from base.reactor import Reactor
from fix.acceptor import FixAcceptor
from fix.dictionary import Dictionary
from fix.echo import EchoApp
from fix.scenarios.machine import settings_of
from fix.scenarios.script import VERSIONS, Scenario, load
from fix.session import FixSession
from fix.store import MemoryStore
from tests.fix import quickfix_echo
from tests.fix.scenario_socket import SocketPlayer

ROOT = Path(__file__).parents[2]
DICTIONARIES = ROOT / "fix/dictionaries"
DOCUMENTED = ROOT / "docs/fix-scenarios.md"
TOLD = {
    "reset_quietly": "ResetOnLogon=Y",
    "next_expected": "SendNextExpectedMsgSeqNum=Y",
    "last_processed": "EnableLastMsgSeqNumProcessed=Y",
}
"""Our settings in QuickFIX's words."""


def playable(version: str) -> list[Scenario]:
    return [s for s in load("acceptor") if version in s.versions and "offline" not in s.options]


def played(scenarios: list[Scenario], version: str, port: int, short: frozenset[str] = frozenset()) -> dict[str, str]:
    """Number and problem of each scenario; those in `short` are not waited for as long."""

    def play(scenario: Scenario) -> str:
        patience = 0.5 if scenario.number in short else 8.0
        return SocketPlayer(scenario, version, port, peer_of(scenario), patience).play()

    with ThreadPoolExecutor(8) as pool:
        return dict(zip([s.number for s in scenarios], pool.map(play, scenarios), strict=True))


def peer_of(scenario: Scenario) -> str:
    """An identity for each scenario: its own numbers from 1."""
    return "P-" + scenario.number.replace(".", "-")


@pytest.fixture
def ours(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """Our acceptor with a session for each scenario, on a thread of its own."""
    version = request.param
    reactor = Reactor(SystemClock())
    sessions = []
    dictionary = Dictionary.standard(version)
    for scenario in playable(version):
        app = EchoApp(reactor.clock)
        settings = replace(settings_of(scenario, version), target_comp_id=peer_of(scenario))
        app.session = FixSession(
            settings, MemoryStore(1), app, rules=dictionary.rules(), dictionary=dictionary
        )  # fmt: skip
        sessions.append(app.session)
    acceptor = FixAcceptor(reactor, "127.0.0.1", 0, sessions)
    stop = threading.Event()
    thread = threading.Thread(target=lambda: reactor.run_until(stop.is_set, 60_000_000_000))
    thread.start()
    yield version, acceptor.port
    stop.set()
    thread.join()
    acceptor.close()
    reactor.run_once()
    reactor.close()


@pytest.mark.parametrize("ours", VERSIONS, indirect=True)
def test_our_acceptor_passes_over_sockets_too(ours):
    version, port = ours
    problems = played(playable(version), version, port)
    assert {number: problem for number, problem in problems.items() if problem} == {}


def differences() -> dict[str, str]:
    """Scenario numbers that the documentation lists as played differently by QuickFIX, with the versions it names."""
    text = DOCUMENTED.read_text("utf-8").split("## Where QuickFIX differs")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([\w.]+)` \| ([^|]*) \|", text, re.MULTILINE)
    return {number: versions.strip() for number, versions in rows}


@pytest.mark.parametrize("version", VERSIONS)
def test_quickfix_differs_where_the_documentation_says_so_and_nowhere_else(version, tmp_path):
    expected = frozenset(n for n, versions in differences().items() if versions == "all" or version in versions)
    scenarios = playable(version)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    peers = {
        peer_of(s): "\n".join(TOLD[k] for k in (*s.options, *s.options.values()) if k in TOLD) for s in scenarios
    }  # fmt: skip
    process = quickfix_echo.start(tmp_path, version, port, DICTIONARIES, peers=peers)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        problems = played(scenarios, version, port, expected)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(20)
        process.stdout.close()
    found = {number: problem for number, problem in problems.items() if problem}
    assert {n: p for n, p in found.items() if n not in expected} == {}
    assert {n for n in expected if n in problems and n not in found} == set()
