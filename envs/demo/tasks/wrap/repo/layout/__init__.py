"""Plain text layout."""
