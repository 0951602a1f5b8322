"""Connections between our sessions and QuickFIX's that break again and again, at the same bytes for the same seed: in
the Logon, in the middle of messages, while a resend is under way. Nothing is lost, nothing doubled, and the numbers
agree afterwards.
"""

import pytest

from fix.session_events import GapOpened, Garbled, HeartbeatRoundTrip, ResendServed
from fix.settings import Role
from tests.fix.interop_kit import Certificates, acceptor, free_port, initiator, of_version
from tests.fix.interop_proxy import Break, Proxy, random_breaks

BURST = 4
LOGON_PLAIN = 90  # bytes; a Logon with its TLS handshake is about 2,000 to the server and 1,500 from it


def trade(desk, prefix):
    """Orders and, behind them, a question, as long as there is a session. An order that falls into a resend is left out
    by its gap fill and gets no report; the question is asked anew after each.
    """
    for n in range(BURST):
        if desk.session.is_logged_on:
            desk.order(f"{prefix}.{n}")
    answers = len(desk.app.events_of(HeartbeatRoundTrip)) + len(desk.app.events_of(ResendServed))
    if desk.session.is_logged_on:
        desk.ask()
    return lambda: len(desk.app.events_of(HeartbeatRoundTrip)) + len(desk.app.events_of(ResendServed)) > answers


def as_initiator(reactor, desk, folder, version, keys, breaks):
    """Trades through each break, then heals; every report QuickFIX stored must be here once, no order there twice."""
    port = free_port()
    with acceptor(reactor, folder, port, version, keys) as venue, Proxy(port) as proxy:
        desk.connect_until_logged_on(port)  # QuickFIX listens
        desk.cut()
        proxy.plan(breaks)
        desk.keep_connected(proxy.port)
        for number in range(len(breaks) * 20):
            stood = proxy.connections
            desk.until(lambda: desk.session.is_logged_on)
            answered = trade(desk, str(number))
            desk.until(lambda a=answered, s=stood: a() or proxy.connections > s)
            if proxy.done:
                break
        assert proxy.done
        desk.until(lambda: desk.session.is_logged_on)
        desk.agree(venue)
        desk.order("last")
        desk.until(lambda: venue.seen("order")[-1:] == [("last", False)])
        desk.agree(venue)
        desk.no_rejects(venue)
    assert sorted(desk.exec_ids()) == sorted(venue.sent())
    orders = [order for order, _ in venue.seen("order")]
    assert len(set(orders)) == len(orders)
    assert len(venue.sent()) == 2 * len(orders)


def as_acceptor(reactor, desk, folder, version, keys, breaks):
    """QuickFIX sends orders again that it thinks lost: each must be here once, and each report of ours there once."""
    desk.app.during = desk.answer
    with Proxy(desk.listen(), breaks) as proxy, initiator(reactor, folder, proxy.port, version, keys) as client:
        for number in range(len(breaks) * 10):
            stood = proxy.connections
            client.do("orders", f"{number}.", str(BURST))  # logged on or not: QuickFIX stores them
            desk.until(lambda n=number: client.count("done") > n)
            sent = len(client.sent())
            desk.pester(lambda n=sent, s=stood: len(desk.app.messages) == n or proxy.connections > s)
            if proxy.done:
                break
        assert proxy.done
        desk.until(lambda: desk.session.is_logged_on)
        desk.agree(client)
        desk.until(lambda: len(client.seen("report")) >= desk._exec)
        desk.agree(client)
        desk.no_rejects(client)
    assert desk.ids(11, "D") == client.sent()
    assert sorted(r for r, _ in client.seen("report")) == sorted(f"d{n}" for n in range(1, desk._exec + 1))
    assert desk._exec == 2 * len(client.sent())


@pytest.mark.parametrize("version", ["4.2", "4.4", "5.0sp2"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("seed", [1, 2])
def test_our_initiator_through_broken_connections(reactor, make_desk, tmp_path, version, tls, seed):
    keys = Certificates.make(tmp_path) if tls else None
    desk = make_desk(of_version(Role.INITIATOR, version), version=version, folder=tmp_path / "store", certificates=keys)
    breaks = random_breaks(seed, 12, 8000 if tls else 2500)
    as_initiator(reactor, desk, tmp_path / "qf", version, keys, breaks)


@pytest.mark.parametrize("version", ["4.2", "4.4", "5.0sp2"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_our_acceptor_through_broken_connections(reactor, make_desk, tmp_path, version, tls):
    keys = Certificates.make(tmp_path) if tls else None
    desk = make_desk(of_version(Role.ACCEPTOR, version), version=version, folder=tmp_path / "store", certificates=keys)
    breaks = random_breaks(7, 4, 8000 if tls else 2500)  # QuickFIX tries again once a second
    as_acceptor(reactor, desk, tmp_path / "qf", version, keys, breaks)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_our_initiator_through_garbled_messages(reactor, make_desk, tmp_path, seed):
    """A broken bit costs a message here or there; what it was is asked for again, or ends the connection."""
    breaks = [
        Break(b.direction, 300 + b.after, "garble") if b.direction == "in" else b
        for b in random_breaks(seed, 8, 1500, ("fin", "rst"))
    ]
    desk = make_desk(of_version(Role.INITIATOR, "4.4", 1), version="4.4", folder=tmp_path / "store")
    as_initiator(reactor, desk, tmp_path / "qf", "4.4", None, breaks)
    assert desk.app.events_of(Garbled)


@pytest.mark.parametrize("direction", ["in", "out"])
def test_cut_in_every_part_of_the_logon(reactor, make_desk, tmp_path, direction):
    """Numbers that one side has counted and the other has not are put right by the next Logon."""
    desk = make_desk(of_version(Role.INITIATOR, "4.4"), version="4.4", folder=tmp_path / "store")
    breaks = [Break(direction, after, "rst") for after in (0, 1, 9, 30, LOGON_PLAIN - 1, LOGON_PLAIN, LOGON_PLAIN + 30)]
    as_initiator(reactor, desk, tmp_path / "qf", "4.4", None, breaks)


def test_cut_again_and_again_while_reports_are_sent_again(reactor, make_desk, tmp_path):
    """A resend of sixty reports that never gets to its end in one connection."""
    desk, port = make_desk(of_version(Role.INITIATOR, "4.4"), version="4.4", folder=tmp_path / "store"), free_port()
    with acceptor(reactor, tmp_path / "qf", port, "4.4") as venue, Proxy(port) as proxy:
        desk.connect_until_logged_on(port)
        desk.cut()
        desk.until(lambda: venue.count("logout"))
        for number in range(60):
            venue.do("report", f"away{number}", "0")
        desk.until(lambda: venue.count("done") == 60)
        proxy.plan([Break("in", 900, "rst")] * 8)
        desk.keep_connected(proxy.port)
        desk.until(lambda: len(desk.app.messages) == 60)
        assert proxy.done
        desk.until(lambda: desk.session.is_logged_on)
        desk.agree(venue)
        desk.no_rejects(venue)
    assert desk.exec_ids() == venue.sent()
    assert len(desk.app.events_of(GapOpened)) >= 8
