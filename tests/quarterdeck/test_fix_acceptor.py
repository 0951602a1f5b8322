"""`qd fix acceptor` as a process: its line of JSON, TLS, numbers over connections and restarts, signals, rubbish."""

import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from base.errors import ConfigError
from fix.codec import Message, encode
from fix.scenarios.wire import cut
from quarterdeck.cli import main
from quarterdeck.fix_acceptor import AcceptorOptions, ascending_header, dictionary_of

ROOT = Path(__file__).parents[2]
BEGIN = {"4.2": "FIX.4.2", "4.4": "FIX.4.4", "5.0sp2": "FIXT.1.1"}
ORDER = b"11=%s\x0121=1\x0155=BTC/USD\x0154=1\x0138=1\x0140=2\x0144=1\x0160=20250101-00:00:00\x01"


class Process:
    """The command and what it printed."""

    def __init__(self, version: str, *arguments: str) -> None:
        self.version = version
        self.process = subprocess.Popen(
            [sys.executable, "-m", "quarterdeck.cli", "fix", "acceptor", "--version", version, "--sender", "ENGINE",
             "--target", "PEER", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        self.line: dict[str, Any] = json.loads(line)
        self.peers: list[Peer] = []

    def stop(self, signum: int = signal.SIGTERM) -> int:
        for peer in self.peers:
            peer.close()
        if self.process.poll() is None:
            self.process.send_signal(signum)
        out, self.errors = self.process.communicate(timeout=20)
        assert out == "", "one line is all it prints"
        return self.process.returncode


class Peer:
    """A blocking FIX peer; `seq` is its next number."""

    def __init__(self, process: Process, context: ssl.SSLContext | None = None, seq: int = 1) -> None:
        plain = socket.create_connection(("127.0.0.1", process.line["port"]), 10)
        self.socket = context.wrap_socket(plain, server_hostname="127.0.0.1") if context else plain
        self.version = process.version
        process.peers.append(self)
        self.seq = seq
        self.buffer = bytearray()

    def say(self, kind: str, body: bytes = b"", header: bytes = b"") -> None:
        begin = BEGIN[self.version]
        self.socket.sendall(
            encode(begin, kind, "PEER", "ENGINE", self.seq, time.time_ns(), body, extra_header=header)
        )  # fmt: skip
        self.seq += 1

    def hear(self) -> Message | None:
        """The next message; None when the connection was ended."""
        while True:
            for raw in cut(self.buffer):
                return Message.parse(raw)
            data = self.socket.recv(65536)
            if not data:
                return None
            self.buffer += data

    def logon(self, body: bytes = b"") -> Message:
        version = b"1137=9\x01" if self.version == "5.0sp2" else b""
        self.say("A", b"98=0\x01108=30\x01" + version + body)
        answer = self.hear()
        assert answer is not None
        assert answer.msg_type == "A"
        return answer

    def echo(self, cl_ord_id: bytes) -> Message:
        self.say("D", ORDER % cl_ord_id)
        answer = self.hear()
        assert answer is not None
        return answer

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def make(version: str, *arguments: str) -> Process:
        started.append(Process(version, *arguments))
        return started[-1]

    yield make
    for process in started:
        process.stop(signal.SIGKILL)


@pytest.mark.parametrize("version", list(BEGIN))
def test_it_says_where_it_listens_and_echoes(start, version):
    process = start(version, "--plain")
    line = process.line
    assert (line["version"], line["begin_string"], line["tls"]) == (version, BEGIN[version], False)
    peer = Peer(process)
    answer = peer.logon()
    assert (answer.get(49), answer.get(56), answer.get(108)) == (b"ENGINE", b"PEER", b"30")
    order = peer.echo(b"a")
    assert order.raw.endswith(ORDER % b"a" + order.raw[-7:])
    peer.say("D", ORDER % b"a", b"97=Y\x01")
    peer.say("F", b"11=b\x0141=a\x0155=BTC/USD\x0154=1\x0138=1\x0160=20250101-00:00:00\x01")
    refusal = peer.hear()
    assert refusal is not None
    assert [refusal.get(tag) for tag in (35, 45, 372, 380)] == [b"j", b"4", b"F", b"3"]
    assert process.stop() == 0
    assert process.errors == ""


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(start, signum):
    process = start("4.4", "--plain")
    peer = Peer(process)
    peer.logon()
    process.process.send_signal(signum)
    logout = peer.hear()
    assert logout is not None
    assert logout.msg_type == "5"
    peer.say("5")
    assert peer.hear() is None
    peer.close()
    assert process.process.wait(20) == 0  # by itself: a second signal would meet it on its way out


def test_tls_with_a_throwaway_certificate(start):
    process = start("4.4")
    context = ssl.create_default_context(cafile=process.line["ca_file"])
    peer = Peer(process, context)
    peer.logon()
    assert peer.echo(b"a").msg_type == "D"
    peer.close()


def test_tls_with_a_certificate_of_ones_own(start, tmp_path):
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    process = start("4.2", "--cert", str(tmp_path / "cert.pem"), "--key", str(tmp_path / "key.pem"))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    peer = Peer(process, context)
    peer.logon()
    assert process.line["ca_file"] == ""
    peer.close()


def test_numbers_go_on_over_connections_unless_told_otherwise(start):
    process = start("4.4", "--plain")
    for seq in (1, 2, 3):
        peer = Peer(process, seq=seq)
        assert peer.logon().seq_num == seq
        peer.close()


def test_reset_on_logon_needs_no_flag(start):
    process = start("4.4", "--plain", "--reset-on-logon")
    for _ in range(3):
        peer = Peer(process)
        answer = peer.logon()
        assert (answer.seq_num, answer.get(141)) == (1, None)
        assert peer.echo(b"a").seq_num == 2
        peer.close()


def test_without_validation_odd_things_come_back_too(start):
    peer = Peer(start("4.4", "--plain", "--validation", "off"))
    peer.logon()
    peer.say("D", ORDER % b"a" + b"9999=x\x01")
    answer = peer.hear()
    assert answer is not None
    assert (answer.msg_type, answer.get(9999)) == ("D", b"x")


def test_a_store_keeps_numbers_and_messages_over_restarts(start, tmp_path):
    process = start("4.4", "--plain", "--store", str(tmp_path))
    peer = Peer(process)
    peer.logon()
    peer.echo(b"a")
    peer.close()
    process.stop()
    peer = Peer(start("4.4", "--plain", "--store", str(tmp_path)), seq=3)
    peer.logon()
    peer.say("2", b"7=2\x0116=2\x01")
    again = peer.hear()
    assert again is not None
    assert (again.msg_type, again.seq_num, again.get(43), again.get(11)) == ("D", 2, b"Y", b"a")
    peer.close()


def test_it_survives_whatever_is_thrown_at_it(start):
    process = start("4.4", "--plain")
    rng = random.Random(7)
    for round_ in range(150):
        victim = socket.create_connection(("127.0.0.1", process.line["port"]), 10)
        logon = encode("FIX.4.4", "A", "PEER", "ENGINE", 1, time.time_ns(), b"98=0\x01108=30\x01141=Y\x01")
        junk = [
            os.urandom(rng.randrange(1, 400)),
            logon[: rng.randrange(len(logon))],
            logon + os.urandom(300),
            logon + b"8=FIX.4.4\x019=999999\x0135=D\x01",
            logon + damaged(rng, encode("FIX.4.4", "D", "PEER", "ENGINE", 2, time.time_ns(), ORDER % b"x")),
            logon + b"".join(damaged(rng, logon) for _ in range(20)),
            b"",
        ]  # fmt: skip
        victim.sendall(rng.choice(junk))
        if round_ % 3:
            victim.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        victim.close()
    peer = Peer(process)
    peer.logon(b"141=Y\x01")
    assert peer.echo(b"still there").get(11) == b"still there"
    peer.close()
    assert process.stop() == 0
    assert process.errors == ""


WRONG = (
    b"", b"=", b"34=9223372036854775807", b"36=99999999999999999999", b"a=b", b"95=-1", b"453=99999", b"49=\xff\xfe",
    b"52=x", b"10=000",
)  # fmt: skip


def damaged(rng: random.Random, raw: bytes) -> bytes:
    """A message with fields changed, dropped or doubled, sealed anew so that it is not merely garbled."""
    fields = raw.split(b"\x01")[2:-2]
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(1, len(fields))
        fields[at] = rng.choice([*WRONG, fields[at] * 2, fields[1]])
    body = b"".join(field + b"\x01" for field in fields)
    head = b"8=FIX.4.4\x019=%d\x01" % len(body) + body
    return head + b"10=%03d\x01" % (sum(head) % 256)


def test_a_dictionary_for_another_version_is_refused():
    options = AcceptorOptions("4.4", "127.0.0.1", 0, "A", "B", dictionary=str(ROOT / "fix/dictionaries/FIX42.xml"))
    with pytest.raises(ConfigError, match=r"FIX42.xml: it is for FIX.4.2"):
        dictionary_of(options)


def test_a_dictionary_for_fixt_may_come_without_its_transport():
    file = str(ROOT / "fix/dictionaries/FIX50SP2.xml")
    found = dictionary_of(AcceptorOptions("5.0sp2", "127.0.0.1", 0, "A", "B", dictionary=file))
    assert found.begin_string == "FIXT.1.1"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--plain", "--host", "0.0.0.0"), "TCP without TLS"),
        (("--dictionary", "/nowhere.xml"), "/nowhere.xml"),
        (("--cert", "/nowhere.pem"), "/nowhere.pem"),
    ],
)
def test_what_cannot_be_is_one_line_on_stderr(capsys, arguments, problem):
    assert main(["fix", "acceptor", "--version", "4.4", "--sender", "A", "--target", "B", *arguments]) == 1
    assert problem in capsys.readouterr().err


