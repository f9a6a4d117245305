"""Two DataFrames of the same rows compared row for row, in Spark."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

TOLERANCE = 1e-9


@dataclass(frozen=True)
class Difference:
    """What a comparison found. `only_left`, `only_right`: rows whose key the other side has not, or not as often;
    `unequal`: rows of one key with another value; `largest`: the largest relative difference of two floats that count
    as equal.
    """

    rows: int
    only_left: int
    only_right: int
    unequal: int
    largest: float

    @property
    def is_none(self) -> bool:
        """Whether both sides have the same rows."""
        return not (self.only_left or self.only_right or self.unequal)


def compare(left: DataFrame, right: DataFrame, key: Sequence[str], tolerance: float = TOLERANCE) -> Difference:
    """Compare rows by their key; `key` has to tell rows apart on the left.

    Floats are equal within a relative `tolerance` (sums depend on the order of rows), all else exactly, null and null.
    """
    from pyspark.sql import functions as f

    values = [(n, kind) for n, kind in left.dtypes if n not in key]
    both = _joined(left, right, key)
    is_left, is_right = f.col("l").isNotNull(), f.col("r").isNotNull()
    here = is_left & is_right
    same = [_is_same(n, kind, tolerance) for n, kind in values]
    distances = [_distance(n) for n, kind in values if kind == "double"]
    is_same = functools.reduce(operator.and_, same, f.lit(True))
    far = f.greatest(*distances, f.lit(0.0), f.lit(0.0))
    found = both.select(
        f.count(f.lit(1)),
        f.count_if(is_left & ~is_right),
        f.count_if(is_right & ~is_left),
        f.count_if(here & ~is_same),
        f.coalesce(f.max(f.when(here & is_same, far)), f.lit(0.0)),
    ).collect()[0]
    return Difference(*found)


def _joined(left: DataFrame, right: DataFrame, key: Sequence[str]) -> DataFrame:
    """Rows of one key side by side as `l` and `r`, null where a side has none."""
    from pyspark.sql import functions as f

    names = left.columns
    one = left.select(f.struct(*names).alias("l"))
    other = right.select(f.struct(*names).alias("r"))
    on = [f.col(f"l.{n}").eqNullSafe(f.col(f"r.{n}")) for n in key]
    return one.join(other, functools.reduce(operator.and_, on), "full_outer")


def _is_same(name: str, kind: str, tolerance: float) -> Any:
    from pyspark.sql import functions as f

    one, other = f.col(f"l.{name}"), f.col(f"r.{name}")
    equal = one.eqNullSafe(other)
    return equal | f.coalesce(_distance(name) <= tolerance, f.lit(False)) if kind == "double" else equal


def _distance(name: str) -> Column:
    """The difference of two floats by the larger of them; null where one is."""
    from pyspark.sql import functions as f

    one, other = f.col(f"l.{name}"), f.col(f"r.{name}")
    size = f.greatest(f.abs(one), f.abs(other))
    return f.when(size == 0, f.lit(0.0)).otherwise(f.abs(one - other) / size)
