"""Connections and identities: who gets to a session, who is shown out, what a peer may do to the acceptor."""

import socket
import time
from collections.abc import Callable, Iterator

import pytest

from base.clock import SystemClock
from base.reactor import Reactor
from fix import acceptor as acceptor_module
from fix.acceptor import FixAcceptor
from fix.admission import MAX_WAITING, Admission
from fix.codec import Message, encode
from fix.echo import EchoApp, echo_body
from fix.scenarios.wire import cut
from fix.session import FixSession
from fix.session_events import State
from fix.settings import Role, SessionSettings, Validation
from fix.store import MemoryStore

WAIT_NS = 60_000_000_000
LOGON = b"98=0\x01108=30\x01"


def message(kind: str, seq: int, body: bytes = b"", sender: str = "PEER", target: str = "ENGINE") -> bytes:
    return encode("FIX.4.4", kind, sender, target, seq, time.time_ns(), body)


class Bench:
    """An acceptor with two sessions on a reactor that `until` turns."""

    def __init__(self, **settings: object) -> None:
        self.reactor = Reactor(SystemClock())
        self.sessions = [self.session(peer, **settings) for peer in ("PEER", "OTHER")]
        self.acceptor = FixAcceptor(self.reactor, "127.0.0.1", 0, self.sessions)
        self.clients: list[Client] = []

    def session(self, peer: str, **more: object) -> FixSession:
        app = EchoApp(self.reactor.clock)
        given = SessionSettings(peer, Role.ACCEPTOR, "ENGINE", peer, validation=Validation.REJECT, **more)  # type: ignore[arg-type]
        app.session = FixSession(given, MemoryStore(1), app)
        return app.session

    def client(self) -> "Client":
        self.clients.append(Client(self))
        return self.clients[-1]

    def until(self, condition: Callable[[], object], timeout_ns: int = WAIT_NS) -> None:
        assert self.reactor.run_until(condition, timeout_ns)

    def close(self) -> None:
        for client in self.clients:
            client.socket.close()
        self.acceptor.close()
        self.reactor.run_until(lambda: not self.acceptor.busy, WAIT_NS)
        self.reactor.close()


