"""supervisord's event listener: passes on what supervisord says of its processes, and does nothing else.

What matters in a death is seen by the kill switch through a pidfd. supervisord's own event may come a second later:
it informs people and the event log.
"""

import argparse
import logging
import sys
from typing import TextIO

import zmq
from supervisor import childutils

from base.clock import SystemClock
from base.config import load
from base.errors import LockHeldError
from base.locks import RoleLock
from base.log import open_log
from ipc.alert_spool import AlertSpool
from ipc.bus import Publisher
from ipc.events import Alert
from ipc.roster import publisher_endpoint

NAME = "informer"
LOUD = frozenset({"PROCESS_STATE_EXITED", "PROCESS_STATE_FATAL", "PROCESS_STATE_BACKOFF", "PROCESS_STATE_UNKNOWN"})
log = logging.getLogger(NAME)


def describe(event: str, payload: dict[str, str]) -> str:
    """One line for people of a supervisord event and its payload."""
    fields = " ".join(f"{k}={v}" for k, v in payload.items())
    return f"{event} {fields}".rstrip()


def listen(stdin: TextIO, stdout: TextIO, tell: "Alerts") -> None:
    """Serve supervisord's listener protocol until it closes the pipe."""
    while True:
        childutils.listener.ready(stdout)
        line = stdin.readline()
        if not line:
            return
        headers = childutils.get_headers(line)
        payload = childutils.get_headers(stdin.read(int(headers["len"])))
        tell.event(headers["eventname"], payload)
        childutils.listener.ok(stdout)


class Alerts:
    """Publishes alerts, beside the bus too; logs them."""

    def __init__(self, publisher: Publisher, clock: SystemClock, spool: AlertSpool) -> None:
        self._publisher = publisher
        self._spool = spool
        self._clock = clock

    def event(self, name: str, payload: dict[str, str]) -> None:
        """Pass one supervisord event on."""
        text = describe(name, payload)
        expected = payload.get("expected") == "1"
        severity = "warning" if name in LOUD and not expected else "info"
        log.info("%s", text)
        alert = Alert("supervisord", severity, name, text, self._clock.wall_ns(), payload.get("processname", ""))
        self._spool.put(alert)
        self._publisher.publish(f"alert.{NAME}", alert)


def main() -> int:
    """Run under supervisord."""
    parser = argparse.ArgumentParser(prog="python -m procs.informer")
    parser.add_argument("--config", required=True)
    desk = load(parser.parse_args().config)
    clock = SystemClock()
    open_log(desk.log_dir, NAME, budget=desk.process_log_bytes)
    lock = RoleLock(desk.run_dir / "lock" / NAME)
    if not lock.try_acquire(clock.wall_ns()):
        raise LockHeldError(f"{lock.path} is held by {lock.holder()}")
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    publisher = Publisher(context, publisher_endpoint(desk, NAME), clock)
    try:
        listen(sys.stdin, sys.stdout, Alerts(publisher, clock, AlertSpool(desk.shm_dir, NAME)))
    finally:
        publisher.close()
        context.destroy(linger=0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
