"""A trading process that stops itself (SIGSTOP) at one exact place of sending an order, once it is told to.

    stopping_trader.py --config FILE --session S

It stops when `<data_dir>/<session>.stop` exists, which holds the place; before, it leaves the ClOrdID of the order in
`<session>.stopped`:

- `check`: the gate was read for the last time and said yes; nothing of the order was rendered, stored or sent;
- `sealed`: TLS has made its bytes, the kernel has none of them;
- `sent`: the kernel has them.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from base.config import load
from base.transport import TcpTransport
from procs.trading import main
from venues.fix_trading import FixTradingSession


class Stopper:
    """What is wrapped around the session's and the transport's own calls."""

    def __init__(self, trigger: Path) -> None:
        self._trigger = trigger
        self._cl_ord_id = ""  # of the order that is being sent now
        self._new_order: Any = FixTradingSession.new_order
        self._send: Any = TcpTransport._send

    def new_order(self, session: FixTradingSession, order: Any, instrument: Any, cl_ord_id: str, *times: int) -> None:
        self._cl_ord_id = cl_ord_id
        self._perhaps("check")
        self._new_order(session, order, instrument, cl_ord_id, *times)
        self._cl_ord_id = ""

    def send(self, transport: TcpTransport, data: bytes) -> bool:
        if self._cl_ord_id:
            self._perhaps("sealed")
        done: bool = self._send(transport, data)
        if self._cl_ord_id:
            self._perhaps("sent")
        return done

    def _perhaps(self, place: str) -> None:
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
    stopper = Stopper(load(arguments["--config"]).data_dir / f"{arguments['--session']}.stop")
    FixTradingSession.new_order = lambda *a: stopper.new_order(*a)  # type: ignore[method-assign]
    TcpTransport._send = lambda *a: stopper.send(*a)  # type: ignore[method-assign]
    sys.exit(main())
