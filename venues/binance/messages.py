"""Messages of Binance's own: News 35=B, ListStatus 35=N, LimitResponse 35=XLR."""

import re
from typing import NamedTuple

from base.errors import CodecError
from fix.codec import GroupSpec, Message
from ipc.events import VenueLimit
from venues.binance.limits import MESSAGES, ORDERS
from venues.fix_dialect import Notice, PlannedMove

_SECONDS = re.compile(r"disconnected in (\d{1,9}) seconds", re.IGNORECASE)
_ABOUT = re.compile(r"about to be closed", re.IGNORECASE)
_LAST_NOTICE_S = 10
_TRIGGERS = GroupSpec(25010, (25011, 25012, 25013))
_ORDERS = GroupSpec(73, (11, 37, 55, 103, 25016, 58), (_TRIGGERS,))
_LIMITS = GroupSpec(25003, (25004, 25005, 25006, 25007, 25008))
_MESSAGES = "2"
_NAMES = {"1": ORDERS, _MESSAGES: MESSAGES}
_SECONDS_OF = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_REFUSED = frozenset({"2", "7"})


class ListedOrder(NamedTuple):
    """One leg of an order list."""

    symbol: str
    order_id: str
    cl_ord_id: str


class ListStatus(NamedTuple):
    """35=N: an order list of the account; its legs report by 35=8 as well."""

    list_id: str
    cl_list_id: str
    status_type: str  # ListStatusType(429): 2 response, 4 started, 5 all done, 100 updated
    order_status: str  # ListOrderStatus(431): 3 executing, 6 all done, 7 reject
    orders: tuple[ListedOrder, ...]
    text: str


class Limit(NamedTuple):
    """One limit of 35=XLR: `used` of `maximum` in `interval` units of `resolution` (s, m, h, d)."""

    kind: str  # 1 orders, 2 messages, 3 subscriptions
    used: int
    maximum: int
    interval: int
    resolution: str


def news(message: Message) -> PlannedMove | Notice:
    """35=B: the countdown to maintenance, or some other headline."""
    headline = message.get_str(148) or ""
    found = _SECONDS.search(headline)
    if found:
        return PlannedMove(int(found[1]), headline)
    if _ABOUT.search(headline):
        return PlannedMove(_LAST_NOTICE_S, headline)
    return Notice("warning", "news", headline)


def list_status(message: Message) -> ListStatus:
    """35=N, whatever tag its entries begin with."""
    return ListStatus(
        list_id=message.get_str(66) or "",
        cl_list_id=message.get_str(25014) or "",
        status_type=message.get_str(429) or "",
        order_status=message.get_str(431) or "",
        orders=tuple(
            ListedOrder(e.get_str(55) or "", e.get_str(37) or "", e.get_str(11) or "") for e in message.group(_ORDERS)
        ),
        text=message.get_str(58) or "",
    )


def list_notice(status: ListStatus) -> list[Notice]:
    """Only refusals are said: what becomes of the legs comes by their own reports."""
    if status.status_type not in _REFUSED and status.order_status not in _REFUSED:
        return []
    return [Notice("warning", "list_status", f"order list {status.list_id} {status.cl_list_id} refused: {status.text}")]


def limit_notice(found: list[Limit], messages_per_s: int) -> list[Notice]:
    """A warning when the venue allows fewer order messages than the desk reckons with."""
    return [
        Notice("warning", "limits", f"the venue allows {m.maximum} messages in {m.interval}{m.resolution}")
        for m in found
        if m.kind == _MESSAGES and m.maximum < messages_per_s * m.interval * _SECONDS_OF.get(m.resolution, 0)
    ]


def limits_told(message: Message, session: str, venue: str) -> list[VenueLimit]:
    """35=XLR as events, for the rate limits that have a window."""
    sent_ns = message.get_utc_ns(52) or 0
    return [
        VenueLimit(session, venue, _NAMES[m.kind], m.used, m.maximum, m.interval * _SECONDS_OF[m.resolution], sent_ns)
        for m in limits(message)
        if m.kind in _NAMES and m.interval and m.resolution in _SECONDS_OF
    ]


def limits(message: Message) -> list[Limit]:
    """35=XLR; entries that cannot be read are left out."""
    found = []
    for entry in message.group(_LIMITS):
        try:
            used, maximum, interval = entry.need_int(25005), entry.need_int(25006), entry.get_int(25007) or 0
        except CodecError:
            continue
        found.append(Limit(entry.get_str(25004) or "", used, maximum, interval, entry.get_str(25008) or ""))
    return found
