"""Allocation policies: how many attempts to start, on which model, and when to stop."""
