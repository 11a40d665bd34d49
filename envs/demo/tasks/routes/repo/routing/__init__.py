"""Ways through a road network."""
