"""Built-in tasks: small Python repositories with a bug, an issue, visible tests, and hidden tests for grading."""

from envs.demo.env import SAMPLE, DemoEnv

__all__ = ["SAMPLE", "DemoEnv"]
