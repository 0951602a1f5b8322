"""The text of a desk's metrics: what lives is shown with its figures, what is dead is shown as dead alone."""

import re

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse
from prometheus_client.samples import Sample

from base.clock import ManualClock
from base.config import DeskConfig
from ipc.exposure import ExposureRow, ExposureWriter
from ipc.gate import GateState, GateWriter
from ipc.host import BEAT_NS, ProcessHost
from ipc.metrics import metrics_path, read_process
from ipc.metrics_catalog import CATALOG, Kind
from ipc.metrics_text import EDGES_NS, MetricsText, every_series, number, render, wanted
from ipc.readiness import Readiness
from tests.ipc.test_host import desk, host  # noqa: F401 - fixtures

SECOND_NS = 1_000_000_000


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    found = {}
    for family in parse(text.decode()):
        for s in family.samples:
            assert isinstance(s, Sample)
            key = (s.name, tuple(sorted(s.labels.items())))
            assert key not in found, f"twice: {key}"
            found[key] = s.value
    return found


def value(text: bytes, name: str, /, **labels: str) -> float:
    return samples(text)[f"quarterdeck_{name}", tuple(sorted(labels.items()))]


def begun(host: ProcessHost) -> ProcessHost:  # noqa: F811
    assert host.take_role()
    host.open_bus()
    host.metrics.begin(host.clock.wall_ns())
    return host


def test_a_desk_that_never_ran_is_down_and_says_little_else(desk: DeskConfig) -> None:  # noqa: F811
    text = render(desk)
    assert value(text, "up", process="killswitch", kind="killswitch") == 0
    assert value(text, "up", process="trd", kind="trading") == 0
    assert value(text, "book_up", venue="v", instrument="BTC-USD", level="2") == 0
    shown = {name.removeprefix("quarterdeck_") for name, _ in samples(text)}
    assert shown == {
        "up", "ready", "metrics_unreadable", "book_up", "book_state", "book_messages_total", "disk_free_bytes",
        "disk_size_bytes",
    }  # fmt: skip


def test_a_process_shows_what_it_counts_and_its_state_under_proper_names(host: ProcessHost) -> None:  # noqa: F811
    begun(host)
    host.counters.update(orders=3, refused_max_order_qty=2, connects=4, left_messages=7, cert_days=2, odd=-1)
    host.page.set(Readiness.READY)
    host.metrics.look(host.counters, 11)
    text = render(host.desk)
    of = {"session": "trd", "venue": host.desk.config.session["trd"].venue}
    assert value(text, "up", process="trd", kind="trading") == value(text, "ready", process="trd", kind="trading") == 1
    assert value(text, "readiness", process="trd", kind="trading", state="READY") == 1
    assert value(text, "readiness", process="trd", kind="trading", state="DEGRADED") == 0
    assert value(text, "orders_sent_total", **of) == 3
    assert value(text, "pretrade_refused_total", rule="max_order_qty", **of) == 2
    assert value(text, "session_connects_total", **of) == 4
    assert value(text, "session_venue_left", limit="messages", **of) == 7
    assert value(text, "session_certificate_left_seconds", **of) == 2 * 86_400
    assert value(text, "figure", process="trd", name="odd") == -1
    assert value(text, "bus_published_total", process="trd") == 11
    assert value(text, "process_resident_memory_bytes", process="trd") > 1 << 20
    assert 0 < value(text, "process_cpu_seconds_total", process="trd") < 10_000
    assert value(text, "metrics_unreadable") == 0


@pytest.mark.parametrize(
    ("kind", "figures", "shown"),
    [
        ("ledger", {"breaks": 2, "fills": 3}, {"ledger_breaks": 2, "ledger_fills_total": 3}),
        ("alarms", {"critical": 4}, {"alarms_active": 4}),
        ("monitor", {"viewers": 5}, {"figure": 5}),
    ],
    ids=["ledger", "alarms", "other"],
)
def test_processes_without_a_session_show_theirs(
    desk: DeskConfig,  # noqa: F811
    kind: str,
    figures: dict[str, int],
    shown: dict[str, float],
) -> None:
    host = ProcessHost(desk, kind, kind)  # noqa: F811
    begun(host).metrics.look(figures, 0)
    found = {s.name.removeprefix("quarterdeck_"): s.value for s in read_process(metrics_path(desk.shm_dir, kind))}
    host.close()
    assert {name: found[name] for name in shown} == shown


def test_a_total_that_begins_anew_goes_on_rising(host: ProcessHost) -> None:  # noqa: F811
    begun(host)
    of = {"session": "trd", "venue": host.desk.config.session["trd"].venue}
    for gaps in (5, 1, 2):  # the session was made anew after the first
        host.metrics.look({"gaps": gaps}, 0)
    assert value(render(host.desk), "session_gaps_total", **of) == 7


def test_a_process_that_does_not_beat_shows_that_it_is_down_and_nothing_of_its_past(
    host: ProcessHost,  # noqa: F811
) -> None:
    begun(host)
    host.metrics.look({"orders": 3}, 0)
    clock = ManualClock(mono_ns=host.clock.mono_ns())
    text = MetricsText(host.desk, clock)
    assert "quarterdeck_orders_sent_total" in {name for name, _ in samples(text.render())}
    clock.advance(3 * SECOND_NS)
    found = samples(text.render())
    assert found["quarterdeck_up", (("kind", "trading"), ("process", "trd"))] == 0
    assert not [name for name, labels in found if ("process", "trd") in labels and name not in (
        "quarterdeck_up", "quarterdeck_ready")]  # fmt: skip
    assert "quarterdeck_orders_sent_total" not in {name for name, _ in found}


