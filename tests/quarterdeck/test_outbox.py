"""What a strategy does not take in time: bounded, and shown."""

from ipc.events import Alert
from ipc.sequence import Delivery, Gap
from quarterdeck.outbox import Outbox

ALERT = Alert("a", "info", "n", "", 0)


def test_what_does_not_fit_is_a_gap_in_its_place() -> None:
    box = Outbox(4)
    for seq in range(1, 8):
        box.put(Delivery("t", 1, seq, ALERT))
    assert [d.seq for d in box.take_all()] == [1, 2, 3, 4, 8]
    assert box.dropped == 3
    box.put(Delivery("t", 1, 8, ALERT))
    assert [d.event for d in box.take_all()] == [ALERT]


def test_the_gap_names_what_was_left_out_and_comes_without_a_further_event() -> None:
    box = Outbox(2)
    for seq in range(1, 6):
        box.put(Delivery("t", 7, seq, ALERT))
    (gap,) = [d for d in box.take_all() if isinstance(d.event, Gap)]
    assert gap == Delivery("t", 7, 6, Gap("hole", 3, 6, text="3 events not taken by this client in time"))


def test_a_topic_goes_on_behind_its_gap_alone_and_others_go_on_at_once() -> None:
    box = Outbox(3)
    for seq in range(1, 5):
        box.put(Delivery("t", 1, seq, ALERT))
    assert box.take() == Delivery("t", 1, 1, ALERT)  # room for one, which is another topic's
    box.put(Delivery("u", 1, 1, ALERT))
    box.put(Delivery("t", 1, 5, ALERT))
    found = box.take_all()
    assert [(d.topic, d.seq) for d in found if not isinstance(d.event, Gap)] == [("t", 2), ("t", 3), ("u", 1)]
    assert [(d.topic, d.event.first, d.event.next) for d in found if isinstance(d.event, Gap)] == [("t", 4, 6)]


def test_a_restart_in_what_was_left_out_is_told_as_one() -> None:
    box = Outbox(1)
    for epoch, seq in ((1, 1), (1, 2), (2, 1)):
        box.put(Delivery("t", epoch, seq, ALERT))
    gap = box.take_all()[-1]
    text = "what came after is not taken by this client in time"
    assert gap == Delivery("t", 2, 2, Gap("restart", 1, 2, 1, 2, text))
