"""`heats plan`: simulate what N, K, G, V and T would achieve and cost, before spending anything."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import track

from heats.cli.options import spread
from heats.cli.session import print_json, telling
from heats.errors import UsageError
from heats.formatting import several
from heats.planning.calibrate import Measured, measure
from heats.planning.dice import Signals
from heats.planning.forecast_plot import write_plot
from heats.planning.forecast_text import as_dict, outlook_text, policies_text, policy_dict
from heats.planning.plan import Cost, Outlook, Prices, TaskLimits, best, outlooks, settings
from heats.planning.recommend import PolicyOutlook, policy_outlooks, reasons, recommended
from heats.planning.reproduce import OPUS_REFINED, SWE_BENCH, reproduce_paper, usual_concentration, usual_unsolvable
from heats.planning.simulate import Method, World

MOST_SETTINGS = 500
POLICY_TASKS = 300
"""Most tasks to simulate policies on, which takes longer than whole heats."""
METHOD, TASKS, COSTS, LIMITS = "Settings (lists such as 4,8,16)", "Model and tasks", "Costs", "Limits per task"


class Paper(StrEnum):
    """Papers that can be reproduced."""

    PAPER = "paper"


def _option(name: str, panel: str, text: str) -> Any:
    return typer.Option(name, help=text, rich_help_panel=panel)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """Options of `heats plan`. None takes the value from the given run, else the usual value."""

    rollouts: Annotated[str, _option("--rollouts", METHOD, "N: rollouts per heat.")] = "4,8,16"
    select_k: Annotated[str, _option("--select-k", METHOD, "K: rollouts kept for the next heat.")] = "2,4"
    group_size: Annotated[str, _option("--group-size", METHOD, "G: candidates per match.")] = "2"
    votes: Annotated[str, _option("--votes", METHOD, "V: votes per match.")] = "4,8"
    iterations: Annotated[str, _option("--iterations", METHOD, "T: number of heats.")] = "1,2"
    fresh_share: Annotated[
        float,
        typer.Option(
            "--fresh-share", min=0, max=1, help="Share of later rollouts that get no context.", rich_help_panel=METHOD
        ),
    ] = 0.25
    keep: Annotated[
        bool,
        typer.Option(
            "--keep/--no-keep", help="Let kept candidates of earlier heats play in the final.", rich_help_panel=METHOD
        ),
    ] = True
    early_stop: Annotated[
        bool,
        typer.Option(
            "--early-stop/--no-early-stop", help="Stop a match once its winner is certain.", rich_help_panel=METHOD
        ),
    ] = True
    run: Annotated[
        Path | None, _option("--from", TASKS, "Take pass rates, judge accuracy, steps and costs from this run.")
    ] = None
    pass_rate: Annotated[
        float | None, _option("--pass-rate", TASKS, "Share of fresh rollouts that pass, averaged over tasks.")
    ] = None
    concentration: Annotated[
        float | None,
        _option(
            "--concentration",
            TASKS,
            "Alpha + beta of the beta distribution of pass rates; small values polarise tasks.",
        ),
    ] = None
    judge_accuracy: Annotated[
        str | None,
        _option(
            "--judge-accuracy", TASKS, "Share of mixed pairs that the judge decides correctly, by heat: 0.64,0.55."
        ),
    ] = None
    refined: Annotated[
        str | None,
        _option("--refined", TASKS, "Pass rates of refined rollouts, by the share of their context that passes."),
    ] = None
    judge_misled: Annotated[
        float,
        typer.Option(
            "--judge-misled",
            min=0,
            max=1,
            help="Share of failing candidates that the judge always prefers to passing ones.",
            rich_help_panel=TASKS,
        ),
    ] = 0.0
    visible_tests: Annotated[
        str,
        _option(
            "--visible-tests",
            TASKS,
            "Shares of right and of wrong patches that your tests verify, or none if there are no tests.",
        ),
    ] = "0.95,0.1"
    equal_patches: Annotated[
        str, _option("--equal-patches", TASKS, "Shares of right and of wrong attempts that make the usual change.")
    ] = "0.5,0.15"
    policies: Annotated[str, _option("--policies", METHOD, "Allocation policies to compare; empty compares none.")] = (
        "fixed,first-verified,agreement"
    )
    steps: Annotated[str | None, _option("--steps", COSTS, "Steps per rollout, by heat.")] = None
    step_tokens: Annotated[float | None, _option("--step-tokens", COSTS, "Tokens per step.")] = None
    summary_tokens: Annotated[float | None, _option("--summary-tokens", COSTS, "Tokens per summary.")] = None
    vote_tokens: Annotated[float | None, _option("--vote-tokens", COSTS, "Tokens per vote.")] = None
    token_price: Annotated[float | None, _option("--token-price", COSTS, "USD per million tokens.")] = None
    rollout_cost: Annotated[float | None, _option("--rollout-cost", COSTS, "USD per rollout, on top of its steps.")] = (
        None
    )
    step_cost: Annotated[float | None, _option("--step-cost", COSTS, "USD per step, on top of its tokens.")] = None
    vote_cost: Annotated[float | None, _option("--vote-cost", COSTS, "USD per vote, on top of its tokens.")] = None
    rollout_seconds: Annotated[
        float | None, _option("--rollout-seconds", COSTS, "Seconds per rollout, on top of its steps: sandbox, tests.")
    ] = None
    step_seconds: Annotated[float | None, _option("--step-seconds", COSTS, "Seconds per step, command included.")] = (
        None
    )
    vote_seconds: Annotated[float | None, _option("--vote-seconds", COSTS, "Seconds per vote or summary.")] = None
    workers: Annotated[int, typer.Option("--workers", min=1, help="Rollouts in parallel.", rich_help_panel=COSTS)] = 4
    budget_calls: Annotated[float | None, _option("--budget-calls", LIMITS, "Limit on model calls.")] = None
    budget_tokens: Annotated[float | None, _option("--budget-tokens", LIMITS, "Limit on tokens.")] = None
    budget_usd: Annotated[float | None, _option("--budget-usd", LIMITS, "Limit on cost, in USD.")] = None
    budget_seconds: Annotated[float | None, _option("--budget-seconds", LIMITS, "Limit on time, in seconds.")] = None
    tasks: Annotated[
        int | None, typer.Option("--tasks", min=1, help="Simulated tasks per setting; 1000, or 3000 with --reproduce.")
    ] = None
    seed: Annotated[int, typer.Option("--seed", help="Seed of the simulation.")] = 0
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Plot success against cost to FILE.svg, or FILE.png (needs matplotlib)."),
    ] = None
    reproduce: Annotated[
        Paper | None, typer.Option("--reproduce", help="Print the paper's table next to the simulated one.")
    ] = None
    json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False

    def check(self) -> None:
        """Check that every cost and limit is a valid number.

        Raises:
            UsageError: a value is negative or not a number.
        """
        for one in dataclasses.fields(self):
            value = getattr(self, one.name)
            if isinstance(value, float) and not 0 <= value < math.inf:
                raise UsageError(f"--{one.name.replace('_', '-')} {value:g}: must be a number from 0")

    def budget(self) -> TaskLimits:
        """The limits of these options."""
        return TaskLimits(
            calls=self.budget_calls, tokens=self.budget_tokens, usd=self.budget_usd, seconds=self.budget_seconds
        )


@spread
def plan(*, options: PlanOptions) -> None:
    """Say what settings would give and cost, by simulation, and mark the best one within the limits.

    Costs and limits are for one task. --pass-rate or --from says how good the model is.
    """
    options.check()
    if options.reproduce is not None:
        with telling(lambda: "still simulating the paper's table") as tell:
            tell("simulating the paper's table")
            table = reproduce_paper(tasks=options.tasks or 3000, seed=options.seed)
        if options.json:
            print_json({"markdown": table})
        else:
            typer.echo(table)
        return
    measured = measure(options.run) if options.run is not None else None
    methods, world, prices = _methods(options), _world(options, measured), _prices(options, measured)
    budget, tasks = options.budget(), options.tasks or 1000
    notes = [*(measured.notes if measured else ()), *_assumed(options, measured, world, prices)]
    found = _simulated(outlooks(methods, world, prices, budget, tasks=tasks, seed=options.seed), len(methods))
    chosen = best(found, tasks)
    spending = _spending(options, methods, world, prices, min(tasks, POLICY_TASKS))
    if options.plot is not None:
        write_plot(options.plot, found, chosen, budget)
    _show(options, found, chosen, notes, spending)


def _spending(
    options: PlanOptions, methods: list[Method], world: World, prices: Prices, tasks: int
) -> list[PolicyOutlook]:
    """Simulate the policies, with every N and T."""
    names = [name for name in options.policies.split(",") if name]
    sizes = {(one.rollouts, one.iterations) for one in methods}
    found = policy_outlooks(
        names, methods, world, _signals(options), prices, options.budget(), tasks=tasks, seed=options.seed
    )
    return _simulated(found, len(names) * len(sizes), "policy setting")


def _signals(options: PlanOptions) -> Signals:
    equal = _shares("--equal-patches", options.equal_patches, least=2)
    seen = Signals(equal_right=equal[0], equal_wrong=equal[1])
    if options.visible_tests == "none":
        return dataclasses.replace(seen, true_pass=None, false_pass=None)
    tests = _shares("--visible-tests", options.visible_tests, least=2)
    return dataclasses.replace(seen, true_pass=tests[0], false_pass=tests[1])


Simulated = TypeVar("Simulated")


def _simulated(outlooks: Iterable[Simulated], count: int, what: str = "setting") -> list[Simulated]:
    """Collect all outlooks, showing progress on stderr."""
    found: list[Simulated] = []
    console = Console(stderr=True)
    if console.is_terminal:
        return list(track(outlooks, "simulating", total=count, console=console, transient=True))
    with telling(lambda: f"still simulating: {len(found)} of {several(count, what)} done") as tell:
        tell(f"simulating {several(count, what)}")
        for one in outlooks:
            found.append(one)
    return found


def _show(
    options: PlanOptions,
    found: list[Outlook],
    chosen: Outlook | None,
    notes: list[str],
    spending: Sequence[PolicyOutlook],
) -> None:
    policy = recommended(spending)
    told = reasons(spending, policy) if policy else []
    if spending and policy is None:
        told = ["no policy is within the limits"]
    if options.json:
        rows = [as_dict(one, is_best=one is chosen) for one in found]
        best_row = as_dict(chosen, is_best=True) if chosen else None
        policies = [policy_dict(one, is_best=one is policy) for one in spending]
        print_json({"settings": rows, "best": best_row, "policies": policies, "reasons": told, "notes": notes})
        return
    typer.echo(outlook_text(found, chosen))
    if spending:
        typer.echo(f"\n{policies_text(spending, policy)}")
    for note in (*told, *notes):
        typer.echo(f"- {note}")


def _methods(options: PlanOptions) -> list[Method]:
    base = Method(early_stop=options.early_stop, fresh_share=options.fresh_share, keep=options.keep)
    found = settings(
        base,
        _integers("--rollouts", options.rollouts),
        _integers("--select-k", options.select_k),
        _integers("--group-size", options.group_size, least=2),
        _integers("--votes", options.votes),
        _integers("--iterations", options.iterations),
    )
    if not found:
        raise UsageError("--select-k is larger than --rollouts in every setting")
    if len(found) > MOST_SETTINGS:
        raise UsageError(f"{len(found)} settings are too many (at most {MOST_SETTINGS}): give shorter lists")
    return found


def _world(options: PlanOptions, measured: Measured | None) -> World:
    if measured is None and options.pass_rate is None:
        raise UsageError("a pass rate is needed: give --pass-rate 0.4, or --from RUN")
    mean = options.pass_rate if options.pass_rate is not None else measured.mean if measured else 0.0
    concentration = options.concentration or (measured.concentration if measured else usual_concentration())
    accuracy = _shares("--judge-accuracy", options.judge_accuracy) or (measured.accuracy if measured else ())
    _check_share("--pass-rate", mean)
    if concentration <= 0:
        raise UsageError(f"--concentration {concentration:g}: must be positive")
    own = options.pass_rate is None and options.concentration is None
    given = options.concentration is not None or measured is not None
    return World(
        mean=mean,
        concentration=concentration,
        accuracy=accuracy or _usual_accuracy(),
        refined=_shares("--refined", options.refined, least=2) or OPUS_REFINED,
        rates=measured.rates if measured and own else (),
        unsolvable=0.0 if given else usual_unsolvable(mean),
        misled=options.judge_misled,
    )


def _usual_accuracy() -> tuple[float, ...]:
    low, high = SWE_BENCH
    return tuple((one + other) / 2 for one, other in zip(low, high, strict=True))


def _prices(options: PlanOptions, measured: Measured | None) -> Prices:
    steps = _numbers("--steps", options.steps) or (measured.steps if measured else ()) or (40.0, 15.0)
    known = measured or Measured(rates=(), mean=0, concentration=1)
    return Prices(
        steps=steps,
        step=_cost(options, known.step, options.step_tokens, options.step_cost, options.step_seconds),
        summary=_cost(options, known.summary, options.summary_tokens, None, options.vote_seconds),
        rollout=Cost(usd=options.rollout_cost or 0.0, seconds=options.rollout_seconds or 0.0),
        vote=_cost(options, known.vote, options.vote_tokens, options.vote_cost, options.vote_seconds),
        workers=options.workers,
    )


def _cost(
    options: PlanOptions, known: Cost | None, tokens: float | None, usd: float | None, seconds: float | None
) -> Cost:
    """The given cost, else the measured one, else zero."""
    known = known or Cost()
    tokens = known.tokens if tokens is None else tokens
    priced = known.usd if options.token_price is None else tokens * options.token_price / 1e6
    return Cost(
        tokens=tokens, usd=priced if usd is None else usd, seconds=known.seconds if seconds is None else seconds
    )


def _assumed(options: PlanOptions, measured: Measured | None, world: World, prices: Prices) -> list[str]:
    """Values that were neither given nor measured, one line each."""
    notes = []
    if options.concentration is None and measured is None:
        notes.append(
            "assumed: tasks as polarised as SWE-bench Verified is for Opus: "
            f"{world.unsolvable:.0%} are never solved afresh, the others have concentration {world.concentration:.2f}"
        )
    if options.judge_accuracy is None and not (measured and measured.accuracy):
        notes.append(f"assumed: judge accuracy {', '.join(f'{one:.2f}' for one in world.accuracy)} by heat (the paper)")
    if options.refined is None:
        notes.append("assumed: refined rollouts depend on their context as Opus's do in the paper")
    if options.steps is None and not (measured and measured.steps):
        notes.append("assumed: 40 steps per rollout, 15 per refined rollout (the paper's Opus)")
    known = (prices.rollout, prices.step, prices.summary, prices.vote)
    for name, limit in (
        ("tokens", options.budget_tokens),
        ("usd", options.budget_usd),
        ("seconds", options.budget_seconds),
    ):
        if limit is not None and not any(getattr(cost, name) for cost in known):
            raise UsageError(f"--budget-{name} has no effect while no {name} are known: give costs, or --from RUN")
    return notes


def _numbers(option: str, text: str | None) -> tuple[float, ...]:
    if text is None:
        return ()
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{option} {text}: expected numbers separated by commas") from None
    if not all(0 <= one < 1e9 for one in found):
        raise UsageError(f"{option} {text}: out of range")
    return found


def _integers(option: str, text: str, least: int = 1) -> list[int]:
    found = _numbers(option, text)
    if any(one != int(one) or not least <= one <= 1024 for one in found):
        raise UsageError(f"{option} {text}: expected whole numbers from {least} to 1024")
    return sorted({int(one) for one in found})


def _shares(option: str, text: str | None, least: int = 1) -> tuple[float, ...]:
    found = _numbers(option, text)
    for one in found:
        _check_share(option, one)
    if found and len(found) < least:
        raise UsageError(f"{option} {text}: expected at least {least} numbers")
    return found


def _check_share(option: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise UsageError(f"{option} {value:g}: must be between 0 and 1")
