"""The journal of an owner: (what, order) each, and the events that they stand for.

Order states: P pending, U uncertain after a restart, X held to be over without a report, R refused before it was sent.
Reports of the venue: A acknowledged, C cancelled.
"""

from ipc.events import ExecutionReport, OrderState

_STATES = {"P": "PENDING_NEW", "U": "UNCERTAIN", "X": "CANCELED", "R": "REJECTED"}
_EVENTS: dict[tuple[str, int, str], OrderState | ExecutionReport] = {}


def is_open(journal: tuple[tuple[str, int], ...], i: int) -> bool:
    """Whether the owner holds the order open."""
    said = [what for what, k in journal if k == i]
    return bool(said) and not {"C", "R", "X"} & set(said)


def last_state(journal: tuple[tuple[str, int], ...], i: int) -> str:
    """How the owner shows an open order in its list: as an order state that is no news."""
    return "U" if ("U", i) in journal else "P" if ("A", i) not in journal else "N"


def event(session: str, i: int, what: str) -> OrderState | ExecutionReport:
    """One entry of a journal as the event it is."""
    found = _EVENTS.get((session, i, what))
    if found is None:
        found = _EVENTS[session, i, what] = _event(session, f"o{i}", f"v{i}", what)
    return found


def _event(session: str, cl_ord_id: str, order_id: str, what: str) -> OrderState | ExecutionReport:
    if what in "AC":
        status = "0" if what == "A" else "4"
        return ExecutionReport(
            session=session, venue="x", account="main", instrument="BTC-USD", cl_ord_id=cl_ord_id, order_id=order_id,
            exec_id=f"{cl_ord_id}{what}", exec_type=status, ord_status=status, side="1", ord_type="2",
            time_in_force="1", px_scale=2, qty_scale=8, order_qty=100, price=1, stop_px=None, last_qty=None,
            last_px=None, cum_qty=0, leaves_qty=None, transact_ns=0, sending_ns=0, recv_ns=0,
        )  # fmt: skip
    return OrderState(
        session=session, venue="x", account="main", instrument="BTC-USD", cl_ord_id=cl_ord_id,
        order_id=order_id if what == "N" else "", state=_STATES.get(what, "NEW"), side="1", ord_type="2",
        time_in_force="1", px_scale=2, qty_scale=8, order_qty=100, price=1, cum_qty=0, leaves_qty=100, strategy="mm",
        client_id="t", command_id="", since_ns=0,
    )  # fmt: skip
