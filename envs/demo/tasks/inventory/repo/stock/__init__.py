"""Warehouses and what lies in them."""
