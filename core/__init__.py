"""Floor 0: what every room needs and none of them owns."""
