"""Plays a scenario against the session as a state machine: no sockets, and a clock that is turned by hand."""

from dataclasses import dataclass
from typing import Any

from base.clock import ManualClock
from base.errors import ConfigError
from fix._codec import Message
from fix.admission import Admission
from fix.dictionary import Dictionary
from fix.echo import EchoApp
from fix.scenarios.script import Scenario, Step
from fix.scenarios.wire import BEGIN, ENGINE, PEER, Wire, shown
from fix.session import FixSession
from fix.session_events import Disconnect, FieldDefect, SessionEvent, State
from fix.settings import Role, SequencePolicy, SessionSettings, Validation
from fix.store import MemoryStore

SECOND_NS = 1_000_000_000
_SWITCHES = frozenset({"next_expected", "last_processed", "supports_resend", "resend_end_zero"})


@dataclass(frozen=True)
class Outcome:
    """What became of a scenario for a version; `problem` is '' when it passed."""

    scenario: Scenario
    version: str
    problem: str = ""


class WrongError(Exception):
    """The engine did something else than the script says."""


class MachineApp(EchoApp):
    """The echo, or for an initiator a desk that only remembers what it was given."""

    def __init__(self, clock: ManualClock, echoes: bool) -> None:
        super().__init__(clock)
        self._echoes = echoes
        self.given: list[bytes] = []
        self.ending = False

    def on_message(self, message: Message, flags: int, defects: tuple[FieldDefect, ...]) -> None:
        """Echo or remember."""
        if self._echoes:
            super().on_message(message, flags, defects)
        else:
            self.given.append(message.raw)

    def on_event(self, event: SessionEvent) -> None:
        """A Disconnect is obeyed by the player."""
        self.ending |= isinstance(event, Disconnect)


def settings_of(scenario: Scenario, version: str) -> SessionSettings:
    """The session that a scenario is about."""
    acceptor = scenario.role == "acceptor"
    changes: dict[str, Any] = {}
    for key, value in scenario.options.items():
        if key in _SWITCHES:
            changes[key] = value == "yes"
        elif key == "heartbeat":
            changes["heartbeat_s"] = int(value)
        elif key == "validation":
            changes["validation"] = Validation(value)
        elif key == "policy":
            changes["sequence_policy"] = SequencePolicy(value)
        elif key != "offline":
            raise ConfigError(f"{scenario.path}:{scenario.line}: no setting {key!r}")
    return SessionSettings(
        scenario.name, Role.ACCEPTOR if acceptor else Role.INITIATOR, ENGINE, PEER,
        begin_string=BEGIN[version],
        default_appl_ver_id="9" if version == "5.0sp2" else "",
        heartbeat_range_s=(0, 86_400),
        **{"validation": Validation.REJECT, **changes},
    )  # fmt: skip


