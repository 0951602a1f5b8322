"""The page's application: what it answers to each request. Reading needs no name; acting needs an operator."""

import asyncio
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Protocol

import msgspec
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from base.errors import QuarterdeckError
from base.monitor_config import MonitorConfig
from base.operators import RIGHTS
from ipc.metrics_text import OPENMETRICS, TEXT, wanted
from procs.monitor_web.guard import Guard, cookie_of
from procs.monitor_web.hub import KEEP_ALIVE, RETRY, Hub
from procs.monitor_web.operators import FrontDesk, SignInError
from procs.monitor_web.signin import CsrfTokens, Session, new_token

ASSETS = Path(__file__).parent / "assets"
MAX_BODY = 16 * 1024
BODY_S = 10.0
_TYPES = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}


class Sight(Protocol):
    """What the page is told about the desk, by whoever looks at it. Each may raise a QuarterdeckError."""

    async def depth(self, venue: str, instrument: str, level: int) -> bytes:
        """A book's depth as JSON."""

    async def life(self, venue: str, cl_ord_id: str) -> bytes:
        """An order's life as JSON."""

    async def metrics(self, *, openmetrics: bool) -> bytes:
        """The metrics of the whole desk in one of Prometheus's text formats."""

    def health(self) -> str:
        """What is wrong with looking, "" when nothing is."""


class Killing(Protocol):
    """The way to the kill switch; it may wait, so it runs in a thread."""

    def plan(self, scope: str) -> dict[str, Any]: ...
    def trip(self, scope: str, reason: str, confirm: str, name: str) -> dict[str, Any]: ...
    def reset(self, scope: str, reason: str, confirm: str, force: list[str], name: str) -> dict[str, Any]: ...


