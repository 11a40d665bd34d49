"""What earlier work noted: entries in a file that later work may read."""
