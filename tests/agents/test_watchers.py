"""Watchers: what they say, refuse and end, for both agents, and that a resumed rollout hears it once."""

from dataclasses import replace

import pytest

from agents import AgentConfig, open_agent
from agents.atif import from_atif, to_atif
from agents.base import Slice
from agents.conversation import conversation_of
from agents.llm.base import ToolCall
from agents.llm.fake import bash, calls, submit, text
from agents.llm.ledger import Ledger, Limits
from agents.resume import branch_of, resumable
from agents.trajectory import Observation, Step
from agents.watchers import Refuse, Restart, Say, Seen, Stop, Watcher, open_watchers
from agents.watchers.loop_guard import read_file
from core.errors import InvalidOptions
from sandbox.base import ExecResult

FAILS = ExecResult("exited", 1, b"no", stdout_total=2)


def watching(*names, **options):
    """Settings that list watchers; options by watcher with its dashes as underscores."""
    return {"watchers": names, "options_of": {name.replace("_", "-"): value for name, value in options.items()}}


@pytest.fixture
def play(story):
    async def go(watch, *replies, **settings):
        given = {
            name: {**story.settings["watcher_options"].get(name, {}), **value}
            for name, value in watch["options_of"].items()
        }
        options = {**story.settings["watcher_options"], **given}
        return await story.play(*replies, watchers=watch["watchers"], watcher_options=options, **settings)

    return go


def said(trajectory, watcher):
    return [step.content for step in trajectory.steps if step.watcher == watcher]


async def test_without_watchers_nothing_is_said_and_nothing_recorded(story):
    trajectory = await story.play(*[bash("ls")] * 5, submit())
    assert trajectory.exit.kind == "submitted"
    assert not any(step.watcher for step in trajectory.steps)
    assert [tool.name for tool in story.model.requests[0].tools] == ["bash", "submit"]


async def test_check_again_refuses_the_first_submission_and_accepts_the_second(story, play):
    trajectory = await play(watching("check-again"), submit(), bash("git diff"), submit())
    first = trajectory.steps[2].observations[0]
    assert (first.status, first.watcher) == ("refused", "check-again")
    assert "look once more" in story.model.requests[1].messages[-1]["content"]
    assert (trajectory.exit.kind, trajectory.agent_steps) == ("submitted", 3)


async def test_a_refused_submission_is_no_format_error(play):
    trajectory = await play(watching("check-again", check_again={"times": 3}), *[submit()] * 4)
    assert trajectory.exit.kind == "submitted"


async def test_check_again_never_costs_the_submission_itself(play):
    """With the last turn refused, the attempt would end at the step limit."""
    trajectory = await play(watching("check-again"), bash("ls"), submit(), step_limit=2)
    assert trajectory.exit.kind == "submitted"


async def test_reserve_says_each_share_once_and_the_last_time_to_finish(play):
    trajectory = await play(
        watching("reserve", reserve={"room": 2}), *[bash(f"echo {n}") for n in range(9)], submit(), step_limit=10
    )
    half, last = said(trajectory, "reserve")
    assert half.startswith("50 % of the replies left (5 more replies).") and "Finish now" not in half
    assert last.startswith("20 % of the replies left (2 more replies). Finish now")


@pytest.mark.parametrize("limit", [6, 13])
async def test_reserve_says_to_finish_once_and_as_early_as_its_room_needs(play, limit):
    """4 of 6 replies are more than half of them, and 4 of 13 are 30.8 %, which must not be rounded to 31."""
    replies = [bash(f"echo {n}") for n in range(limit)]
    told = said(await play(watching("reserve"), *replies, step_limit=limit), "reserve")
    (finish,) = [text for text in told if "Finish now" in text]
    assert "(4 more replies)" in finish and told[-1] == finish


async def test_reserve_does_not_take_another_watchers_figures_for_its_own(play):
    watch = watching("loop-guard", "reserve", reserve={"room": 1})
    trajectory = await play(watch, *[bash("echo 90 %")] * 6, step_limit=6)
    assert "50 % of the replies" in said(trajectory, "loop-guard, reserve")[0]
    assert [text[:4] for text in said(trajectory, "reserve")] == ["16 %"]


