"""Isolated machines for rollouts: one command channel each, hard limits, no leftovers.

Start with `open_backend`. `sandbox.base` defines the protocols, `sandbox.errors` the failures.
"""

from sandbox.base import ExecResult, ExecStatus, Network, Sandbox, SandboxBackend, SandboxLimits, SandboxSpec
from sandbox.config import SandboxConfig, Slots
from sandbox.errors import (
    BackendUnavailable,
    DiskLimitExceeded,
    FileAccessError,
    FilePermissionDenied,
    FileTooLarge,
    ImageMissing,
    IsADirectory,
    NotARegularFile,
    SandboxError,
    SandboxFileNotFound,
    SandboxLost,
    SandboxStartError,
)
from sandbox.factory import open_backend
from sandbox.garbage import LeftOver, collect_garbage

__all__ = [
    "BackendUnavailable",
    "DiskLimitExceeded",
    "ExecResult",
    "ExecStatus",
    "FileAccessError",
    "FilePermissionDenied",
    "FileTooLarge",
    "ImageMissing",
    "IsADirectory",
    "LeftOver",
    "Network",
    "NotARegularFile",
    "Sandbox",
    "SandboxBackend",
    "SandboxConfig",
    "SandboxError",
    "SandboxFileNotFound",
    "SandboxLimits",
    "SandboxLost",
    "SandboxSpec",
    "SandboxStartError",
    "Slots",
    "collect_garbage",
    "open_backend",
]
