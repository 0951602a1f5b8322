"""A book of recorded texts: what readers need to verify checksums and to cut a book to its venue's depth."""

from bisect import bisect_left, insort
from decimal import Decimal

from sim.recordings.items import BID, OFFER, Level


class TextBook:
    """Levels by price, sizes and prices as the venue printed them."""

    def __init__(self) -> None:
        self._keys: tuple[list[Decimal], list[Decimal]] = ([], [])
        self._text: tuple[dict[Decimal, Level], dict[Decimal, Level]] = ({}, {})

    def load(self, bids: list[Level], asks: list[Level]) -> None:
        """Replace everything."""
        self._keys, self._text = ([], []), ({}, {})
        for side, levels in ((BID, bids), (OFFER, asks)):
            for px, qty in levels:
                self.set(side, px, qty)

    def set(self, side: int, px: str, qty: str) -> bool:
        """Set a level, remove it when the size is zero; False when that removed nothing."""
        price = Decimal(px)
        key = -price if side == BID else price
        known = key in self._text[side]
        if Decimal(qty):
            if not known:
                insort(self._keys[side], key)
            self._text[side][key] = (px, qty)
            return True
        if known:
            del self._text[side][key]
            del self._keys[side][bisect_left(self._keys[side], key)]
        return known

    def cut(self, depth: int) -> list[tuple[int, str, str]]:
        """Drop what lies below `depth` levels; what was dropped, as changes to nothing."""
        gone = []
        for side in (BID, OFFER):
            keys = self._keys[side]
            while len(keys) > depth:
                px, _ = self._text[side].pop(keys.pop())
                gone.append((side, px, "0"))
        return gone

    def top(self, side: int, levels: int) -> list[Level]:
        """The best levels, best first."""
        return [self._text[side][k] for k in self._keys[side][:levels]]
