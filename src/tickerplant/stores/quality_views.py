"""The view `quality_grades`, the same SQL for every store."""

from __future__ import annotations

GRADES = "quality_grades"
GRADES_SQL = """select symbol, session, grade, why, checked, flagged, run, checked_at from (
    select *, row_number() over (partition by symbol, session order by checked_at desc, run desc) as place
    from quality where rule = '*' and symbol <> '*'
) newest where place = 1"""
"""The last grade of each symbol and session; filters on these reach the table."""
