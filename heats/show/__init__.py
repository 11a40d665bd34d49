"""Sanitised text and diffs for display."""
