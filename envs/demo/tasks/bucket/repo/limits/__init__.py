"""Limiting how often something is done."""
