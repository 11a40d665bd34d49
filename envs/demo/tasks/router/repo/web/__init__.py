"""Finding the handler for a path."""
