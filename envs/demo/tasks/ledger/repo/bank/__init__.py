"""Accounts and the book they are kept in."""
