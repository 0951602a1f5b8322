"""Which processes a desk has, from its configuration: one place for supervision, status and the kill switch."""

import msgspec

from base.config import DeskConfig, Kind

BYSTANDERS = frozenset({"monitor", "forwarder"})
"""Kinds of processes that nothing depends on: whatever becomes of one is an alarm, and trips nothing."""


class Role(msgspec.Struct, frozen=True):
    """One process: `python -m procs.<kind> --config FILE <arguments>`, known everywhere as `name`."""

    name: str
    kind: str
    arguments: tuple[str, ...]
    group: str
    priority: int  # supervisord's: lower starts first and stops last


def roster(desk: DeskConfig) -> list[Role]:
    """Every process of the desk, in the order in which they start."""
    roles = [Role(f"sim-{venue}", "simvenue", ("--venue", venue), "sims", 5) for venue in desk.config.sim]
    roles.append(Role("killswitch", "killswitch", (), "kill", 10))
    if desk.config.alarms is not None:
        roles.append(Role("alarms", "alarms", (), "alarms", 15))
    roles += [Role(f"book-{shard}", "book", ("--shard", shard), "books", 20) for shard in desk.config.book]
    if desk.config.ledger is not None:
        roles.append(Role("ledger", "ledger", (), "ledger", 25))
    for kind, group, priority in (
        (Kind.MARKETDATA, "marketdata", 30),
        (Kind.DROPCOPY, "dropcopy", 35),
        (Kind.TRADING, "trading", 40),
    ):
        roles += [Role(s, kind.value, ("--session", s), group, priority) for s in desk.sessions(kind)]
    if desk.config.remote is not None:
        roles.append(Role("forwarder", "forwarder", (), "remote", 45))
    if desk.config.monitor is not None:
        roles.append(Role("monitor", "monitor", (), "monitor", 50))
    return roles


def publisher_endpoint(desk: DeskConfig, process: str) -> str:
    """Where a process publishes its events."""
    return f"ipc://{desk.run_dir}/{process}.pub"


def command_endpoint(desk: DeskConfig, process: str) -> str:
    """Where a process takes commands."""
    return f"ipc://{desk.run_dir}/{process}.cmd"


def book_topic(venue: str, instrument: str, level: int, beside: str = "") -> str:
    """Topic of a book: `md.VENUE.INSTRUMENT`, and `md3.` for single orders, so that no topic has two publishers.

    `beside`: the session that publishes it beside the first of its group; `md@SESSION.` is no part of `md.`.
    """
    return f"md{'' if level == 2 else level}{f'@{beside}' if beside else ''}.{venue}.{instrument}"
