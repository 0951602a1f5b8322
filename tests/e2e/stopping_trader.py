"""A trading process that stops itself (SIGSTOP) at one exact place of sending an order or a replace, once told to.

    stopping_trader.py --config FILE --session S

It stops when `<data_dir>/<session>.stop` exists, which holds the place; before, it leaves the ClOrdID of the request in
`<session>.stopped`. The places, in their order:

- `before`: everything is checked, numbered and journalled, the gate is to be read for the last time;
- `check`: the gate was read for the last time and said yes; nothing of the message was rendered, stored or sent;
- `rendered`: the message is whole, and not stored;
- `stored`: it has its place and its number in the store, TLS has not seen it;
- `encrypted`: TLS has it, and nobody has taken the bytes from TLS;
- `sealed`: the bytes are out of TLS, the kernel has none of them;
- `queued`: the kernel had no room: some bytes, or all of them, wait in this process;
- `sent`: the kernel was given them;
- `told`: the books are done with it, the strategy has no answer yet.
"""

import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from base.config import load
from base.tls import TlsEngine
from base.transport import TcpTransport
from fix.session import FixSession
from ipc.requests import AnyCommand, NewOrder, ReplaceOrder
from procs.trading import Trading, main
from venues import recovery
from venues.fix_trading import FixTradingSession
from venues.order_entry import OrderEntry

ROOM = 16_384  # the kernel's for one connection: without a bound it grows to megabytes, and nothing is ever queued


class Stopper:
    """What is wrapped around the calls between a command and the wire."""

    def __init__(self, trigger: Path) -> None:
        self._trigger = trigger
        self._sends = False  # an order or a replace is being dealt with
        self._looks = 0  # at the gate since
        self._cl_ord_id = ""  # the one that was made since
        self._wrap(OrderEntry, "handle", self._handle)
        self._wrap(Trading, "gate", self._gate)
        self._wrap(FixTradingSession, "make_cl_ord_id", self._make)
        self._wrap(FixSession, "_send", self._at("rendered"))
        self._wrap(TcpTransport, "write", self._at("stored"))
        self._wrap(TlsEngine, "__init__", self._engine)
        self._wrap(TcpTransport, "_send", self._at("sealed", "sent"))
        self._wrap(TcpTransport, "_enqueue", self._at("", "queued"))
        self._wrap(TcpTransport, "_stands", self._bound)

    def _wrap(self, owner: type, name: str, around: Any) -> None:
        inner = getattr(owner, name)
        setattr(owner, name, lambda *a, **k: around(inner, *a, **k))

    def _at(self, before: str, after: str = "") -> Any:
        def around(inner: Any, *args: Any, **more: Any) -> Any:
            self._perhaps(before)
            done = inner(*args, **more)
            self._perhaps(after)
            return done

        return around

    def _handle(self, inner: Any, entry: OrderEntry, command: AnyCommand) -> Any:
        self._sends, self._looks, self._cl_ord_id = isinstance(command, NewOrder | ReplaceOrder), 0, ""
        answer = inner(entry, command)
        if answer.accepted:
            self._perhaps("told")
        self._sends = False
        return answer

    def _gate(self, inner: Any, *args: Any) -> Any:
        self._looks += 1
        last = self._looks == 2  # the first look is among the checks
        self._perhaps("before" if last else "")
        closed = inner(*args)
        self._perhaps("check" if last and not closed else "")
        return closed

    def _make(self, inner: Any, *args: Any) -> Any:
        self._cl_ord_id = inner(*args)
        return self._cl_ord_id

    def _engine(self, inner: Any, engine: TlsEngine, *args: Any, **more: Any) -> None:
        inner(engine, *args, **more)
        encrypt, around = engine.encrypt, self._at("", "encrypted")
        engine.encrypt = lambda data: around(encrypt, data)

    def _bound(self, inner: Any, transport: TcpTransport) -> None:
        assert transport._socket is not None
        transport._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
        inner(transport)

    def _perhaps(self, place: str) -> None:
        if not self._sends or not place:
            return
        try:
            if self._trigger.read_text() != place:
                return
        except FileNotFoundError:
            return
        stopped = self._trigger.with_suffix(".stopped")
        stopped.with_suffix(".new").write_text(self._cl_ord_id)
        self._trigger.unlink()
        stopped.with_suffix(".new").rename(stopped)
        os.kill(os.getpid(), signal.SIGSTOP)


if __name__ == "__main__":
    arguments = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    Stopper(load(arguments["--config"]).data_dir / f"{arguments['--session']}.stop")
    # Orders that never left are asked for after a restart and never answered: a test need not wait for that as long.
    recovery.STATUS_DEADLINE_NS = 500_000_000
    sys.exit(main())
