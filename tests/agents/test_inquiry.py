"""A judge's inquiry: bash in a sandbox, then a vote, and nothing else ends it with an answer."""

import json

import pytest
import yaml

import configs
from agents.base import Assignment
from agents.config import AgentConfig
from agents.inquiry import InquiryAgent, choice_of
from agents.llm.fake import FakeModel, bash, calls, submit, text
from agents.llm.ledger import Ledger
from agents.prompting import Prompts
from agents.resume import resumable
from sandbox.fake import FakeSandbox

with open(f"{configs.__path__[0]}/default.yaml", encoding="utf-8") as file:
    DEFAULT = yaml.safe_load(file)
PROBE = DEFAULT["tournament"]["judge"]["probe"]
SHOWN = {"shown": (), "data": '{"problem": "p"}', "trees": "/c", "workdir": "/w", "command_timeout_s": 60}


def vote(choice="K7Q", reason="it alone works"):
    return ("vote", {"reason": reason, "choice": choice})


class Asked:
    def __init__(self, **changes):
        self.sandbox, self.saved = FakeSandbox([""] * 9), []
        config = AgentConfig.model_validate(DEFAULT["agent"] | {"step_limit": 4} | changes)
        names = ("system", "user", "last", "format_error")
        prompts = Prompts([*((name, PROBE[name]) for name in names), ("observation", config.templates.observation)])
        self.agent = InquiryAgent(config, prompts, ("K7Q", "B3X"), SHOWN)

    async def __call__(self, *replies, resume=None):
        self.model = FakeModel(*replies)
        given = Assignment(rollout_id="i", task_id="t", instruction="", workdir="/w", seed=1, resume=resume)
        return await self.agent.run(given, self.sandbox, self.model, Ledger("test"), self.saved.append)


async def test_what_it_runs_is_shown_and_its_vote_ends_it():
    asked = Asked()
    trajectory = await asked(bash("/c/on K7Q 'python3 example.py'"), calls(vote()))
    assert asked.sandbox.commands == ["/c/on K7Q 'python3 example.py'"]
    assert (choice_of(trajectory).choice, choice_of(trajectory).reason) == ("K7Q", "it alone works")
    assert [tool.name for tool in asked.model.requests[0].tools] == ["bash", "vote"]


@pytest.mark.parametrize(
    "reply", [submit(), calls(vote("ZZZ")), calls(("vote", "{")), calls(vote(), ("bash", {"command": "ls"}))]
)
async def test_nothing_but_a_lone_vote_for_a_label_counts(reply):
    trajectory = await Asked()(reply, calls(vote("B3X")))
    assert choice_of(trajectory).choice == "B3X" and trajectory.agent_steps == 2


async def test_its_last_reply_can_only_be_a_vote():
    asked = Asked()
    trajectory = await asked(bash("a"), bash("b"), bash("c"), calls(vote("B3X")))
    last = asked.model.requests[-1]
    assert ([tool.name for tool in last.tools], last.tool_choice) == (["vote"], "required")
    assert "last reply" in last.messages[-1]["content"] and choice_of(trajectory).choice == "B3X"


async def test_one_that_never_votes_chooses_nobody():
    trajectory = await Asked()(*[bash("look")] * 4)
    assert trajectory.exit.kind == "step_limit" and choice_of(trajectory) is None


async def test_models_without_tool_calls_vote_in_text():
    asked = Asked(text_protocol=True)
    turn = json.dumps({"reason": "look", "command": "cat x", "choice": ""})
    trajectory = await asked(text("See.\n```bash\nls\n```"), text(turn), text('{"reason": "r", "choice": "K7Q"}'))
    assert asked.sandbox.commands == ["ls", "cat x"] and choice_of(trajectory).choice == "K7Q"


async def test_an_interrupted_one_continues_without_asking_again():
    first = Asked()
    await first(bash("ls"), calls(vote()))
    stopped = next(one for one in first.saved if one.steps[-1].observations)
    second = Asked()
    trajectory = await second(calls(vote("B3X")), resume=resumable(stopped))
    assert second.sandbox.commands == ["ls"] and len(second.model.requests) == 1
    assert choice_of(trajectory).choice == "B3X"
