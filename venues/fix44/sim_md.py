"""Market data of the plain FIX 4.4 venue: entries as the standard has them."""

from base.instruments import Instrument
from sim import timetext
from sim.marketdata import MarketDataFeeds
from sim.orders import BUY, L3Change, Trade
from sim.publicbook import DELETE


class PlainMarketData(MarketDataFeeds):
    """Everything 35=V can ask for."""

    def level(self, i: Instrument, action: int | None, side: int, px: int, qty: int) -> str:
        return _entry(i, action, side, "", px, qty)

    def order(self, i: Instrument, c: L3Change, action: int | None) -> str:
        return _entry(i, action, c.side, f"278={c.order_id}\x01", c.px, c.qty)

    def trade(self, i: Instrument, t: Trade) -> str:
        when = timetext.date_time(t.time_ns)
        return (
            f"279=0\x01269=2\x01278={t.trade_id}\x0155={i.symbol}\x01270={i.px_text(t.px)}\x01271={i.qty_text(t.qty)}\x01"
            f"272={when[:8]}\x01273={when[9:]}\x01"
        )


def _entry(i: Instrument, action: int | None, side: int, entry_id: str, px: int, qty: int) -> str:
    kind = "0" if side == BUY else "1"
    price = i.px_text(px)
    size = "" if action == DELETE else f"271={i.qty_text(qty)}\x01"
    if action is None:
        return f"269={kind}\x01{entry_id}270={price}\x01{size}"
    return f"279={action}\x01269={kind}\x01{entry_id}55={i.symbol}\x01270={price}\x01{size}"
