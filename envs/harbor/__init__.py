"""Harbor and Terminal-Bench 2 tasks: a machine to work on, graded by what state it is in afterwards."""

from envs.harbor.env import HarborEnv

__all__ = ["HarborEnv"]
