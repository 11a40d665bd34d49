"""Options that several commands share, declared once as a dataclass and spread over their signatures."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from heats.config import HeatsConfig, load_config
from heats.importing.tasks import NamedBy
from heats.view.live import DisplayMode

Command = TypeVar("Command", bound=Callable[..., Any])

TasksFrom = Annotated[
    NamedBy | None,
    typer.Option(
        "--tasks-from",
        help="folder or file: its name is the task's id, for attempts that name none.",
        show_default=False,
    ),
]

MODEL, METHOD, SANDBOX, LIMITS, OUTPUT = "Model", "Method", "Sandbox", "Limits", "Configuration and output"
TESTS = "Tests"


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What every command that runs rollouts takes. None leaves the configuration's value."""

    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Model name, or builtin:repair.", rich_help_panel=MODEL)
    ] = None
    base_url: Annotated[
        list[str] | None,
        typer.Option(
            "--base-url",
            help="OpenAI-compatible server, as http://localhost:8000/v1 (else OPENAI_BASE_URL); repeat for several.",
            rich_help_panel=MODEL,
        ),
    ] = None
    agent: Annotated[
        str | None,
        typer.Option(
            "--agent", "-a", help="bash, terminal, mini, command:..., or module:Class.", rich_help_panel=MODEL
        ),
    ] = None
    rollouts: Annotated[
        int | None,
        typer.Option("--rollouts", "-k", "--attempts", min=1, help="N, rollouts of a heat.", rich_help_panel=METHOD),
    ] = None
    iterations: Annotated[int | None, typer.Option("--iterations", min=1, help="T, heats.", rich_help_panel=METHOD)] = (
        None
    )
    select_k: Annotated[
        int | None, typer.Option("--select-k", min=1, help="K, kept for the next heat.", rich_help_panel=METHOD)
    ] = None
    group_size: Annotated[
        int | None, typer.Option("--group-size", min=2, help="G, candidates of a match.", rich_help_panel=METHOD)
    ] = None
    votes: Annotated[
        int | None, typer.Option("--votes", min=1, help="V, votes of a match.", rich_help_panel=METHOD)
    ] = None
    selector: Annotated[
        str | None, typer.Option("--selector", help="rtv, random, majority ...", rich_help_panel=METHOD)
    ] = None
    seed: Annotated[int | None, typer.Option("--seed", help="Of everything random.", rich_help_panel=METHOD)] = None
    sandbox: Annotated[
        str | None,
        typer.Option("--sandbox", help="auto, docker, bubblewrap, or local (unsafe).", rich_help_panel=SANDBOX),
    ] = None
    unsafe: Annotated[
        bool, typer.Option("--unsafe", help="Allow --sandbox local: no isolation at all.", rich_help_panel=SANDBOX)
    ] = False
    image: Annotated[
        str | None, typer.Option("--image", help="Image that sandboxes start from.", rich_help_panel=SANDBOX)
    ] = None
    workers: Annotated[
        int | None,
        typer.Option("--workers", "-w", "-n", min=1, help="Sandboxes at work at once.", rich_help_panel=SANDBOX),
    ] = None
    cost_limit: Annotated[
        float | None, typer.Option("--cost-limit", "-l", help="USD for a task.", rich_help_panel=LIMITS)
    ] = None
    total_cost_limit: Annotated[
        float | None, typer.Option("--total-cost-limit", help="USD for the run.", rich_help_panel=LIMITS)
    ] = None
    token_limit: Annotated[
        int | None, typer.Option("--token-limit", help="Tokens for a task.", rich_help_panel=LIMITS)
    ] = None
    time_limit: Annotated[
        float | None, typer.Option("--time-limit", help="Seconds for a task.", rich_help_panel=LIMITS)
    ] = None
    config: Annotated[
        list[str] | None,
        typer.Option(
            "--config",
            "-c",
            help="YAML file, preset name or key=value; repeat to lay one over another.",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    print_config: Annotated[
        bool,
        typer.Option("--print-config", help="Print the whole configuration, then stop.", rich_help_panel=OUTPUT),
    ] = False
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Run directory.", rich_help_panel=OUTPUT)] = None
    redo: Annotated[
        bool, typer.Option("--redo", help="Set an old run in the directory aside.", rich_help_panel=OUTPUT)
    ] = False
    json: Annotated[
        bool, typer.Option("--json", help="Print the result as one JSON object.", rich_help_panel=OUTPUT)
    ] = False
    progress: Annotated[
        DisplayMode, typer.Option("--progress", help="auto, live, plain, json or quiet.", rich_help_panel=OUTPUT)
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

    def load(self, defaults: dict[str, Any] | None = None) -> HeatsConfig:
        """The configuration: preset, `defaults` of the command, `-c` layers, then these options.

        Raises:
            UsageError: an unknown key, value, file or preset.
        """
        layers = [*(f"{key}={value}" for key, value in (defaults or {}).items()), *(self.config or ())]
        return load_config(layers, self.overrides())


@dataclasses.dataclass(frozen=True, kw_only=True)
class TestOptions(RunOptions):
    """What commands take besides that verify patches by a test command."""

    __test__ = False  # not a test class, whatever pytest thinks of the name

    must_pass: Annotated[
        list[str] | None,
        typer.Option(
            "--must-pass",
            metavar="ID",
            help="A test, class or file that a patch has to fix; repeat it. Without: any failing test counts.",
            rich_help_panel=TESTS,
        ),
    ] = None
    allow_collection_errors: Annotated[
        bool,
        typer.Option(
            "--allow-collection-errors",
            help="Go on when tests cannot be loaded, or do not end, on the untouched tree.",
            rich_help_panel=TESTS,
        ),
    ] = False
    test_timeout: Annotated[
        float, typer.Option("--test-timeout", min=1, help="Seconds for one run of the tests.", rich_help_panel=TESTS)
    ] = 600.0

    def overrides(self) -> dict[str, Any]:
        """See `RunOptions.overrides`."""
        return {
            **super().overrides(),
            "verify.must_pass": self.must_pass or None,
            "verify.allow_collection_errors": self.allow_collection_errors or None,
        }


def spread(command: Command) -> Command:
    """Replace a command's `options: RunOptions` parameter, or any dataclass's, by its fields, as typer wants them."""
    return spread_without()(command)


def spread_without(*names: str) -> Callable[[Command], Command]:
    """As `spread`, for a command to which some of the fields mean nothing; those keep their defaults."""
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
    del wrapper.__wrapped__  # typer would look through to the function with `options`
    return wrapper  # type: ignore[return-value]
