"""Our sessions against QuickFIX over real sockets: both roles, three versions, plain and TLS; each side validates what
the other says by the same dictionaries.
"""

import socket

import pytest

from fix.session_events import GapClosed, HeartbeatRoundTrip, LoggedOn, LoggedOut, ResendServed, State
from fix.settings import Role, SequencePolicy
from tests.fix.interop_kit import Certificates, acceptor, free_port, initiator, of_version
from tests.fix.session_kit import ACCEPTOR, INITIATOR, settings

VERSIONS = ("4.2", "4.4", "5.0sp2")


@pytest.fixture
def certificates(tmp_path):
    return Certificates.make(tmp_path)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_logon_orders_reports_and_logout(reactor, make_desk, tmp_path, certificates, version, tls):
    keys = certificates if tls else None
    desk, port = make_desk(of_version(Role.INITIATOR, version), version=version, certificates=keys), free_port()
    with acceptor(reactor, tmp_path / "qf", port, version, keys) as venue:
        desk.connect_until_logged_on(port)
        for number in range(30):
            desk.order(f"o{number}")
        desk.until(lambda: len(desk.app.messages) == 60)
        desk.session.test_request(desk.clock.mono_ns(), desk.clock.wall_ns())
        desk.until(lambda: desk.app.events_of(HeartbeatRoundTrip))
        desk.agree(venue)
        desk.logout()
        assert not tls or desk.transport.tls_version.startswith("TLSv1.")
        desk.no_rejects(venue)
    assert desk.exec_ids() == [f"1.{n}" for n in range(1, 61)] == venue.sent()
    assert [order for order, _ in venue.seen("order")] == [f"o{n}" for n in range(30)]
    assert desk.app.events_of(LoggedOut)[0].initiated
    assert all(not defects for _, _, _, defects, _ in desk.app.messages)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_quickfix_logs_on_to_us_and_trades(reactor, make_desk, tmp_path, certificates, version, tls):
    keys = certificates if tls else None
    desk = make_desk(of_version(Role.ACCEPTOR, version), version=version, certificates=keys)
    port = desk.listen()
    desk.app.during = desk.answer
    with initiator(reactor, tmp_path / "qf", port, version, keys) as client:
        desk.until(lambda: desk.session.is_logged_on and client.count("logon"))
        client.do("orders", "q", "30")
        desk.until(lambda: len(client.seen("report")) == 60)
        desk.agree(client)
        desk.no_rejects(client)
    assert client.seen("report") == [(f"d{n}", False) for n in range(1, 61)]
    assert [seq for _, seq, *_ in desk.app.messages] == list(range(2, 32))
    assert desk.ids(11, "D") == client.sent() == [f"q{n}" for n in range(30)]


@pytest.mark.parametrize("version", VERSIONS)
def test_market_data_is_asked_of_quickfix(reactor, make_desk, tmp_path, version):
    desk, port = make_desk(of_version(Role.INITIATOR, version), version=version), free_port()
    with acceptor(reactor, tmp_path, port, version) as venue:
        desk.connect_until_logged_on(port)
        desk.subscribe("md1")
        desk.until(lambda: len(desk.app.messages) == 6)
        desk.agree(venue)
        desk.no_rejects(venue)
    assert [kind for kind, *_ in desk.app.messages] == ["W"] + ["X"] * 5
    assert desk.ids(262, "W", "X") == ["md1"] * 6
    assert desk.ids(271, "X") == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("version", VERSIONS)
def test_quickfix_asks_us_for_market_data(reactor, make_desk, tmp_path, version):
    desk = make_desk(of_version(Role.ACCEPTOR, version), version=version)
    port = desk.listen()
    desk.app.during = lambda message: desk.market_data(message.get_str(262) or "", 20)
    with initiator(reactor, tmp_path, port, version) as client:
        desk.until(lambda: desk.session.is_logged_on and client.count("logon"))
        client.do("subscribe", "q1")
        desk.until(lambda: len(client.seen("md")) == 21)
        desk.agree(client)
        desk.no_rejects(client)
    told = [(e["kind"], e["entries"]) for e in client.events if e["event"] == "md"]
    assert told == [("W", 2)] + [("X", 1)] * 20


def test_numbers_go_on_over_a_forced_disconnect_and_lost_reports_come_again(reactor, make_desk, tmp_path):
    desk, port = make_desk(INITIATOR), free_port()
    with acceptor(reactor, tmp_path, port) as venue:
        desk.connect_until_logged_on(port)
        desk.order("a")
        desk.until(lambda: len(desk.app.messages) == 2)
        desk.cut()
        desk.until(lambda: venue.count("logout"))
        for number in range(3):  # reports while we are away: QuickFIX stores them
            venue.do("report", f"away{number}", "4")
        desk.until(lambda: venue.count("done") == 3)
        desk.connect_until_logged_on(port)
        desk.until(lambda: len(desk.app.messages) == 5 and not desk.session._gap.is_open)
        desk.order("b")
        desk.until(lambda: len(desk.app.messages) == 7)
        desk.logout()
    assert desk.exec_ids() == [f"1.{n}" for n in range(1, 8)]
    assert desk.app.events_of(GapClosed)
    assert [flags for _, _, flags, _, _ in desk.app.messages][2:5] == [1, 1, 1]


