"""Every metric that a desk exports: name, kind, labels, meaning. docs/metrics.md, dashboards and alert rules are held
against it by tests.

Names and units are Prometheus's: `_total` of what only rises, seconds, bytes, ratios from 0 to 1. Labels have few
values: processes, sessions, instruments and limits of the configuration, words of this code.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import msgspec


class Kind(StrEnum):
    """Prometheus's word for it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(msgspec.Struct, frozen=True):
    """One metric. `shown`: made by ipc/metrics_text.py out of other shared memory; the rest stands in process files."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    shown: bool = False

    @property
    def per_unit(self) -> int:
        """What a counter's word counts: seconds are counted in ns."""
        return 1_000_000_000 if self.kind is Kind.COUNTER and self.unit == "seconds" else 1

    @property
    def unit(self) -> str:
        """By its name; "" for what is counted one by one."""
        base = self.name.removesuffix("_total")
        return next((u for u in ("seconds", "bytes", "ratio") if base.endswith(f"_{u}")), "")


C, G, H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM
PROCESS: Final = ("process",)
SESSION: Final = ("session", "venue")


def _all() -> Iterator[Metric]:
    yield from _processes()
    yield from _sessions()
    yield from _orders()
    yield from _books()
    yield from _desk()


def _processes() -> Iterator[Metric]:
    def of(name: str, kind: Kind, text: str, *labels: str) -> Metric:
        return Metric(f"quarterdeck_{name}", kind, (*PROCESS, *labels), text)

    yield of("loop_turn_seconds", H, "Time that a turn of the poll loop with work in it took, in seconds.")
    yield of("loop_lag_seconds", H, "How late the heartbeat's timer ran, in seconds: how long anything had to wait.")
    yield of("loop_waiting", G, "Sources and calls that wait for the loop's next turn.")
    yield of("process_resident_memory_bytes", G, "Resident memory, in bytes.")
    yield of("process_cpu_seconds_total", C, "Processor time, user and system, in seconds.")
    yield of("process_open_fds", G, "Open file descriptors.")
    yield of("process_max_fds", G, "Limit on open file descriptors.")
    yield of("bus_published_total", C, "Events published on the bus.")
    yield of("bus_frames_total", C, "Frames received from the bus, heartbeats among them.")
    yield of("bus_gaps_total", C, "Holes that this subscriber saw in its topics.")
    yield of("bus_missed_total", C, "Events known to be lost: dropped by a publisher for this subscriber.")
    yield of("bus_queue_seconds", H, "From an event's publication to its receipt here, in seconds of the wall clock.")
    yield of("commands_total", C, "Commands received.")
    yield of("commands_refused_total", C, "Commands that were not acted on, by cause.", "cause")
    yield of("log_lines_lost_total", C, "Lines that the process's log could not take.")
    yield of("figure", G, "A figure of the process's state (ProcessState.counters) that no metric here has.", "name")


def _sessions() -> Iterator[Metric]:
    def of(name: str, kind: Kind, text: str, *labels: str) -> Metric:
        return Metric(f"quarterdeck_{name}", kind, (*SESSION, *labels), text)

    yield of("session_up", G, "1 while the session is READY, else 0.")
    yield of("session_since_seconds", G, "Since when the session is in its phase, in seconds of UTC since the epoch.")
    yield of("session_next_seq_num", G, "Next MsgSeqNum(34), by direction (in, out).", "direction")
    yield of("session_messages_total", C, "Messages by MsgSeqNum(34), by direction; those sent again count once.",
             "direction")  # fmt: skip
    yield of("session_bytes_total", C, "Bytes of the session, before TLS, by direction.", "direction")
    yield of("session_connects_total", C, "Connections begun: all but the first are reconnects.")
    yield of("session_failures", G, "Attempts to connect that failed in a row.")
    yield of("session_gaps_total", C, "Gaps in the venue's MsgSeqNums; each is one ResendRequest(35=2) or more.")
    yield of("session_resends_total", C, "ResendRequests(35=2) of the venue that were answered.")
    yield of("session_garbled_total", C, "Garbled messages that were skipped.")
    yield of("session_resets_total", C, "Resets of the session's numbers.")
    yield of("session_rejects_total", C, "Reject(35=3) messages of the venue.")
    yield of("rejects_total", C, "Orders and requests that the venue refused, by channel (8, 9, 3, j, rest).",
             "channel")  # fmt: skip
    yield of("session_round_trip_seconds", H, "From a TestRequest(35=1) to the Heartbeat that answers it, in seconds.")
    yield of("session_certificate_left_seconds", G, "Until the venue's certificate ends, in seconds.")
    yield of("session_venue_left", G, "What is left of a rate limit of the venue.", "limit")
    yield of("journal_append_seconds", H, "Handing a record to the kernel, in seconds.")
    yield of("journal_sync_seconds", H, "fsync of the journal, in seconds.")
    yield of("store_sync_seconds", H, "fsync of the FIX message store, in seconds.")
    yield of("journal_full", G, "1 while the disk is full: no new orders leave.")


def _orders() -> Iterator[Metric]:
    def of(name: str, kind: Kind, text: str, *labels: str) -> Metric:
        return Metric(f"quarterdeck_{name}", kind, (*SESSION, *labels), text)

    yield of("command_to_wire_seconds", H, "From reading a client's command to the bytes handed to the socket, in "
             "seconds, by request (new, cancel, replace).", "request")  # fmt: skip
    yield of("order_ack_seconds", H, "From reading a client's new order to the venue's first report on it, in seconds.")
    yield of("orders_sent_total", C, "New orders and replaces handed to the socket.")
    yield of("cancels_sent_total", C, "Cancels handed to the socket.")
    yield of("orders_refused_total", C, "New orders that did not leave, for whatever reason.")
    yield of("pretrade_refused_total", C, "Orders refused by the desk's own limits, by rule.", "rule")
    yield of("reports_total", C, "Execution reports received.")
    yield of("reports_doubled_total", C, "Execution reports that came again and were not published again.")
    yield of("reports_unknown_total", C, "Execution reports on orders that are not this session's.")
    yield of("orders_open", G, "Open orders by state.", "state")


