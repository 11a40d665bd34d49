"""Amounts of money and how they are shared."""
