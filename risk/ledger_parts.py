"""What the ledger works with: its sources, what it finds at start, what it asks its store, and small helpers. Pure."""

from typing import NamedTuple, Protocol

from ipc.ledger_records import BookRecord, BreakRecord, Fill, OrderRecord
from risk.ledger_fills import FillSet
from risk.ledger_positions import is_amount

SortKey = tuple[int, int, str, int]
BookKey = tuple[str, str, str, str]


class Source(NamedTuple):
    """One session whose journal is read."""

    session: str
    venue: str
    account: str
    view: int  # ENTRY or COPY
    two_views: bool  # the account has a drop copy beside its order entry
    foreign_rest: bool = False  # REST names trades otherwise than the session
    own_exec_ids: bool = False  # its ExecIDs are names within this session alone

    def exec_name(self, exec_id: str) -> str:
        """What an ExecID of this source is called among those of its view."""
        return f"{self.session}/{exec_id}" if exec_id and self.own_exec_ids else exec_id


class Start(NamedTuple):
    """What the store has at start."""

    next_order: int
    next_fill: int
    next_break: int
    books: list[BookRecord]
    open_breaks: list[BreakRecord]
    due: list[tuple[int, int, int]]  # when, order, fill (0: the order itself)


class Store(Protocol):
    """What is not in memory."""

    def names_known(self, names: list[str]) -> set[str]:
        """Those of them that lead to an order."""
        ...

    def order_named(self, name: str) -> int:
        """The order that goes by a name; 0 when there is none."""
        ...

    def order(self, order: int) -> tuple[OrderRecord, list[Fill]] | None:
        """An order with its fills."""
        ...


def head_of(source: Source) -> str:
    """What the names of an account's orders begin with."""
    return f"{source.venue}\x1f{source.account}\x1f"


def copy_book(book: BookRecord) -> BookRecord:
    """As it is now."""
    return BookRecord(
        **{f: getattr(book, f) for f in book.__struct_fields__ if f not in ("lots", "fees")},
        lots=list(book.lots), fees=dict(book.fees),
    )  # fmt: skip


def key_of(book: BookRecord) -> BookKey:
    return book.strategy, book.venue, book.account, book.instrument


def amounts_of(fees: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Those that can be counted; others stay in the journal alone."""
    return tuple(fee for fee in fees if is_amount(fee[1])) if fees else ()


def fit(fills: FillSet, px_scale: int, qty_scale: int) -> tuple[int, int]:
    """Bring an order and a report to the finer scales of both; what the report's (price, quantity) are to be times."""
    order = fills.order
    if (px_scale, qty_scale) == (order.px_scale, order.qty_scale):
        return 1, 1
    finer = max(px_scale, order.px_scale), max(qty_scale, order.qty_scale)
    px, qty = 10 ** (finer[0] - order.px_scale), 10 ** (finer[1] - order.qty_scale)
    if px > 1 or qty > 1:
        fills.rescale(*finer)
        order.price = None if order.price is None else order.price * px
        order.stop_px = None if order.stop_px is None else order.stop_px * px
        order.order_qty = None if order.order_qty is None else order.order_qty * qty
        order.cum_qty *= qty
        order.px_scale, order.qty_scale = finer
    return 10 ** (finer[0] - px_scale), 10 ** (finer[1] - qty_scale)
