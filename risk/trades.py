"""The trades of one order, each counted once whichever channel tells it first: the session or REST. Pure."""

from typing import TypeAlias

import msgspec

_Look: TypeAlias = tuple[bool, bool, int, int | None]


class Trades(msgspec.Struct):
    """What is known of an order's fills, one by one. `named`: by an id that both channels use."""

    told: dict[tuple[bool, str], bool] = msgspec.field(default_factory=dict)  # (told by REST, its id) -> named
    alone: dict[_Look, int] = msgspec.field(default_factory=dict)  # (REST, named, qty, px): told by one channel only
    qty: int = 0  # of all of them, each counted once; at the order's scale

    def knows(self, trade_id: str, *, rest: bool) -> bool:
        """Whether a channel's trade of that id has been counted."""
        return (rest, trade_id) in self.told or self.told.get((not rest, trade_id), False)

    def add(self, name: str, qty: int, px: int | None, *, rest: bool, named: bool) -> bool:
        """Take a trade in; False when it was known.

        Where the channels share no ids a trade of one is taken for a trade of the other by quantity and price, one for
        one: the venue's complete list then leaves exactly what is missing.
        """
        if self.knows(name, rest=rest):
            return False
        self.told[rest, name] = named
        for other_named in (False,) if named else (False, True):
            twin = not rest, other_named, qty, px
            if self.alone.get(twin, 0):
                self.alone[twin] -= 1
                return False
        look = rest, named, qty, px
        self.alone[look] = self.alone.get(look, 0) + 1
        self.qty += qty
        return True
