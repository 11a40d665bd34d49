"""Rollouts that branch off an earlier one: where, what they repeat and pay for, and what a resumed run makes of it."""

from collections import Counter
from dataclasses import replace

import pytest
from doubles import CountingModel, Killed, PaperBackend, PaperSandbox
from test_context_rules import BRACKET, NAMES

from agents.atif import from_atif, to_atif
from agents.llm.base import ToolCall
from agents.resume import branch_of
from agents.trajectory import Exit, Observation, Step, Trajectory
from core.errors import InvalidOptions
from heats.config import load_config
from heats.context_rules import Before, Choice, Earlier, choice_of, open_context_rule
from heats.context_rules.base import Turn
from heats.runner.services import _check_parts
from heats.runner.turns import turns_of
from heats.store.reader import read_events
from heats.store.store import RunStore
from tournament.base import Candidate

A, B, C, _ = NAMES
PATCH = "diff --git a/src/f.py b/src/f.py\n--- a/src/f.py\n+++ b/src/f.py\n@@ -1 +1 @@\n-x\n+y\n"
BRANCHING = {"refine.context": "replay", "refine.options": {"share": 1.0}, "refine.fresh_share": 0.0}


def turn(number, command, thought=""):
    call = ToolCall(id=f"c{number}", name="bash", arguments=f'{{"command": {command!r}}}'.replace("'", '"'))
    seen = Observation(tool_call_id=call.id, content="out", exit_code=0)
    return Step(id=number, source="agent", content=thought, tool_calls=(call,), observations=(seen,))


def trajectory(*commands):
    opening = [Step(id=1, source="system", content="s"), Step(id=2, source="user", content="u")]
    steps = [*opening, *(turn(number, command) for number, command in enumerate(commands, 3))]
    return Trajectory(
        id=A, task_id="t", agent="bash", model="m", seed=1, steps=tuple(steps), exit=Exit(kind="submitted")
    )


def test_turns_say_which_files_were_named_and_where_the_source_was_edited():
    done = trajectory("grep -rn total .", "cat src/f.py", "sed -i s/x/y/ src/f.py", "pytest tests/test_f.py", "submit")
    turns = turns_of(done, PATCH)
    assert [one.edits for one in turns] == [False, False, True, False]
    assert [len(one.files) for one in turns] == [0, 1, 1, 2]


def test_nobody_branches_off_a_start_from_a_patch_or_another_agents_attempt():
    done = trajectory("cat src/f.py", "submit")
    assert len(turns_of(done, PATCH)) == 1
    assert turns_of(done.model_copy(update={"extra": {"started_from": "attempt 1"}}), PATCH) == ()
    assert turns_of(done.model_copy(update={"agent": "terminal"}), PATCH) == ()
    assert turns_of(None, PATCH) == ()


def test_a_branch_can_be_branched_off_and_a_paused_attempt_at_its_last_turn():
    branch = branch_of(trajectory("ls", "cat src/f.py", "submit"), 2, rollout=B)
    paused = branch.model_copy(update={"exit": Exit(kind="paused")})
    assert len(turns_of(branch.model_copy(update={"exit": Exit(kind="submitted")}), PATCH)) == 1
    assert len(turns_of(paused, PATCH)) == 2
    again = branch_of(paused, 2, rollout=C)
    assert (again.copied_steps, again.parents) == (2, (B,))


def test_a_branch_has_spent_nothing_and_survives_as_atif():
    branch = branch_of(trajectory("ls", "cat src/f.py", "submit"), 2, rollout=B)
    assert (branch.agent_steps, branch.copied_steps, branch.exit, branch.usage.calls) == (2, 2, None, 0)
    document = to_atif(branch)
    assert all(step["is_copied_context"] for step in document["steps"])
    assert from_atif(document) == branch


def before(turns, ranks=None, **more):
    attempts = {
        name: Earlier(
            Candidate(id=name, summary="", patch=name, patch_key=name, evidence_rank=(ranks or {}).get(name, 0)),
            turns=tuple(own),
        )
        for name, own in turns.items()
    }
    view = Before(bracket=BRACKET, usable=NAMES[:3], predecessor=A, k=2, seed=7, heat_seed=9, attempts=attempts)
    return replace(view, **more)


def choose(rule, view, **options):
    return choice_of(open_context_rule(rule, options), view)


