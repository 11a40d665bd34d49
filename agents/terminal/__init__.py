"""An agent at a terminal: it types into one tmux session in the sandbox and sees what the screen shows."""
