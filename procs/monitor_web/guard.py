"""What every request has to pass, and what every answer carries.

A Host that this server is known by (against DNS rebinding); for what changes something also the page's own origin and
a token that only its page can read. Answers forbid scripts, styles, frames and connections of anybody else.
"""

from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from procs.monitor_web.signin import CsrfTokens

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'; require-trusted-types-for 'script'"
)
HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cache-control": "no-store",
}
CSRF_HEADER = "x-csrf-token"
METHODS = ("GET", "HEAD", "POST")


class Guard:
    """Wraps the application."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str], csrf: CsrfTokens, cookie: str, *, tls: bool) -> None:
        """`hosts`: names and addresses without port, those of IPv6 in brackets; `cookie`: the session's name."""
        self._app, self._hosts, self._csrf, self._cookie = app, hosts, csrf, cookie
        self._scheme, self._tls = "https" if tls else "http", tls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if self._tls:
                    headers["strict-transport-security"] = "max-age=31536000"
            await send(message)

        status, why = self._refused(scope)
        if status:
            await JSONResponse({"error": why}, status)(scope, receive, answer)
        else:
            await self._app(scope, receive, answer)

    def _refused(self, scope: Scope) -> tuple[int, str]:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not known_host(hosts[0], self._hosts):
            return 421, "this server is not known by that name: [monitor] allowed_hosts"
        if scope["method"] not in METHODS:
            return 405, f"no {scope['method']} here"
        site = headers.get("sec-fetch-site", "")
        if site in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
            return 403, "asked for by another site"
        if scope["method"] != "POST":
            return 0, ""
        if not self._own_origin(headers.get("origin", ""), hosts[0], site):
            return 403, "sent by another site, or by no page at all: no Origin of this server"
        if not self._csrf.fits(cookie_of(headers, self._cookie), headers.get(CSRF_HEADER, "")):
            return 403, "no token of this page: load it again"
        return 0, ""

    def _own_origin(self, origin: str, host: str, site: str) -> bool:
        """Browsers send Origin with each POST; Sec-Fetch-Site, where there is one, must say the same."""
        parts = urlsplit(origin) if origin else None
        same = parts is not None and (parts.scheme, parts.netloc.lower()) == (self._scheme, host.lower())
        return same and site in ("", "same-origin")


def known_host(header: str, hosts: frozenset[str]) -> bool:
    """Whether a Host header names one of `hosts`, with any port: who reached this socket chose it."""
    name, colon, port = header.lower().rpartition(":")
    if not colon or not port.isdecimal():  # no port, or the last part of an address of IPv6 in brackets
        name = header.lower()
    return name in hosts


def cookie_of(headers: Headers, name: str) -> str:
    """A cookie's value, "" when there is none or the header cannot be read."""
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(headers.get("cookie", ""))
    except CookieError:
        return ""
    return jar[name].value if name in jar else ""
