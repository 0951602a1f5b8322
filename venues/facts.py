"""Facts of a venue that no process plans from: `qd venues` prints them, the conformance suite tries them."""

from types import MappingProxyType
from typing import Literal, TypeAlias

import msgspec

from fix.settings import SequencePolicy

RestCall: TypeAlias = Literal[
    "open_orders", "order", "trades", "balances", "buying_power", "positions", "cancel_all", "cancel_order",
    "cancel_after",
]  # fmt: skip
"""A call of `venues.interface.RestApi` that the venue has, by the name of its method."""

DESK_TYPES = MappingProxyType(
    {"R": "take profit", "T": "take profit limit", "U": "trailing stop", "V": "trailing stop limit"}
)
"""NewOrder.ord_type beyond the standard's OrdType(40), by the letters that the first venue had for them; a venue's wire
may have others."""

_VERSIONS = {"4": "4.0", "5": "4.2", "6": "4.4", "7": "5.0", "8": "5.0 SP1", "9": "5.0 SP2"}


class Wire(msgspec.Struct, frozen=True):
    """How sessions of one kind speak with the venue."""

    begin_string: str = "FIX.4.4"  # BeginString(8); "" = no FIX: WebSocket
    numbers: SequencePolicy | None = SequencePolicy.CONTINUE  # None where there are none
    resend: bool = True  # messages that were missed can be had again
    appl_ver_id: str = ""  # DefaultApplVerID(1137), with FIXT.1.1

    @property
    def protocol(self) -> str:
        """For people: FIX 4.4, FIX 5.0 SP2, WebSocket."""
        if not self.begin_string:
            return "WebSocket"
        version = _VERSIONS.get(self.appl_ver_id)
        return f"FIX {version}" if version else self.begin_string.replace(".", " ", 1)


WEBSOCKET = Wire("", None, resend=False)
