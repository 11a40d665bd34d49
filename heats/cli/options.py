"""Options shared by several commands, declared once as dataclasses and spread over the commands' signatures."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from heats.config import HeatsConfig, load_config
from heats.importing.tasks import NamedBy
from heats.view.live import DisplayMode
from sandbox.base import SetupNetwork

Command = TypeVar("Command", bound=Callable[..., Any])

TasksFrom = Annotated[
    NamedBy | None,
    typer.Option(
        "--tasks-from",
        help="Take the name of each folder or file as the task id of attempts that name no task.",
        show_default=False,
    ),
]

MODEL, METHOD, SANDBOX, LIMITS, OUTPUT = "Model", "Method", "Sandbox", "Limits", "Configuration and output"
TESTS = "Tests"

_BUILTIN_STEP_CHARS = 4000
"""`summarizer.step_chars` for the built-in model: its commands carry long scripts, and its tokens cost nothing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of every command that runs rollouts. None keeps the configured value."""

    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Model name, or builtin:repair.", rich_help_panel=MODEL)
    ] = None
    base_url: Annotated[
        list[str] | None,
        typer.Option(
            "--base-url",
            help="OpenAI-compatible server, such as http://localhost:8000/v1 (or OPENAI_BASE_URL); repeatable.",
            rich_help_panel=MODEL,
        ),
    ] = None
    agent: Annotated[
        str | None,
        typer.Option(
            "--agent",
            "-a",
            help="bash, terminal, mini, qwen-code, codex, claude-code, opencode, command:..., or module:Class.",
            rich_help_panel=MODEL,
        ),
    ] = None
    rollouts: Annotated[
        int | None,
        typer.Option("--rollouts", "-k", "--attempts", min=1, help="N: rollouts per heat.", rich_help_panel=METHOD),
    ] = None
    iterations: Annotated[
        int | None, typer.Option("--iterations", min=1, help="T: number of heats.", rich_help_panel=METHOD)
    ] = None
    select_k: Annotated[
        int | None,
        typer.Option("--select-k", min=1, help="K: rollouts kept for the next heat.", rich_help_panel=METHOD),
    ] = None
    group_size: Annotated[
        int | None, typer.Option("--group-size", min=2, help="G: candidates per match.", rich_help_panel=METHOD)
    ] = None
    votes: Annotated[int | None, typer.Option("--votes", min=1, help="V: votes per match.", rich_help_panel=METHOD)] = (
        None
    )
    selector: Annotated[
        str | None,
        typer.Option("--selector", help="rtv, random, majority, ... or module:Class.", rich_help_panel=METHOD),
    ] = None
    seed: Annotated[int | None, typer.Option("--seed", help="Seed for all random choices.", rich_help_panel=METHOD)] = (
        None
    )
    sandbox: Annotated[
        str | None,
        typer.Option("--sandbox", help="auto, docker, bubblewrap, or local (unsafe).", rich_help_panel=SANDBOX),
    ] = None
    unsafe: Annotated[
        bool, typer.Option("--unsafe", help="Allow --sandbox local: no isolation at all.", rich_help_panel=SANDBOX)
    ] = False
    image: Annotated[
        str | None, typer.Option("--image", help="Image to start sandboxes from.", rich_help_panel=SANDBOX)
    ] = None
    workers: Annotated[
        int | None,
        typer.Option("--workers", "-w", "-n", min=1, help="Sandboxes in use at once.", rich_help_panel=SANDBOX),
    ] = None
    cost_limit: Annotated[
        float | None, typer.Option("--cost-limit", "-l", help="Cost limit per task, in USD.", rich_help_panel=LIMITS)
    ] = None
    total_cost_limit: Annotated[
        float | None, typer.Option("--total-cost-limit", help="Cost limit for the run, in USD.", rich_help_panel=LIMITS)
    ] = None
    token_limit: Annotated[
        int | None, typer.Option("--token-limit", help="Token limit per task.", rich_help_panel=LIMITS)
    ] = None
    time_limit: Annotated[
        float | None, typer.Option("--time-limit", help="Time limit per task, in seconds.", rich_help_panel=LIMITS)
    ] = None
    config: Annotated[
        list[str] | None,
        typer.Option(
            "--config",
            "-c",
            help="YAML file, preset or key=value; repeatable, later ones override earlier ones.",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    print_config: Annotated[
        bool,
        typer.Option("--print-config", help="Print the whole configuration and exit.", rich_help_panel=OUTPUT),
    ] = False
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Run directory.", rich_help_panel=OUTPUT)] = None
    redo: Annotated[
        bool,
        typer.Option("--redo", help="Move an old run in the directory aside and start over.", rich_help_panel=OUTPUT),
    ] = False
    json: Annotated[
        bool, typer.Option("--json", help="Print the result as one JSON object.", rich_help_panel=OUTPUT)
    ] = False
    progress: Annotated[
        DisplayMode, typer.Option("--progress", help="How to show progress.", rich_help_panel=OUTPUT)
    ] = "auto"

    def overrides(self) -> dict[str, Any]:
        """Dotted configuration keys that these options set; None leaves a key alone."""
        return {
            "agent.name": self.agent,
            "rollouts": self.rollouts,
            "iterations": self.iterations,
            "select_k": self.select_k,
            "tournament.group_size": self.group_size,
            "tournament.votes": self.votes,
            "tournament.selector": self.selector,
            "seed": self.seed,
            "sandbox.backend": self.sandbox,
            "sandbox.unsafe": self.unsafe or None,
            "sandbox.image": self.image,
            "workers": self.workers,
            "limits.task.cost_usd": self.cost_limit,
            "limits.run.cost_usd": self.total_cost_limit,
            "limits.task.tokens": self.token_limit,
            "limits.task.time_s": self.time_limit,
            "model.name": self.model,
            "model.base_url": list(self.base_url) if self.base_url else None,
        }

    def load(self, defaults: dict[str, Any] | None = None, *, base: Mapping[str, Any] | None = None) -> HeatsConfig:
        """The configuration: preset, settings of another run, `defaults` of the command, `-c` layers, these options.

        Raises:
            UsageError: an unknown key, value, file or preset.
        """
        layers = [*(f"{key}={value}" for key, value in (defaults or {}).items()), *(self.config or ())]
        config = load_config(layers, self.overrides(), base=base)
        if config.model is None or config.model.name != "builtin:repair":
            return config
        return load_config([f"summarizer.step_chars={_BUILTIN_STEP_CHARS}", *layers], self.overrides(), base=base)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TestOptions(RunOptions):
    """Additional options of commands that verify patches with a test command."""

    __test__ = False  # not a test class, despite its name (for pytest)

    must_pass: Annotated[
        list[str] | None,
        typer.Option(
            "--must-pass",
            metavar="ID",
            help="Test, class or file that a patch has to fix; repeatable. By default any failing test counts.",
            rich_help_panel=TESTS,
        ),
    ] = None
    allow_collection_errors: Annotated[
        bool,
        typer.Option(
            "--allow-collection-errors",
            help="Continue if tests cannot be loaded, or do not finish, on the untouched tree.",
            rich_help_panel=TESTS,
        ),
    ] = False
    test_timeout: Annotated[
        float,
        typer.Option("--test-timeout", min=1, help="Time limit for one test run, in seconds.", rich_help_panel=TESTS),
    ] = 600.0

    setup_network: Annotated[
        SetupNetwork | None,
        typer.Option(
            "--setup-network",
            help="Network of the set-up alone: none, bridge, or host (this machine's own).",
            show_default=False,
            rich_help_panel=SANDBOX,
        ),
    ] = None
    setup_env: Annotated[
        list[str] | None,
        typer.Option(
            "--setup-env",
            metavar="NAME",
            help="Pass this environment variable to the set-up alone, such as a package index; repeat it.",
            rich_help_panel=SANDBOX,
        ),
    ] = None
    workdir: Annotated[
        str | None,
        typer.Option(
            "--workdir",
            help="Where the tree is in the sandbox (/testbed); the image may hold the project there already.",
            show_default=False,
            rich_help_panel=SANDBOX,
        ),
    ] = None

    def overrides(self) -> dict[str, Any]:
        """See `RunOptions.overrides`."""
        return {
            **super().overrides(),
            "verify.must_pass": self.must_pass or None,
            "verify.allow_collection_errors": self.allow_collection_errors or None,
        }


def spread(command: Command) -> Command:
    """Replace a command's `options` parameter, a dataclass, with its fields, as typer needs them."""
    return spread_without()(command)


def spread_without(*names: str) -> Callable[[Command], Command]:
    """Like `spread`, without the given fields, which mean nothing to the command and keep their defaults."""
    return lambda command: _spread(command, frozenset(names))


def _spread(command: Command, without: frozenset[str]) -> Command:
    shared_class = inspect.signature(command).parameters["options"].annotation
    fields = [field for field in dataclasses.fields(shared_class) if field.name not in without]
    signature = inspect.signature(command)
    own = [parameter for name, parameter in signature.parameters.items() if name != "options"]
    hints = get_type_hints(shared_class, include_extras=True)
    shared = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields
    ]

    @functools.wraps(command)
    def wrapper(**given: Any) -> Any:
        options = shared_class(**{field.name: given.pop(field.name) for field in fields})
        return command(**given, options=options)

    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own] + shared
    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del wrapper.__wrapped__  # otherwise typer would find the original function with `options`
    return wrapper  # type: ignore[return-value]
