"""The application of an acceptor that sends back what it gets: for tests of sessions, ours and other people's."""

from collections import OrderedDict

from base.clock import Clock
from base.errors import CodecError, SessionError, StoreError, TransportError
from fix._codec import MdDecoder, Message
from fix.session import FixSession
from fix.session_events import FieldDefect, NumbersReset, SessionEvent

ECHOED = frozenset({"D", "d", "C"})
"""NewOrderSingle, SecurityDefinition, Email."""
UNSUPPORTED = "Unsupported Message Type"
KEEP_ORDERS = 100_000

_OWN = frozenset({8, 9, 10, 34, 35, 43, 49, 52, 56, 89, 90, 91, 93, 122, 369, 370})
"""What the session writes anew, or what would be wrong the second time."""


class EchoApp:
    """Sends orders, security definitions and Emails back; everything else is an unsupported message type."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._orders: OrderedDict[bytes, None] = OrderedDict()
        self.session: FixSession | None = None
        """To be set to the session that this is the application of."""
        self.dropped = 0
        """Answers that could not leave."""

    def logon_body(self, seq_num: int, sending_time: bytes, wall_ns: int) -> bytes:
        """Nothing of its own."""
        return b""

    def check_logon(self, logon: Message, wall_ns: int) -> str | None:
        """Whoever has the right names may log on."""
        return None

    def on_message(self, message: Message, flags: int, defects: tuple[FieldDefect, ...]) -> None:
        """Echo it, unless it is an order that was seen and comes with PossResend(97)=Y."""
        session, kind = self.session, message.msg_type
        assert session is not None
        times = self._clock.mono_ns(), self._clock.wall_ns()
        try:
            if kind not in ECHOED:
                session.business_reject(message, 3, UNSUPPORTED, *times)
            elif kind != "D" or not self._seen(message):
                session.send(kind, echo_body(message), *times)
        except CodecError as error:
            self.dropped += 1
            session.business_reject(message, 0, f"cannot be sent back: {error}", *times)
        except (SessionError, StoreError, TransportError):
            self.dropped += 1  # the connection is going; what was stored is there to be asked for

    def on_batch(self, decoder: MdDecoder, messages: int) -> None:
        """Nobody set a decoder."""

    def on_event(self, event: SessionEvent) -> None:
        """With numbers that begin again at 1 on both sides no order has been seen; the connection obeys by itself."""
        if isinstance(event, NumbersReset) and (event.next_in, event.next_out) == (1, 1):
            self._orders.clear()

    def _seen(self, order: Message) -> bool:
        cl_ord_id = order.get(11) or b""
        seen = cl_ord_id in self._orders
        self._orders[cl_ord_id] = None
        if len(self._orders) > KEEP_ORDERS:
            self._orders.popitem(last=False)
        return seen and order.get(97) == b"Y"


def echo_body(message: Message) -> bytes:
    """Everything of a message that is not the session's own, in its order."""
    return b"".join(b"%d=%s\x01" % field for field in message.fields() if field[0] not in _OWN)
