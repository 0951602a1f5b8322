"""The trades of one order, each counted once whichever channel tells it first: the session or REST. Pure."""

import msgspec


class Trade(msgspec.Struct):
    """One trade as one channel told it; quantity and price at the order's scales."""

    qty: int
    px: int | None
    named: bool  # by an id that both channels use
    paired: bool = False  # the other channel told the same trade, under another id


class Trades(msgspec.Struct):
    """What is known of an order's fills, one by one."""

    told: dict[tuple[bool, str], Trade] = msgspec.field(default_factory=dict)  # by (told by REST, its id)
    qty: int = 0  # of all of them, each counted once

    def knows(self, trade_id: str, *, rest: bool) -> bool:
        """Whether a channel's trade of that id has been counted."""
        other = self.told.get((not rest, trade_id))
        return (rest, trade_id) in self.told or (other is not None and other.named)

    def add(self, name: str, qty: int, px: int | None, *, rest: bool, named: bool) -> bool:
        """Take a trade in; False when it was known.

        Where the channels share no ids a trade of one is taken for a trade of the other by quantity and price, one for
        one: the venue's complete list then leaves exactly what is missing.
        """
        if self.knows(name, rest=rest):
            return False
        trade = self.told[rest, name] = Trade(qty, px, named)
        for (by_rest, _), twin in self.told.items():
            strangers = by_rest != rest and not (named and twin.named)
            if strangers and not twin.paired and (twin.qty, twin.px) == (qty, px):
                trade.paired = twin.paired = True
                return False
        self.qty += qty
        return True