def _books() -> Iterator[Metric]:
    def of(name: str, kind: Kind, text: str, *labels: str) -> Metric:
        return Metric(f"quarterdeck_{name}", kind, (*SESSION, *labels), text)

    yield of("wire_to_book_seconds", H, "From the socket's read to the book in shared memory, in seconds.")
    yield of("venue_to_book_seconds", H, "From the venue's SendingTime(52) to the book in shared memory, in seconds of "
             "two clocks.")  # fmt: skip
    yield of("md_messages_total", C, "Market-data messages verified and published.")
    yield of("md_trades_total", C, "Trades of the market published.")
    yield of("book_breaks_total", C, "Books of which a rule broke: each asks for a fresh snapshot.")


def _desk() -> Iterator[Metric]:
    def of(name: str, kind: Kind, text: str, *labels: str) -> Metric:
        return Metric(f"quarterdeck_{name}", kind, labels, text)

    def shown(name: str, kind: Kind, text: str, *labels: str) -> Metric:
        return Metric(f"quarterdeck_{name}", kind, labels, text, shown=True)

    yield shown("up", G, "1 while a process of the desk beats, else 0.", "process", "kind")
    yield shown("ready", G, "1 while a process is READY, else 0.", "process", "kind")
    yield shown("readiness", G, "1 for the state that a process is in (STARTING to STOPPING), else 0.", "process",
                "kind", "state")  # fmt: skip
    yield shown("heartbeat_age_seconds", G, "Age of a process's last heartbeat, in seconds.", "process", "kind")
    yield shown("start_time_seconds", G, "Start of a process, in seconds of UTC since the epoch.", "process", "kind")
    yield shown("build_info", G, "1; fingerprints of a process's code and configuration.", "process", "build", "config")
    yield shown("book_up", G, "1 while a book is LIVE, else 0.", "venue", "instrument", "level")
    yield shown("book_state", G, "1 for the state that a book is in, with its reason.", "venue", "instrument", "level",
                "state", "reason")  # fmt: skip
    yield shown("book_state_age_seconds", G, "How long a book has been in its state, in seconds.", "venue",
                "instrument", "level")  # fmt: skip
    yield shown("book_age_seconds", G, "Since a book's last change was received, in seconds.", "venue", "instrument",
                "level")  # fmt: skip
    yield shown("book_messages_total", C, "Messages applied to a book.", "venue", "instrument", "level")
    yield shown("instrument_open_orders", G, "Open orders of a session, UNCERTAIN ones among them.", "session", "venue",
                "instrument")  # fmt: skip
    yield shown("instrument_uncertain_orders", G, "Orders of a session whose fate is not known.", "session", "venue",
                "instrument")  # fmt: skip
    yield shown("instrument_position", G, "Net position of a session, in the instrument's unit.", "session", "venue",
                "instrument")  # fmt: skip
    yield shown("instrument_notional", G, "Worth of what a session has working (buy, sell) or holds (position), in the "
                "quote currency.", "session", "venue", "instrument", "side")  # fmt: skip
    yield shown("kill_state", G, "1 for the state that a scope's gate word is in, else 0.", "scope", "state")
    yield shown("kill_armed", G, "1 while new orders of a scope may leave, else 0.", "scope")
    yield shown("kill_lease_left_seconds", G, "For how long the kill switch's lease is valid, in seconds; below 0: "
                "lapsed.")  # fmt: skip
    yield shown("kill_generation", G, "Highest generation of the gate: it rises with each trip and drill.")
    yield shown("kill_operator_word", G, "1 while an operator's own word stops all orders, else 0.")
    yield of("kill_trips_total", C, "Trips, by cause.", "cause")
    yield of("kill_proof_seconds", H, "From a trip to the proof that every order is dead, in seconds.")
    yield of("kill_orders_proven_total", C, "Orders proven dead by trips.")
    yield of("kill_orders", G, "Orders of trips that are under way: working, uncertain.", "state")
    yield of("limit_value", G, "The figure that a limit is about, in the limit's unit.", "scope", "limit")
    yield of("limit_most", G, "The limit.", "scope", "limit")
    yield of("limit_ratio", G, "Share of a limit that is used up: 1 is the limit.", "scope", "limit")
    yield of("ledger_reports_total", C, "Reports that the ledger read.")
    yield of("ledger_fills_total", C, "Fills of record.")
    yield of("ledger_amended_total", C, "Corrections and busts of fills.")
    yield of("ledger_unreadable_total", C, "Reports that the ledger could not use.")
    yield of("ledger_breaks", G, "Open breaks between order entry and drop copy.")
    yield of("alarms_active", G, "Alarms that stand: all, unacknowledged, critical.", "standing")
    yield shown("disk_free_bytes", G, "Room left for a desk's files by place (data, log, shm), in bytes.", "place")
    yield shown("disk_size_bytes", G, "Size of the file system of that place, in bytes.", "place")
    yield shown("metrics_unreadable", G, "Processes that beat and whose metrics cannot be read.")


CATALOG: Final = tuple(_all())
_BY_NAME: Final = {m.name: m for m in CATALOG}


def metric(name: str) -> Metric | None:
    """The metric of that name, with `quarterdeck_` or without."""
    return _BY_NAME.get(name) or _BY_NAME.get(f"quarterdeck_{name}")
