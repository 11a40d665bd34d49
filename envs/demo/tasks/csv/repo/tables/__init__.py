"""Tables as comma-separated text."""
