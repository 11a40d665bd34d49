"""Settings in simple text files."""
