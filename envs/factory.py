"""Open an env by name."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from core.errors import first_problem
from core.registry import Registry
from envs.base import Env
from envs.errors import TaskError

ENVS = Registry(
    "env",
    {
        "demo": "envs.demo:DemoEnv",
        "harbor": "envs.harbor:HarborEnv",
        "repository": "envs.repository:RepositoryEnv",
        "swebench": "envs.swebench:SweBenchEnv",
    },
)


def open_env(name: str, options: Mapping[str, Any] | None = None) -> Env:
    """Create an env. It may read repositories, so call this in a thread.

    Args:
        name: `repository`, `demo`, `harbor`, `swebench`, or `module:Class` for your own.
        options: keyword arguments of the class. If the class declares a model `Options`, as `repository` and `swebench`
            do, they are the fields of that model, and its class method `open` receives an instance.

    Raises:
        UnknownPart: no such name, module or class.
        TaskError: invalid options, or a task that cannot be used as given.
    """
    part, given = ENVS.find(name), dict(options or {})
    model = getattr(part, "Options", None)
    try:
        env: Env = part.open(model(**given)) if model else part(**given)
    except ValidationError as error:
        raise TaskError(f"invalid options for the env {name}: {first_problem(error)}") from error
    except TypeError as error:
        raise TaskError(f"invalid options for the env {name}: {error}") from error
    return env
