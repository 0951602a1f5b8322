"""Venues where our numbers begin at 1 with every connection while theirs go on (SequencePolicy.OURS_RESTART).

Their Logon carries 1, too. A gap fill right behind it says where their numbers stand, and what we miss up to there is
asked for. Whatever goes wrong on the way ends the connection, and the next Logon starts both sides afresh.
"""

from fix._codec import Message
from fix.session_core import MAX_SEQ_NUM, read_int
from fix.session_events import GapOpened, State
from fix.session_recovery import SessionRecovery
from fix.settings import SequencePolicy


class SessionResume(SessionRecovery):
    """Learns where the peer's numbers stand, and has what is missing sent again."""

    _resuming = False
    """Logged on, and the peer has not said yet where its numbers stand."""

    def _forget_recovery(self) -> None:
        super()._forget_recovery()
        self._resuming = False

    @property
    def _restarts(self) -> bool:
        return self.settings.sequence_policy is SequencePolicy.OURS_RESTART

    def _resumes(self, reset: bool) -> bool:
        """Whether this logon goes on with the peer's numbers and not with ours."""
        return self._restarts and not reset

    def _restart_ours(self) -> None:
        self._reset_numbers("our numbers begin at 1 with each connection", next_in=self._store.next_in)

    def _await_stand(self) -> None:
        """The Logon is no message of the peer's numbering: hold back until it says where that stands."""
        self._resuming = True
        self._enter(State.RECOVERING)
        self._gap.deadline_ns = self._mono_ns + self.settings.gap_timeout_ns
        self._hasten(self._gap.deadline_ns)

    def _tells_stand(self, message: Message) -> bool:
        """Whether the first message behind the Logon was the one that says where the peer's numbers stand.

        Any other one says it by its own number, and is dealt with as usual: what is missing before it is a gap.
        """
        self._resuming = False
        self._gap.deadline_ns = 0
        if message.msg_type != "4" or message.get(123) != b"Y" or message.poss_dup:
            self._enter(State.LOGGED_ON)
            return False
        stand = read_int(message, 36)
        if stand is None or not 1 < stand <= MAX_SEQ_NUM:
            self._logout_and_end("NewSeqNo(36) behind the Logon is missing or out of range", fresh=True)
        else:
            self._stands_at(stand)
        return True

    def _stands_at(self, stand: int) -> None:
        """The peer's next number is `stand`: everything below it that we have not had is missing."""
        expected = self._store.next_in
        if stand < expected:
            expected = 2  # the Logon was 1
            self._reset_numbers("the peer's numbers began again", expected, self._store.next_out)
        if stand == expected:
            self._enter(State.LOGGED_ON)
            return
        self._gap.begin(stand - 1)
        self._say(GapOpened(expected, stand - 1))
        self._ask()

    def _gap_overdue(self) -> None:
        if self._resuming:
            self._logout_and_end("the peer did not say where its numbers stand", fresh=True)
        else:
            super()._gap_overdue()

    def _resend_refused(self, message: Message) -> bool:
        """Whether this Reject is of our ResendRequest: it ended the connection then, there is nothing to wait for."""
        if not (self.settings.starts_afresh and self._gap.is_open and message.get(372) == b"2"):
            return False
        self._logout_and_end(f"resend refused: {message.get_str(58) or ''}", fresh=True)
        return True
