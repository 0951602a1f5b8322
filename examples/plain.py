"""A client in plain ZeroMQ and MessagePack, with nothing of the desk's own code: docs/schema.md, bus.md, commands.md.

    pip install pyzmq msgpack
    python plain.py RUN_DIR SESSION MD_SESSION VENUE INSTRUMENT QTY
    python plain.py tcp://HOST:8711 SESSION MD_SESSION VENUE INSTRUMENT QTY --key ann.key

It follows an order-entry session and a book, tells what it could not hear (by epoch and number), has that replayed,
places an order to buy QTY (an integer at the instrument's scale) far below the market, cancels it, and ends when both
have come back as events. What it heard is printed, a line each; the last line is JSON. For another host `qd keys` makes
the key. An example of the wire, not a strategy.
"""

import argparse
import json
import os
import struct
import sys
import time
from typing import Any

import msgpack
import zmq

SCHEMA = 1
PATIENCE_S = 30.0
TAG = 0
# Places in the arrays, as docs/schema.md counts them.
ORDER_CL_ORD_ID, ORDER_STATE, ORDER_COMMAND_ID = 5, 7, 19
SNAP_LEVEL, SNAP_PX_SCALE, SNAP_BIDS = 3, 4, 6
ANSWER_COMMAND_ID, ANSWER_ACCEPTED, ANSWER_REASON, ANSWER_CL_ORD_ID, ANSWER_DATA = 1, 2, 3, 4, 7
CHUNK_FRAMES, CHUNK_TRUNCATED, CHUNK_MARKER = 1, 2, 3


class Streams:
    """What was heard of each topic: the epoch, and the number that the next event has."""

    def __init__(self) -> None:
        self.next: dict[str, tuple[int, int]] = {}

    def take(self, frame: bytes) -> tuple[str, str, list[Any]]:
        """(topic, what is missing before it or "", events that were not there before) of a frame of the bus."""
        name, _, payload = frame.partition(b"\0")
        topic = name.decode()
        schema, epoch, first, _sent_ns, events = msgpack.unpackb(payload)
        if schema != SCHEMA:
            raise SystemExit(f"{topic}: the desk speaks schema {schema}, this example schema {SCHEMA}")
        was, due = self.next.get(topic, (0, 1))
        gap = ""
        if epoch < was:
            return topic, "", []  # late, of a life of the publisher that ended
        if epoch > was:
            gap = "the publisher restarted" if was else ""
            due = 1
        if first > due:
            gap = f"{gap or 'a hole'}: {due} to {first - 1} are missing"
            due = first
        self.next[topic] = epoch, max(due, first + len(events))
        return topic, gap, events[due - first :]


class Desk:
    """Sockets to one desk: on this host by its run directory, on another by tcp:// and a key."""

    def __init__(self, where: str, key: dict[str, str] | None) -> None:
        self.where, self.key = where, key
        self.context = zmq.Context()
        self.client_id = f"plain-{os.getpid()}-{time.time_ns():x}"
        self.count = 0

    def command_socket(self, process: str) -> Any:
        """A DEALER for one process."""
        socket = self._socket(zmq.DEALER)
        socket.connect(self.where if self.key else f"ipc://{self.where}/{process}.cmd")
        return socket

    def event_socket(self, processes: list[str]) -> Any:
        """A SUB that hears them."""
        socket = self._socket(zmq.SUB)
        if self.key:
            asked = ["ops", self.client_id, self.new_id(), 0, "desk", {}]
            told = json.loads(self.ask(self.command_socket("forwarder"), "forwarder", asked)[ANSWER_DATA])
            socket.connect(f"{self.where.rpartition(':')[0]}:{told['events_port']}")
        for process in () if self.key else processes:
            socket.connect(f"ipc://{self.where}/{process}.pub")
        return socket

    def _socket(self, kind: int) -> Any:
        socket = self.context.socket(kind)
        socket.linger = 0
        if self.key:
            socket.curve_serverkey = self.key["server"].encode()
            socket.curve_publickey = self.key["public"].encode()
            socket.curve_secretkey = self.key["secret"].encode()
        return socket

    def new_id(self) -> str:
        """A command id that was never used before."""
        self.count += 1
        return f"{self.client_id}-{self.count}"

    def ask(self, socket: Any, process: str, command: list[Any]) -> list[Any]:
        """The answer, which may be a refusal. A forwarder is told which process is meant."""
        packed = msgpack.packb(command)
        socket.send_multipart([process.encode(), packed] if self.key else [packed])
        while socket.poll(int(PATIENCE_S * 1000)):
            answer = msgpack.unpackb(socket.recv_multipart()[-1])
            if answer[ANSWER_COMMAND_ID] == command[2]:
                return list(answer)
        raise SystemExit(f"{process}: no answer to {command[TAG]} within {PATIENCE_S:g} s")


