"""Playing tasks: rollouts, their tournament and what is handed over, for one task or many."""
