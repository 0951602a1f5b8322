"""What this host is like, as far as a desk depends on it: read once, from the kernel and the file system.

Each fact that cannot be read says so in place of a value; nothing here judges (quarterdeck/host_problems.py does).
"""

import ctypes
import os
import platform
import pwd
import resource
import shutil
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

_TIMEX: Final = struct.Struct("=I4x4qi")  # the head of struct timex: modes, offset, freq, maxerror, esterror, status
_TIMEX_ROOM: Final = 512
_STA_UNSYNC: Final = 0x40
UNLIMITED: Final = resource.RLIM_INFINITY
_LIMITS: Final = {
    "nofile": resource.RLIMIT_NOFILE, "core": resource.RLIMIT_CORE, "rtprio": resource.RLIMIT_RTPRIO,
}  # fmt: skip


class Clock(msgspec.Struct, frozen=True):
    """What the kernel says of the wall clock; `synchronised` None: it does not say, `why`."""

    synchronised: bool | None
    error_us: int  # its estimate of how wrong the clock is
    why: str = ""


class Room(msgspec.Struct, frozen=True):
    """A folder's file system, or that of the nearest folder above it that exists. Bytes."""

    file_system: str  # its type; "" = not known
    device: int
    free: int
    used: int  # by what is in the folder already
    why: str = ""  # why nothing is known


class SecretFile(msgspec.Struct, frozen=True):
    """Whose a secret's file is; uid -1: there is none that can be looked at."""

    uid: int
    mode: int


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is looked at."""

    clock: Clock
    limits: dict[str, tuple[int, int]]  # name -> soft, hard; UNLIMITED
    rooms: dict[str, Room]  # by folder
    swap_mb: int | None
    swappiness: int | None
    users: dict[str, int | None]  # name -> uid; None: there is no such user
    secrets: dict[str, SecretFile]  # by path
    programs: dict[str, bool]  # whether PATH has them
    cpus: tuple[int, ...]  # that this process may run on
    isolated: str  # the kernel's list of isolated ones
    kernel: tuple[int, int]
    uid: int


def read_host(folders: Iterable[Path], users: Iterable[str], secrets: Iterable[Path]) -> HostFacts:
    """The host as it is now, as seen by this process."""
    return HostFacts(
        clock=read_clock(),
        limits={name: resource.getrlimit(number) for name, number in _LIMITS.items()},
        rooms={str(folder): read_room(folder) for folder in folders},
        swap_mb=read_swap_mb(),
        swappiness=_whole("/proc/sys/vm/swappiness"),
        users={name: _uid(name) for name in users},
        secrets={str(path): read_secret(path) for path in secrets},
        programs={name: shutil.which(name) is not None for name in ("setpriv",)},
        cpus=tuple(sorted(os.sched_getaffinity(0))),
        isolated=_text("/sys/devices/system/cpu/isolated"),
        kernel=_version(platform.release()),
        uid=os.geteuid(),
    )


def read_clock() -> Clock:
    """adjtimex(2) without changing anything."""
    timex = ctypes.create_string_buffer(_TIMEX_ROOM)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.adjtimex(timex) < 0:
        return Clock(None, 0, f"adjtimex: {os.strerror(ctypes.get_errno())}")
    _, _, _, _, error_us, status = _TIMEX.unpack_from(timex)
    return Clock(not status & _STA_UNSYNC, error_us)


def read_room(folder: Path) -> Room:
    """Type, device and space of the file system that `folder` is or would be on."""
    there = next((p for p in (folder, *folder.parents) if p.exists()), Path("/"))
    try:
        space = os.statvfs(there)
        device = there.stat().st_dev
    except OSError as e:
        return Room("", 0, 0, 0, f"{there}: {e.strerror}")
    return Room(_file_system(there), device, space.f_bavail * space.f_frsize, _used(folder))


def _file_system(path: Path) -> str:
    """The type of the deepest mount above `path`; of two at one place the later covers the earlier."""
    best, found = -1, ""
    for line in _text("/proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        point = left.split()[4].encode().decode("unicode_escape")
        if path.resolve().is_relative_to(point) and len(point) >= best:
            best, found = len(point), right.split()[0]
    return found


def _used(folder: Path) -> int:
    """Bytes allocated below a folder; what may not be looked at counts nothing."""
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512
            except OSError:
                continue  # gone since, as a running desk's files go
    return total


def read_swap_mb() -> int | None:
    """Swap there is, MiB."""
    try:
        lines = Path("/proc/swaps").read_text().splitlines()[1:]
    except OSError:
        return None
    return sum(int(line.split()[2]) for line in lines) // 1024


def read_secret(path: Path) -> SecretFile:
    """Owner and mode alone; it is not opened."""
    try:
        found = path.stat()
    except OSError:
        return SecretFile(-1, 0)
    return SecretFile(found.st_uid, found.st_mode & 0o7777)


def _uid(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def _version(release: str) -> tuple[int, int]:
    parts = [int("".join(c for c in p if c.isdigit()) or 0) for p in release.partition("-")[0].split(".")[:2]]
    return parts[0], parts[1] if len(parts) > 1 else 0


def _text(path: str) -> str:
    """A file of the kernel's; "" where it has none."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _whole(path: str) -> int | None:
    text = _text(path)
    return int(text) if text.isdigit() else None
