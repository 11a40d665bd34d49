"""Attempts made elsewhere: read, judged and graded."""
