"""What REST sides of spot venues have in common."""

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