class Plain:
    """The client."""

    def __init__(self, desk: Desk, args: argparse.Namespace) -> None:
        self.desk, self.args = desk, args
        self.exec_topic, self.md_topic = f"exec.{args.session}", f"md.{args.venue}.{args.instrument}"
        self.streams, self.replayed = Streams(), Streams()
        self.trading, self.marketdata = desk.command_socket(args.session), desk.command_socket(args.md_session)
        self.events = desk.event_socket([args.session, args.md_session])
        for topic in (self.exec_topic, self.md_topic):
            self.events.subscribe(topic.encode() + b"\0")  # with the NUL: BTC-USD, and not BTC-USD-PERP
        self.best_bid = 0
        self.states: dict[str, list[str]] = {}  # of each order, by ClOrdID
        self.summary: dict[str, Any] = {"events": 0, "gaps": [], "replayed": 0}

    def run(self) -> dict[str, Any]:
        """Everything, once."""
        self.hear(lambda: self.exec_topic in self.streams.next, "a word of the session")
        self.replay()
        self.ask("snapshot", self.args.md_session, self.marketdata, self.md_topic)
        self.hear(lambda: self.best_bid > 0, "a book")
        until = time.time_ns() + 5_000_000_000  # an order says until when it may be acted on
        terms = [self.args.venue, self.args.instrument, "1", "2", self.args.qty, self.best_bid // 2]
        placed = self.ask("new", self.args.session, self.trading, *terms, deadline_ns=until)
        order = placed[ANSWER_CL_ORD_ID]
        self.hear(lambda: "NEW" in self.states.get(order, ()), "the order works")
        self.ask("cancel", self.args.session, self.trading, order)
        self.hear(lambda: "CANCELED" in self.states[order], "the order is cancelled")
        return {**self.summary, "order": order, "states": self.states[order]}

    def ask(self, tag: str, process: str, socket: Any, *fields: Any, deadline_ns: int = 0) -> list[Any]:
        """An accepted answer."""
        command = [tag, self.desk.client_id, self.desk.new_id(), deadline_ns, *fields]
        answer = self.desk.ask(socket, process, command)
        if not answer[ANSWER_ACCEPTED]:
            raise SystemExit(f"{process} refused {tag}: {answer[ANSWER_REASON]}")
        return answer

    def hear(self, true: Any, what: str) -> None:
        """Take events until that is so."""
        end = time.monotonic() + PATIENCE_S
        while not true():
            if time.monotonic() > end:
                raise SystemExit(f"not within {PATIENCE_S:g} s: {what}")
            if not self.events.poll(100):
                continue
            topic, gap, events = self.streams.take(self.events.recv())
            if gap:
                self.summary["gaps"].append(f"{topic}: {gap}")
                print(f"{topic}: {gap}")
            for event in events:
                self.summary["events"] += 1
                self.heard(topic, event)
            if gap and topic == self.exec_topic:
                self.replay()

    def heard(self, topic: str, event: list[Any]) -> None:
        """One event."""
        if event[TAG] == "order":
            states = self.states.setdefault(event[ORDER_CL_ORD_ID], [])
            if event[ORDER_STATE] not in states:
                states.append(event[ORDER_STATE])
            print(f"{topic}: order {event[ORDER_CL_ORD_ID]} {event[ORDER_STATE]}")
        elif event[TAG] == "snap" and event[SNAP_LEVEL] == 2 and event[SNAP_BIDS]:
            self.best_bid = struct.unpack_from("<q", event[SNAP_BIDS])[0]
            print(f"{topic}: best bid {self.best_bid} / 10**{event[SNAP_PX_SCALE]}")

    def replay(self) -> None:
        """Everything of the session's topic that this client has not had, out of the publisher's journal."""
        while True:
            epoch, seq = self.replayed.next.get(self.exec_topic, (0, 0))  # 0: the oldest that there is
            answer = self.ask("replay", self.args.session, self.trading, self.exec_topic, epoch, seq)
            chunk = msgpack.unpackb(answer[ANSWER_DATA])
            if chunk[CHUNK_TRUNCATED]:
                print(f"{self.exec_topic}: the oldest are kept no more")
            for frame in chunk[CHUNK_FRAMES]:
                topic, _, events = self.replayed.take(frame)
                for event in events:
                    self.summary["replayed"] += 1
                    self.heard(f"{topic} (replayed)", event)
            if chunk[CHUNK_MARKER] is not None:  # nothing is left out up to here
                return


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("where", help="the desk's run directory, or tcp://HOST:PORT of its forwarder")
    for name in ("session", "md_session", "venue", "instrument"):
        parser.add_argument(name)
    parser.add_argument("qty", type=int)
    parser.add_argument("--key", default="", help="a client's key file, for tcp://")
    args = parser.parse_args()
    key = None
    if args.key:
        with open(args.key, encoding="ascii") as file:
            key = json.load(file)
    desk = Desk(args.where, key)
    try:
        print(json.dumps(Plain(desk, args).run()))
    finally:
        desk.context.destroy(linger=0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
