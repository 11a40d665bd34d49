"""Harbor and Terminal-Bench 2 tasks: the agent works on a machine and is graded by the state it leaves."""

from envs.harbor.env import HarborEnv

__all__ = ["HarborEnv"]
