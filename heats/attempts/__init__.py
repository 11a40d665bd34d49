"""Attempts that are there already: read, judged and graded."""