class Player:
    """One scenario, one version: `play` raises WrongError at the first step that goes wrong."""

    def __init__(self, scenario: Scenario, version: str) -> None:
        self._scenario = scenario
        self._clock = ManualClock()
        self._wire = Wire(version)
        self._app = MachineApp(self._clock, scenario.role == "acceptor")
        settings = settings_of(scenario, version)
        store = MemoryStore(self._clock.wall_ns())
        dictionary = Dictionary.standard(version)
        self._session = self._app.session = FixSession(
            settings, store, self._app, rules=dictionary.rules(), dictionary=dictionary
        )
        self._out: list[bytes] = []
        self._door: Admission | None = None
        self._up = self._ended = False
        self._other_ended = False

    def play(self) -> None:
        for step in self._scenario.steps:
            self._wire.now_ns = self._clock.wall_ns()
            try:
                self._do(step)
            except WrongError as wrong:
                raise WrongError(f"{self._scenario.path}:{step.line}: {step.verb} {step.text}: {wrong}") from None
        if self._out or self._ended or self._app.given:
            rest = [*self._out, *self._app.given]
            what = f"also: {shown(rest[0])}" if rest else "the connection was ended"
            raise WrongError(f"{self._scenario.path}: behind the last step of {self._scenario.number}: {what}")

    def _do(self, step: Step) -> None:
        verbs = {
            ">": self._says, "raw": self._raw, "<": self._hears, "silence": self._silence, "end": self._end,
            "connect": self._connect, "logon": self._logon, "cut": self._cut, "other": self._other,
            "app": self._send, "got": self._got, "logout": self._logout, "reset": self._reset,
            "wait": self._wait, "seq": self._seq, "numbers": self._numbers,
        }  # fmt: skip
        verbs[step.verb](step)
        self._settle()

    # --- connections

    def _connect(self, step: Step) -> None:
        self._up, self._ended = True, False
        if self._scenario.role == "acceptor":
            self._door = Admission()
        else:
            self._begin()

    def _begin(self) -> None:
        self._door = None
        self._session.connected(self._out.append, *self._times())

    def _cut(self, step: Step) -> None:
        self._session.disconnected("cut", *self._times())
        self._up, self._door = False, None

    def _end(self, step: Step) -> None:
        if self._out:
            raise WrongError(f"it sent {shown(self._out[0])}")
        if self._up and not self._ended:
            raise WrongError("the connection stands")
        self._ended = False

    def _settle(self) -> None:
        """Obey a wish to disconnect, as a connection does."""
        if self._door is not None and self._door.refusal:
            self._up, self._door, self._ended = False, None, True
        if self._app.ending:
            self._app.ending = False
            self._session.disconnected("as it wished", *self._times())
            self._up, self._ended = False, True

    # --- messages

    def _says(self, step: Step) -> None:
        self._hand_in(self._wire.message(step))

    def _raw(self, step: Step) -> None:
        self._hand_in(self._wire.raw(step))

    def _hand_in(self, data: bytes) -> None:
        if not self._up:
            raise WrongError("not connected")
        door = self._door
        if door is None:
            self._session.received(data, *self._times())
            return
        door.feed(data)
        if door.caller is not None and not door.refusal:
            if door.caller != (self._wire.begin.encode(), PEER.encode(), ENGINE.encode()):
                door.refusal = "a stranger"
                return
            self._begin()
            self._session.received(bytes(door.received), *self._times())

    def _hears(self, step: Step) -> None:
        if not self._out:
            raise WrongError("nothing was sent")
        raw = self._out.pop(0)
        if problem := self._wire.problem(step, raw):
            raise WrongError(problem)

    def _silence(self, step: Step) -> None:
        if self._out:
            raise WrongError(f"it sent {shown(self._out[0])}")
        if self._ended:
            raise WrongError("the connection was ended")

    def _other(self, step: Step) -> None:
        """A second connection while the first stands: `other A|...` logs on, `other end` expects the refusal."""
        if step.text == "end":
            if not self._other_ended:
                raise WrongError("the second connection stands")
            self._other_ended = False
            return
        door = Admission()
        wire = Wire(self._wire.version)
        wire.now_ns = self._wire.now_ns
        door.feed(wire.message(Step(step.line, ">", step.text)))
        free = self._session.state is State.DISCONNECTED
        self._other_ended = bool(door.refusal) or not free

    # --- our own side

    def _send(self, step: Step) -> None:
        self._session.send(step.msg_type, self._wire.body(step), *self._times())

    def _got(self, step: Step) -> None:
        """The application was given this; for an initiator."""
        if not self._app.given:
            raise WrongError("the application was given nothing")
        raw = self._app.given.pop(0)
        wanted, types = dict(step.fields), raw.split(b"\x0135=")[1].split(b"\x01")[0].decode()
        missing = [f"{t}={v}" for t, v in wanted.items() if f"\x01{t}={v}\x01".encode() not in raw]
        if types != step.msg_type or missing:
            raise WrongError(f"given {shown(raw)}")

    def _logout(self, step: Step) -> None:
        self._session.logout(step.text, *self._times())

    def _reset(self, step: Step) -> None:
        self._session.restart_numbers(*self._times())

    # --- time and numbers

    def _wait(self, step: Step) -> None:
        end = self._clock.mono_ns() + int(float(step.text.rstrip("s")) * SECOND_NS)
        while (due := self._session.deadline_ns) is not None and due <= end:
            self._clock.advance(max(due - self._clock.mono_ns(), 0))
            self._session.tick(*self._times())
            self._settle()
        self._clock.advance(end - self._clock.mono_ns())

    def _seq(self, step: Step) -> None:
        self._wire.next_seq = int(step.text)

    def _numbers(self, step: Step) -> None:
        """`numbers in=3 out=4`: what is expected next, and what our next message carries."""
        wanted = dict(part.split("=") for part in step.text.split())
        found = {"in": str(self._session.next_in), "out": str(self._session.next_out)}
        wrong = [f"{key} is {found[key]}" for key, value in wanted.items() if found[key] != value]
        if wrong:
            raise WrongError(", ".join(wrong))

    def _logon(self, step: Step) -> None:
        """`logon`, `logon 5`: connect and exchange Logons; the peer's carries the number given, or its next one."""
        extra = f"|34={step.text}" if step.text else ""
        logon = Step(step.line, ">", f"A|98=0|108=30{extra}")
        answer = Step(step.line, "<", "A|98=0|108=30")
        self._connect(step)
        first, second = (self._says, self._hears) if self._scenario.role == "acceptor" else (self._hears, self._says)
        first(logon if first == self._says else answer)
        second(answer if first == self._says else logon)

    def _times(self) -> tuple[int, int]:
        return self._clock.mono_ns(), self._clock.wall_ns()


def play(scenario: Scenario, version: str) -> Outcome:
    """Play one scenario for one version."""
    try:
        Player(scenario, version).play()
    except WrongError as wrong:
        return Outcome(scenario, version, str(wrong))
    return Outcome(scenario, version)