def test_replay_branches_off_the_best_evidence_at_the_most_thoughtful_turn_of_a_rare_state():
    common, rare = frozenset({"f.py"}), frozenset({"f.py", "g.py"})
    turns = {A: [Turn(common), Turn(common)] * 40 + [Turn(rare, thought=5), Turn(rare, thought=90)], B: [Turn(common)]}
    choices = [choose("replay", before(turns, {A: 2}, seed=seed), share=1) for seed in range(60)]
    assert {one.start for one in choices} == {A}
    assert Counter(one.turns for one in choices)[82] > 45


def test_the_others_start_afresh_or_read_the_kept():
    view = before({A: [Turn()]})
    assert choose("replay", view, share=0) == Choice()
    assert choose("replay", view, share=0, others="select-k").parents == (A, B)


def test_phases_branch_off_before_the_first_edit_and_use_each_search_once_first():
    look, edit = Turn(), Turn(edits=True)
    turns = {A: [look, look, edit], B: [look, edit, edit], C: [edit]}
    choices = [choose("phases", before(turns, index=index)) for index in range(2)]
    assert {(one.start, one.turns) for one in choices} == {(A, 2), (B, 1)}
    assert choose("phases", before({C: [edit]})) == Choice(parents=(A, B))


def test_other_agents_cannot_branch():
    with pytest.raises(InvalidOptions, match="the agent bash only"):
        _check_parts(load_config((), {"refine.context": "phases", "agent.name": "terminal"}))


class Watched(PaperBackend):
    """Keeps every sandbox's commands; from its start number `differs` on, `look` fails."""

    def __init__(self, differs=None):
        super().__init__()
        self.commands, self.differs = [], differs

    async def start(self, spec):
        await super().start(spec)
        own, fails = [], self.differs is not None and self.started > self.differs
        self.commands.append(own)

        class Sandbox(PaperSandbox):
            async def exec(self, command, **options):
                own.append(command)
                done = await super().exec(command, **options)
                return replace(done, exit_code=1) if fails and command == "look" else done

        return Sandbox(self)


def second_heat(directory):
    task = RunStore(directory).task("one")
    return [task.rollout(name) for name in task.rollouts(1)]


async def test_a_branch_repeats_commands_without_asking_the_model_and_goes_on(paper_run, tmp_path):
    backend, model = Watched(), CountingModel([])
    await paper_run(model=model, backend=backend, **BRANCHING)
    branches = [one for one in second_heat(tmp_path / "run") if one.trajectory().copied_steps]
    assert branches
    for one in branches:
        told, parent = one.trajectory(), RunStore(tmp_path / "run").task("one").rollout(one.trajectory().parents[0])
        taken = [step for step in told.steps if step.copied]
        assert [step.content for step in taken] == [step.content for step in parent.trajectory().steps[: len(taken)]]
        assert one.outcome().steps == told.agent_steps - told.copied_steps > 0
        assert told.usage.calls == one.outcome().steps
    charged = sum(charge.usage.calls for charge in RunStore(tmp_path / "run").charges())
    assert charged == len(model.asked)


async def test_a_branch_that_ends_otherwise_starts_over_with_its_parents_record(paper_run, tmp_path):
    await paper_run(model=CountingModel([]), backend=Watched(differs=4), **BRANCHING)
    texts = [one.data["text"] for one in read_events(RunStore(tmp_path / "run")) if one.kind == "warning"]
    assert any("started over" in text for text in texts)
    for one in second_heat(tmp_path / "run"):
        assert one.outcome() is not None
        if not one.trajectory().copied_steps and one.trajectory().parents:
            assert "attempt" in one.trajectory().steps[1].content


@pytest.mark.parametrize("stop_after", range(8, 26, 3))
async def test_an_interrupted_run_with_branches_ends_alike(paper_run, tmp_path, stop_after):
    wanted = {**BRANCHING, "workers": 1}
    whole = await paper_run(model=CountingModel([]), backend=Watched(), directory=tmp_path / "whole", **wanted)
    asked = []
    with pytest.raises(BaseException) as caught:
        await paper_run(model=CountingModel(asked, fail_after=stop_after), backend=Watched(), **wanted)
    error = caught.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Killed)
    again = await paper_run(model=CountingModel(asked), backend=Watched(), **wanted)
    assert [(one.selected, one.patch_sha256) for one in again] == [(one.selected, one.patch_sha256) for one in whole]
    assert max(Counter(asked).values()) <= 2
    for one, other in zip(second_heat(tmp_path / "run"), second_heat(tmp_path / "whole"), strict=True):
        assert one.trajectory().copied_steps == other.trajectory().copied_steps
