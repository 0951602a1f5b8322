"""The owner of orders that bench.kill trips: 500 working orders, the gate's duties, and nothing else.

`python -m bench.kill_owner --config FILE --session NAME`. Its orders never end, so that each trip finds all of them.
"""

import sys

from base.reactor import Priority
from ipc.bell import Bell, Ringer, bell_path
from ipc.events import OrderState
from ipc.fence import FenceKeeper
from ipc.gate import GateReader, session_scopes
from ipc.host import ProcessHost, run_process
from ipc.journal import Journal
from ipc.readiness import Readiness
from ipc.requests import Answer, AnyCommand, ListOrders

ORDERS = 500
LOOK_NS = 20_000_000


class BenchOwner:
    """Obeys the contract of docs/kill-switch.md."""

    def __init__(self, host: ProcessHost, session: str) -> None:
        desk = host.desk
        self.host = host
        config = desk.config.session[session]
        journal = Journal(desk.data_dir / session, host.clock.wall_ns())
        host.open_bus(journal, [f"exec.{session}"])
        self.orders = tuple(_order(session, config.venue, i) for i in range(ORDERS))
        host.publish(f"exec.{session}", *self.orders)
        scopes = session_scopes(config.venue, desk.config.venue[config.venue].account, session)
        self.ringer = Ringer()
        self.fence = FenceKeeper(
            GateReader(desk.shm_dir / "gate", desk.shm_dir / "operator", scopes),
            host.page,
            drop_unsent=lambda: None,
            cancel_working=lambda: None,
            ring_back=lambda: self.ringer.ring(bell_path(desk.run_dir, "killswitch")),
        )
        self.bell = Bell(bell_path(desk.run_dir, session))
        host.reactor.add_reader(self.bell.fd, self._rung, "bell", Priority.URGENT)
        host.serve(self._handle)
        self._look()
        host.set(Readiness.READY, "")

    def _rung(self) -> bool:
        self.fence.look()
        self.bell.drain()
        return False

    def _look(self) -> None:
        self.fence.look()
        self.host.reactor.call_later(LOOK_NS, self._look, "look")

    def _handle(self, command: AnyCommand, _identity: bytes) -> Answer:
        orders = self.orders if isinstance(command, ListOrders) else ()
        return Answer(command.command_id, True, orders=orders)


def _order(session: str, venue: str, i: int) -> OrderState:
    return OrderState(
        session=session, venue=venue, account="main", instrument="BTC-USD", cl_ord_id=f"o{i}", order_id=f"V{i}",
        state="NEW", side="1", ord_type="2", time_in_force="1", px_scale=1, qty_scale=8, order_qty=100, price=1,
        cum_qty=0, leaves_qty=100, strategy="mm", client_id="bench", command_id="", since_ns=0,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(run_process("trading", "session", BenchOwner))
