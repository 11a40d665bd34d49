"""The control flow of one task as a LangGraph graph: prepare -> heat -> (refine -> heat ...) -> verify.

A heat is one node, because its tournament starts while its rollouts still run. Selection over imported attempts runs on
the same graph, with a heat that plays only the tournament.

The state holds a counter and flags, never records: every node reads what it needs from the run store, and returns at
once if its record exists. So checkpoints may be lost, replayed or stale without losing or repeating any work.

LangGraph is used in ways measured to be safe: async API, `durability="sync"`, no `max_concurrency`, strict
deserialisation. The store decides what is finished, since a graph without next nodes may not have run at all.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from agents.errors import AgentUnusable, LimitExceeded, ModelConfigError, ModelError
from envs import baseline
from envs.base import Evidence, Patch
from envs.errors import BaselineUnusable, SetupFailed
from heats.runner.announcements import announce_result
from heats.runner.attempts import another_heat
from heats.runner.bank import recall, remember
from heats.runner.heat import plan_heat, run_heat
from heats.runner.reasons import needs_person, outcomes_of, why_nothing, without_calls
from heats.runner.rollout import Plan, TaskRun
from heats.store.records import Outcome, TaskResult
from sandbox.errors import SandboxError
from tournament.base import Bracket
from tournament.errors import NoCandidates


class State(TypedDict):
    """What a checkpoint holds: the number of the heat to play or just played, and whether it is the last."""

    heat: int
    stop: bool


async def run_task(run: TaskRun, checkpointer: "BaseCheckpointSaver[str]") -> TaskResult:
    """Run the whole method on one task; if the task has a result, return it.

    Raises:
        ModelConfigError: no task of this run can succeed with the configured model.
    """

    async def drive() -> None:
        nodes = Nodes(run)
        await _drive(run, nodes, checkpointer)
        if run.store.result() is None:  # stale checkpoints: the graph thought it was done, the store knows better
            await checkpointer.adelete_thread(run.task.id)
            await _drive(run, nodes, checkpointer)

    if run.states is None:
        return await run_to_result(run, drive)
    async with run.states:
        return await run_to_result(run, drive)


async def run_to_result(run: TaskRun, drive: Callable[[], Awaitable[None]]) -> TaskResult:
    """Do the work that stores a task's result, unless it is stored; failures become results with the reason.

    Raises:
        ModelConfigError: no task of this run can succeed with the configured model.
    """
    stored = run.store.result()
    if stored is not None:
        return stored
    run.store.save_task(run.task)
    run.services.events.emit("task_started", task=run.task.id)
    try:
        run.ledger.check()
        run.services.check_image(run.task)
        await drive()
        result = run.store.result()
        if result is None:
            raise RuntimeError(f"the work on task {run.task.id} ended without a result")
    except LimitExceeded as limit:
        result = settle(run, limit)
        if result.status != "budget":
            run.store.save_result(result)
    except (AgentUnusable, SetupFailed, BaselineUnusable) as error:
        result = _result(run, "error", detail=str(error)).model_copy(update={"cause": "task"})
    except ModelConfigError:
        raise
    except NoCandidates as error:
        outcomes = _outcomes(run)
        ours = bool(outcomes) and all(outcome.failure == "internal" for outcome in outcomes)
        update = {"cause": "internal" if ours else "infrastructure"}
        result = _result(run, "error", detail=f"{error}: {why_nothing(outcomes)}").model_copy(update=update)
    except (SandboxError, ModelError) as error:
        result = _result(run, "error", detail=str(error)).model_copy(update={"cause": "infrastructure"})
    if run.store.result() is None:
        run.store.save_failed(result)
    announce_result(run.services.events, result)
    return result


async def run_nodes(run: TaskRun, nodes: "Nodes") -> TaskResult:
    """Run the graph with other nodes and without checkpoints; everything the nodes do is found in the store again.

    Raises:
        ModelConfigError: no task of this run can succeed with the model as configured.
    """

    async def drive() -> None:
        await build_graph(nodes).ainvoke(State(heat=0, stop=False))

    return await run_to_result(run, drive)


async def _drive(run: TaskRun, nodes: "Nodes", checkpointer: "BaseCheckpointSaver[str]") -> None:
    graph = build_graph(nodes, checkpointer)
    config: RunnableConfig = {"configurable": {"thread_id": run.task.id}, "recursion_limit": 100}
    started = await checkpointer.aget_tuple(config) is not None
    await graph.ainvoke(None if started else State(heat=0, stop=False), config, durability="sync")


def build_graph(
    nodes: "Nodes", checkpointer: "BaseCheckpointSaver[str] | None" = None
) -> "CompiledStateGraph[State, None, State, State]":
    """Build the graph of one task. Nodes work on the run store and may be replayed."""
    graph = StateGraph(State)
    graph.add_node("prepare", nodes.prepare)
    graph.add_node("heat", nodes.heat)
    graph.add_node("refine", nodes.refine)
    graph.add_node("verify", nodes.verify)
    graph.add_edge(START, "prepare")
    graph.add_conditional_edges("prepare", _after_prepare, {"heat": "heat", "end": END})
    graph.add_conditional_edges("heat", _after_heat, {"refine": "refine", "verify": "verify"})
    graph.add_edge("refine", "heat")
    graph.add_edge("verify", END)
    return graph.compile(checkpointer=checkpointer)


def drawn() -> str:
    """The graph as a Mermaid flow chart."""
    lines = build_graph(Nodes.__new__(Nodes)).get_graph().draw_mermaid(with_styles=False).splitlines()
    return "\n".join(line.rstrip("; \t") for line in lines if line.strip()) + "\n"


def _after_prepare(state: State) -> Literal["heat", "end"]:
    return "end" if state["stop"] else "heat"


def _after_heat(state: State) -> Literal["refine", "verify"]:
    return "verify" if state["stop"] else "refine"


class Nodes:
    """The steps of one task, over the run store; each returns at once if its record exists."""

    def __init__(self, run: TaskRun) -> None:
        self._run = run
        self._plans: dict[int, list[Plan]] = {}

    async def prepare(self, state: State) -> dict[str, Any]:
        """Run the task's own tests on the unpatched tree; a tree that already passes ends the task."""
        run = self._run
        if run.task.test_command is None:
            return {"stop": False}
        report = run.store.baseline()
        if report is None:
            services = run.services
            async with services.slots.hold(run.order):
                report = await baseline(services.env, run.task, services.bench("baseline"))
            run.store.save_baseline(report)
            passed, failed = len(report.ids("passed")), len(report.ids("failed", "error"))
            services.events.emit("baseline", task=run.task.id, status=report.status, passed=passed, failed=failed)
        if not report.failing and not run.services.config.allow_passing:
            detail = "the tests already pass on the base commit, so no patch could be verified (see --allow-passing)"
            run.store.save_result(_result(run, "unverified", detail=detail))
            return {"stop": True}
        return {"stop": False}

    async def heat(self, state: State) -> dict[str, Any]:
        """Play a heat (rollouts, summaries, tournament), and decide whether another follows."""
        run, heat = self._run, state["heat"]
        await recall(run, heat)
        bracket = await run_heat(run, heat, self._plans.pop(heat, None))
        stop = (
            heat + 1 >= run.services.config.iterations
            or without_calls(outcomes_of(run.store, heat))
            or not another_heat(run, heat, bracket)
        )
        if not stop and run.services.config.bank.when == "heat":
            await remember(run, heat)
        selected = self._winner(bracket) if stop else bracket.selected
        run.services.events.emit("selected", task=run.task.id, heat=heat, selected=selected, final=stop)
        return {"stop": stop}

    async def refine(self, state: State) -> dict[str, Any]:
        """Make the contexts of the next heat from what the last one kept."""
        heat = state["heat"] + 1
        if self._run.store.bracket(heat) is None:
            self._plans[heat] = await plan_heat(self._run, heat)
        return {"heat": heat}

    async def verify(self, state: State) -> dict[str, Any]:
        """Verify the winner in a fresh sandbox, unless its evidence exists, and store the result."""
        run = self._run
        bracket = run.store.bracket(state["heat"])
        if bracket is None:
            raise RuntimeError(f"verification before the tournament of heat {state['heat']} was stored")
        winner = next(iter(self._winner(bracket)), None)
        if winner is None:
            result = _result(run, "no_patch", detail=f"no rollout produced a patch: {why_nothing(_outcomes(run))}")
            return self._end(result)
        evidence = await run.evidence_for(winner)
        result = conclude(run, winner, evidence)
        if run.states is not None and run.task.submission == "state":
            kept = await run.states.kept(winner, run.store.rollout(winner).patch())
            detail = "the winner's end state is the submission" + (f", kept as image {kept}" if kept else "")
            result = result.model_copy(update={"detail": detail, "state_image": kept})
        if winner in bracket.by_chance:
            detail = (
                f"{result.detail}; chosen at random, because no vote on it could be read{_why_unheard(bracket, winner)}"
            )
            result = result.model_copy(update={"detail": detail, "by_chance": True})
        return self._end(result)

    def _winner(self, bracket: Bracket) -> tuple[str, ...]:
        """The last tournament's winner, or the attempt that the policy chose after it; empty if there is neither."""
        allocation = self._run.allocation
        chosen = allocation.state.chosen if allocation is not None else ""
        return (chosen,) if chosen and bracket.selected else bracket.selected[:1]

    def _end(self, result: TaskResult) -> dict[str, Any]:
        """Store the result; it says so if the task needs a person."""
        run = self._run
        if said := needs_person(_outcomes(run)):
            result = result.model_copy(update={"detail": f"{said}; {result.detail}"})
        run.store.save_result(result)
        run.services.events.emit("verified", task=run.task.id, verdict=result.status, reason=result.detail)
        return {"stop": True}