@pytest.mark.parametrize("options", [{"at": [50, 20]}, {"text": "{{ percent }}% left"}])
def test_reserve_refuses_shares_and_texts_that_it_could_not_go_by(agent_settings, options):
    given = {**agent_settings["watcher_options"]["reserve"], **options}
    with pytest.raises(InvalidOptions):
        open_watchers(["reserve"], {"reserve": given})


def test_what_watchers_said_to_the_rollout_that_it_branched_off_does_not_count(agent_settings):
    reserve, check = open_watchers(["reserve", "check-again"], agent_settings["watcher_options"])
    seen = Observation(tool_call_id="1", content="", status="refused", watcher="check-again")
    turn = Step(id=1, source="agent", content="", observations=(seen,), copied=True)
    told = Step(id=2, source="user", content="10 % of the replies left", watcher="reserve", copied=True)
    steps = (*[turn] * 40, told, turn.model_copy(update={"copied": False, "observations": ()}))
    state = Seen(steps=steps, turns_left=4, left={"replies": 0.8})
    assert "Finish now" in reserve.after_turn(state).text
    assert isinstance(check.at_submission(state), Refuse)


async def test_reserve_goes_by_the_tightest_limit(story, play):
    story.ledger = Ledger("rollout", Limits(calls=4))
    trajectory = await play(watching("reserve"), *[bash("ls")] * 4)
    assert said(trajectory, "reserve")[0].startswith("50 % of the calls left")


async def test_loop_guard_gives_a_hint_and_then_ends_the_attempt(play):
    trajectory = await play(watching("loop-guard"), *[bash("pytest")] * 9)
    (hint,) = said(trajectory, "loop-guard")
    assert "`pytest` was run and gave the same output, 3 times" in hint
    assert trajectory.exit.kind == "stopped" and trajectory.agent_steps == 6
    assert trajectory.exit.detail.startswith("loop-guard: 3 repetitions after a hint")


async def test_the_same_command_with_another_output_is_no_loop(story, play):
    class Counting(type(story.sandbox)):
        async def exec(self, command, **options):
            self.outputs[command] = f"{len(self.commands)} failed in 0.0{len(self.commands)}s"
            return await super().exec(command, **options)

    story.sandbox = Counting()
    trajectory = await play(watching("loop-guard"), *[bash("pytest")] * 8, submit())
    assert not said(trajectory, "loop-guard")


async def test_a_duration_in_the_output_hides_no_loop(story, play):
    class Timed(type(story.sandbox)):
        async def exec(self, command, **options):
            self.outputs[command] = f"2 failed in 0.{len(self.commands)}1s"
            return await super().exec(command, **options)

    story.sandbox = Timed()
    assert said(await play(watching("loop-guard"), *[bash("pytest")] * 3, submit()), "loop-guard")


async def test_reading_a_file_in_several_ways_and_undoing_edits_are_repetitions(story, play):
    ways = ("cat ./a.py", "cd /testbed && cat a.py", "cat -n a.py")
    assert "a.py was read" in said(await play(watching("loop-guard"), *map(bash, ways), submit()), "loop-guard")[0]
    undo = [bash(f"git checkout -- {name}.py") for name in "abc"]
    assert "edits were undone" in said(await play(watching("loop-guard"), *undo, submit()), "loop-guard")[0]


@pytest.mark.parametrize(
    ("command", "file"),
    [
        ("cat a.py", "a.py"),
        ("sed -n 1,20p src/a.py", "src/a.py 1,20p"),
        ("cd src; head -40 a.py", "a.py"),
        ("sed -i s/a/b/ a.py", ""),
        ("cat a.py | grep x", ""),
        ("cat > a.py <<'E'\nx\nE", ""),
        ("cat 'unclosed", ""),
        ("python a.py", ""),
    ],
)
def test_which_commands_only_read_a_file(command, file):
    assert read_file(command) == file