def test_scenarios_are_counted_by_version_and_role(capsys):
    assert main(["fix", "scenarios", "--number", "2c"]) == 0
    out = capsys.readouterr().out
    assert "acceptor   FIX 4.2        2 of 2 scenarios passed" in out
    assert "initiator  FIX 5.0sp2     2 of 2 scenarios passed" in out


def test_scenarios_that_nobody_wrote_are_a_failure(capsys):
    assert main(["fix", "scenarios", "--number", "nothing"]) == 1
    assert capsys.readouterr().out == ""


def test_scenarios_as_json(capsys):
    assert main(["fix", "scenarios", "--number", "21", "--role", "acceptor", "--version", "4.4", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer == {"passed": [{"role": "acceptor", "version": "4.4", "passed": 2, "total": 2}], "failed": []}


def test_a_header_in_ascending_order_is_the_same_message():
    raw = encode("FIX.4.4", "D", "S", "T", 7, time.time_ns(), b"97=Y\x0111=a\x0134567=x\x01", extra_header=b"43=Y\x01")
    ordered = Message.parse(ascending_header(raw))
    tags = [tag for tag, _ in ordered.fields()]
    assert tags == [8, 9, 35, 34, 43, 49, 52, 56, 97, 11, 34567, 10]
    assert sorted(ordered.fields()) == sorted(Message.parse(raw).fields())
