"""What is seen of a desk, as structs: the same for the terminal and the page, and as JSON for anybody.

Prices, quantities and money are exact decimal text, "" where nothing is known or the venue did not say; whole numbers
carry their unit in the name; `*_ns` are UTC nanoseconds, 0 = not known. A whole number that is not known is None.
`known` is False where a figure is the last that was heard of something that has fallen silent; `unknown_ns`: since
when.
"""

import msgspec


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every part of a view."""


class DeskPart(Part, frozen=True, kw_only=True):
    """The desk in one word, and why.

    `state`: DOWN (nothing runs), TRIPPED, TRIPPING, RESETTING (a scope of the kill switch), LAPSED (the lease is out:
    no new orders leave), DISARMED, STARTING, DEGRADED, READY. `severity`: "ok", "warning" or "critical".
    `problems`: everything that keeps it from being READY, the worst first; `reason` is the first of them.
    """

    name: str
    state: str
    severity: str
    reason: str
    problems: tuple[str, ...]
    armed: bool  # new orders may leave: the desk's word is ARMED, the lease fresh, no operator's word set
    gate: str  # the desk's word: DISARMED, ARMED, TRIPPING, TRIPPED, RESETTING; MISSING: cannot be read
    generation: int
    lease_ms: int | None  # valid for so long; negative: lapsed so long ago; None: there never was one
    builds: tuple[str, ...]  # fingerprints of the code that processes run; more than one: they disagree
    configs: tuple[str, ...]
    processes_ready: int
    processes_total: int
    sessions_ready: int
    sessions_total: int
    books_live: int
    books_total: int
    orders_open: int
    orders_uncertain: int
    alarms_waiting: int  # that nobody acknowledged
    alarms_critical: int  # of these


class ScopePart(Part, frozen=True, kw_only=True):
    """One scope of the kill switch that has a word of its own."""

    scope: str
    state: str
    generation: int
    cause: str
    reason: str
    since_ns: int
    working: int
    proven: int
    uncertain: int


class TripPart(Part, frozen=True, kw_only=True):
    """A trip: under way, or the last one. Times count from its receipt, as decimal text in ms; "" = not yet."""

    trip_id: str
    scopes: tuple[str, ...]
    cause: str
    reason: str  # with who tripped it, where a person did
    at_ns: int
    generation: int  # of the words of its scopes: what is shut with another one is not its work
    phase: str
    gate_closed_ms: str
    first_cancel_ms: str
    fence_ms: str
    all_proven_ms: str
    orders: int
    proven: int
    working: int  # not proven dead yet
    uncertain: int
    filled: int
    unproven: tuple[str, ...]
    open_questions: tuple[str, ...]
    touches: tuple[str, ...]
    leaves: tuple[str, ...]


class StepPart(Part, frozen=True, kw_only=True):
    """A step of a trip, as it was said on the bus."""

    trip_id: str
    step: str
    detail: str
    working: int
    proven: int
    filled: int
    ts_ns: int


class KillPart(Part, frozen=True, kw_only=True):
    """The kill switch."""

    answers: bool  # it answered the last time it was asked
    fault: str  # why not
    state: str  # the worst state of all scopes; UNKNOWN when the gate cannot be read
    operator_word: str  # reason of an operator's word that stands, "" when none does
    scopes: tuple[ScopePart, ...]  # the desk first, then what is not ARMED, then the rest
    known_scopes: tuple[str, ...]  # what can be tripped; and strategy:NAME
    trip: TripPart | None
    steps: tuple[StepPart, ...]  # the newest last
    blockers: tuple[str, ...]  # what keeps it from arming
    faults: tuple[str, ...]
    sessions: tuple[tuple[str, str, str], ...]  # (session of its own, phase, reason)


class RoundTrip(Part, frozen=True, kw_only=True):
    """Round trips in us: the last, and percentiles of those that were met; None where none was."""

    count: int = 0
    last_us: int | None = None
    p50_us: int | None = None
    p99_us: int | None = None


class SessionPart(Part, frozen=True, kw_only=True):
    """One venue session. `state`: the session's phase; DOWN, when its process does not run; UNKNOWN before the first
    word of it.
    """

    name: str
    venue: str
    kind: str  # trading, marketdata, dropcopy
    state: str
    reason: str
    since_ns: int
    known: bool
    unknown_ns: int
    next_out: int | None
    next_in: int | None
    test: RoundTrip  # TestRequest to Heartbeat
    order: RoundTrip  # new order: its first record to the venue's first word of it
    in_per_s: str  # messages a second over the last seconds, decimal text
    out_per_s: str
    orders_sent: int | None  # since the process started
    refused: int | None  # by the desk itself: gate, limits, rates
    rejects: int | None  # session-level 35=3
    order_rejects: int  # 150=8 among the events kept
    orders_open: int
    instruments: tuple[str, ...]
    counters: dict[str, int]


class ProcessPart(Part, frozen=True, kw_only=True):
    """One process. `readiness`: its word, or DEAD when nobody writes its page."""

    name: str
    kind: str
    pid: int  # 0: never started
    readiness: str
    reason: str
    since_ns: int
    known: bool
    unknown_ns: int
    started_ns: int
    beat_ms: int | None  # age of the heartbeat
    memory_mb: int | None
    cpu_pct: int | None  # of one core
    build: str
    config: str
    latencies: dict[str, RoundTrip]  # by metric and labels, as in docs/metrics.md: how long things took in it
    disagrees: str  # which fingerprint differs from most others': "", "build", "config", "build and config"
    counters: dict[str, int]


class BookPart(Part, frozen=True, kw_only=True):
    """One book. Prices are "" unless it is LIVE."""

    venue: str
    instrument: str
    level: int
    status: str  # LIVE, RECOVERING, STALE, CROSSED, HALTED; MISSING: no region has it
    reason: str
    since_ns: int
    bid_px: str
    bid_qty: str
    ask_px: str
    ask_qty: str
    spread: str  # in price
    spread_ticks: int | None
    spread_bps: str  # of the mid, two decimals
    age_ms: int | None  # since its last message was received
    messages: int
    messages_per_s: str
    source: str  # the market-data session it is taken from
    sources: tuple[str, ...]
    shard: str


class Level(Part, frozen=True, kw_only=True):
    """One price of a book."""

    px: str
    qty: str
    orders: int
    sum_qty: str  # of this and all better levels


class DepthPart(Part, frozen=True, kw_only=True):
    """A book with its depth, asked for by itself: `Eyes.depth`."""

    book: BookPart
    bids: tuple[Level, ...]  # best first
    asks: tuple[Level, ...]
    fault: str  # why there is no depth


class OrderPart(Part, frozen=True, kw_only=True):
    """One order, as the session that owns it has it."""

    session: str
    venue: str
    account: str
    instrument: str
    cl_ord_id: str
    order_id: str
    strategy: str
    client_id: str
    state: str  # one of ORDER_STATES
    open: bool
    side: str  # buy, sell
    ord_type: str  # FIX codes
    time_in_force: str
    order_qty: str
    price: str
    stop_px: str
    filled_qty: str
    leaves_qty: str
    reason: str
    first_ns: int  # when it was first heard of
    since_ns: int  # in this state
    age_ms: int
    known: bool  # its session's process runs
    events: int  # of its life that were heard


class LifePart(Part, frozen=True, kw_only=True):
    """One moment of an order's life."""

    ts_ns: int
    what: str  # OrderState, ExecutionReport, CancelReject, Difference
    text: str