async def test_fresh_start_forgets_the_failures_and_keeps_the_record(story, play):
    story.sandbox.outputs["make"] = FAILS
    watch = watching("fresh-start", fresh_start={"failures": 3})
    trajectory = await play(watch, bash("ls"), *[bash("make")] * 3, bash("ls"), submit())
    request = story.model.requests[4].messages
    assert len(request) == 3 and "[step 4] make -> exit code 1" in request[-1]["content"]
    assert [step.restarts for step in trajectory.steps].count(True) == 1
    assert trajectory.agent_steps == 6 and trajectory.exit.kind == "submitted"
    messages, _ = conversation_of(trajectory)
    assert list(request) == messages[:3]


DECLINE = calls(("decline", {"kind": "not-reproducible", "reason": "the report's example prints 3, as it should"}))


async def test_decline_ends_the_attempt_with_its_reason(story, play):
    trajectory = await play(watching("decline"), bash("python report.py"), DECLINE)
    assert [tool.name for tool in story.model.requests[0].tools] == ["bash", "submit", "decline"]
    assert trajectory.exit.kind == "declined"
    assert trajectory.exit.detail == "not-reproducible: the report's example prints 3, as it should"
    messages, _ = conversation_of(trajectory)
    assert messages[-1] == {"role": "tool", "tool_call_id": "call_0", "content": "declined"}  # no call without a result


async def test_an_attempt_that_declined_before_a_kill_declines_again(story, play):
    uncut = await play(watching("decline"), bash("python report.py"), DECLINE)
    story.assignment = replace(story.assignment, resume=resumable(uncut))
    again = await play(watching("decline"))
    assert (again.exit, len(again.steps)) == (uncut.exit, len(uncut.steps))


async def test_a_task_cannot_be_declined_unseen_or_without_a_reason(play):
    empty = calls(("decline", {"kind": "done-already", "reason": ""}))
    trajectory = await play(watching("decline"), DECLINE, bash("ls"), empty, submit())
    answers = [one.content for step in trajectory.steps for one in step.observations]
    assert "look first" in answers[0] and "and a reason" in answers[2]
    assert trajectory.exit.kind == "submitted"


async def test_a_model_without_tool_calls_declines_in_text(story, play):
    line = "```bash\ndecline contradictory: it wants x both set and unset\n```"
    trajectory = await play(watching("decline"), text("```bash\nls\n```"), text(line), text_protocol=True)
    assert "`decline KIND: REASON`" in story.model.requests[0].messages[1]["content"]
    assert trajectory.exit.detail == "contradictory: it wants x both set and unset"
    assert story.sandbox.commands == ["ls"]


async def test_what_a_command_prints_declines_nothing(story, play):
    story.sandbox.outputs["cat notes"] = "decline done-already: it works"
    trajectory = await play(watching("decline"), bash("cat notes"), submit())
    assert trajectory.exit.kind == "submitted"


EVERYTHING = watching("loop-guard", "reserve", "fresh-start", "check-again", "decline", fresh_start={"failures": 2})
SCRIPT = (bash("one"), bash("one"), bash("one"), bash("two"), bash("two"), submit(), bash("three"), submit())


@pytest.mark.parametrize("saved", range(2, 26))
async def test_from_any_saved_state_a_watched_rollout_ends_as_if_it_had_not_been_killed(story, play, saved):
    story.sandbox.outputs["two"] = FAILS
    uncut = await play(EVERYTHING, *SCRIPT, step_limit=12)
    states = list(story.saved)
    assert {step.watcher for step in uncut.steps} >= {"loop-guard", "reserve", "fresh-start"}
    left = states[min(saved, len(states) - 1)]
    done = sum(step.source == "agent" for step in left.steps)
    story.assignment = replace(story.assignment, resume=resumable(left))
    resumed = await play(EVERYTHING, *SCRIPT[done:], step_limit=12)
    assert [(one.content, one.observations, one.watcher) for one in resumed.steps] == [
        (one.content, one.observations, one.watcher) for one in uncut.steps
    ]
    assert story.model.left == 0 and resumed.exit == uncut.exit


