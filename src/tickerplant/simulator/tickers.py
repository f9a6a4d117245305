"""Ticker symbols: the busiest real ones first, among them those that break careless software, then made-up ones."""

from __future__ import annotations

import numpy as np

_REAL = (
    "SPY NVDA BRK.B TSLA NA AAPL TRUE QQQ ON AMZN AMD MSFT NULL PLTR IWM INTC BAC F GOOGL META SOFI NIO TQQQ SQQQ A IT "
    "ALL T C X NAN BF.B GOOG AVGO XLF AAL CCL HOOD PFE WBD SNAP UBER GM DIS JPM WFC XOM CVX KO VZ NFLX COIN MARA RIOT "
    "MU ORCL CRM CSCO QCOM TXN AMAT LRCX ADBE PYPL SHOP BABA JD BIDU TSM ASML NKE WMT TGT COST HD LOW MCD SBUX "
    "CMCSA FWONK RUSHA CENTA LEN.B HEI.A MOG.A UHAL.B GEF.B CWEN.A TAP.A V MA AXP GS MS BLK SCHW UNH LLY JNJ MRK "
    "ABBV BMY GILD AMGN CVS BA LMT RTX GE CAT DE HON MMM UPS FDX DAL UAL LUV RCL NCLH MGM WYNN LVS DKNG PENN FALSE YES "
    "NO NONE INF OR AND KEY CASH EVER LOVE NOW OPEN TEAM SO D O R S W Z"
)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def tickers(count: int, seed: int) -> list[str]:
    """So many different symbols, busiest first; the same for the same seed."""
    found = dict.fromkeys(_REAL.split()[:count])
    chance = np.random.default_rng([seed, 1])
    while len(found) < count:
        length = int(chance.choice([3, 4, 5], p=[0.2, 0.7, 0.1]))
        name = "".join(_LETTERS[k] for k in chance.integers(0, 26, length))
        if chance.random() < 0.01:
            name = name[:3] + (".A" if chance.random() < 0.5 else ".B")
        found[name] = None
    return list(found)
