"""Quarterdeck for strategies: `import quarterdeck as qd`.

    with qd.connect("config/desk.toml", strategy="demo") as desk:
        desk.subscribe("exec.kraken-trd", replay=True)
        book = desk.book("kraken", "BTC-USD")
        desk.buy("kraken", "BTC-USD", "0.01", "60000.0")
        for delivery in desk:
            print(delivery.topic, delivery.seq, delivery.event)

Prices and quantities go in as text, Decimal or int, never as float; they come out as integers at the scale that stands
beside them (`qd.decimal(value, scale)`). Everything else is in docs/client.md.
"""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from base.decimals import format_scaled, to_scaled
    from base.decimals import from_scaled as decimal
    from base.errors import (
        BookBusyError,
        BookError,
        BusError,
        CallbackError,
        CommandError,
        ConfigError,
        NumberError,
        OrderRejected,
        OrderTimeout,
        OrderUncertain,
        QuarterdeckError,
        RegionError,
        SchemaError,
        StaleBookError,
        UnansweredError,
    )
    from base.instruments import Instrument
    from ipc.books import BookReader
    from ipc.events import (
        Alert,
        Balance,
        BookDelta,
        BookSnapshot,
        BookSource,
        BookStatus,
        CancelReject,
        Difference,
        ExecutionReport,
        KillState,
        OrderState,
        Position,
        ProcessState,
        PublicTrade,
        SessionState,
        TopOfBook,
    )
    from ipc.sequence import Delivery, Gap
    from quarterdeck.async_client import AsyncDesk, aconnect
    from quarterdeck.books import Book, BookImage, Level
    from quarterdeck.client import BUY, SELL, Desk, connect
    from quarterdeck.consolidated import Consolidated, ConsolidatedImage, MergedLevel
    from quarterdeck.health import Health, ProcessHealth
    from quarterdeck.order import AsyncOrder, Order
    from quarterdeck.order_life import Fill
    from quarterdeck.ordering import OrderTerms, Terms

_WHERE = {
    "quarterdeck.client": "BUY SELL Desk connect",
    "quarterdeck.async_client": "AsyncDesk aconnect",
    "quarterdeck.books": "Book BookImage Level",
    "quarterdeck.consolidated": "Consolidated ConsolidatedImage MergedLevel",
    "quarterdeck.health": "Health ProcessHealth",
    "quarterdeck.order": "AsyncOrder Order",
    "quarterdeck.order_life": "Fill",
    "quarterdeck.ordering": "OrderTerms Terms",
    "base.errors": (
        "BookBusyError BookError BusError CallbackError CommandError ConfigError NumberError OrderRejected "
        "OrderTimeout OrderUncertain QuarterdeckError RegionError SchemaError StaleBookError UnansweredError"
    ),
    "base.instruments": "Instrument",
    "ipc.books": "BookReader",
    "ipc.events": (
        "Alert Balance BookDelta BookSnapshot BookSource BookStatus CancelReject Difference ExecutionReport "
        "KillState OrderState Position ProcessState PublicTrade SessionState TopOfBook"
    ),
    "ipc.sequence": "Delivery Gap",
    "base.decimals": "format_scaled to_scaled",
}
_MODULE_OF = {name: module for module, names in _WHERE.items() for name in names.split()}

__all__ = [
    "BUY",
    "SELL",
    "Alert",
    "AsyncDesk",
    "AsyncOrder",
    "Balance",
    "Book",
    "BookBusyError",
    "BookDelta",
    "BookError",
    "BookImage",
    "BookReader",
    "BookSnapshot",
    "BookSource",
    "BookStatus",
    "BusError",
    "CallbackError",
    "CancelReject",
    "CommandError",
    "ConfigError",
    "Consolidated",
    "ConsolidatedImage",
    "Delivery",
    "Desk",
    "Difference",
    "ExecutionReport",
    "Fill",
    "Gap",
    "Health",
    "Instrument",
    "KillState",
    "Level",
    "MergedLevel",
    "NumberError",
    "Order",
    "OrderRejected",
    "OrderState",
    "OrderTerms",
    "OrderTimeout",
    "OrderUncertain",
    "Position",
    "ProcessHealth",
    "ProcessState",
    "PublicTrade",
    "QuarterdeckError",
    "RegionError",
    "SchemaError",
    "SessionState",
    "StaleBookError",
    "Terms",
    "TopOfBook",
    "UnansweredError",
    "aconnect",
    "connect",
    "decimal",
    "format_scaled",
    "to_scaled",
]  # fmt: skip


def _check_not_shadowed(home: Path) -> None:
    """The packages beside this one are plain words: say so when a file of the user's stands before one of them."""
    for name in ("base", "ipc"):
        spec = find_spec(name)
        found = spec.origin if spec is not None else None
        if found is None:
            raise ImportError(f"quarterdeck needs its own package {name!r}, expected at {home / name}: not installed?")
        if Path(found).resolve().parent != home / name:
            raise ImportError(
                f"{found} shadows quarterdeck's own package {name!r} ({home / name}): rename your file or folder"
            )


_check_not_shadowed(Path(__file__).resolve().parent.parent)


def __getattr__(name: str) -> Any:
    """Exports are imported when first used, so that `import quarterdeck` itself is quick."""
    if name == "decimal":
        value = import_module("base.decimals").from_scaled
    elif name in _MODULE_OF:
        value = getattr(import_module(_MODULE_OF[name]), name)
    else:
        raise AttributeError(f"module 'quarterdeck' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
