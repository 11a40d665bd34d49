"""A run in the terminal: live progress, and a screen to go through it with the keyboard."""