def _why_unheard(bracket: Bracket, winner: str) -> str:
    """What decided in place of votes, if a match says so."""
    unheard = (match for match in bracket.matches if match.decided_by == "unheard" and winner in match.contestants)
    return next((f" ({match.votes[0].reason})" for match in unheard), "")


def conclude(run: TaskRun, winner: str, evidence: Evidence | None) -> TaskResult:
    """The result for a winner: verified only by evidence.

    Args:
        run: the task.
        winner: id of the selected rollout.
        evidence: its evidence; None without a test command.
    """
    patch, remarks = run.store.rollout(winner).patch(), _remarks(run, winner)
    if not patch:
        detail = f"no rollout produced a patch: {why_nothing(_outcomes(run))}{remarks}"
        return _result(run, "no_patch", detail=detail, winner=winner, evidence=evidence)
    if evidence is None:
        detail = f"there is no test command to verify it with{remarks}"
        return _result(run, "unverified", detail=detail, winner=winner, patch=patch)
    return _result(
        run, evidence.verdict, detail=evidence.reason + remarks, winner=winner, patch=patch, evidence=evidence
    )


def _remarks(run: TaskRun, winner: str) -> str:
    """Remarks on a winner's patch, in brackets."""
    outcome = run.store.rollout(winner).outcome()
    remarks = outcome.remarks if outcome is not None else ()
    more = f"; and {len(remarks) - 3} more" if len(remarks) > 3 else ""
    return f" ({'; '.join(remarks[:3])}{more})" if remarks else ""


