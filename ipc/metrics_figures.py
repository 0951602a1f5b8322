"""Under which metric a figure of a process's state (ProcessState.counters) is exported: counted once, shown twice."""

from typing import Final

from ipc.metrics_catalog import Metric, metric

# Of every process that owns a session.
_SESSION: Final = {
    "connects": "session_connects_total",
    "failures": "session_failures",
    "cert_days": "session_certificate_left_seconds",
    "garbled": "session_garbled_total",
    "rejects": "session_rejects_total",
    "resets": "session_resets_total",
    "gaps": "session_gaps_total",
    "resends": "session_resends_total",
}
_REPORTS: Final = {"reports": "reports_total", "duplicates": "reports_doubled_total"}
_NAMES: Final[dict[str, dict[str, str]]] = {
    "trading": {
        **_SESSION,
        **_REPORTS,
        "unknown_orders": "reports_unknown_total",
        "orders": "orders_sent_total",
        "refused": "orders_refused_total",
        "cancels": "cancels_sent_total",
    },
    "dropcopy": {**_SESSION, **_REPORTS},
    "marketdata": {
        **_SESSION,
        "md_messages": "md_messages_total",
        "trades": "md_trades_total",
        "book_breaks": "book_breaks_total",
    },
    "ledger": {
        "reports": "ledger_reports_total",
        "fills": "ledger_fills_total",
        "amended": "ledger_amended_total",
        "unreadable": "ledger_unreadable_total",
        "breaks": "ledger_breaks",
    },
}
_ALARMS: Final = {"alarms": "all", "unacknowledged": "unacknowledged", "critical": "critical"}


def place(kind: str, name: str) -> tuple[Metric, dict[str, str]]:
    """The metric, and its labels but those of process or session, of a figure of a process of that kind."""
    found, labels = _NAMES.get(kind, {}).get(name, ""), {}
    if kind == "trading" and name.startswith("refused_"):
        found, labels = "pretrade_refused_total", {"rule": name.removeprefix("refused_")}
    elif kind == "trading" and name.removeprefix("rest_").startswith("left_"):
        found, labels = "session_venue_left", {"limit": name.replace("left_", "", 1)}
    elif kind == "alarms" and name in _ALARMS:
        found, labels = "alarms_active", {"standing": _ALARMS[name]}
    elif name == "log_lines_lost":
        found = "log_lines_lost_total"
    known = metric(found) if found else None
    if known is not None:
        return known, labels
    rest = metric("figure")
    assert rest is not None
    return rest, {"name": name}
