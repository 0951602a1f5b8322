"""Sessions, throttles and tokens, with the time in hand."""

from procs.monitor_web.signin import KEYS, SECOND_NS, SESSIONS, CsrfTokens, Sessions, Throttle

S = SECOND_NS


def test_a_session_ends_when_nothing_was_done_for_long() -> None:
    sessions = Sessions(idle_s=100, max_s=1000)
    token = sessions.open("ada", ("trip",), b"m", 0)
    assert sessions.find(token, 99 * S, touch=True) is not None
    assert sessions.find(token, 198 * S) is not None
    assert sessions.find(token, 199 * S) is None
    assert sessions.find(token, 1) is None  # once over, over


def test_a_session_ends_after_its_time_whatever_was_done() -> None:
    sessions = Sessions(idle_s=100, max_s=250)
    token = sessions.open("ada", ("trip",), b"m", 0)
    for at in (90, 180, 249):
        assert sessions.find(token, at * S, touch=True) is not None
    assert sessions.find(token, 250 * S, touch=True) is None


def test_who_signs_out_is_out_and_a_guess_is_nobody() -> None:
    sessions = Sessions(100, 1000)
    token = sessions.open("ada", ("trip",), b"m", 0)
    assert sessions.find("guess", 1) is None
    assert sessions.find("\udcff", 1) is None
    sessions.close("guess")
    sessions.close(token)
    assert sessions.find(token, 1) is None


def test_sessions_are_bounded_and_the_oldest_goes() -> None:
    sessions = Sessions(100, 1000)
    tokens = [sessions.open("ada", ("trip",), b"m", 0) for _ in range(SESSIONS + 1)]
    assert len(set(tokens)) == len(tokens)
    assert sessions.find(tokens[0], 1) is None
    assert sessions.find(tokens[1], 1) is not None


def test_waits_double_up_to_the_cap_and_are_forgotten() -> None:
    throttle = Throttle(free=2, cap_s=8, forget_s=100)
    waits = []
    for n in range(7):
        throttle.failed("a", n * S)
        waits.append(throttle.wait_s("a", n * S))
    assert waits == [0, 0, 1, 2, 4, 8, 8]
    assert throttle.wait_s("b", 7 * S) == 0
    assert throttle.wait_s("a", 13 * S) == 1
    assert throttle.wait_s("a", 14 * S) == 0
    throttle.failed("a", 106 * S)
    assert throttle.wait_s("a", 106 * S) == 8  # within the time: remembered
    assert throttle.wait_s("a", 207 * S) == 0
    throttle.failed("a", 207 * S)
    assert throttle.wait_s("a", 207 * S) == 0


def test_the_right_password_forgets_the_wrong_ones_and_memory_is_bounded() -> None:
    throttle = Throttle(free=0, cap_s=60)
    throttle.failed("a", 0)
    assert throttle.wait_s("a", 0) == 1
    throttle.passed("a")
    assert throttle.wait_s("a", 0) == 0
    for n in range(KEYS + 5):
        throttle.failed(str(n), 0)
    assert throttle.wait_s("0", 0) == 0
    assert throttle.wait_s(str(KEYS + 4), 0) == 1


def test_a_token_fits_its_cookie_alone() -> None:
    tokens, others = CsrfTokens(), CsrfTokens()
    token = tokens.of("cookie")
    assert tokens.fits("cookie", token)
    assert not tokens.fits("other", token)
    assert not tokens.fits("", tokens.of(""))
    assert not tokens.fits("cookie", "")
    assert not tokens.fits("cookie", "\u1234")
    assert not others.fits("cookie", token)
