"""Requests on their way: what a refusal that only names a MsgSeqNum or a ClOrdID was about."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Literal, NamedTuple, TypeAlias

from base.instruments import Instrument
from ipc.requests import NewOrder
from venues.interface import WorkingOrder

KEPT = 10_000


Kind: TypeAlias = Literal["new", "cancel", "replace", "status", "mass", "list"]


class Request(NamedTuple):
    """One request that left; for a new order `request_id` is the order's own ClOrdID."""

    kind: Kind
    request_id: str
    instrument: Instrument | None
    cl_ord_id: str = ""
    order_id: str = ""
    order: NewOrder | None = None
    side: str = ""
    successor: bool = False  # a replace that places a new order, whose ClOrdID is `request_id`
    terms: tuple[int, int | None] | None = None  # order_qty and price that a replace asked for

    def aliases(self) -> tuple[str, ...]:
        """Names by which an answer may know a request that carried no id of its own: its kind and its order's."""
        return tuple(f"{self.kind} {name}" for name in (self.cl_ord_id, self.order_id) if name)


def cancel_like(kind: Literal["cancel", "replace", "status"], request_id: str, order: WorkingOrder) -> Request:
    """A request about a working order."""
    return Request(kind, request_id, order.instrument, order.cl_ord_id, order.order_id, None, order.side)


class BatchBook:
    """Batches on their way, by MsgSeqNum and by their own id: what a refusal of the whole was about."""

    def __init__(self, kept: int = 1_000) -> None:
        self._kept = kept
        self._batches: OrderedDict[str, tuple[int, list[Request]]] = OrderedDict()

    def add(self, seq: int, batch_id: str, requests: list[Request]) -> None:
        """Remember what left as MsgSeqNum `seq`."""
        self._batches[batch_id] = seq, requests
        if len(self._batches) > self._kept:
            self._batches.popitem(last=False)

    def refused(self, batch_id: str = "", seq: int = 0) -> list[Request]:
        """The requests of the batch with that id, or that left as MsgSeqNum `seq`; [] when there is none. Once."""
        if batch_id not in self._batches and seq:
            batch_id = next((name for name, (left_as, _) in self._batches.items() if left_as == seq), "")
        return self._batches.pop(batch_id, (0, []))[1]

    def renumbered(self) -> None:
        """MsgSeqNums start again: ids alone name a batch from now on."""
        for name, (_, requests) in list(self._batches.items()):
            self._batches[name] = 0, requests


class RequestBook:
    """The latest requests by MsgSeqNum and by ClOrdID; the oldest fall out."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._by_seq: OrderedDict[int, Request] = OrderedDict()
        self._by_id: OrderedDict[str, Request] = OrderedDict()

    def add(self, seq: int, request: Request, *aliases: str) -> None:
        """Remember what left as MsgSeqNum `seq`; `aliases` are further ClOrdIDs that it carried."""
        self._by_seq[seq] = request
        for known in (request.request_id, *aliases):
            self._by_id[known] = request
        while len(self._by_seq) > self._kept:
            self._by_seq.popitem(last=False)
        while len(self._by_id) > self._kept:
            self._by_id.popitem(last=False)

    def by_seq(self, seq: int) -> Request | None:
        """What left as MsgSeqNum `seq` of the present numbering."""
        return self._by_seq.get(seq)

    def by_id(self, request_id: str) -> Request | None:
        """What left under that ClOrdID."""
        return self._by_id.get(request_id)

    def of_order(self, kinds: Iterable[Kind], *names: str) -> Request | None:
        """The latest request of one of these kinds about an order with one of these names (`Request.aliases`)."""
        wanted = (f"{kind} {name}" for name in names if name for kind in kinds)
        return next((found for found in map(self._by_id.get, wanted) if found is not None), None)

    def replaced(self, exec_type: str, cl_ord_id: str, terms: tuple[int | None, int | None]) -> tuple[str, str]:
        """(ExecType, request): a state that has the terms which a replace asked for is the answer to it, once."""
        request = self.of_order(("replace",), cl_ord_id)
        if request is None or not (exec_type == "5" or (exec_type in ("0", "I") and terms == request.terms)):
            return exec_type, ""
        for alias in request.aliases():
            self._by_id.pop(alias, None)
        return "5", request.request_id

    def renumbered(self) -> None:
        """MsgSeqNums start again: the old ones name nothing any more."""
        self._by_seq.clear()
