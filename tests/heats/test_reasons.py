"""Why there is no result: each kind of ending has its own sentence and hint, in the result that users read."""

import json

import pytest
from doubles import PaperEnv

from agents.errors import ModelUnavailable, ReplyInvalid
from agents.llm.fake import FakeModel, bash, submit, text
from envs.errors import PatchRejected
from heats.config import load_config
from heats.runner.model_mix import sameness
from heats.store.store import RunStore

LISTS = ("hypotheses", "decisions", "evidence", "failure_modes", "doubts")
SUMMARY = json.dumps({"problem": "p", "progress": "", "end_state": "", **{name: [] for name in LISTS}})


class Plays(FakeModel):
    """Plays turns by their number in the conversation; requests with a schema get a summary."""

    def __init__(self, *turns):
        super().__init__(name="fake:plays")
        self.turns, self.kinds = turns, []

    def _respond(self, request):
        self.kinds.append(request.response_schema.name if request.response_schema else "agent")
        if request.response_schema is not None and request.response_schema.name == "summary":
            return text(SUMMARY)
        turn = sum(message["role"] == "assistant" for message in request.messages)
        return self.turns[min(turn, len(self.turns) - 1)]


class Refusing(PaperEnv):
    """Refuses every patch."""

    async def collect(self, task, sandbox):
        raise PatchRejected(("../evil: leaves the tree",))


async def test_rollouts_that_were_all_lost_to_the_server_are_infrastructure_and_tried_again(paper_run, tmp_path):
    """A run whose server was broken once ended as `no rollout gave a patch`, exit 4, with empty predictions."""
    broken = Plays(ModelUnavailable("no usable reply within 40 s: finish_reason None"))
    (result,) = await paper_run(model=broken)
    assert (result.status, result.cause) == ("error", "infrastructure")
    assert "4 of 4 were lost to the model server (no usable reply within 40 s" in result.detail
    assert RunStore(tmp_path / "run").task("one").result() is None
    (again,) = await paper_run(model=Plays(bash("patch right"), submit()))
    assert again.status == "unverified"


async def test_a_reply_that_was_never_usable_is_the_servers_failure_too(paper_run):
    (result,) = await paper_run(model=Plays(ReplyInvalid("no usable reply: a reply of 31457280 characters")))
    assert result.cause == "infrastructure" and "31457280 characters" in result.detail


async def test_work_that_was_done_before_the_server_failed_is_still_a_candidate(paper_run):
    (result,) = await paper_run(model=Plays(bash("patch right"), ModelUnavailable("down")), **{"retries.endpoint": 0})
    assert result.status == "unverified" and result.patch_sha256


async def test_where_no_reply_held_a_call_no_other_heat_starts_and_the_remedy_is_named(paper_run, tmp_path):
    """8 of 8 such rollouts once ended without a hint, and the second heat started anyway."""
    model = Plays(text("I would rather talk."))
    (result,) = await paper_run(model=model)
    assert (result.status, result.heats) == ("no_patch", 1)
    assert "4 of 4 ended without a usable tool call" in result.detail
    for hint in ("text_protocol", "tool parser", "heats doctor", "another model"):
        assert hint in result.detail
    assert "summary" not in model.kinds  # nothing was done, so no summary is requested


async def test_nothing_changed_a_refused_patch_and_the_step_limit_have_different_sentences(paper_run, tmp_path):
    (idle,) = await paper_run(model=Plays(bash("look"), submit()), directory=tmp_path / "a")
    (refused,) = await paper_run(model=Plays(bash("patch x"), submit()), env=Refusing("one"), directory=tmp_path / "b")
    (long,) = await paper_run(model=Plays(bash("look")), directory=tmp_path / "c", **{"agent.step_limit": 2})
    assert "8 of 8 submitted without a change: describe in the issue" in idle.detail
    assert "8 of 8 produced a patch that was refused (../evil: leaves the tree)" in refused.detail
    assert "8 of 8 reached the step limit without a change (2 steps): raise agent.step_limit" in long.detail
    assert {one.status for one in (idle, refused, long)} == {"no_patch"}


@pytest.mark.parametrize(
    ("settings", "warned"),
    [
        (["model.temperature=0"], True),
        (["model.temperature=0", "rollouts=1", "select_k=1"], False),
        (["model.temperature=0.7"], False),
        ([], False),
        (["temperatures=[0, 0.5, 1.0, 1.2]"], False),
        (["temperatures=[0, 0.5]"], True),
        (["model.temperature=0", "model.name=builtin:repair"], False),
    ],
)
def test_rollouts_that_may_all_be_the_same_are_warned_about(settings, warned):
    config = load_config(["model.name=m", "model.base_url=http://x/v1", *settings])
    assert ("at temperature 0" in sameness(config)) == warned
