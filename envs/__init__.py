"""Tasks and how they are graded: what the agent sees, how its patch is verified, and where the answers are kept."""

from envs.base import Env, Evidence, Grade, Patch, Task, TestReport
from envs.baseline import baseline
from envs.bench import Bench, VerifyRules
from envs.factory import open_env
from envs.machine import prepared, spec_for
from envs.patches import check_patch, patch_key
from envs.repository import RepositoryEnv, RepositorySource, open_repository
from envs.same_change import brings_tests, change_key
from envs.verify import verify

__all__ = [
    "Bench",
    "Env",
    "Evidence",
    "Grade",
    "Patch",
    "RepositoryEnv",
    "RepositorySource",
    "Task",
    "TestReport",
    "VerifyRules",
    "baseline",
    "brings_tests",
    "change_key",
    "check_patch",
    "open_env",
    "open_repository",
    "patch_key",
    "prepared",
    "spec_for",
    "verify",
]
