"""Finding an env by name."""

import importlib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from envs.base import Env
from envs.errors import TaskError, first_problem
from envs.repository import RepositoryEnv, RepositorySource


def open_env(name: str, options: Mapping[str, Any] | None = None) -> Env:
    """Make an env. It may read repositories: call it in a thread.

    Args:
        name: `repository`, `demo`, `harbor`, `swebench`, or `module:Class` for one of your own.
        options: fields of `RepositorySource` for `repository`, of `HarborOptions` for `harbor`, of
            `SweBenchSource` for `swebench`; keyword arguments for the others.

    Raises:
        TaskError: unknown name, options that do not fit, or a task that cannot be used as given.
    """
    options = dict(options or {})
    try:
        if name == "repository":
            return RepositoryEnv.open(RepositorySource(**options))
        if name == "demo":
            # Reading every built-in task is left until somebody asks for them.
            from envs.demo import DemoEnv

            return DemoEnv(**options)
        if name == "harbor":
            from envs.harbor import HarborEnv

            return HarborEnv(**options)
        if name == "swebench":
            from envs.swebench import SweBenchEnv, SweBenchSource

            return SweBenchEnv.open(SweBenchSource(**options))
        if ":" in name:
            module, _, attribute = name.partition(":")
            env: Env = getattr(importlib.import_module(module), attribute)(**options)
            return env
    except (ImportError, AttributeError) as error:
        raise TaskError(f"no env {name}: {error}") from error
    except ValidationError as error:
        raise TaskError(f"the options do not fit the env {name}: {first_problem(error)}") from error
    except TypeError as error:
        raise TaskError(f"the options do not fit the env {name}: {error}") from error
    raise TaskError(f"no env named {name}; there are: demo, harbor, repository, swebench, or module:Class")
