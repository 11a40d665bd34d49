"""Very small text templates."""