class Client:
    """One socket of a peer."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.socket = socket.create_connection(("127.0.0.1", bench.acceptor.port))
        self.socket.setblocking(False)
        self.buffer = bytearray()
        self.got: list[Message] = []
        self.ended = False

    def say(self, data: bytes) -> None:
        self.socket.setblocking(True)
        self.socket.sendall(data)
        self.socket.setblocking(False)

    def look(self) -> "Client":
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return self
        except ConnectionResetError:
            data = b""
        self.ended |= not data
        self.buffer += data
        self.got += map(Message.parse, cut(self.buffer))
        return self

    def types(self) -> list[str]:
        return [each.msg_type for each in self.look().got]

    def until(self, *types: str) -> None:
        self.bench.until(lambda: self.types() == list(types))

    def until_ended(self) -> None:
        self.bench.until(lambda: self.look().ended)

    def logon(self, seq: int = 1, sender: str = "PEER") -> "Client":
        self.say(message("A", seq, LOGON, sender))
        self.bench.until(lambda: self.types()[:1] == ["A"])
        self.got.clear()
        return self


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def test_each_identity_reaches_its_own_session(bench):
    one, two = bench.client().logon(), bench.client().logon(sender="OTHER")
    for client, sender in ((one, "PEER"), (two, "OTHER")):
        client.say(message("1", 2, b"112=%s\x01" % sender.encode(), sender))
    one.until("0")
    two.until("0")
    assert (one.got[0].get(112), two.got[0].get(112)) == (b"PEER", b"OTHER")


def test_a_second_connection_of_an_identity_is_refused_and_the_first_does_not_notice(bench):
    first = bench.client().logon()
    second = bench.client()
    second.say(message("A", 2, LOGON))
    second.until_ended()
    assert second.got == []
    first.say(message("1", 2, b"112=x\x01"))
    first.until("0")
    assert bench.sessions[0].next_in == 3


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        message("D", 1, b"11=a\x01"),
        message("A", 1, LOGON, sender="STRANGER"),
        message("A", 1, LOGON, target="STRANGER"),
        message("A", 1, LOGON).replace(b"\x0198=0", b"\x0198=1"),
        message("A", 1, LOGON).replace(b"FIX.4.4", b"FIX.4.9"),
    ],
    ids=["http", "tls", "an order", "a stranger", "for a stranger", "encrypted", "another version"],
)
def test_who_does_not_belong_here_is_shown_out_without_a_word(bench, data):
    client = bench.client()
    client.say(data)
    client.until_ended()
    assert client.got == []
    assert bench.sessions[0].state is State.DISCONNECTED
    bench.client().logon()


def test_a_peer_may_come_back_before_its_old_connection_is_gone():
    bench = Bench(logout_timeout_ns=60_000_000_000)
    old = bench.client().logon()
    old.say(message("5", 2))
    old.until("5")  # and it never closes its own side
    assert bench.sessions[0].state is State.DISCONNECTING
    bench.client().logon(3)
    bench.close()


def test_a_peer_that_reconnects_at_once_is_let_in(bench):
    seq = 1
    for _ in range(20):
        client = bench.client().logon(seq)
        client.socket.close()  # the next Logon may be read before this end is
        seq += 1


def test_bytes_may_come_one_by_one(bench):
    client = bench.client()
    for byte in message("A", 1, LOGON):
        client.say(bytes((byte,)))
        bench.reactor.run_once()
    client.until("A")


def test_what_comes_with_the_logon_is_not_lost(bench):
    client = bench.client()
    client.say(message("A", 1, LOGON) + message("1", 2, b"112=x\x01") + message("1", 3, b"112=y\x01"))
    client.until("A", "0", "0")


def test_connections_that_say_nothing_are_closed_in_time_and_harm_nobody():
    bench = Bench(logon_timeout_ns=300_000_000)
    idle = [bench.client() for _ in range(30)]
    bench.client().logon()
    for client in idle:
        client.until_ended()
    bench.close()


def test_too_many_that_wait_are_shown_out(bench, monkeypatch):
    monkeypatch.setattr(acceptor_module, "MAX_WAITING", 5)
    idle = [bench.client() for _ in range(8)]
    bench.until(lambda: sum(client.look().ended for client in idle) == 3)
    assert bench.acceptor.refused == 3


def test_a_message_cut_in_two_by_the_end_leaves_no_trace(bench):
    client = bench.client().logon()
    client.say(message("D", 2, b"11=a\x01")[:30])
    client.socket.close()
    bench.until(lambda: bench.sessions[0].state is State.DISCONNECTED)
    again = bench.client().logon(2)
    again.say(message("1", 3, b"112=x\x01"))
    again.until("0")


def test_numbers_beyond_reason_are_refused(bench):
    client = bench.client().logon()
    client.say(message("4", 2, b"36=9223372036854775807\x01"))
    client.until("3")
    client.say(message("4", 2, b"36=9223372036854775807\x01123=Y\x01"))
    client.until("3", "3")
    assert bench.sessions[0].next_in == 2


def test_logout_of_ours_ends_all_sessions_in_order(bench):
    client = bench.client().logon()
    bench.acceptor.logout("closing")
    client.until("5")
    client.say(message("5", 2))
    client.until_ended()
    bench.until(lambda: not bench.acceptor.busy)


def test_an_admission_keeps_every_byte_and_has_a_bound():
    door = Admission()
    logon = message("A", 1, LOGON)
    door.feed(logon[:20])
    assert (door.caller, door.refusal) == (None, "")
    door.feed(logon[20:] + b"more")
    assert door.caller == (b"FIX.4.4", b"PEER", b"ENGINE")
    assert door.received == logon + b"more"
    door.feed(bytes(MAX_WAITING))
    assert door.refusal


def test_an_order_sent_again_is_known_until_the_numbers_begin_again(bench):
    again = encode("FIX.4.4", "D", "PEER", "ENGINE", 3, time.time_ns(), b"11=a\x01", extra_header=b"97=Y\x01")
    client = bench.client().logon()
    client.say(message("D", 2, b"11=a\x01") + again + message("1", 4, b"112=x\x01"))
    client.until("D", "0")
    client.say(message("A", 1, LOGON + b"141=Y\x01"))
    client.say(message("0", 2) + again)
    client.until("D", "0", "A", "D")


def test_an_echo_keeps_order_data_and_groups_and_drops_what_is_the_sessions_own():
    body = b"164=t\x0194=0\x01147=s\x0133=2\x0158=a\x0158=b\x0195=5\x0196=x\x01=\x01y\x01"
    header = b"43=Y\x01122=20250101-00:00:00\x0197=Y\x01115=A\x01"
    raw = encode("FIX.4.4", "C", "PEER", "ENGINE", 7, time.time_ns(), body, extra_header=header)
    assert echo_body(Message.parse(raw)) == b"97=Y\x01115=A\x01" + body
