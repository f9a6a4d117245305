-- severity: warning
-- grain: day
-- tables: daily_bars
-- value: largest relative difference, as a logarithm
-- thresholds: close=0.002 range=0.01 volume=0.25
-- grades: 0=C
-- meaning: Two vendors (or two feeds of one) tell a day differently: closes by more than 0.2 %, highs or lows by more than 1 %, volumes
--   by more than 25 % (not where one is of a single exchange, feed iex). The first vendor's row is flagged, the other named.
with pairs as (
    select a.symbol, a.session, a.vendor, a.feed, a.received_at, a.seq,
        concat(b.vendor, '.', b.feed) as other,
        abs(ln(a.close / b.close)) as closes,
        greatest(abs(ln(a.high / b.high)), abs(ln(a.low / b.low))) as ranges,
        case when a.volume > 0 and b.volume > 0 and a.feed <> 'iex' and b.feed <> 'iex'
            then abs(ln(a.volume / b.volume)) else 0 end as volumes,
        concat(a.close, ' and ', b.close, ', volume ', a.volume, ' and ', b.volume) as told
    from daily a
    join daily b on b.symbol = a.symbol and b.session = a.session
        and concat(b.vendor, '.', b.feed) > concat(a.vendor, '.', a.feed)
    where a.is_checked and least(a.close, a.high, a.low, b.close, b.high, b.low) > 0
)
select symbol, session, vendor, feed, received_at, seq,
    closes > :close or ranges > :range or volumes > ln(1 + :volume) as is_bad,
    case when closes > :close then closes when ranges > :range then ranges else volumes end as value,
    case when closes > :close then :close when ranges > :range then :range else ln(1 + :volume) end as expected,
    concat(
        case when closes > :close then 'close' when ranges > :range then 'high or low' else 'volume' end,
        ' differs from ', other, ': close ', told
    ) as detail
from pairs
