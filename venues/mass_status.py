"""Answers to 35=AF: one 35=8 an order, collected until the venue says that this was the last one."""

from dataclasses import dataclass, field

from fix.codec import Message
from venues.interface import MassStatus, OpenOrder

_NOTHING = ("", "NONE")


@dataclass(slots=True)
class _Collected:
    answered: MassStatus
    orders: list[OpenOrder] = field(default_factory=list)
    reports: int = 0


class MassStatusBook:
    """Requests under way. Their reports are lines of a list, not news of an order."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Collected] = {}

    def asked(self, request_id: str, answered: MassStatus) -> None:
        """A request has left."""
        self._waiting[request_id] = _Collected(answered)

    def forget(self) -> None:
        """The connection is gone, and the answers with it."""
        self._waiting.clear()

    def take(self, message: Message) -> bool:
        """Whether the 35=8 answers one of the requests; the last one completes it.

        150=I 39=8 without an OrderID is the standard's word for a request that matches nothing. A venue that neither
        counts its reports (911) nor marks the last (912) never completes, and what it says counts for nothing.
        """
        request_id = message.get_str(584) or ""
        collected = self._waiting.get(request_id)
        if collected is None or (message.get_str(150) or "I") != "I":
            return False
        collected.reports += 1
        empty = message.get_str(39) == "8" and (message.get_str(37) or "") in _NOTHING
        if not empty:
            collected.orders.append(_line(message))
        total = message.get_str(911) or ""
        counted = total.isdecimal() and collected.reports >= int(total)
        if empty or counted or message.get_str(912) == "Y":
            del self._waiting[request_id]
            if total.isdecimal() and not empty and collected.reports < int(total):
                collected.answered((), f"the last of {total} reports came after {collected.reports}")
            else:
                collected.answered(tuple(collected.orders), "")
        return True

    def refused(self, request_id: str, why: str) -> bool:
        """Whether a refusal was of one of the requests."""
        collected = self._waiting.pop(request_id, None)
        if collected is not None:
            collected.answered((), why)
        return collected is not None


def _line(message: Message) -> OpenOrder:
    def text(tag: int) -> str:
        return message.get_str(tag) or ""

    return OpenOrder(
        order_id=text(37), cl_ord_id=text(11), symbol=text(55), side=text(54), order_qty=text(38), cum_qty=text(14),
        price=text(44), status=text(39),
    )  # fmt: skip