def test_the_file_of_the_process_before_is_not_taken_for_that_of_this_one(host: ProcessHost) -> None:  # noqa: F811
    begun(host)
    path = metrics_path(host.desk.shm_dir, "trd")
    data = bytearray(path.read_bytes())
    data[48:56] = (1).to_bytes(8, "little")  # the pid
    path.with_name("x").write_bytes(data)
    path.with_name("x").rename(path)
    found = samples(render(host.desk))
    assert found["quarterdeck_metrics_unreadable", ()] == 1
    assert "quarterdeck_loop_waiting" not in {name for name, _ in found}


def test_a_histogram_is_cumulative_ends_with_all_and_errs_by_no_bucket(host: ProcessHost) -> None:  # noqa: F811
    lag = host.metrics.file.histogram("loop_lag_seconds", process="trd")
    for ns in (0, EDGES_NS[0], EDGES_NS[0] + 1, 5 * SECOND_NS, 1 << 62):
        lag.record(ns)
    begun(host)
    found = {
        dict(labels)["le"]: v
        for (name, labels), v in samples(render(host.desk)).items()
        if name == "quarterdeck_loop_lag_seconds_bucket"
    }
    assert list(found.values()) == sorted(found.values())
    assert (found[repr(EDGES_NS[0] / 1e9)], found[repr(EDGES_NS[1] / 1e9)], found["+Inf"]) == (2, 3, 5)
    assert len(found) == len(EDGES_NS) + 1


def test_gate_exposure_and_books_come_from_their_own_shared_memory(host: ProcessHost) -> None:  # noqa: F811
    desk = begun(host).desk  # noqa: F811
    gate = GateWriter(desk.shm_dir / "gate", desk.shm_dir / "operator")
    gate.set("desk", GateState.ARMED)
    gate.add_scope("strategy:alpha", GateState.DISARMED)
    gate.renew(host.clock.mono_ns(), 60 * SECOND_NS)
    ExposureWriter(host.page).set(
        ExposureRow(venue="v", instrument="BTC-USD", px_scale=1, qty_scale=2, open_orders=3, uncertain=1, position=-150,
                    buy_notional=2_500_000)
    )  # fmt: skip
    text = render(desk)
    assert 50 < value(text, "kill_lease_left_seconds") <= 60
    assert (value(text, "kill_armed", scope="desk"), value(text, "kill_armed", scope="strategy:alpha")) == (1, 0)
    assert value(text, "kill_state", scope="strategy:alpha", state="DISARMED") == 1
    of = {"session": "trd", "venue": "v", "instrument": "BTC-USD"}
    assert (value(text, "instrument_open_orders", **of), value(text, "instrument_uncertain_orders", **of)) == (3, 1)
    assert value(text, "instrument_position", **of) == -1.5
    assert value(text, "instrument_notional", side="buy", **of) == 2.5
    gate.lapse()
    text = render(desk)
    assert value(text, "kill_lease_left_seconds") < 0
    assert value(text, "kill_armed", scope="desk") == 0


def test_both_formats_are_read_by_prometheus_own_parser(host: ProcessHost) -> None:  # noqa: F811
    begun(host)
    host.metrics.look({"orders": 1, 'odd "name"\\\n': 1}, 0)
    plain, modern = render(host.desk), render(host.desk, openmetrics=True)
    assert value(plain, "figure", process="trd", name='odd "name"\\\n') == 1
    names = {f.name: f for f in parse_openmetrics(modern.decode())}
    assert names["quarterdeck_orders_sent"].type == "counter"
    assert (names["quarterdeck_loop_turn_seconds"].type, names["quarterdeck_loop_turn_seconds"].unit) == (
        "histogram", "seconds",
    )  # fmt: skip
    assert modern.endswith(b"# EOF\n")
    assert [wanted(a) for a in ("text/plain", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")] == [
        False, True,
    ]  # fmt: skip


def test_numbers_are_written_as_prometheus_reads_them() -> None:
    values = (3.0, 0.25, float("inf"), float("-inf"), float("nan"), True, 2**60)
    assert [number(v) for v in values] == ["3", "0.25", "+Inf", "-Inf", "NaN", "1", str(2**60)]


def test_the_heartbeats_delay_and_the_turns_are_counted(host: ProcessHost) -> None:  # noqa: F811
    begun(host)
    host.metrics.beat(1_000, BEAT_NS)
    host.metrics.beat(1_000 + BEAT_NS + 5_000, BEAT_NS)
    host.reactor.run_once()
    found = {s.name: s for s in read_process(metrics_path(host.desk.shm_dir, "trd"))}
    lag = found["quarterdeck_loop_lag_seconds"].histogram
    assert lag is not None
    assert (lag.count, lag.sum_ns) == (1, 5_000)
    assert found["quarterdeck_loop_turn_seconds"].value >= 1


def test_names_units_and_labels_keep_prometheus_conventions() -> None:
    assert len({m.name for m in CATALOG}) == len(CATALOG)
    for m in CATALOG:
        assert re.fullmatch(r"quarterdeck_[a-z][a-z_]+", m.name), m.name
        assert m.name.endswith("_total") == (m.kind is Kind.COUNTER), m.name
        assert (m.kind is Kind.HISTOGRAM) <= m.name.endswith("_seconds"), m.name
        assert m.help.endswith("."), m.name
        if m.unit in ("seconds", "bytes"):
            assert m.unit in m.help.lower(), m.name
    assert "quarterdeck_loop_lag_seconds_bucket" in every_series()
