"""Configuration: whatever is wrong is an error that names the file, the place in it and what was expected."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.config import Config, DeskConfig, Kind, _named, load
from base.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
Load = Callable[[str], DeskConfig]

DESK = """
[desk]
name = "t"
environment = "test"

[venue.v]
dialect = "fix44"
instruments = [
    { name = "BTC-USD", symbol = "BTC", px_scale = 1, qty_scale = 3, tick_size = "0.5", lot_size = "0.01" },
    { name = "ETH-USD", symbol = "ETH", px_scale = 2, qty_scale = 3 },
]

[venue.v.rest]
address = "https://localhost"

[session.trd]
venue = "v"
kind = "trading"
address = "localhost:1"
sender_comp_id = "A"
target_comp_id = "B"

[session.md]
venue = "v"
kind = "marketdata"
address = "localhost:2"
sender_comp_id = "A"
target_comp_id = "B"
instruments = ["ETH-USD"]

[book.one]
sessions = ["md"]

[kill]
sessions = []

[[kill.limits]]
scope = "desk"
max_open_orders = 5

[sim.v]
seed = 1
"""


@pytest.fixture
def desk(tmp_path: Path) -> Load:
    """Loads a text as a configuration file of its own."""
    (tmp_path / "config").mkdir()

    def load_text(text: str) -> DeskConfig:
        path = tmp_path / "config" / "desk.toml"
        path.write_text(text)
        return load(path)

    return load_text


def test_what_is_written_is_what_is_had(desk: Load, tmp_path: Path) -> None:
    found = desk(DESK)
    assert found.run_dir == tmp_path / "run"
    assert found.data_dir == tmp_path / "data"
    assert [i.name for i in found.venue_instruments("v")] == ["BTC-USD", "ETH-USD"]
    assert [i.name for i in found.session_instruments("md")] == ["ETH-USD"]
    assert [i.name for i in found.session_instruments("trd")] == ["BTC-USD", "ETH-USD"]
    btc = found.instruments["v", "BTC-USD"]
    assert (btc.tick_size, btc.lot_size) == (5, 10)
    assert found.instruments["v", "ETH-USD"].tick_size == 1  # one unit of the scale unless said
    assert found.sessions(Kind.TRADING) == ["trd"]


def test_the_fingerprint_tells_any_change(desk: Load) -> None:
    first = desk(DESK).fingerprint
    assert desk(DESK).fingerprint == first
    assert desk(DESK + "# a word\n").fingerprint != first


def test_the_environment_moves_state_but_not_the_file(
    desk: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shm = desk(DESK).shm_dir
    monkeypatch.setenv("QD_STATE_DIR", str(tmp_path / "elsewhere"))
    moved = desk(DESK)
    assert moved.run_dir == tmp_path / "elsewhere" / "run"
    assert moved.path == tmp_path / "config" / "desk.toml"
    assert moved.shm_dir != shm  # two desks of one name in two places share no memory


def test_the_kill_switchs_own_sessions_have_no_process(desk: Load) -> None:
    assert desk(DESK.replace("[kill]\nsessions = []", '[kill]\nsessions = ["trd"]')).sessions(Kind.TRADING) == []


def change(old: str, new: str) -> str:
    assert DESK.count(old) >= 1, old
    return DESK.replace(old, new, 1)


BESIDE = """
[session.md2]
venue = "v"
kind = "marketdata"
address = "localhost:2"
sender_comp_id = "A2"
target_comp_id = "B"
instruments = ["ETH-USD"]
"""


def beside(key: str) -> str:
    return f"{DESK}{BESIDE}{key}\n"


def test_redundant_sessions_are_a_group_and_their_books_are_kept_once(desk: Load) -> None:
    found = desk(beside('redundant_with = "md"').replace('["md"]', '["md2", "md"]'))
    assert found.redundancy == {"md": ("md", "md2")}
    assert [found.redundant(s) for s in ("md", "md2", "trd")] == [("md", "md2"), ("md", "md2"), ()]
    assert [(s, i.name, level) for s, i, level in found.shard_books("one")] == [("md", "ETH-USD", 2)]


WRONG: dict[str, tuple[str, str, str]] = {
    # what: (text, where, what is wrong or was expected)
    "unknown table": (change("[kill]", "[kil]"), "", "unknown field `kil`"),
    "unknown key of the desk": (change('name = "t"', 'name = "t"\nnme = 1'), "$.desk", "unknown field `nme`"),
    "unknown key of a venue": (change("dialect", "x = 1\ndialect"), "$.venue.v", "unknown field `x`"),
    "unknown key of an instrument": (
        change("qty_scale = 3 }", "qty_scale = 3, y = 1 }"), "$.venue.v.instruments[1]", "unknown field `y`",
    ),
    "unknown key of rest": (change("[venue.v.rest]", "[venue.v.rest]\nz = 1"), "$.venue.v.rest", "unknown field `z`"),
    "unknown key of a session": (change('address = "localhost:1"', 'addres = "localhost:1"'), "$.session", "addres"),
    "unknown key of a book": (change("[book.one]", "[book.one]\nlevel = 3"), "$.book.one", "unknown field `level`"),
    "unknown key of kill": (change("[kill]", "[kill]\narm = true"), "$.kill", "unknown field `arm`"),
    "unknown key of a limit": (change("max_open_orders", "max_orders"), "$.kill.limits[0]", "field `max_orders`"),
    "unknown key of a sim": (change("seed = 1", "sed = 1"), "$.sim.v", "unknown field `sed`"),
    "missing key": (change('dialect = "fix44"\n', ""), "$.venue.v", "missing required field `dialect`"),
    "missing table": ("[desk]\nname = 't'\n", "", "missing required field `venue`"),
    "text for a number": (change("px_scale = 1", 'px_scale = "1"'), "$.venue.v.instruments[0].px_scale", "`int`"),
    "number for a text": (change('name = "t"', "name = 1"), "$.desk.name", "Expected `str`"),
    "float for an option": (
        change('address = "localhost:1"', 'address = "localhost:1"\noptions = { a = 1.5 }'),
        "$.session.trd.options", "got `float`",
    ),
    "text for a truth": (change('kind = "trading"', 'kind = "trading"\ntls = "no"'), "$.session.trd.tls", "`bool`"),
    "list for a table": ('[desk]\nname = "t"\n[[venue.v]]\na = 1\n[session]\n', "$.venue.v", "got `array`"),
    "unknown kind": (change('kind = "trading"', 'kind = "trade"'), "$.session.trd.kind", "'trade'"),
    "unknown environment": (change('"test"', '"prod"'), "$.desk.environment", "'prod'"),
    "unknown level": (change("[session.md]", "[session.md]\nlevel = 4"), "$.session.md.level", "4"),
    "unknown stop": (change("[session.trd]", '[session.trd]\non_stop = "no"'), "$.session.trd.on_stop", "'no'"),
    "not TOML": ("[desk\n", "", "not TOML"),
    "the same table twice": (DESK + "[desk]\n", "", "not TOML"),
    # values that no type can express
    "unknown venue": (change('venue = "v"', 'venue = "w"'), "session.trd.venue", "there are ['v']"),
    "unknown instrument": (change('["ETH-USD"]', '["XRP-USD"]'), "session.md.instruments", "has no 'XRP-USD'"),
    "unknown session of a book": (change('["md"]', '["mdx"]'), "book.one.sessions", "'mdx' is not a marketdata"),
    "a trading session for a book": (change('["md"]', '["trd"]'), "book.one.sessions", "'trd' is not a marketdata"),
    "unknown session of kill": (change("sessions = []", 'sessions = ["x"]'), "kill.sessions", "'x' is not a trading"),
    "market data for kill": (change("sessions = []", 'sessions = ["md"]'), "kill.sessions", "'md' is not a trading"),
    "sim of no venue": (change("[sim.v]", "[sim.w]"), "sim.w", "no venue of that name"),
    "scale too large": (change("px_scale = 1", "px_scale = 19"), "venue.v.instruments[0].px_scale", "0 to 18"),
    "scale below 0": (change("qty_scale = 3", "qty_scale = -1"), "venue.v.instruments[0].qty_scale", "0 to 18"),
    "instrument name": (change('"BTC-USD"', '"BTC/USD"'), "venue.v.instruments[0].name", "expected BASE-QUOTE"),
    "instrument twice": (change('"ETH-USD"', '"BTC-USD"'), "venue.v.instruments[1].name", "each once"),
    "symbol twice": (change('"ETH"', '"BTC"'), "venue.v.instruments[1].symbol", "each once"),
    "negative tick": (change('"0.5"', '"-0.5"'), "venue.v.instruments[0].tick_size", "negative"),
    "no tick at all": (change('"0.5"', '"0"'), "venue.v.instruments[0].tick_size", "not above 0"),
    "tick finer than the scale": (change('"0.5"', '"0.05"'), "venue.v.instruments[0].tick_size", "more than 1 dec"),
    "lot is no number": (change('"0.01"', '"x"'), "venue.v.instruments[0].lot_size", "not a decimal number: 'x'"),
    "minimum notional": (
        change('"0.01"', '"0.01", min_notional = "-5"'), "venue.v.instruments[0].min_notional", "negative",
    ),
    "lag below 0": (change("[venue.v.rest]", "[venue.v.rest]\nlag_ms = -1"), "venue.v.rest.lag_ms", "below 0"),
    "heartbeat": (change("[session.trd]", "[session.trd]\nheartbeat_s = 0"), "session.trd.heartbeat_s", "1 to 3600"),
    "stale_after_s": (change("[session.md]", "[session.md]\nstale_after_s = -1"), "md.stale_after_s", "below 0"),
    "depth": (change("[session.md]", "[session.md]\ndepth = -1"), "session.md.depth", "below 0"),
    "empty comp id": (change('sender_comp_id = "A"', 'sender_comp_id = ""'), "trd.sender_comp_id", "printable"),
    "SOH in a comp id": (
        change('target_comp_id = "B"', 'target_comp_id = "B\\u0001"'), "session.trd.target_comp_id", "printable ASCII",
    ),
    "levels": (change("[book.one]", "[book.one]\nlevels = 0"), "book.one.levels", "below 1"),
    "two keepers of one book": (DESK + '[book.two]\nsessions = ["md"]\n', "book.two.sessions", "one keeper"),
    "one keeper twice": (change('["md"]', '["md", "md"]'), "book.one.sessions", "one keeper"),
    "rate of a sim": (change("seed = 1", "messages_per_s = 0"), "sim.v.messages_per_s", "below 1"),
    "log budget": (change('name = "t"', 'name = "t"\nlog_budget_mb = 0'), "desk.log_budget_mb", "below 1"),
    "lease shorter than two renewals": (change("[kill]", "[kill]\nlease_ms = 150"), "kill.lease_ms", "less than twice"),
    "fence deadline": (change("[kill]", "[kill]\nfence_deadline_ms = 0"), "kill.fence_deadline_ms", "below 1"),
    "real-time priority": (
        change("[kill]", "[kill]\nrealtime_priority = 51"), "kill.realtime_priority", "within 0 to 50",
    ),
    "cool-off": (change("[kill]", "[kill]\nreset_cool_off_s = -1"), "kill.reset_cool_off_s", "below 0"),
    "desk's name is a path": (change('name = "t"', 'name = "../t"'), "desk.name", "expected letters"),
    "session's name is a path": (change("[session.trd]", '[session."a/b"]'), "session.a/b", "expected letters"),
    "session called as the kill switch": (change("[session.trd]", "[session.killswitch]"), "session.killswitch", "own"),
    "session called as a shard": (change("[session.trd]", "[session.book-one]"), "session.book-one", "another process"),
    "redundant with nothing": (beside('redundant_with = "md2"'), "md2.redundant_with", "no other session; there are"),
    "redundant with itself": (
        change("[session.md]", '[session.md]\nredundant_with = "md"'), "session.md.redundant_with", "no other session",
    ),
    "redundant with one that is": (
        beside('redundant_with = "md"') + BESIDE.replace("md2", "md3") + 'redundant_with = "md2"\n',
        "session.md3.redundant_with", "stands beside 'md' itself",
    ),
    "redundant with another kind": (beside('redundant_with = "trd"'), "session.md2.kind", "session.trd, which it"),
    "redundant at another venue": (
        beside('redundant_with = "md"').replace('[session.md2]\nvenue = "v"', '[session.md2]\nvenue = "w"')
        + '[venue.w]\ndialect = "fix44"\n'
        'instruments = [{ name = "ETH-USD", symbol = "E", px_scale = 1, qty_scale = 1 }]',
        "session.md2.venue", "w; session.md",
    ),
    "redundant at another level": (beside('redundant_with = "md"\nlevel = 3'), "session.md2.level", "3; session.md"),
    "redundant at another depth": (beside('redundant_with = "md"\ndepth = 5'), "session.md2.depth", "5; session.md"),
    "redundant for other instruments": (
        beside('redundant_with = "md"').replace('["ETH-USD"]\nredundant', '["BTC-USD"]\nredundant'),
        "session.md2.instruments", "expected those of session.md",
    ),
    "redundant in no shard": (beside('redundant_with = "md"'), "book.one.sessions", "'md2' is missing"),
    "redundant in another shard": (
        beside('redundant_with = "md"') + '[book.two]\nsessions = ["md2"]\n', "book.one.sessions", "one shard keeps",
    ),
    "redundant with the kill switch's": (
        change("[kill]\nsessions = []", '[kill]\nsessions = ["trd"]')
        + '[session.trd2]\nvenue = "v"\nkind = "trading"\naddress = "localhost:1"\nsender_comp_id = "A2"\n'
        'target_comp_id = "B"\nredundant_with = "trd"\n',
        "session.trd2.redundant_with", "kill switch's own",
    ),
    "armed at start in production": (
        change('environment = "test"', 'environment = "production"').replace("[kill]", "[kill]\narm_at_start = true"),
        "kill.arm_at_start", "armed by a person",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(WRONG))
def test_what_is_wrong_is_named_with_file_place_and_expectation(desk: Load, tmp_path: Path, what: str) -> None:
    text, where, says = WRONG[what]
    with pytest.raises(ConfigError) as e:
        desk(text)
    said = str(e.value)
    assert said.startswith(f"{tmp_path}/config/desk.toml: ")
    assert where in said
    assert says in said
    assert "\n" not in said


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.toml: cannot be read: No such file"):
        load(tmp_path / "nothing.toml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'[desk]\nname = "\xe9"\n')
    with pytest.raises(ConfigError, match=r"latin\.toml: not TOML"):
        load(tmp_path / "latin.toml")


def test_production_is_what_a_desk_is_unless_it_says_otherwise(desk: Load) -> None:
    found = desk(change('environment = "test"\n', ""))
    assert found.config.desk.environment == "production"
    assert not found.config.kill.arm_at_start


def test_the_default_desk_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QD_STATE_DIR", raising=False)
    found = load(ROOT / "config" / "desk.toml")
    assert found.run_dir == ROOT / "run"
    assert found.config.desk.environment == "sim"


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
def test_any_value_anywhere_is_taken_or_is_a_configuration_error(data: st.DataObject) -> None:
    """No wrong value of any kind at any place may end in another error."""
    raw = tomllib.loads(DESK)
    at: Any = raw
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(at[key], dict | list) or not at[key] or data.draw(st.booleans()):
            at[key] = data.draw(junk)
            break
        at = at[key]
    try:
        DeskConfig(msgspec.convert(raw, Config), Path("/x/config/desk.toml"), b"")
    except ConfigError:
        pass
    except msgspec.ValidationError:
        assert isinstance(_named(raw), str)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (
            '[[kill.limits]]\nscope = "desk"\nmax_loss = { USD = "much" }',
            r"kill.limits\[0\].max_loss.USD: not a decimal",
        ),
        ('[[kill.limits]]\nscope = "desk"\nmax_drawdown = { USD = "-1" }', r"max_drawdown.USD: -1 is not a limit"),
        ('[[kill.limits]]\nscope = "desk"\nmax_cancels_per_fill = "x"', "max_cancels_per_fill: not a decimal"),
        ('[[kill.limits]]\nscope = "desk"\nmax_rejects_per_min = -1', "max_rejects_per_min: -1 is negative"),
        ('[[kill.limits]]\nscope = "desk"\ncancels_window_s = 0', "cancels_window_s: 0 is below 1"),
        ('[[kill.limits]]\nscope = "desk"\nconfirm_n = 3', "confirm_n: 3 of confirm_m 0"),
        ('[[kill.limits]]\nscope = "desk"\nconfirm_n = 3\nconfirm_m = 2', "confirm_n: 3 of confirm_m 2"),
        ('[[kill.limits]]\nscope = "desk"\nconfirm_every_ms = -1', "confirm_every_ms: -1 is negative"),
        (
            '[[kill.limits]]\nscope = "desk"\nmax_rejects_per_min = 1\nconfirm_every_ms = 5',
            "confirm_every_ms: says nothing without confirm_n",
        ),
        (
            '[[kill.limits]]\nscope = "desk"\ncancels_floor = 5',
            r"kill.limits\[0\]: limits nothing; expected at least one",
        ),
        ('[[kill.limits]]\nscope = "desk"\nmax_loss = { USD = "1e99" }', "1e99 is not within 40 digits of 1"),
        ("[kill.health]\nevery_ms = 10", "kill.health.every_ms: 10 is not within 100 to 60000"),
        ("[kill.health]\nconfirm_n = 0\nconfirm_m = 0", "kill.health.confirm_n: 0 is below 1"),
        ("[kill.health.memory]\nmax_mb = 0", "kill.health.memory.max_mb: 0 is below 1"),
        ("[kill.health.disk]\nmin_free_mb = -5", "kill.health.disk.min_free_mb: -5 is below 1"),
        ("[kill.health.stuck]\nconfirm_n = 9", "kill.health.stuck.confirm_n: 9 of confirm_m 3"),
        ('[kill]\nday_zone = "Mars/Olympus"', "kill.day_zone: 'Mars/Olympus' is not a time zone"),
    ],
)
def test_limits_and_health_are_checked_with_the_keys_path(tmp_path: Path, table: str, says: str) -> None:
    (tmp_path / "desk.toml").write_text(f'[desk]\nname = "t"\n{table}\n[venue]\n[session]\n')
    with pytest.raises(ConfigError, match=says):
        load(tmp_path / "desk.toml")


def test_figures_of_an_instrument_may_be_large(desk: Load) -> None:
    """They are held against no scale here: a least notional of 10 did not fit 64 bits at 18 decimals."""
    found = desk(change('lot_size = "0.01"', 'lot_size = "50", min_notional = "10000.5"'))
    assert found.instruments["v", "BTC-USD"].min_notional == "10000.5"
    assert found.instruments["v", "BTC-USD"].lot_size == 50_000


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ('host = ""', r"remote\.host: '' is no address"),
        ('host = "tcp://x"', r"remote\.host: 'tcp://x' is no address"),
        ('host = "x"\nport = 65536', r"remote\.port: 65536 is not within"),
        ('host = "x"\nevents_port = 8711', r"remote\.events_port: 8711 is also that of port"),
        ('host = "x"\nmax_ttl_ms = 1', r"remote\.max_ttl_ms: 1 is below 100"),
        ('host = "x"\nkeys = "../keys"', r"remote\.keys: '\.\./keys' is no folder"),
        ('host = "x"\nsecret = "x"', "unknown field `secret`"),
    ],
)
def test_settings_of_the_forwarder_are_checked(desk: Load, keys: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        desk(f"{DESK}\n[remote]\n{keys}\n")
