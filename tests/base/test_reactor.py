"""The poll loop: who is served when, what time does, and what becomes of errors."""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from base.clock import ManualClock, SystemClock
from base.reactor import Priority, Reactor, Timer
from base.upkeep import Upkeep
from base.waiters import TurningWaiter

WAIT_NS = 60_000_000_000
MS = 1_000_000


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    loop = Reactor(SystemClock())
    yield loop
    loop.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def turned(clock: ManualClock) -> Iterator[Reactor]:
    loop = Reactor(clock, waiter=TurningWaiter(clock))
    yield loop
    loop.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    one.setblocking(False)
    other.setblocking(False)
    yield one, other
    one.close()
    other.close()


NewSocket = Callable[[int], "zmq.Socket[bytes]"]


@pytest.fixture
def new_socket() -> Iterator[NewSocket]:
    """Makes ZeroMQ sockets of one context and closes them all at the end."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    sockets: list[zmq.Socket[bytes]] = []

    def make(kind: int) -> "zmq.Socket[bytes]":
        sockets.append(context.socket(kind))
        return sockets[-1]

    yield make
    for one in sockets:
        one.close(linger=0)
    context.term()


def event() -> int:
    return os.eventfd(1, os.EFD_NONBLOCK)


# -- time ----------------------------------------------------------------------------------------------------


def test_timers_run_in_order_of_their_times_on_a_clock_turned_by_hand(turned: Reactor, clock: ManualClock) -> None:
    ran: list[tuple[str, int]] = []
    start = clock.mono_ns()
    for name, due in (("c", 3), ("a", 1), ("b", 2), ("a2", 1)):
        turned.call_later(due * WAIT_NS, lambda n=name: ran.append((n, clock.mono_ns() - start)))
    turned.run_until(lambda: len(ran) == 4, 10 * WAIT_NS)
    assert ran == [("a", WAIT_NS), ("a2", WAIT_NS), ("b", 2 * WAIT_NS), ("c", 3 * WAIT_NS)]


def test_a_timer_never_runs_early_nor_when_cancelled(turned: Reactor, clock: ManualClock) -> None:
    ran: list[str] = []
    kept = turned.call_later(10, lambda: ran.append("kept"))
    gone = turned.call_later(5, lambda: ran.append("gone"))
    gone.cancel()
    gone.cancel()
    clock.advance(9)
    turned.run_once()
    assert ran == []
    assert kept.pending
    clock.advance(1)
    turned.run_once()
    assert ran == ["kept"]
    assert not kept.pending


def test_a_timer_may_cancel_another_that_is_due_in_the_same_turn(turned: Reactor, clock: ManualClock) -> None:
    ran: list[str] = []
    second: list[Timer] = []
    turned.call_later(1, lambda: second[0].cancel())
    second.append(turned.call_later(2, lambda: ran.append("second")))
    clock.advance(10)
    turned.run_once()
    assert ran == []


@given(st.lists(st.tuples(st.integers(0, 1000), st.booleans()), max_size=50))
def test_every_timer_that_was_not_cancelled_runs_once_at_its_time(plan: list[tuple[int, bool]]) -> None:
    clock = ManualClock(mono_ns=0)
    loop = Reactor(clock, waiter=TurningWaiter(clock))
    ran: list[tuple[int, int]] = []
    for due, cancelled in plan:
        timer = loop.call_at(due, lambda d=due: ran.append((d, clock.mono_ns())))
        if cancelled:
            timer.cancel()
    loop.call_at(2000, loop.stop)
    loop.run()
    assert ran == [(due, due) for due in sorted(due for due, cancelled in plan if not cancelled)]
    loop.close()


def test_real_timers_are_at_most_milliseconds_late(reactor: Reactor) -> None:
    late: list[int] = []
    due = time.monotonic_ns() + 3 * MS
    reactor.call_at(due, lambda: late.append(time.monotonic_ns() - due))
    assert reactor.run_until(lambda: late, WAIT_NS)
    assert late[0] >= 0


# -- descriptors ---------------------------------------------------------------------------------------------


def test_urgent_sources_are_served_before_all_others(turned: Reactor) -> None:
    order: list[str] = []
    fds = []
    for priority in (Priority.BULK, Priority.NORMAL, Priority.URGENT, Priority.COMMAND):
        fd = event()
        fds.append(fd)
        turned.add_reader(fd, lambda f=fd, p=priority: (os.eventfd_read(f), order.append(p.name))[1], "x", priority)
    turned.run_once()
    assert order == ["URGENT", "COMMAND", "NORMAL", "BULK"]
    for fd in fds:
        turned.remove(fd)
        os.close(fd)


def test_an_urgent_source_interrupts_a_long_turn(reactor: Reactor) -> None:
    """What becomes urgent while others are being served does not wait for the end of the turn."""
    kill = os.eventfd(0, os.EFD_NONBLOCK)
    order: list[str] = []
    bulk = [event() for _ in range(5)]

    def serve(fd: int) -> None:
        os.eventfd_read(fd)
        order.append("bulk")
        if len(order) == 2:
            os.eventfd_write(kill, 1)
        end = time.monotonic_ns() + MS
        while time.monotonic_ns() < end:
            pass

    reactor.add_reader(kill, lambda: (os.eventfd_read(kill), order.append("kill"))[1], "kill", Priority.URGENT)
    for fd in bulk:
        reactor.add_reader(fd, lambda f=fd: serve(f), "bulk", Priority.BULK)
    reactor.run_once()
    assert order == ["bulk", "bulk", "kill", "bulk", "bulk", "bulk"]
    for fd in (kill, *bulk):
        reactor.remove(fd)
        os.close(fd)


def test_a_source_with_more_to_do_is_called_again_without_its_descriptor(turned: Reactor) -> None:
    fd = event()
    calls: list[int] = []

    def serve() -> bool:
        if not calls:
            os.eventfd_read(fd)
        calls.append(1)
        return len(calls) < 3

    turned.add_reader(fd, serve, "x")
    for _ in range(5):
        turned.run_once()
    assert len(calls) == 3
    turned.remove(fd)
    os.close(fd)


def test_a_source_removed_in_the_turn_is_not_called(turned: Reactor) -> None:
    one, two = event(), event()
    called: list[str] = []

    def serve(name: str, other: int) -> None:
        called.append(name)
        turned.remove(other)

    turned.add_reader(one, lambda: serve("one", two), "one")
    turned.add_reader(two, lambda: serve("two", one), "two")
    turned.run_once()
    assert len(called) == 1
    for fd in (one, two):
        turned.remove(fd)
        os.close(fd)


def test_a_descriptor_used_anew_within_the_turn_does_not_get_old_events(turned: Reactor) -> None:
    closer, victim = event(), event()
    called: list[str] = []

    def reuse() -> None:
        os.eventfd_read(closer)
        turned.remove(victim)
        os.close(victim)
        fresh = os.eventfd(0, os.EFD_NONBLOCK)
        assert fresh == victim
        turned.add_reader(fresh, lambda: called.append("fresh"), "fresh")

    turned.add_reader(closer, reuse, "closer", Priority.URGENT)
    turned.add_reader(victim, lambda: called.append("victim"), "victim")
    turned.run_once()
    assert called == []
    for fd in (closer, victim):
        turned.remove(fd)
        os.close(fd)


def test_two_readers_of_one_descriptor_are_a_mistake_that_names_both(turned: Reactor) -> None:
    fd = event()
    turned.add_reader(fd, lambda: None, "first")
    with pytest.raises(ValueError, match=r"'first'.*'second'"):
        turned.add_reader(fd, lambda: None, "second")
    turned.remove(fd)
    turned.remove(fd)
    os.close(fd)


def test_a_writer_is_called_while_it_is_set(turned: Reactor, pair: tuple[socket.socket, socket.socket]) -> None:
    calls: list[int] = []
    fd = pair[0].fileno()
    turned.set_writer(fd, lambda: calls.append(1))
    turned.run_once()
    turned.run_once()
    turned.set_writer(fd, None)
    turned.run_once()
    assert len(calls) == 2


def test_a_hung_up_peer_without_reader_does_not_spin(
    turned: Reactor, clock: ManualClock, pair: tuple[socket.socket, socket.socket]
) -> None:
    fd = pair[0].fileno()
    turned.set_writer(fd, lambda: None)
    turned.set_writer(fd, None)
    pair[1].close()
    before = clock.mono_ns()
    turned.run_once(WAIT_NS)
    assert clock.mono_ns() - before == WAIT_NS, "the loop slept: nothing woke it"


def test_the_end_of_a_process_is_seen_through_its_pidfd(reactor: Reactor) -> None:
    pid = os.fork()
    if pid == 0:
        signal.pause()
    pidfd = os.pidfd_open(pid)
    ended: list[int] = []
    reactor.add_reader(pidfd, lambda: (ended.append(pid), reactor.remove(pidfd))[1], "child")
    reactor.run_once()
    assert not ended
    os.kill(pid, signal.SIGKILL)
    assert reactor.run_until(lambda: ended, WAIT_NS)
    os.waitpid(pid, 0)
    os.close(pidfd)


# -- ZeroMQ --------------------------------------------------------------------------------------------------


def test_a_budget_bounds_what_one_socket_gets_a_turn(turned: Reactor, new_socket: NewSocket) -> None:
    pull, push = new_socket(zmq.PULL), new_socket(zmq.PUSH)
    pull.bind("inproc://x")
    push.connect("inproc://x")
    for number in range(10):
        push.send(b"%d" % number)
    got: list[bytes] = []
    turned.add_zmq(pull, got.append, "pull", budget=4)
    counts = []
    for _ in range(4):
        turned.run_once()
        counts.append(len(got))
    assert counts == [4, 8, 10, 10]
    assert got == [b"%d" % number for number in range(10)]
    turned.remove_zmq(pull)
    turned.remove_zmq(pull)


def test_no_message_waits_when_a_send_swallowed_the_signal(
    reactor: Reactor, new_socket: NewSocket, tmp_path: Path
) -> None:
    """Sending on a socket may consume the signal for what arrived on it: the loop must look before it sleeps."""
    router, dealer = new_socket(zmq.ROUTER), new_socket(zmq.DEALER)
    router.bind(f"ipc://{tmp_path}/r")
    dealer.connect(f"ipc://{tmp_path}/r")
    answers: list[bytes] = []
    peers: list[bytes] = []

    def serve(frames: list[bytes]) -> None:
        peers[:] = [frames[0]]
        router.send_multipart([frames[0], b"answer to " + frames[1]])

    def beat() -> None:
        for identity in peers:
            router.send_multipart([identity, b"beat"])
        dealer.send(b"question")
        reactor.call_later(MS, beat)

    reactor.add_zmq_multipart(router, serve, "router")
    reactor.add_zmq(dealer, answers.append, "dealer")
    reactor.call_soon(beat)
    assert reactor.run_until(lambda: len(answers) > 200, WAIT_NS)
    reactor.remove_zmq(router)
    reactor.remove_zmq(dealer)


def test_every_message_of_a_flood_from_other_threads_arrives_in_order(reactor: Reactor, new_socket: NewSocket) -> None:
    pull = new_socket(zmq.PULL)
    pull.bind("inproc://flood")
    got: dict[bytes, list[int]] = {b"a": [], b"b": []}

    def flood(name: bytes) -> None:
        push = new_socket(zmq.PUSH)
        push.connect("inproc://flood")
        for number in range(5000):
            push.send(name + b"%d" % number)
        push.close(linger=-1)

    reactor.add_zmq(pull, lambda m: got[m[:1]].append(int(m[1:])), "pull")
    threads = [threading.Thread(target=flood, args=(name,)) for name in got]
    for thread in threads:
        thread.start()
    assert reactor.run_until(lambda: sum(map(len, got.values())) == 10_000, WAIT_NS)
    for thread in threads:
        thread.join()
    assert all(numbers == list(range(5000)) for numbers in got.values())
    reactor.remove_zmq(pull)


# -- helpers and signals -------------------------------------------------------------------------------------


def test_blocking_work_runs_elsewhere_and_its_outcome_comes_back_to_the_loop(reactor: Reactor) -> None:
    here, outcomes = threading.get_ident(), []
    reactor.run_blocking(threading.get_ident, lambda result, error: outcomes.append((result, error)))
    reactor.run_blocking(lambda: 1 // 0, lambda result, error: outcomes.append((result, error)))
    assert reactor.run_until(lambda: len(outcomes) == 2, WAIT_NS)
    (thread, none), (nothing, failure) = sorted(outcomes, key=lambda o: o[1] is not None)
    assert thread != here
    assert none is None
    assert nothing is None
    assert isinstance(failure, ZeroDivisionError)


def test_one_hanging_helper_does_not_hold_up_the_others(reactor: Reactor) -> None:
    release, done = threading.Event(), []
    for _ in range(3):
        reactor.run_blocking(lambda: release.wait(30), lambda *_: done.append("slow"))
    reactor.run_blocking(lambda: "quick", lambda result, _: done.append(result))
    assert reactor.run_until(lambda: done, WAIT_NS)
    assert done == ["quick"]
    release.set()
    assert reactor.run_until(lambda: len(done) == 4, WAIT_NS)


def test_closing_drops_outcomes_of_helpers_that_are_still_at_work() -> None:
    loop, release, entered = Reactor(SystemClock()), threading.Event(), threading.Event()
    loop.run_blocking(lambda: (entered.set(), release.wait(30)), lambda *_: pytest.fail("closed"))
    assert entered.wait(10)
    loop.close()
    release.set()


def test_signals_arrive_as_callbacks_and_the_old_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    loop, caught = Reactor(SystemClock()), []
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        loop.on_signal(signum, lambda s=signum: caught.append(s))
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    if os.fork() == 0:
        os._exit(0)
    assert loop.run_until(lambda: len(caught) == 3, WAIT_NS)
    os.wait()
    assert set(caught) == {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
    loop.close()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_signal_wakes_a_loop_that_sleeps_for_ever() -> None:
    loop = Reactor(SystemClock())
    loop.on_signal(signal.SIGUSR1, loop.stop)
    sender = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
    sender.start()
    loop.run()
    sender.join()
    loop.close()


# -- errors --------------------------------------------------------------------------------------------------


def boom() -> None:
    raise RuntimeError("boom")


def test_by_default_an_error_in_a_handler_ends_the_loop_loudly(
    turned: Reactor, caplog: pytest.LogCaptureFixture
) -> None:
    turned.call_later(1, boom, "the fuse")
    with pytest.raises(RuntimeError, match="boom"):
        turned.run()
    assert "the fuse failed" in caplog.text
    assert "RuntimeError: boom" in caplog.text


def test_a_policy_that_goes_on_hears_of_every_error_and_no_handler_dies(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[tuple[str, str]] = []
    loop = Reactor(clock, on_error=lambda name, error: heard.append((name, str(error))), waiter=TurningWaiter(clock))
    fd = event()
    with caplog.at_level(logging.ERROR):
        loop.add_reader(fd, boom, "reader")
        loop.call_soon(boom, "soon")
        loop.call_later(0, boom, "timer")
        loop.run_blocking(lambda: 1, lambda *_: boom(), "helper")
        loop.run_until(lambda: "helper" in {name for name, _ in heard}, WAIT_NS)
        loop.run_once()
    assert {name for name, _ in heard} == {"reader", "soon", "timer", "helper"}
    assert sum(name == "reader" for name, _ in heard) >= 2, "it is still registered"
    assert loop.errors == len(heard)
    loop.remove(fd)
    os.close(fd)
    loop.close()


# -- upkeep --------------------------------------------------------------------------------------------------


class Kept:
    def __init__(self) -> None:
        self.prepared = 0
        self.threads: list[int] = []

    def prepare(self) -> bool:
        self.prepared += 1
        return self.prepared < 3

    def sync(self) -> None:
        self.threads.append(threading.get_ident())


def test_upkeep_prepares_in_the_loop_and_syncs_elsewhere(reactor: Reactor) -> None:
    kept = Kept()
    upkeep = Upkeep(reactor, kept, "store", sync_ns=MS)
    assert reactor.run_until(lambda: upkeep.syncs >= 3 and kept.prepared >= 3, WAIT_NS)
    assert threading.get_ident() not in kept.threads
    upkeep.stop()
    syncs = upkeep.syncs
    for _ in range(5):
        reactor.run_once(2 * MS)
    assert upkeep.syncs <= syncs + 1
