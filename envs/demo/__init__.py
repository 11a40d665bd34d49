"""Built-in tasks: small Python repositories with a bug, an issue text, visible tests, and hidden ones for grading."""

from envs.demo.env import SAMPLE, DemoEnv

__all__ = ["SAMPLE", "DemoEnv"]
