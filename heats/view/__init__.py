"""A run in the terminal: live progress, and screens to browse it with the keyboard."""
