"""A small job scheduler."""
