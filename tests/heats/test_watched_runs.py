"""Runs with watchers: what the result says of attempts that declined, and that a kill changes no decision."""

import json

import pytest
from doubles import CountingModel, Killed

from agents.llm.fake_persona import Persona, Script
from heats.runner.reasons import needs_person
from heats.store.records import Outcome
from heats.store.store import RunStore

WHY = "contradictory: it wants x both set and unset"


class Declining(CountingModel):
    """Plays scripts in which the command `decline` stands for a call of that tool."""

    def __init__(self, *variants, **more):
        super().__init__([], **more)
        self.script = Script.model_validate({"rules": [{"variants": list(variants)}], "pick": "hash"})
        self._persona = Persona(self.script)

    async def complete(self, messages, **options):
        reply = await super().complete(messages, **options)
        if not any("decline" in call.arguments for call in reply.first.tool_calls):
            return reply
        given = json.dumps({"kind": "contradictory", "reason": "it wants x both set and unset"})
        made = tuple(one.model_copy(update={"name": "decline", "arguments": given}) for one in reply.first.tool_calls)
        return reply.model_copy(update={"completions": (reply.first.model_copy(update={"tool_calls": made}),)})


def ended(kind, detail=""):
    return Outcome(rollout="heat-0/rollout-00", exit=kind, detail=detail)


def test_a_task_that_most_attempts_decline_needs_a_person() -> None:
    outcomes = [ended("declined", WHY), ended("declined", WHY), ended("submitted")]
    assert needs_person(outcomes) == f"needs a person: 2 of 3 attempts declined the task ({WHY})"


@pytest.mark.parametrize("others", [["submitted", "step_limit"], ["submitted", "stopped"]])
def test_half_of_the_attempts_are_not_most(others) -> None:
    assert needs_person([ended("declined", WHY), ended("declined", WHY), *map(ended, others)]) == ""


def test_attempts_lost_to_infrastructure_do_not_count() -> None:
    assert needs_person([ended("declined", WHY), ended("sandbox_lost"), ended(None), ended("model_error")])
    assert needs_person([]) == ""


async def test_the_result_says_that_a_task_needs_a_person(paper_run, tmp_path):
    model = Declining(["look", "patch wrong", "decline"])
    (result,) = await paper_run(model=model, iterations=1, **{"agent.watchers": ["decline"]})
    assert result.status == "no_patch"
    assert result.detail.startswith(f"needs a person: 4 of 4 attempts declined the task ({WHY}); no rollout produced")
    outcome = RunStore(tmp_path / "run").task("one").rollout("heat-0/rollout-00").outcome()
    assert (outcome.exit, outcome.patch_bytes) == ("declined", 0)  # what it had changed before is not handed in


async def test_an_attempt_that_declines_does_not_keep_others_from_winning(paper_run):
    model = Declining(["look", "decline"], ["patch right"], ["patch right"], ["patch right"])
    (result,) = await paper_run(model=model, **{"agent.watchers": ["decline"], "rollouts": 8})
    assert result.selected and "needs a person" not in result.detail


WATCHED = {"agent.watchers": ["loop-guard", "check-again", "reserve", "decline"], "agent.step_limit": 8}
SCRIPTS = (["look"] * 9, ["look", "decline"], ["patch right"], ["look", "look", "look", "patch odd"])


@pytest.mark.parametrize("stop_after", [1, 7, 12, 18, 25, 33])
async def test_a_killed_run_with_watchers_ends_as_if_it_had_not_been_killed(paper_run, tmp_path, stop_after):
    whole = await paper_run(model=Declining(*SCRIPTS), directory=tmp_path / "whole", **WATCHED)
    with pytest.raises(BaseException) as caught:
        await paper_run(model=Declining(*SCRIPTS, fail_after=stop_after), **WATCHED)
    error = caught.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Killed)
    again = await paper_run(model=Declining(*SCRIPTS), **WATCHED)
    assert [(one.status, one.detail, one.selected) for one in again] == [
        (one.status, one.detail, one.selected) for one in whole
    ]
    tasks = [RunStore(tmp_path / name).task("one") for name in ("run", "whole")]
    for rollout in tasks[1].rollouts(0):
        ours, theirs = (task.rollout(rollout).trajectory() for task in tasks)
        assert [(one.content, one.watcher) for one in ours.steps] == [
            (one.content, one.watcher) for one in theirs.steps
        ]
        assert ours.exit == theirs.exit
