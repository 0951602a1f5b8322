"""What a client hears of sessions that tell the same: each execution report of an account once."""

from base.config import DeskConfig, Kind
from ipc.events import ExecutionReport
from ipc.once import Once
from ipc.sequence import Delivery


class OneStream:
    """Leaves out the reports that another session told before. Drop copies count apart from order entry, as ever.

    Of redundant drop copies the first to tell a report is heard. Of several trading sessions of one account the one
    that placed an order is always heard; what others say of it (`foreign`) only when nobody told it before.
    """

    def __init__(self, desk: DeskConfig) -> None:
        self.repeated = 0  # reports left out
        self._copies: dict[str, Once] = {}
        self._entries: dict[str, Once] = {}
        for group in desk.redundancy.values():
            if desk.config.session[group[0]].kind == Kind.DROPCOPY:
                self._copies.update(dict.fromkeys(group, _once(desk, group[0])))
        by_venue: dict[str, list[str]] = {}
        for session in desk.sessions(Kind.TRADING):
            by_venue.setdefault(desk.config.session[session].venue, []).append(session)
        for sessions in by_venue.values():
            if len(sessions) > 1:
                self._entries.update(dict.fromkeys(sessions, _once(desk, sessions[0])))

    def pick(self, heard: list[Delivery]) -> list[Delivery]:
        """Those to be heard, in their order."""
        if not self._copies and not self._entries:
            return heard
        return [d for d in heard if not isinstance(d.event, ExecutionReport) or self._counts(d.event)]

    def _counts(self, report: ExecutionReport) -> bool:
        once = (self._copies if report.drop_copy else self._entries).get(report.session)
        if once is None or once.first(report) or not (report.drop_copy or report.foreign):
            return True
        self.repeated += 1
        return False


def _once(desk: DeskConfig, session: str) -> Once:
    from venues.context import dialect_of  # a client of a desk without such sessions loads no dialect

    venue = desk.config.session[session].venue
    claims = dialect_of(desk, venue).capabilities(desk.config.venue[venue])
    return Once(by_session=claims.exec_ids == "session")
