"""Books as NumPy structured arrays: copies, and views of shared memory itself. NumPy is the extra `numpy`.

Every field is int64 at the book's scales. Arrays are best first. A view is read-only and holds its mapping alive; the
writer may write over it at any time, so nothing that was computed from a view counts until `valid()` said True after
it.
"""

from typing import TYPE_CHECKING, Final

from ipc import _book
from ipc.books import BookReader

try:
    import numpy as np
except ImportError as error:
    raise ImportError("books as arrays need NumPy, which is not installed: the extra is quarterdeck[numpy]") from error

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVEL: Final = np.dtype([("px", "<i8"), ("qty", "<i8"), ("orders", "<i8")])
"""A price: px at px_scale, qty at qty_scale, orders (L3 books count them, 0 for L2)."""

ORDER: Final = np.dtype([("px", "<i8"), ("qty", "<i8"), ("key", "<i8"), ("time_ns", "<i8")])
"""An order of an L3 book: key as the market-data process made it of the venue's OrderID, time_ns the venue's, UTC."""

PAIR: Final = np.dtype([("px", "<i8"), ("qty", "<i8")])
"""A price where it stands at the top of the book, and in the depth of an L2 book."""

PLACE: Final = np.dtype(
    {"names": ["px", "qty", "orders"], "formats": ["<i8"] * 3, "offsets": [0, 8, 16], "itemsize": 32}
)
"""A price where it stands in the depth of an L3 book; the last of its four words is the book's own."""

_W_STATE, _W_LAST_SEQ, _W_VENUE_NS, _W_RECV_NS, _W_MESSAGES = 0, 2, 3, 4, 5


def top_array(reader: BookReader, levels: int) -> "NDArray[np.void]":
    """Shape (2, levels), dtype LEVEL: bids, offers, zeros where there is none."""
    return np.frombuffer(_book.top_bytes(reader, levels), LEVEL).reshape(2, levels)


def depth_arrays(reader: BookReader, levels: int) -> "tuple[NDArray[np.void], NDArray[np.void]]":
    """Bids and offers, dtype LEVEL, each as long as its side (0: the whole of it)."""
    bids, asks = _book.depth_bytes(reader, levels)
    return np.frombuffer(bids, LEVEL), np.frombuffer(asks, LEVEL)


def order_arrays(reader: BookReader, levels: int) -> "tuple[NDArray[np.void], NDArray[np.void]]":
    """Orders of bids and of offers, dtype ORDER, in queue order."""
    bids, asks = _book.order_bytes(reader, levels)
    return np.frombuffer(bids, ORDER), np.frombuffer(asks, ORDER)


class _View:
    """What both views have."""

    bids: "NDArray[np.void]"
    asks: "NDArray[np.void]"

    def __init__(self, pin: _book.Pin) -> None:
        self._pin = pin

    def valid(self) -> bool:
        """Whether everything that was read from it until now was whole. Once False it stays so: take a new view."""
        return self._pin.valid()

    @property
    def last_seq(self) -> int:
        """The venue's update id or sequence number up to which it stands."""
        return self._pin.words[_W_LAST_SEQ]

    @property
    def venue_ns(self) -> int:
        """The venue's sending time of its last message, UTC."""
        return self._pin.words[_W_VENUE_NS]

    @property
    def recv_ns(self) -> int:
        """When that message was read here, UTC."""
        return self._pin.words[_W_RECV_NS]

    @property
    def messages(self) -> int:
        """Messages applied since the region began: differs between any two versions."""
        return self._pin.words[_W_MESSAGES]


class TopView(_View):
    """The top 50 in shared memory: `bids` and `asks` (dtype PAIR), `bid_orders` and `ask_orders` (L3 counts)."""

    def __init__(self, reader: BookReader) -> None:
        pin, bids, asks = _book.pin_top(reader)
        super().__init__(pin)
        half, memory = _book.TOP_LEVELS * PAIR.itemsize, memoryview(pin)
        self.bids = np.frombuffer(memory, PAIR, bids)
        self.asks = np.frombuffer(memory, PAIR, asks, half)
        self.bid_orders = np.frombuffer(memory, "<i8", bids, 2 * half)
        self.ask_orders = np.frombuffer(memory, "<i8", asks, 2 * half + 8 * _book.TOP_LEVELS)


class DepthView(_View):
    """The full depth in shared memory: `bids` and `asks`, dtype PAIR of an L2 book, PLACE of an L3 book."""

    def __init__(self, reader: BookReader) -> None:
        pin, width, bids, asks = _book.pin_depth(reader)
        super().__init__(pin)
        dtype = PAIR if width == 2 else PLACE
        sides = [np.frombuffer(memoryview(pin), dtype, n, first * 8 * width)[::-1] for first, n in (bids, asks)]
        self.bids, self.asks = sides