class _SignIn(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    password: str


class _Trip(msgspec.Struct, forbid_unknown_fields=True):
    scope: str
    reason: str
    confirm: str


class _Reset(_Trip, forbid_unknown_fields=True):
    force: list[str] = []


class RefusedError(Exception):
    """An answer that is not the one asked for."""

    def __init__(self, status: int, text: str, wait_s: int = 0) -> None:
        super().__init__(text)
        self.status, self.text, self.wait_s = status, text, wait_s


class MonitorApp:
    """The handlers; `asgi` is the application with its guard around it."""

    def __init__(
        self, config: MonitorConfig, desk: str, hub: Hub, operators: FrontDesk, sight: Sight, killing: Killing
    ) -> None:
        self._config, self._desk, self._hub = config, desk, hub
        self._operators, self._sight, self._killing = operators, sight, killing
        self._csrf = CsrfTokens()
        self._tls = bool(config.tls_cert)
        self._cookie = "__Host-qd" if self._tls else "qd"
        self._assets = {kind: (ASSETS / f"page.{kind}").read_bytes() for kind in _TYPES}

    def asgi(self) -> ASGIApp:
        """The application as a server runs it."""
        gets: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "/": self._asset("html"), "/page.css": self._asset("css"), "/page.js": self._asset("js"),
            "/healthz": self._healthz, "/metrics": self._metrics, "/api/session": self._session,
            "/api/depth": self._depth, "/api/order": self._life, "/api/plan": self._plan,
        }  # fmt: skip
        posts = {
            "/api/signin": self._sign_in, "/api/signout": self._sign_out, "/api/trip": self._trip,
            "/api/reset": self._reset,
        }  # fmt: skip
        routes = [Route(path, handler, methods=["GET"]) for path, handler in gets.items()]
        routes += [Route(path, handler, methods=["POST"]) for path, handler in posts.items()]
        routes.append(Route("/events", _Events(self)))
        app = Starlette(
            routes=routes,
            exception_handlers={RefusedError: _refused, QuarterdeckError: _error, ClientDisconnect: _gone},
        )
        hosts = {"127.0.0.1", "localhost", "[::1]", self._config.host, *self._config.allowed_hosts}
        named = frozenset(f"[{h}]" if ":" in h and not h.startswith("[") else h for h in hosts)
        return Guard(app, named, self._csrf, self._cookie, tls=self._tls)

    # -- who may what -------------------------------------------------------------------------------------------

    def who(self, request: Request, *, touch: bool = False) -> Session | None:
        """The operator who asks."""
        token = cookie_of(request.headers, self._cookie)
        return self._operators.find(token, touch=touch) if token else None

    def may_read(self, request: Request) -> bool:
        """Whether the one who asks may see the desk."""
        if self._config.readers == "everyone" or self.who(request) is not None:
            return True
        return self._config.readers == "loopback" and _from_here(request)

    def check_reader(self, request: Request) -> None:
        """RefusedError: who asks has to sign in first."""
        if not self.may_read(request):
            raise RefusedError(401, "sign in to look at this desk")

    def _operator(self, request: Request, right: str) -> Session:
        session = self.who(request, touch=True)
        if session is None:
            raise RefusedError(401, "not signed in, or signed out meanwhile")
        if right not in session.rights:
            again = f"qd operator add {session.name} --may {','.join(RIGHTS)}"
            raise RefusedError(403, f"{session.name} may not {right}: {again}")
        return session

    # -- reading ------------------------------------------------------------------------------------------------

    def _asset(self, kind: str) -> Callable[[Request], Awaitable[Response]]:
        async def send(_: Request) -> Response:
            return Response(self._assets[kind], headers={"content-type": _TYPES[kind]})

        return send

    async def _healthz(self, _: Request) -> Response:
        fault = self._sight.health()
        return JSONResponse({"ok": not fault, "fault": fault}, 503 if fault else 200)

    async def _metrics(self, request: Request) -> Response:
        if self._config.metrics == "loopback" and not _from_here(request):
            raise RefusedError(403, "metrics are for this host alone: [monitor] metrics")
        open_metrics = wanted(request.headers.get("accept", ""))
        text = await self._sight.metrics(openmetrics=open_metrics)
        return Response(text, headers={"content-type": OPENMETRICS if open_metrics else TEXT})

    async def _depth(self, request: Request) -> Response:
        self.check_reader(request)
        asked = request.query_params
        level = asked.get("level", "2")
        if level not in ("2", "3"):
            raise RefusedError(400, "level is 2 or 3")
        return _json(await self._sight.depth(asked.get("venue", ""), asked.get("instrument", ""), int(level)))

    async def _life(self, request: Request) -> Response:
        self.check_reader(request)
        asked = request.query_params
        return _json(await self._sight.life(asked.get("venue", ""), asked.get("id", "")))

    async def _plan(self, request: Request) -> Response:
        self.check_reader(request)
        return JSONResponse(await asyncio.to_thread(self._killing.plan, request.query_params.get("scope", "desk")))

    # -- signing in ---------------------------------------------------------------------------------------------

    async def _session(self, request: Request) -> Response:
        token = cookie_of(request.headers, self._cookie)
        fresh = "" if token else new_token()
        response = JSONResponse(self._said(request, token or fresh))
        if fresh:
            self._set_cookie(response, fresh)
        return response

    def _said(self, request: Request, token: str) -> dict[str, object]:
        session = self._operators.find(token)
        return {
            "desk": self._desk, "csrf": self._csrf.of(token), "reader": session is not None or self.may_read(request),
            "operator": session.name if session else "", "rights": session.rights if session else (),
            "fault": self._operators.fault(),
        }  # fmt: skip

    async def _sign_in(self, request: Request) -> Response:
        asked = await _body(request, _SignIn)
        before = cookie_of(request.headers, self._cookie)
        try:
            token = await self._operators.sign_in(asked.name, asked.password, _address(request))
        except SignInError as e:
            raise RefusedError(e.status, e.text, e.wait_s) from None
        self._operators.sessions.close(before)
        response = JSONResponse(self._said(request, token))
        self._set_cookie(response, token)
        return response

    async def _sign_out(self, request: Request) -> Response:
        self._operators.sessions.close(cookie_of(request.headers, self._cookie))
        token = new_token()
        response = JSONResponse(self._said(request, token))
        self._set_cookie(response, token)
        return response

    def _set_cookie(self, response: Response, token: str) -> None:
        response.set_cookie(self._cookie, token, path="/", secure=self._tls, httponly=True, samesite="strict")

    # -- acting -------------------------------------------------------------------------------------------------

    async def _trip(self, request: Request) -> Response:
        session = self._operator(request, "trip")
        asked = await _body(request, _Trip)
        args = (asked.scope, asked.reason, asked.confirm, session.name)
        return JSONResponse(await asyncio.to_thread(self._killing.trip, *args))

    async def _reset(self, request: Request) -> Response:
        session = self._operator(request, "reset")
        asked = await _body(request, _Reset)
        args = (asked.scope, asked.reason, asked.confirm, asked.force, session.name)
        return JSONResponse(await asyncio.to_thread(self._killing.reset, *args))

    # -- live ---------------------------------------------------------------------------------------------------

    async def stream(self, request: Request, send: Send) -> None:
        """Everything, then what is new, until either side ends it."""
        hub = self._hub
        if request.method != "GET":
            raise RefusedError(405, f"no {request.method} here")
        self.check_reader(request)
        if hub.viewers >= hub.most:
            raise RefusedError(503, f"{hub.most} look at this desk already", 5)
        hub.enter()
        gone = asyncio.ensure_future(_gone_away(request.receive))
        try:
            headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await _part(send, RETRY)
            await hub.fresh()
            seen = 0
            while not gone.done() and not hub.closed and self.may_read(request):
                if await hub.wait(seen):
                    data, seen = hub.newer(seen), hub.version
                else:
                    data = KEEP_ALIVE
                hub.sent += len(data)
                await _part(send, data)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            hub.leave()


class _Events:
    """The live stream as an application of its own: an answer that never ends."""

    def __init__(self, app: MonitorApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app.stream(Request(scope, receive), send)


async def _part(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})


async def _gone_away(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(request: Request, kind: type[Any]) -> Any:
    """The request's JSON. RefusedError: too long, too slow, not JSON, or not of this kind."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise RefusedError(415, "expected application/json")
    got = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                got += part
                if len(got) > MAX_BODY:
                    raise RefusedError(413, f"more than {MAX_BODY} bytes")
    except TimeoutError:
        raise RefusedError(408, f"not all of it came within {BODY_S:g} s") from None
    try:
        return msgspec.json.decode(bytes(got), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise RefusedError(400, f"cannot be read: {e}") from None


def _json(data: bytes) -> Response:
    return Response(data, headers={"content-type": "application/json"})


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _from_here(request: Request) -> bool:
    try:
        return ip_address(_address(request)).is_loopback
    except ValueError:
        return False


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    headers = {"retry-after": str(error.wait_s)} if error.wait_s else {}
    return JSONResponse({"error": error.text, "wait_s": error.wait_s}, error.status, headers)


async def _error(_: Request, error: Exception) -> Response:
    """The project's own errors say what is wrong, and are made for people to read."""
    return JSONResponse({"error": str(error)}, 409)


async def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=400)
