"""The page's application without a socket: an ASGI client of a few lines, and a desk that is told what to say."""

import asyncio
import functools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from base.clock import ManualClock
from base.errors import CommandError
from base.monitor_config import MonitorConfig
from base.operators import new_operator, write_operators
from procs.monitor_web.app import MonitorApp
from procs.monitor_web.hub import Hub
from procs.monitor_web.operators import FrontDesk

HOST = "127.0.0.1:8700"
ORIGIN = f"http://{HOST}"
WORD = "correct horse battery"
HOSTILE = '<img src=x onerror="document.title=1">'


@functools.cache
def _operators() -> str:
    """Hashing takes its time."""
    entries = [new_operator("ada", WORD, ("trip", "reset")), new_operator("tim", WORD, ("trip",))]
    return write_operators({e.name: e for e in entries})


class Sight:
    """What the page is told."""

    def __init__(self) -> None:
        self.fault = ""

    async def depth(self, venue: str, instrument: str, level: int) -> bytes:
        if venue != "kraken":
            raise CommandError(f"no book of {venue}")
        return json.dumps({"asked": [venue, instrument, level]}).encode()

    async def life(self, venue: str, cl_ord_id: str) -> bytes:
        return json.dumps({"asked": [venue, cl_ord_id, HOSTILE]}).encode()

    async def metrics(self, *, openmetrics: bool) -> bytes:
        return b"up 1\n# EOF\n" if openmetrics else b"up 1\n"

    def health(self) -> str:
        return self.fault


class Killing:
    """Remembers what was asked."""

    def __init__(self) -> None:
        self.done: list[tuple[object, ...]] = []

    def plan(self, scope: str) -> dict[str, Any]:
        return {"scope": scope}

    def trip(self, *args: str) -> dict[str, Any]:
        self.done.append(("trip", *args))
        return {"by": "kill switch"}

    def reset(self, scope: str, reason: str, confirm: str, force: list[str], name: str) -> dict[str, Any]:
        if not force:
            raise CommandError("2 orders are not proven dead. To force, repeat the list: A B")
        self.done.append(("reset", scope, reason, confirm, *force, name))
        return {"said": "opens in 2 s"}


class Reply(msgspec.Struct):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Browser:
    """One browser's side: keeps its cookie and the page's token."""

    def __init__(self, app: Any, address: str = "127.0.0.1") -> None:
        self.app, self.address = app, address
        self.cookie = self.csrf = ""

    def get(self, path: str, **headers: str) -> Reply:
        return self.ask("GET", path, headers)

    def post(self, path: str, body: object, **headers: str) -> Reply:
        given = {"origin": ORIGIN, "content-type": "application/json", "x-csrf-token": self.csrf, **headers}
        return self.ask("POST", path, given, body if isinstance(body, bytes) else json.dumps(body).encode())

    def load(self) -> dict[str, Any]:
        """What the page does first."""
        found: dict[str, Any] = self.get("/api/session").json
        self.csrf = found["csrf"]
        return found

    def sign_in(self, name: str = "ada", word: str = WORD) -> Reply:
        self.load()
        reply = self.post("/api/signin", {"name": name, "password": word})
        if reply.status == 200:
            self.csrf = reply.json["csrf"]
        return reply

    def ask(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> Reply:
        given = {"host": HOST, **{k.replace("_", "-"): v for k, v in headers.items()}}
        if self.cookie:
            given.setdefault("cookie", self.cookie)
        reply = asyncio.run(exchange(self.app, method, path, given.items(), body, self.address))
        if "set-cookie" in reply.headers:
            self.cookie = reply.headers["set-cookie"].partition(";")[0]
        return reply


async def exchange(
    app: Any, method: str, path: str, headers: Iterable[tuple[str, str]], body: bytes, address: str
) -> Reply:
    where, _, query = path.partition("?")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": where,
        "raw_path": where.encode(), "query_string": query.encode(), "root_path": "", "scheme": "http",
        "headers": [(k.encode(), v.encode()) for k, v in headers if v], "client": (address, 5), "server": ("h", 1),
    }  # fmt: skip
    waiting = [{"type": "http.request", "body": body, "more_body": False}]
    said: list[Any] = []

    async def receive() -> Any:
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        said.append(message)

    await app(scope, receive, send)
    head = {k.decode(): v.decode() for k, v in said[0]["headers"]}
    return Reply(said[0]["status"], head, b"".join(m.get("body", b"") for m in said[1:]))


class World:
    """A page with operators ada (everything) and tim (trip alone)."""

    def __init__(self, folder: Path, **keys: object) -> None:
        self.clock = ManualClock()
        self.file = folder / "operators"
        self.write(_operators())
        self.config = msgspec.convert({"operators": f"file:{self.file}", **keys}, MonitorConfig)
        self.sight, self.killing, self.hub = Sight(), Killing(), Hub(self.config.max_viewers)
        self.operators = FrontDesk(self.config, folder, self.clock)
        self.app = MonitorApp(self.config, "desk", self.hub, self.operators, self.sight, self.killing).asgi()

    def write(self, text: str) -> None:
        self.file.write_text(text)
        self.file.chmod(0o600)

    def browser(self, address: str = "127.0.0.1") -> Browser:
        return Browser(self.app, address)