def _outcomes(run: TaskRun) -> list[Outcome]:
    return [outcome for heat in range(run.services.config.iterations) for outcome in outcomes_of(run.store, heat)]


def settle(run: TaskRun, limit: LimitExceeded) -> TaskResult:
    """The result if a limit ends a task early: the first verified candidate, else the first that passes.

    Without either, the result says which limit was reached.
    """
    for wanted in ("verified", "passes"):
        for heat in range(run.services.config.iterations):
            for rollout in run.store.rollouts(heat):
                files = run.store.rollout(rollout)
                evidence = files.evidence() if files.outcome() else None
                if evidence is not None and evidence.verdict == wanted:
                    result = conclude(run, rollout, evidence)
                    return result.model_copy(update={"detail": f"{evidence.reason} ({limit})"})
    return _result(run, "budget", detail=str(limit))


def _result(
    run: TaskRun,
    status: Literal["verified", "passes", "unverified", "no_patch", "error", "budget"],
    *,
    detail: str,
    winner: str | None = None,
    patch: Patch | None = None,
    evidence: Evidence | None = None,
) -> TaskResult:
    heats = [heat for heat in range(run.services.config.iterations) if run.store.rollouts(heat)]
    brackets = [run.store.bracket(heat) for heat in heats]
    return TaskResult(
        task=run.task.id,
        status=status,
        detail=detail,
        base_commit=run.task.base_commit,
        selected=winner,
        patch_sha256=patch.sha256 if patch else "",
        heats=len(heats),
        rollouts=tuple(rollout for heat in heats for rollout in run.store.rollouts(heat)),
        kept=tuple(bracket.selected for bracket in brackets[:-1] if bracket),
        evidence=evidence,
        usage=run.ledger.spent,
    )
