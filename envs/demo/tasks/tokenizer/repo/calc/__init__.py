"""A calculator for simple formulas."""
