"""What REST sides of venues do not have, in common."""

from base.errors import VenueError
from venues.interface import RestRequest, VenuePosition


class BalancesOnly:
    """The part of RestApi that a spot venue does not have."""

    def positions(self, wall_ns: int) -> RestRequest | None:
        """None: balances say what is held."""
        return None

    def parse_positions(self, status: int, body: bytes) -> tuple[VenuePosition, ...]:
        """VenueError: it is never asked for."""
        raise VenueError("this venue tells of no positions")


class NoTimer:
    """The part of RestApi that a venue without a dead man's timer does not have."""

    def cancel_after(self, wall_ns: int, seconds: int) -> RestRequest | None:
        """None: there is no such timer."""
        return None

    def parse_cancel_after(self, status: int, body: bytes) -> None:
        """VenueError: it is never asked for."""
        raise VenueError("this venue has no dead man's timer")
