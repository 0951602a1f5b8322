"""How soon a process runs once it is woken while others have the cores."""

import ctypes
import os
import platform
from typing import Final

SLICE_NS: Final = 100_000
"""The shortest that Linux takes. The default is some 3 ms, which is how long a woken process may wait for a core."""
_SCHED_SETATTR: Final = {"x86_64": 314, "aarch64": 274}


class _SchedAttr(ctypes.Structure):
    """struct sched_attr of linux/sched/types.h, version 0."""

    _fields_ = (
        ("size", ctypes.c_uint32), ("policy", ctypes.c_uint32), ("flags", ctypes.c_uint64), ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32), ("runtime", ctypes.c_uint64), ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    )  # fmt: skip


def short_slice(slice_ns: int = SLICE_NS) -> str:
    """Have this thread, and those that it starts, scheduled in short slices: its share of a core stays what it is, its
    turn comes sooner, before that of a process with longer ones. Linux 6.12 and later (EEVDF). Why not, or "".
    """
    number = _SCHED_SETATTR.get(platform.machine())
    if number is None:
        return f"no sched_setattr known on {platform.machine()}"
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    attributes = _SchedAttr(ctypes.sizeof(_SchedAttr), os.SCHED_OTHER, 0, nice, 0, slice_ns, 0, 0)
    if os.sched_getscheduler(0) != os.SCHED_OTHER:
        return "scheduled by another policy, which was chosen by whoever started this process"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, 0, ctypes.byref(attributes), 0):
        return f"sched_setattr: {os.strerror(ctypes.get_errno())}"
    return ""


def realtime(priority: int) -> str:
    """Have this thread, and those that it starts, run before all of ordinary policy (SCHED_RR). Why not, or ""."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(priority))
    except OSError as e:
        return f"SCHED_RR {priority}: {e.strerror}; it takes CAP_SYS_NICE or RLIMIT_RTPRIO"
    return ""