class OrderLife(Part, frozen=True, kw_only=True):
    """An order and its events in order, asked for by itself. `dropped`: so many in the middle were not kept."""

    order: OrderPart
    events: tuple[LifePart, ...]
    dropped: int


class PositionPart(Part, frozen=True, kw_only=True):
    """One instrument of one session: what is held, and what works."""

    session: str
    venue: str
    account: str
    instrument: str
    position: str  # signed
    opening: str  # of it, held before the desk's own fills
    mark_px: str  # price of the last fill
    notional: str  # absolute, in the quote currency
    open_orders: int
    uncertain: int
    working_buy_qty: str
    working_sell_qty: str
    cost: str  # of the day's holding, as the kill switch counts it: see limits.md
    realised: str
    fees: str
    quote: str
    incomplete: str  # what its figures leave out: "", "opening not known", "not priced", or both
    known: bool
    unknown_ns: int


class BalancePart(Part, frozen=True, kw_only=True):
    """What the venue said of one currency."""

    session: str
    venue: str
    account: str
    currency: str
    total: str
    available: str
    held: str
    buying_power: str
    ts_ns: int


class LimitPart(Part, frozen=True, kw_only=True):
    """One limit; what trips and what is near comes first. `state`: ok, "75 %", confirming ..., as it is said."""

    scope: str
    figure: str
    unit: str
    value: str
    limit: str
    limit_is: str  # most, least
    distance: str
    percent: int
    state: str
    does: str  # trips, alarms
    when: str  # how it is confirmed
    detail: str


class AlarmPart(Part, frozen=True, kw_only=True):
    """An alarm that stands. Without an alarms process number is 0, and nobody can acknowledge it."""

    number: int
    source: str
    code: str
    subject: str
    severity: str
    text: str
    first_ns: int
    last_ns: int
    count: int
    level: int
    told: tuple[str, ...]
    acked_by: str
    ack_note: str
    acked_ns: int
    over_ns: int
    over_text: str


class EventPart(Part, frozen=True, kw_only=True):
    """Something that happened, in one line."""

    number: int  # rises; the same event keeps it
    ts_ns: int
    severity: str  # info, warning, critical
    kind: str  # the event's name: SessionState, Alert, ExecutionReport, Gap, ...
    source: str  # process or session that said it
    subject: str  # book, order, scope
    text: str


class View(Part, frozen=True, kw_only=True):
    """A desk at one moment."""

    schema: int = 1
    taken_ns: int
    desk: DeskPart
    kill: KillPart
    sessions: tuple[SessionPart, ...]
    processes: tuple[ProcessPart, ...]
    books: tuple[BookPart, ...]
    open_orders: tuple[OrderPart, ...]
    finished_orders: tuple[OrderPart, ...]  # the newest first
    positions: tuple[PositionPart, ...]
    balances: tuple[BalancePart, ...]
    limits: tuple[LimitPart, ...]
    limits_ns: int  # when the limits were told; 0: never
    limits_fault: str
    alarms: tuple[AlarmPart, ...]  # waiting before acknowledged, critical before warning
    alarms_fault: str
    events: tuple[EventPart, ...]  # the newest last
    reading: tuple[str, ...]  # what is missing here: journals behind, gaps, unreadable files