def test_orders_lost_on_the_way_are_gap_filled_never_sent_again(reactor, make_desk, tmp_path):
    desk, port = make_desk(INITIATOR), free_port()
    with acceptor(reactor, tmp_path, port) as venue:
        desk.connect_until_logged_on(port)
        desk.session._write = lambda raw: True  # a network that swallows
        lost = [desk.order(f"lost{n}") for n in range(4)]
        desk.cut()
        desk.connect_until_logged_on(port)
        desk.until(lambda: desk.app.events_of(ResendServed))
        desk.order("after")
        desk.until(lambda: len(desk.app.messages) == 2)
        desk.logout()
    assert venue.seen("order") == [("after", False)]
    assert desk.app.events_of(ResendServed)[0] == ResendServed(lost[0], lost[-1] + 1, 0)


def test_reset_at_each_logon(reactor, make_desk, tmp_path):
    port = free_port()
    desk = make_desk(settings(sequence_policy=SequencePolicy.RESET_AT_LOGON, supports_resend=False))
    with acceptor(reactor, tmp_path, port):
        for round_ in (1, 2, 3):
            desk.connect_until_logged_on(port)
            desk.order(f"r{round_}")
            desk.until(lambda n=round_: len(desk.app.messages) == 2 * n)
            desk.cut()
    logons = desk.app.events_of(LoggedOn)
    assert [(e.reset, e.next_in, e.next_out) for e in logons] == [(True, 2, 2)] * 3


def test_a_number_too_low_for_the_peer_heals_by_a_fresh_logon(reactor, make_desk, tmp_path):
    port = free_port()
    desk = make_desk(INITIATOR)
    with acceptor(reactor, tmp_path, port):
        desk.connect_until_logged_on(port)
        desk.order("a")
        desk.until(lambda: len(desk.app.messages) == 2)
        desk.cut()
        amnesiac = make_desk(INITIATOR)  # a new store: its Logon carries 1
        amnesiac.connect_until_logged_on(port)
        amnesiac.order("b")
        amnesiac.until(lambda: len(amnesiac.app.messages) == 2)
        amnesiac.logout()
    assert amnesiac.app.events_of(LoggedOn)[-1].reset


def test_quickfix_gets_again_what_was_lost(reactor, make_desk, tmp_path):
    desk = make_desk(ACCEPTOR)
    port = desk.listen()
    with initiator(reactor, tmp_path, port) as client:
        desk.until(lambda: desk.session.is_logged_on and client.count("logon"))
        desk.report(1)
        desk.until(lambda: len(client.seen("report")) == 1)
        write, desk.session._write = desk.session._write, lambda raw: True
        for number in (2, 3, 4):
            desk.report(number)
        desk.session._write = write
        desk.report(5)
        desk.until(lambda: len(client.seen("report")) == 5)
        desk.cut()
        desk.until(lambda: desk.session.is_logged_on)
        desk.report(6)
        desk.until(lambda: len(client.seen("report")) == 6)
    assert [int(exec_id) for exec_id, _ in client.seen("report")] == [1, 2, 3, 4, 5, 6]
    assert [dup for _, dup in client.seen("report")][1:4] == [True, True, True]


def test_quickfix_resets_when_it_wants_to(reactor, make_desk, tmp_path):
    desk = make_desk(ACCEPTOR)
    port = desk.listen()
    with initiator(reactor, tmp_path, port, extra="ResetOnLogon=Y\n") as client:
        desk.until(lambda: desk.session.is_logged_on and client.count("logon"))
        client.do("order", "a")
        desk.until(lambda: len(desk.app.messages) == 1)
        desk.cut()
        desk.until(lambda: desk.session.is_logged_on and client.count("logon") == 2)
        client.do("order", "b")
        desk.until(lambda: len(desk.app.messages) == 2)
    assert [e.reset for e in desk.app.events_of(LoggedOn)] == [True, True]
    assert [seq for _, seq, *_ in desk.app.messages] == [2, 2]


def test_a_peer_that_is_back_before_the_news_of_its_end_is_turned_away(reactor, make_desk):
    """Seen once: QuickFIX came back within the turn of the loop that was about to tell of its last connection's end."""
    desk = make_desk(ACCEPTOR)
    port = desk.listen()
    with socket.create_connection(("127.0.0.1", port)):
        desk.until(lambda: desk.session.state is State.AWAIT_LOGON)
        desk.transport.close("cut")
        with socket.create_connection(("127.0.0.1", port)) as early:
            desk.until(lambda: desk.session.state is State.DISCONNECTED)
            early.setblocking(False)
            desk.until(lambda: hung_up(early))
        with socket.create_connection(("127.0.0.1", port)):
            desk.until(lambda: desk.session.state is State.AWAIT_LOGON)


def hung_up(sock):
    """Whether the other side has closed."""
    try:
        return sock.recv(100) == b""
    except BlockingIOError:
        return False
