"""Play tasks: rollouts, their tournament, and the final result, for one task or many."""
