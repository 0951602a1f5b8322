"""What is wrong with this host for a desk, or could be better: pure, from what quarterdeck/host_facts.py read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

from base.config import DeskConfig, Kind
from base.kill_config import FreeLimit
from ipc._book import region_size
from ipc.books import shard_specs
from ipc.roster import BYSTANDERS, roster
from quarterdeck.host_facts import UNLIMITED, HostFacts, Room, read_host
from quarterdeck.supervise import MIN_FDS

MIB: Final = 1 << 20
SOCKET_PATH: Final = 107  # bytes of a Unix socket's path; ZeroMQ's ipc:// has the same limit
PROCESS_BYTES: Final = MIB  # pages, metrics and alerts of a process in shm_dir: the most that was seen is 0.5 MiB
CLOCK_US: Final = 100_000  # an estimate of error beyond it is no synchronised clock for a venue's time window
SLICES_SINCE: Final = (6, 12)
PEER_PID: Final = ".4194304"  # supervisord binds its socket under a name with its pid first: the kernel's largest

Level = Literal["OK", "ADVICE", "PROBLEM"]


class HostFinding(msgspec.Struct, frozen=True):
    """One line about the host: `what` was looked at, what was seen, and what to do where something is to be done."""

    level: Level
    what: str
    seen: str
    do: str = ""

    def __str__(self) -> str:
        return f"{self.level:7} {self.what}: {self.seen}{f'; {self.do}' if self.do else ''}"


def look_at_host(desk: DeskConfig) -> list[HostFinding]:
    """This host for this desk."""
    folders = (desk.data_dir, desk.log_dir, desk.shm_dir)
    users = [u for u in (desk.config.desk.user, desk.config.kill.user) if u]
    return host_findings(desk, read_host(folders, users, {path for _, path, _ in _secret_files(desk)}))


def host_findings(desk: DeskConfig, host: HostFacts) -> list[HostFinding]:
    """The worst first. Outside production nothing of a host is a PROBLEM: what would be one is ADVICE."""
    looks = (_clock, _limits, _disks, _memory, _swap, _users, _secrets, _paths, _cores, _kernel)
    found = [finding for look in looks for finding in look(desk, host)]
    if desk.config.desk.environment != "production":
        found = [msgspec.structs.replace(f, level="ADVICE") if f.level == "PROBLEM" else f for f in found]
    return sorted(found, key=lambda f: ("PROBLEM", "ADVICE", "OK").index(f.level))


def _clock(desk: DeskConfig, host: HostFacts) -> Iterator[HostFinding]:
    clock, do = host.clock, "run chrony or another time client: venues refuse a SendingTime that is off"
    if clock.synchronised is None:
        yield HostFinding("ADVICE", "clock", f"not known whether it is synchronised: {clock.why}", do)
    elif not clock.synchronised:
        yield HostFinding("PROBLEM", "clock", "the kernel says that nothing synchronises it", do)
    elif clock.error_us > CLOCK_US:
        yield HostFinding("PROBLEM", "clock", f"synchronised, with an estimated error of {clock.error_us} us", do)
    else:
        yield HostFinding("OK", "clock", f"synchronised, with an estimated error of {clock.error_us} us")


def _limits(desk: DeskConfig, host: HostFacts) -> Iterator[HostFinding]:
    unit = "(a systemd unit sets its own, with {})"
    hard = host.limits["nofile"][1]
    if hard != UNLIMITED and hard < MIN_FDS:
        do = f"raise it to {MIN_FDS}, or supervisord does not start {unit.format('LimitNOFILE')}"
        yield HostFinding("PROBLEM", "open files", f"at most {hard} a process", do)
    else:
        yield HostFinding("OK", "open files", f"{'any number' if hard == UNLIMITED else hard} a process")
    core = host.limits["core"][0]
    if core:
        do = f"set it to 0: a core dump holds the venues' secrets {unit.format('LimitCORE=0')}"
        yield HostFinding("ADVICE", "core dumps", "are written", do)
    else:
        yield HostFinding("OK", "core dumps", "are not written")
    priority = desk.config.kill.realtime_priority
    if priority:
        most = host.limits["rtprio"][0]
        if most != UNLIMITED and most < priority and host.uid:
            do = f"permit {priority}, or give CAP_SYS_NICE {unit.format('LimitRTPRIO')}"
            yield HostFinding(
                "PROBLEM", "real-time priority", f"kill.realtime_priority is {priority}, up to {most}", do
            )
        else:
            yield HostFinding("OK", "real-time priority", f"{priority} is permitted")


def _disks(desk: DeskConfig, host: HostFacts) -> Iterator[HostFinding]:
    sessions = desk.config.session.values()
    journals = sum(s.journal_mb for s in sessions if s.kind is not Kind.MARKETDATA) * MIB
    logs = desk.config.desk.log_budget_mb * MIB
    spare = _spare(desk.config.kill.health.disk)
    data, log = host.rooms[str(desk.data_dir)], host.rooms[str(desk.log_dir)]
    if data.device == log.device and not (data.why or log.why):
        needed = max(0, journals - data.used) + max(0, logs - log.used)
        yield _room("data_dir and log_dir", desk.data_dir, data, needed, spare, "journals and logs")
        do = "a disk of its own for data_dir, so that nothing else fills it"
        yield HostFinding("ADVICE", "disk", "data_dir and log_dir are on one file system", do)
        return
    yield _room("data_dir", desk.data_dir, data, max(0, journals - data.used), spare, "journals")
    yield _room("log_dir", desk.log_dir, log, max(0, logs - log.used), spare, "logs")


def _memory(desk: DeskConfig, host: HostFacts) -> Iterator[HostFinding]:
    room = host.rooms[str(desk.shm_dir)]
    if not room.why and room.file_system not in ("tmpfs", "ramfs"):
        do = "desk.shm_dir must be memory, or every change of a book waits for a disk"
        yield HostFinding("PROBLEM", "shm_dir", f"{desk.shm_dir} is on {room.file_system or 'an unknown one'}", do)
    needed = max(0, shm_bytes(desk) - room.used)
    yield _room("shm_dir", desk.shm_dir, room, needed, _spare(desk.config.kill.health.disk), "books and pages")


def shm_bytes(desk: DeskConfig) -> int:
    """What the desk allocates in shm_dir at most: a replaced region stands beside its successor for a moment."""
    regions = [region_size(shard_specs(desk, shard)) for shard in desk.config.book]
    return sum(regions) + max(regions, default=0) + PROCESS_BYTES * len(roster(desk))


def _spare(limit: FreeLimit) -> int:
    """What the kill switch wants to see free, whatever is in use."""
    return limit.min_free_mb * MIB


def _room(what: str, folder: Path, room: Room, needed: int, spare: int, of: str) -> HostFinding:
    if room.why:
        return HostFinding("ADVICE", what, f"its room is not known: {room.why}")
    seen = f"{room.free // MIB} MiB free at {folder}, {-(-needed // MIB)} MiB still to come for {of}"
    if room.free < needed + spare:
        do = f"{-(-(needed + spare - room.free) // MIB)} MiB more, so that {spare // MIB} MiB stay free (kill.health)"
        return HostFinding("PROBLEM", what, seen, do)
    return HostFinding("OK", what, seen)


def _swap(desk: DeskConfig, host: HostFacts) -> Iterator[HostFinding]:
    if host.swap_mb is None or (host.swap_mb and host.swappiness is None):
        yield HostFinding("ADVICE", "swap", "not known whether there is any")
    elif host.swap_mb and (host.swappiness or 0) > 1:
        seen = f"{host.swap_mb} MiB, vm.swappiness {host.swappiness}"
        yield HostFinding("ADVICE", "swap", seen, "swapoff -a or vm.swappiness = 1: who is paged out renews no lease")
    else:
        yield HostFinding(
            "OK", "swap", f"{host.swap_mb} MiB, vm.swappiness {host.swappiness}" if host.swap_mb else "off"
        )


def _users(desk: DeskConfig, host: HostFacts) -> Iterator[HostFinding]:
    for key, name in (("desk.user", desk.config.desk.user), ("kill.user", desk.config.kill.user)):
        if name and host.users[name] is None:
            do = f"useradd --system --no-create-home --shell /usr/sbin/nologin {name}"
            yield HostFinding("PROBLEM", key, f"{name!r} is no user of this host", do)
        elif name:
            yield HostFinding("OK", key, f"{name} (uid {host.users[name]})")
    if desk.config.kill.user and not host.programs["setpriv"]:
        yield HostFinding("PROBLEM", "kill.user", "no program setpriv is found", "install util-linux")


def _secret_files(desk: DeskConfig) -> Iterator[tuple[str, Path, bool]]:
    """(key, file, whether the kill switch is who reads it) of each secret in a file, once for each reader."""

    def files(key: str, reference: str, kill: bool) -> Iterator[tuple[str, Path, bool]]:
        kind, _, rest = reference.partition(":")
        if kind in ("file", "run") and rest:
            yield key, Path(rest) if kind == "file" else desk.run_dir / rest, kill

    for name, venue in desk.config.venue.items():
        for key in ("key", "secret", "passphrase") if venue.rest is not None else ():
            at, own, kills = f"venue.{name}.rest", getattr(venue.rest, key), getattr(venue.rest, f"kill_{key}")
            yield from files(f"{at}.{key}", own, kill=False)
            yield from files(f"{at}.{f'kill_{key}' if kills else key}", kills or own, kill=True)
    for name, session in desk.config.session.items():
        for key in ("username", "password", "passphrase"):
            yield from files(f"session.{name}.{key}", getattr(session, key), name in desk.config.kill.sessions)


def _secrets(desk: DeskConfig, host: HostFacts) -> Iterator[HostFinding]:
    """Whether who is to read a file can, and nobody else: `base.secrets` holds its reader to the same."""
    user, kill_user = desk.config.desk.user, desk.config.kill.user or desk.config.desk.user
    if not user or host.users[user] is None or host.users[kill_user] is None:
        return  # whoever starts the desk reads them, as `qd check` itself did; or the users come first
    wrong = 0
    for key, path, kill in _secret_files(desk):
        name, file = kill_user if kill else user, host.secrets[str(path)]
        below_run = path.is_relative_to(desk.run_dir) and file.uid == host.users[user]
        if (
            file.uid == -1
            or file.uid == host.users[name]
            or (kill and kill_user != user and (below_run or not file.uid))
        ):
            continue
        wrong += 1
        do = f"chown {name} {path}" if not kill else f"a file that belongs to {name}, or a key of its own (kill_*)"
        yield HostFinding("PROBLEM", key, f"{path} belongs to user {file.uid}, and {name} is to read it", do)
    if not wrong:
        yield HostFinding("OK", "secrets", "each file belongs to the user that reads it")


def _paths(desk: DeskConfig, host: HostFacts) -> Iterator[HostFinding]:
    names = [f"{role.name}.bell" for role in roster(desk)] + [f"supervisor.sock{PEER_PID}"]
    longest = max((f"{desk.run_dir}/{n}" for n in names), key=lambda p: len(p.encode()))
    length = len(longest.encode())
    if length > SOCKET_PATH:
        do = f"a run_dir that is {length - SOCKET_PATH} bytes shorter"
        yield HostFinding(
            "PROBLEM", "run_dir", f"{longest} has {length} bytes, a socket's path at most {SOCKET_PATH}", do
        )
    else:
        yield HostFinding("OK", "run_dir", f"its longest socket's path has {length} of {SOCKET_PATH} bytes")


def _cores(desk: DeskConfig, host: HostFacts) -> Iterator[HostFinding]:
    kinds = [r.kind for r in roster(desk) if r.kind not in BYSTANDERS | {"alarms", "forwarder", "ledger"}]
    first, rest = (
        [k for k in kinds if k in ("killswitch", "trading")],
        [k for k in kinds if k in ("book", "marketdata")],
    )
    seen = f"{len(host.cpus)} for {len(kinds)} processes that compute" + (
        f", isolated: {host.isolated}" if host.isolated else ""
    )
    if len(host.cpus) < len(kinds) + 1:
        do = "they share" + ("" if len(host.cpus) < 4 else _split(host.cpus, len(first), len(rest)))
        yield HostFinding("ADVICE", "CPUs", seen, f"{do} (docs/hardening.md, Cores)")
    elif not host.isolated:
        do = f"enough to keep them apart{_split(host.cpus, len(first), len(rest))} (docs/hardening.md, Cores)"
        yield HostFinding("ADVICE", "CPUs", seen, do)
    else:
        yield HostFinding("OK", "CPUs", seen)


def _split(cpus: tuple[int, ...], first: int, rest: int) -> str:
    """Which CPUs to give to whom: the first stays with the kernel and everything else."""
    own = cpus[1:]
    share = max(1, min(first, len(own) * first // max(1, first + rest)))
    mine, others = ",".join(map(str, own[:share])), ",".join(map(str, own[share:]))
    return f": leave {cpus[0]} to the host, {mine} to kill switch and trading, {others} to books and feeds"


def _kernel(desk: DeskConfig, host: HostFacts) -> Iterator[HostFinding]:
    seen = f"Linux {host.kernel[0]}.{host.kernel[1]}"
    if host.kernel >= SLICES_SINCE:
        yield HostFinding("OK", "kernel", f"{seen} has short time slices")
    elif desk.config.kill.realtime_priority:
        yield HostFinding("OK", "kernel", f"{seen} has no short time slices; kill.realtime_priority is set")
    else:
        do = "kill.realtime_priority, or Linux 6.12: else a woken process waits 3 ms and more behind a busy one"
        yield HostFinding("ADVICE", "kernel", f"{seen} has no short time slices", do)
