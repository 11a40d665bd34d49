"""SWE-bench: rows, sandboxes in their images, and two graders."""

from envs.swebench.env import SweBenchEnv, SweBenchSource

__all__ = ["SweBenchEnv", "SweBenchSource"]
