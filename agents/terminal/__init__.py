"""An agent at a terminal: it types into a tmux session in the sandbox and sees the screen."""
