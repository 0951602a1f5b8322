"""What a process asks of the scheduler, in a thread of its own: the tests' main thread stays as it is."""

import os
import platform
import re
import threading
from collections.abc import Callable

import pytest

from base.latency import SLICE_NS, realtime, short_slice


def in_thread(work: Callable[[], object]) -> object:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join(10)
    return found[0]


RELEASE = tuple(int(n) for n in re.findall(r"\d+", platform.release())[:2])


@pytest.mark.skipif(RELEASE < (6, 12), reason=f"Linux {platform.release()} has no slices of a process's own")
def test_a_short_slice_is_had_without_privilege() -> None:
    def ask() -> tuple[str, list[int]]:
        why = short_slice()
        with open(f"/proc/self/task/{threading.get_native_id()}/sched") as file:
            return why, [int(line.split()[-1]) for line in file if line.startswith("se.slice")]

    assert in_thread(ask) == ("", [SLICE_NS])


def test_real_time_priority_is_granted_or_the_reason_is_said_and_the_short_slice_leaves_it_alone() -> None:
    def ask() -> tuple[str, int, str]:
        why = realtime(3)
        return why, os.sched_getscheduler(0), short_slice()

    why, policy, slice_said = in_thread(ask)  # type: ignore[misc]
    if why:
        assert "CAP_SYS_NICE" in why
        assert policy == os.SCHED_OTHER
    else:
        assert policy == os.SCHED_RR
        assert "another policy" in slice_said


@pytest.mark.parametrize("priority", [1_000, -1])
def test_a_priority_that_there_is_not_is_refused_in_words(priority: int) -> None:
    assert f"SCHED_RR {priority}: " in str(in_thread(lambda: realtime(priority)))
