"""Who may what at the page, and what nobody may: held against the application itself."""

import asyncio
import logging
from pathlib import Path

import pytest

from procs.monitor_web.guard import known_host
from tests.procs.monitor_web.kit import HOST, HOSTILE, ORIGIN, WORD, World, exchange

TRIP = {"scope": "desk", "reason": "test", "confirm": "desk"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_every_answer_forbids_what_others_might_do_with_it(world: World) -> None:
    browser = world.browser()
    for path in ("/", "/page.css", "/page.js", "/healthz", "/api/session", "/nothing", "/api/depth?level=9"):
        headers = browser.get(path).headers
        csp = headers["content-security-policy"]
        for rule in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
            assert rule in csp
        assert "unsafe" not in csp
        assert (headers["x-frame-options"], headers["x-content-type-options"]) == ("DENY", "nosniff")
        assert headers["cache-control"] == "no-store"


def test_the_page_is_three_files_that_name_nothing_elsewhere(world: World) -> None:
    browser = world.browser()
    for path in ("/", "/page.css", "/page.js"):
        reply = browser.get(path)
        assert reply.status == 200
        text = reply.body.decode().replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text
        assert "https:" not in text
        for unsafe in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=", "onclick="):
            assert unsafe not in text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8700", "", "localhost:x"])
def test_a_host_that_is_not_its_own_is_refused(world: World, host: str) -> None:
    assert world.browser().ask("GET", "/", {"host": host}).status == 421


def test_hosts_are_known_with_any_port_and_in_any_case() -> None:
    hosts = frozenset({"127.0.0.1", "localhost", "[::1]", "desk.example"})
    for good in ("127.0.0.1", "127.0.0.1:1", "LOCALHOST:99", "[::1]", "[::1]:5", "Desk.Example:443"):
        assert known_host(good, hosts)
    for bad in ("[::1", "::1", "127.0.0.1:", "localhost:80:80", "localhost."):
        assert not known_host(bad, hosts)


def test_reading_needs_no_name_on_this_host_and_one_from_elsewhere(tmp_path: Path) -> None:
    world = World(tmp_path)
    book = "/api/depth?venue=kraken&instrument=BTC-USD&level=2"
    assert world.browser().get(book).json == {"asked": ["kraken", "BTC-USD", 2]}
    far = world.browser("10.0.0.9")
    assert [far.get(p).status for p in (book, "/api/order?id=1", "/api/plan", "/events")] == [401] * 4
    assert not far.load()["reader"]
    assert far.sign_in().status == 200
    assert far.get(book).status == 200
    everyone = World(tmp_path, readers="everyone")
    assert everyone.browser("10.0.0.9").get(book).status == 200
    nobody = World(tmp_path, readers="operators")
    assert nobody.browser().get(book).status == 401


def test_errors_are_said_as_json_and_hostile_text_stays_text(world: World) -> None:
    browser = world.browser()
    reply = browser.get("/api/depth?venue=x&instrument=y&level=2")
    assert (reply.status, reply.json) == (409, {"error": "no book of x"})
    reply = browser.get("/api/order?venue=x&id=y")
    assert reply.headers["content-type"] == "application/json"
    assert reply.json["asked"][2] == HOSTILE


def test_without_an_operator_nothing_is_tripped(world: World) -> None:
    browser = world.browser()
    browser.load()
    assert browser.post("/api/trip", TRIP).status == 401
    assert browser.post("/api/reset", TRIP).status == 401
    assert world.killing.done == []


def test_an_operator_trips_and_resets_under_his_name(world: World) -> None:
    browser = world.browser()
    assert browser.sign_in().json["operator"] == "ada"
    assert browser.post("/api/trip", TRIP).json == {"by": "kill switch"}
    refused = browser.post("/api/reset", TRIP)
    assert (refused.status, "To force" in refused.json["error"]) == (409, True)
    assert browser.post("/api/reset", {**TRIP, "force": ["A", "B"]}).status == 200
    assert world.killing.done == [
        ("trip", "desk", "test", "desk", "ada"), ("reset", "desk", "test", "desk", "A", "B", "ada"),
    ]  # fmt: skip


def test_one_who_may_only_trip_does_not_reset(world: World) -> None:
    browser = world.browser()
    assert browser.sign_in("tim").json["rights"] == ["trip"]
    assert browser.post("/api/trip", TRIP).status == 200
    reply = browser.post("/api/reset", {**TRIP, "force": ["A"]})
    assert (reply.status, "tim may not reset" in reply.json["error"]) == (403, True)


@pytest.mark.parametrize(
    "headers",
    [{"origin": ""}, {"origin": "null"}, {"origin": "http://evil.example"}, {"origin": f"https://{HOST}"},
     {"origin": "http://127.0.0.1:1"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"},
     {"sec-fetch-site": "none"}, {"x-csrf-token": ""}, {"x-csrf-token": "0" * 64}],
    ids=["no origin", "null", "evil", "scheme", "port", "cross-site", "same-site", "by hand", "no token", "wrong one"],
)  # fmt: skip
def test_a_request_that_another_site_could_send_does_nothing(world: World, headers: dict[str, str]) -> None:
    browser = world.browser()
    browser.sign_in()
    assert browser.post("/api/trip", TRIP, **headers).status == 403
    assert world.killing.done == []
    assert browser.post("/api/trip", TRIP).status == 200


def test_a_token_of_another_browser_does_not_fit(world: World) -> None:
    ada, eve = world.browser(), world.browser()
    ada.sign_in()
    eve.load()
    assert ada.post("/api/trip", TRIP, **{"x-csrf-token": eve.csrf}).status == 403
    assert eve.post("/api/signin", {"name": "ada", "password": WORD}, **{"x-csrf-token": ada.csrf}).status == 403


def test_other_sites_read_nothing_live_and_other_methods_do_nothing(world: World) -> None:
    browser = world.browser()
    assert browser.get("/events", **{"sec-fetch-site": "cross-site"}).status == 403
    assert browser.get("/", **{"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}).status == 200
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        assert browser.ask(method, "/api/trip", {"origin": ORIGIN}).status == 405
    assert browser.ask("HEAD", "/events", {}).status == 405


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites_and_changes_at_sign_in(tmp_path: Path) -> None:
    world = World(tmp_path)
    browser = world.browser()
    browser.load()
    before, reply = browser.cookie, browser.sign_in()
    cookie = reply.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Path=/"))
    assert "Secure" not in cookie
    assert browser.cookie != before
    tls = World(tmp_path, tls_cert="c", tls_key="k").browser()
    cookie = tls.get("/api/session").headers["set-cookie"]
    assert cookie.startswith("__Host-qd=")
    assert "Secure" in cookie


def test_a_session_ends_by_sign_out_by_idleness_and_with_its_operator(world: World) -> None:
    browser = world.browser()

    def signed_in() -> bool:
        return bool(browser.load()["operator"])

    browser.sign_in()
    old = browser.cookie
    assert signed_in()
    assert browser.post("/api/signout", {}).status == 200
    assert not signed_in()
    browser.cookie = old
    assert not signed_in()
    browser.sign_in()
    world.clock.advance(world.config.session_idle_s * 10**9)
    assert not signed_in()
    browser.sign_in()
    world.write("".join(line for line in world.file.read_text().splitlines(True) if not line.startswith("ada")))
    assert browser.post("/api/trip", TRIP).status == 401
    assert not signed_in()


def test_wrong_passwords_are_refused_alike_slowed_down_and_never_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    browser = world.browser()
    wrong = [browser.sign_in("ada", "hunter2 hunter2"), browser.sign_in("eve", "hunter2 hunter2")]
    assert {(r.status, r.json["error"]) for r in wrong} == {(403, "wrong name or password")}
    for _ in range(2):
        browser.sign_in("eve", "hunter2 hunter2")
    slowed = browser.sign_in()
    assert (slowed.status, slowed.json["wait_s"], slowed.headers["retry-after"]) == (429, 1, "1")
    assert world.browser("10.0.0.9").sign_in().status == 200  # another address is not held up
    world.clock.advance(10**9)
    assert browser.sign_in().status == 200
    assert not [w for w in ("hunter2", WORD, browser.cookie.partition("=")[2], browser.csrf) if w in caplog.text]


def test_an_operators_file_that_others_can_read_signs_nobody_in(world: World) -> None:
    world.file.chmod(0o640)
    browser = world.browser()
    reply = browser.sign_in()
    assert (reply.status, "chmod 600" in reply.json["error"]) == (503, True)


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"x" * 20_000, 413), (b"{", 400), (b'{"scope":"desk"}', 400), (b'{"scope":1,"reason":"","confirm":""}', 400),
     (b'{"scope":"desk","reason":"r","confirm":"desk","by":"eve"}', 400), (b"\xff\xfe", 400)],
    ids=["long", "cut", "lacking", "type", "unknown", "not text"],
)  # fmt: skip
def test_a_body_that_cannot_be_taken_is_refused(world: World, body: bytes, status: int) -> None:
    browser = world.browser()
    browser.sign_in()
    assert browser.post("/api/trip", body).status == status
    assert browser.post("/api/trip", TRIP, **{"content-type": "text/plain"}).status == 415
    assert world.killing.done == []


def test_health_says_when_nobody_looks_at_the_desk(world: World) -> None:
    browser = world.browser("10.0.0.9")
    assert (browser.get("/healthz").status, browser.get("/healthz").json["ok"]) == (200, True)
    world.sight.fault = "the desk was last looked at 9000 ms ago"
    assert (browser.get("/healthz").status, browser.get("/healthz").json["fault"]) == (503, world.sight.fault)


def test_metrics_are_for_this_host_alone_unless_it_is_said_otherwise(tmp_path: Path) -> None:
    world = World(tmp_path)
    reply = world.browser().get("/metrics")
    assert (reply.status, reply.body) == (200, b"up 1\n")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    reply = world.browser().get("/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert reply.body.endswith(b"# EOF\n")
    assert reply.headers["content-type"].startswith("application/openmetrics-text")
    assert world.browser("10.0.0.9").get("/metrics").status == 403
    assert World(tmp_path, metrics="everyone").browser("10.0.0.9").get("/metrics").status == 200


def test_viewers_are_limited_and_counted(tmp_path: Path) -> None:
    world = World(tmp_path, max_viewers=1)
    world.hub.enter()
    assert world.browser().get("/events").status == 503
    world.hub.leave()
    asyncio.run(_feed_while(world))
    assert world.hub.viewers == 0


async def _feed_while(world: World) -> None:
    """A viewer who is gone at once is counted no more."""
    reading = asyncio.create_task(exchange(world.app, "GET", "/events", [("host", HOST)], b"", "127.0.0.1"))
    while not reading.done():
        world.hub.feed({"desk": b"{}"}, [], b"{}")
        await asyncio.sleep(0.01)
    assert (await reading).status == 200
