"""Periods of whole days."""
