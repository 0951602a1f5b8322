"""What viewers are sent: everything at first, then what is new, encoded once for all of them."""

import asyncio

from procs.monitor_web.hub import EVENTS, Hub


def test_a_new_viewer_gets_everything_and_then_only_what_changed() -> None:
    hub = Hub(10)
    hub.feed({"desk": b'{"a":1}', "books": b"[1]"}, [b'{"n":1}'], b'{"ns":1}')
    whole = hub.newer(0)
    assert whole.index(b'event: desk\ndata: {"a":1}\n\n') < whole.index(b"event: books")
    assert b'event: whole-log\ndata: [{"n":1}]\n\n' in whole
    assert whole.endswith(b'event: tick\ndata: {"ns":1}\n\n')
    seen = hub.version
    hub.feed({"books": b"[2]"}, [b'{"n":2}'], b'{"ns":2}')
    assert (
        hub.newer(seen) == b'event: books\ndata: [2]\n\nevent: log\ndata: [{"n":2}]\n\nevent: tick\ndata: {"ns":2}\n\n'
    )


def test_one_that_is_slow_skips_to_the_newest() -> None:
    hub = Hub(10)
    hub.feed({"books": b"[0]"}, [], b"0")
    seen = hub.version
    for n in range(1, 1000):
        hub.feed({"books": b"[%d]" % n}, [], b"%d" % n)
    assert hub.newer(seen) == b"event: books\ndata: [999]\n\nevent: tick\ndata: 999\n\n"


def test_ten_viewers_are_given_the_same_bytes() -> None:
    hub = Hub(10)
    hub.feed({"books": b"[0]"}, [], b"0")
    seen = hub.version
    hub.feed({"books": b"[1]"}, [], b"1")
    encoded = hub.encoded
    assert len({id(hub.newer(seen)) for _ in range(10)}) == 1
    assert hub.encoded == encoded


def test_the_log_that_a_new_viewer_gets_is_bounded() -> None:
    hub = Hub(10)
    hub.feed({}, [b"%d" % n for n in range(3 * EVENTS)], b"0")
    assert hub.newer(0).count(b",") == EVENTS - 1


def test_who_comes_first_waits_for_a_state_that_is_not_old() -> None:
    wanted = []
    hub = Hub(10, lambda: wanted.append(1))

    async def come() -> int:
        hub.feed({"desk": b"old"}, [], b"0")  # from when somebody looked before
        hub.leave()
        hub.enter()
        hub.enter()
        first, second = asyncio.create_task(hub.fresh()), asyncio.create_task(hub.fresh())
        await asyncio.sleep(0)
        assert not first.done()
        assert not second.done()
        hub.feed({}, [], b"1")
        await asyncio.gather(first, second)
        await hub.fresh()  # the third does not wait
        return hub.version

    hub.viewers = 1
    assert asyncio.run(come()) == 2
    assert wanted == [1]


def test_closing_lets_everybody_go() -> None:
    hub = Hub(10)

    async def wait() -> bool:
        waiting = asyncio.create_task(hub.wait(hub.version))
        await asyncio.sleep(0)
        hub.close()
        return await waiting

    assert asyncio.run(wait()) is False
