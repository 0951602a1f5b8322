"""When one of several sessions is away: an alarm, said once, of what is left."""

from risk.redundancy import START_NS, Redundancy, Said

S = 1_000_000_000
GROUP = {"dc": ("dc", "dc2")}


def up(book: Redundancy) -> Redundancy:
    assert book.look({}, S) == []
    return book


def test_one_that_is_away_is_a_warning_after_the_grace_and_its_return_ends_it() -> None:
    book = up(Redundancy(GROUP, 5 * S))
    assert book.look({"dc2": "gone"}, 2 * S) == []
    assert book.look({"dc2": "gone"}, 6 * S) == []
    (said,) = book.look({"dc2": "gone"}, 7 * S)
    assert said == Said("warning", "dc", "dc: of 2 sessions only dc is left; dc2: gone")
    assert book.look({"dc2": "gone, and other words"}, 60 * S) == []
    assert book.look({}, 61 * S) == [Said("info", "dc", "dc: all 2 sessions are up again")]


def test_none_left_is_critical_and_says_of_each_why() -> None:
    book = up(Redundancy(GROUP, 0))
    assert [s.severity for s in book.look({"dc": "a"}, 2 * S)] == ["warning"]
    (said,) = book.look({"dc": "a", "dc2": "b"}, 3 * S)
    assert said == Said("critical", "dc", "dc: of 2 sessions none is left; dc: a; dc2: b")
    assert [s.severity for s in book.look({"dc": "a"}, 4 * S)] == ["warning"]


def test_a_short_absence_is_nothing_and_begins_anew() -> None:
    book = up(Redundancy(GROUP, 5 * S))
    for second in range(2, 60):
        assert book.look({"dc": "reconnects"} if second % 4 else {}, second * S) == []


def test_sessions_that_were_never_up_have_time_to_start() -> None:
    book = Redundancy({"dc": ("dc", "dc2", "dc3")}, S)
    away = {"dc2": "STARTING", "dc3": "STARTING"}
    assert book.look(away, 100 * S) == []
    assert book.look(away, 100 * S + START_NS - 1) == []
    (said,) = book.look(away, 100 * S + START_NS)
    assert said.text == "dc: of 3 sessions only dc is left; dc2: STARTING; dc3: STARTING"
    (said,) = book.look({"dc2": "STARTING"}, 200 * S)
    assert said.text.startswith("dc: of 3 sessions dc, dc3 are left")
