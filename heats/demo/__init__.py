"""The built-in model `builtin:repair`; README.md says how it works and what it is not."""

from heats.demo.model import RepairModel
from heats.demo.policy import RepairConfig

__all__ = ["RepairConfig", "RepairModel"]
