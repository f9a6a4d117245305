"""Quality of what is stored: rules in SQL, what they flag, grades, and the report.

A rule is a file of `rules/`. It never changes a row: it says which rows are wrong and by how much.
"""
