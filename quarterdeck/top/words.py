"""Figures in words for narrow columns. Pure."""

import time

from ipc.view.structs import DeskPart, RoundTrip

SIGNS = {"ok": "(ok)", "warning": "(!)", "critical": "(!!)"}
FRESH_MS = 250
SEVERITY_STYLE = {"ok": "green", "warning": "bold yellow", "critical": "bold red"}


def sign(desk: DeskPart) -> str:
    """Stands before the state's word: colour is never the only sign."""
    return SIGNS[desk.severity]


def duration(ms: int | None) -> str:
    """`850ms`, `12.4s`, `3m20s`, `2h05m`, `4d`; "-" when it is not known."""
    if ms is None:
        return "-"
    if ms < 1_000:
        return f"{ms}ms"
    if ms < 60_000:
        return f"{ms // 1000}.{ms % 1000 // 100}s"
    s = ms // 1000
    if s < 3_600:
        return f"{s // 60}m{s % 60:02}s"
    return f"{s // 3600}h{s % 3600 // 60:02}m" if s < 172_800 else f"{s // 86_400}d"


def since(then_ns: int, now_ns: int) -> str:
    """How long ago; "-" when it is not known."""
    if not then_ns:
        return "-"
    s = max(0, now_ns - then_ns) // 10**9
    return f"{s}s" if s < 60 else duration(s * 1000)


def micros(us: int | None) -> str:
    """`850us`, `12.4ms`, `1.2s`; "-" when it was not measured."""
    if us is None:
        return "-"
    if us < 1_000:
        return f"{us}us"
    return f"{us / 1000:.1f}ms" if us < 1_000_000 else f"{us / 1e6:.1f}s"


def trip(t: RoundTrip) -> str:
    """The middle and the tail: `850us/2.3ms`."""
    return f"{micros(t.p50_us)}/{micros(t.p99_us)}" if t.p50_us is not None else micros(t.last_us)


def beat(ms: int | None) -> str:
    """Age of a heartbeat that should come each 50 ms."""
    return "fresh" if ms is not None and ms <= FRESH_MS else duration(ms)


def count(n: int | None) -> str:
    """The number; "-" when it is not known."""
    return "-" if n is None else str(n)


def clock(ns: int) -> str:
    """UTC time of day; "-" for 0."""
    return time.strftime("%H:%M:%S", time.gmtime(ns // 10**9)) if ns else "-"


def moment(ns: int, now_ns: int) -> str:
    """UTC time of day, with the date where it is not today's; "-" for 0."""
    if not ns:
        return "-"
    then, now = time.gmtime(ns // 10**9), time.gmtime(now_ns // 10**9)
    return time.strftime("%H:%M:%S" if then[:3] == now[:3] else "%m-%d %H:%M", then)


def bar(done: int, total: int, cells: int = 20) -> str:
    """`[#######.............]`."""
    filled = cells if not total else done * cells // total
    return f"[{'#' * filled}{'.' * (cells - filled)}]"
