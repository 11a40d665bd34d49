"""The built-in model `builtin:repair`; README.md says how it works and what it is not."""

from agents.llm.repair.model import RepairModel
from agents.llm.repair.policy import RepairConfig

__all__ = ["RepairConfig", "RepairModel"]
