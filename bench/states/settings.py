"""The worlds that are searched: those of `SUITE` to the end by the test suite, those of `MORE` by `qd kill states`."""

from typing import Any

from bench.states.world import Setting

SUITE = ("latch", "traded", "scopes", "reports", "lists", "doubled", "late", "line", "owners")
MORE = ("scopes-crash", "again")  # too long for the suite, unless QUARTERDECK_KILL_STATES=all
ARMED = ("start", "arm", "a starts", "a runs", "watch")
BEHIND = (*ARMED, "o0 sent", "trip desk", "a looks", "watch")
BOTH = ("desk", "session:a")
TWICE = (*ARMED, "o0 sent", "o0 arrives", "trip session:a", "a looks", "watch", "trip desk")
ONE_TRIP: dict[str, Any] = {
    "begin": ARMED, "trips": ("desk",), "once": True, "resets": False, "crashes": False, "garbles": False,
    "reboots": False,
}  # fmt: skip
SETTINGS = {
    s.name: s
    for s in (
        # Latch, words, resets and crashes of one scope, then of two; nothing is traded.
        Setting("latch", (), trips=("desk",), stalls=(), losses=(), prompt=True),
        Setting("scopes", (), begin=("start", "arm"), crashes=False, garbles=False, reboots=False, stalls=(),
                losses=(), prompt=True),
        Setting("scopes-crash", (), begin=("start", "arm"), torn=False, lags=False, garbles=False, reboots=False,
                stalls=(), losses=(), prompt=True),
        # An order is traded, and everything may crash.
        Setting("traded", (0,), trips=("desk",), garbles=False, reboots=False, stalls=(), losses=(), prompt=True),
        # Messages of a trip that are lost and late: reports and cancels, then lists. Nobody resets.
        Setting("reports", (0,), **ONE_TRIP, stalls=(), losses=("orders", "cancels", "reports")),
        Setting("lists", (0,), **(ONE_TRIP | {"begin": ARMED}), stalls=(), losses=("lists",), punctual=True),
        # A journal that is read again and again; a list asked for by a trip when another of a wider scope begins.
        Setting("doubled", (0,), **(ONE_TRIP | {"begin": BEHIND}), stalls=(), losses=("journal",)),
        Setting("again", (0,), **(ONE_TRIP | {"begin": TWICE, "trips": BOTH}), stalls=(), losses=("lists",),
                punctual=True),
        # Bytes that lie on their way for long, and owners that say what they do not know.
        Setting("late", (0,), **ONE_TRIP, stalls=(), losses=(), flight=3, claims=True),
        # One order on a line that stalls, from where the gate has closed behind it.
        Setting("line", (0,), **(ONE_TRIP | {"begin": BEHIND}), stalls=(), losses=(), flight=5),
        # Owners that stop, are killed for it, and start; below also such as die by themselves.
        Setting("owners", (0,), **ONE_TRIP, losses=(), quick=True, stalls=("stops",)),
        Setting("large-deaths", (0,), **ONE_TRIP, losses=(), quick=True, stalls=("dies",)),
        Setting("large-stalls", (0,), **ONE_TRIP, losses=()),
        Setting("large-latch", (), stalls=(), losses=(), prompt=True),
        Setting("large-traded", (0,), trips=("desk",), stalls=(), losses=(), prompt=True),
        Setting("large-messages", (0,), begin=ARMED, trips=("desk",), crashes=False, reboots=False, flight=1,
                queues=True, claims=True),
        Setting("large-owners", (0, 1), owners=2, begin=ARMED, trips=("session:a",), crashes=False, reboots=False,
                losses=()),
        Setting("large", (0,)),
    )
}  # fmt: skip
