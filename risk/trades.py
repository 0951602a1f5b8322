"""The trades of one order, each counted once whichever channel tells it first: the session or REST. Pure.

What a bust (150=H) or correction (150=G) is about is found by the ExecID that it refers to, else by the trade id.
"""

from typing import TypeAlias

import msgspec

_Look: TypeAlias = tuple[bool, bool, int, int | None]


class Execution(msgspec.Struct):
    """One trade of the order as it counts now; 0 once it was busted."""

    qty: int


class _Kept(msgspec.Struct, array_like=True):
    """Trades as they are journalled; executions once each, with all their names."""

    told: list[tuple[bool, str, bool]]
    alone: list[tuple[bool, bool, int, int | None, int]]
    qty: int
    executions: list[tuple[int, list[str]]]


class Trades(msgspec.Struct):
    """What is known of an order's fills, one by one. `named`: by an id that both channels use."""

    told: dict[tuple[bool, str], bool] = msgspec.field(default_factory=dict)  # (told by REST, its id) -> named
    alone: dict[_Look, int] = msgspec.field(default_factory=dict)  # (REST, named, qty, px): told by one channel only
    qty: int = 0  # of all of them, each counted once; at the order's scale
    executions: dict[str, Execution] = msgspec.field(default_factory=dict)  # by "x" ExecID and "t" trade id

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

    def name(self, qty: int, exec_id: str, trade_id: str, *, new: bool) -> None:
        """Under what names a trade that was told may be busted or corrected. `new`: `add` counted it."""
        names = [n for n in (f"t{trade_id}" if trade_id else "", f"x{exec_id}" if exec_id else "") if n]
        known = None if new else next((self.executions[n] for n in names if n in self.executions), None)
        if new or known is not None:
            found = known or Execution(qty)
            for name in names:
                self.executions.setdefault(name, found)

    def amend(self, ref: str, trade_id: str, exec_id: str, qty: int) -> int | None:
        """A trade is to count `qty` from now on; how much that changes, None when it is not known.

        `exec_id`: of the amendment itself, by which a later one may call the trade.
        """
        found = self.executions.get(f"x{ref}") if ref else None
        if found is None and trade_id:
            found = self.executions.get(f"t{trade_id}")
        if found is None:
            return None
        if exec_id:
            self.executions.setdefault(f"x{exec_id}", found)
        change = qty - found.qty if found.qty else 0  # a busted trade stays busted
        found.qty += change
        self.qty += change
        return change

    def kept(self) -> bytes:
        """All of it, to be journalled."""
        names: dict[int, tuple[int, list[str]]] = {}
        for name, execution in self.executions.items():
            names.setdefault(id(execution), (execution.qty, []))[1].append(name)
        told = [(rest, name, named) for (rest, name), named in self.told.items()]
        alone = [(*look, n) for look, n in self.alone.items() if n]
        return msgspec.msgpack.encode(_Kept(told, alone, self.qty, list(names.values())))

    @classmethod
    def from_kept(cls, data: bytes) -> "Trades":
        """As `kept` gave them. msgspec.DecodeError when they are nothing of the kind."""
        kept = msgspec.msgpack.decode(data, type=_Kept)
        trades = cls(qty=kept.qty)
        trades.told = {(rest, name): named for rest, name, named in kept.told}
        trades.alone = {(rest, named, qty, px): n for rest, named, qty, px, n in kept.alone}
        for qty, names in kept.executions:
            execution = Execution(qty)
            trades.executions.update(dict.fromkeys(names, execution))
        return trades