@pytest.mark.parametrize("turns", [1, 2, 3])
async def test_slices_that_branch_off_each_other_go_on_as_one_attempt_does_even_over_a_fresh_start(story, play, turns):
    story.sandbox.outputs["two"] = FAILS
    watch, script = watching("fresh-start", fresh_start={"failures": 2}), list(SCRIPT[:6])
    uncut = await play(watch, *script)
    asked = [str(list(one.messages)) for one in story.model.requests]
    part = None
    while script:
        resume = branch_of(part, part.agent_steps, rollout="heat-1/rollout-00") if part else None
        story.assignment = replace(story.assignment, slice=Slice(turns, later=9), resume=resume)
        part = await play(watch, *script[:turns])
        script = script[turns:]
    assert any(step.restarts for step in part.steps) and part.exit == uncut.exit
    assert [one.content for one in part.steps] == [one.content for one in uncut.steps]
    assert [str(list(one.messages)) for one in story.model.requests[len(asked) :]] == asked


async def test_a_watched_trajectory_survives_atif(story, play):
    story.sandbox.outputs["two"] = FAILS
    trajectory = await play(EVERYTHING, *SCRIPT, step_limit=12)
    assert from_atif(to_atif(trajectory)) == trajectory


class Loud(Watcher):
    """Says something after each turn, and refuses every submission of the word."""

    def after_turn(self, seen):
        return Say(f"{seen.turns_left} left")

    def at_submission(self, seen):
        return Refuse("no") if seen.turns_left > 1 else None


async def test_messages_of_several_watchers_are_one_message(story, play):
    own = f"{__name__}:Loud"
    trajectory = await play(watching(own, "reserve", reserve={"room": 1}), bash("ls"), submit(), submit(), step_limit=4)
    assert [step.watcher for step in trajectory.steps if step.watcher][1] == f"{own}, reserve"
    assert trajectory.exit.kind == "submitted"


class Bossy(Watcher):
    def after_turn(self, seen):
        return Stop("enough")


class Restless(Watcher):
    def after_turn(self, seen):
        return Restart("again")


async def test_a_stop_goes_before_a_restart_and_that_before_messages(play):
    names = [f"{__name__}:{one}" for one in ("Loud", "Restless", "Bossy")]
    stopped = await play(watching(*names), bash("ls"))
    assert stopped.exit.detail.endswith("Bossy: enough")
    again = await play(watching(*names[:2]), bash("ls"), step_limit=1)
    assert not any(step.restarts for step in again.steps)  # the limit ends the attempt first


@pytest.mark.parametrize("agent", ["mini", "noop", "command:true"])
def test_agents_that_cannot_be_watched_say_so(agent_settings, agent):
    config = AgentConfig.model_validate({**agent_settings, "watchers": ["loop-guard"]})
    with pytest.raises(InvalidOptions, match=r"agent\.watchers: the agent \S+ cannot be watched"):
        open_agent(agent, config)


def test_unknown_watchers_and_options_are_refused(agent_settings):
    with pytest.raises(ValueError, match=r"unknown watcher 'loop-gard'.*did you mean loop-guard\?"):
        AgentConfig.model_validate({**agent_settings, "watchers": ["loop-gard"]})
    with pytest.raises(InvalidOptions, match=r"unknown option agent\.watcher_options\.reserve\.when"):
        open_watchers(["reserve"], {"reserve": {"text": "{{ percent }} %", "when": 1}})


def test_a_rejected_call_counts_as_nothing_run(agent_settings):
    """A rejected call did nothing, so it cannot justify declining a task."""
    (decline,) = open_watchers(["decline"], agent_settings["watcher_options"])
    rejected = Step(
        id=3, source="agent", content="", observations=(Observation(tool_call_id="1", content="", status="rejected"),)
    )
    call = ToolCall(id="2", name="decline", arguments='{"kind": "done-already", "reason": "x"}')
    assert isinstance(decline.called(call, Seen(steps=(rejected,), left={})), Refuse)
