"""Floor 0: shared building blocks that every room may import."""
