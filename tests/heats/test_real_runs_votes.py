"""Mistakes of real runs with byes and votes, replayed in simulation; each test's name says what it forbids."""

import json

import pytest
from doubles import CountingModel, PaperEnv, Persona, Script

from agents.errors import RequestRejected
from agents.llm.base import Completion, Reply
from agents.llm.ledger import Usage
from envs.base import Patch
from heats.cli.failures import explain
from heats.config import load_config
from heats.errors import ExitCode
from heats.report.account import account
from heats.store.events import EventLog, read_events, standing_matches
from heats.store.journal import TournamentJournal
from heats.store.store import RunStore
from heats.view.live_model import RunView
from heats.view.plain import plain_line

WORTH = ("+right", "+odd", "+wrong")


class Judging(CountingModel):
    """Rollouts write what `lines` say, in the order of their seeds; votes name the patch that is first in `WORTH`."""

    def __init__(self, *lines, votes=None):
        super().__init__([])
        script = Script.model_validate({"rules": [{"variants": [[f"patch '{one}'"] if one else [] for one in lines]}]})
        self._persona, self.votes, self.orders = Persona(script), votes or self.best, []

    @staticmethod
    def best(candidates, labels):
        worth = [min(WORTH.index(one) for one in WORTH if one in candidate["patch"]) for candidate in candidates]
        return {"reason": f"{labels[0]} against {labels[1]}", "choice": labels[worth.index(min(worth))]}

    async def complete(self, messages, *, response_schema=None, n=1, **options):
        if response_schema is None or response_schema.name != "vote":
            return await super().complete(messages, response_schema=response_schema, n=n, **options)
        candidates = json.JSONDecoder().raw_decode(messages[1]["content"])[0]["candidates"]
        said = self.votes(candidates, [one["label"] for one in candidates])
        if isinstance(said, BaseException):
            raise said
        self.orders += [tuple(one["patch"][-6:] for one in candidates)] * n
        text = said if isinstance(said, str) else json.dumps(said)
        done = Completion(message={"role": "assistant", "content": text}, content=text)
        return Reply(completions=(done,) * n, usage=Usage(calls=1), model=self.name)


def settings(**more):
    usual = {"iterations": 1, "tournament.judge.view": "patch", "tournament.judge.votes_from": "samples"}
    return usual | {key.replace("__", "."): value for key, value in more.items()}


async def kept(paper_run, tmp_path, model, **more):
    """Play one heat that keeps K, and another that is ignored; returns the first one's task and bracket."""
    await paper_run(model=model, **settings(iterations=2, **more))
    task = RunStore(tmp_path / "run").task("one")
    return task, task.bracket(0)


def line_of(task, rollout):
    return task.rollout(rollout).patch().data.decode().splitlines()[-1]


def test_the_papers_setting_stays_the_papers():
    paper = load_config(("paper",)).tournament
    assert (paper.group_size, paper.votes, paper.merge, paper.judge.votes_from) == (2, 8, "exact", "samples")


@pytest.mark.parametrize("seed", range(6))
async def test_a_wrong_attempt_is_not_kept_unseen_by_a_bye(paper_run, tmp_path, seed):
    """N=3, G=2, K=2: a candidate was kept unseen and became "Attempt 1" of the next heat. Rollouts differ by seed."""
    model = Judging("right", "odd", "wrong")
    task, bracket = await kept(paper_run, tmp_path, model, rollouts=3, select_k=2, seed=seed)
    lines = {one: line_of(task, one) for one in task.rollouts(0)}
    best = sorted(set(lines.values()), key=WORTH.index)
    assert (
        [lines[one] for one in bracket.selected][:2] == best[:2]
        if len(best) == 3
        else lines[bracket.selected[0]] == best[0]
    )
    compared = {name for match in bracket.matches for vote in match.votes for name in vote.order}
    merged = {name for names in bracket.merged.values() for name in names}
    assert len(best) < 3 or set(lines) == compared | merged


async def test_two_votes_are_not_one_vote_in_one_order(paper_run, tmp_path):
    model = Judging("right", "odd", "wrong")
    _, bracket = await kept(paper_run, tmp_path, model, rollouts=4, select_k=1, tournament__votes=2, seed=3)
    played = [match for match in bracket.matches if match.votes]
    assert played and all(
        {vote.order for vote in match.votes} == {match.contestants, match.contestants[::-1]} for match in played
    )


async def test_eight_votes_do_not_stop_at_four_of_one_order(paper_run, tmp_path):
    def deaf_in_one_order(candidates, labels):
        return Judging.best(candidates, labels) if candidates[0]["patch"] < candidates[1]["patch"] else "cut by leng"

    _, bracket = await kept(
        paper_run, tmp_path, Judging("right", "odd", "wrong", votes=deaf_in_one_order), rollouts=4, select_k=1, seed=3
    )
    assert {len(match.votes) for match in bracket.matches if match.votes} == {8}


class CommentingEnv(PaperEnv):
    """Every attempt makes the same fix, each with its own comments, tests and changelog."""

    async def collect(self, task, sandbox):
        said = sandbox.content
        fix = f"diff --git a/f.py b/f.py\n--- a/f.py\n+++ b/f.py\n@@ -1 +1,2 @@\n-x = 1\n+# {said}\n+x = 2\n"
        test = (
            "diff --git a/test_f.py b/test_f.py\nnew file mode 100644\n--- /dev/null\n+++ b/test_f.py\n@@ -0,0 +1 @@\n"
        )
        return Patch((fix + f"{test}+assert '{said}'\n" * (said != "right")).encode())


async def test_equal_fixes_do_not_play_each_other(paper_run, tmp_path):
    """14 of 18 votes of one run went into matches between patches that differ only in comments and tests."""
    model = Judging("right", "odd", "wrong")
    task, bracket = await kept(paper_run, tmp_path, model, env=CommentingEnv("one"), rollouts=4, select_k=2, seed=3)
    assert model.orders == [] and len(bracket.merged) == 1
    with_tests = {one for one in task.rollouts(0) if b"test_f.py" in task.rollout(one).patch().data}
    assert 0 < len(with_tests) < 4 and set(bracket.merged) <= with_tests, (
        "of equal changes, one that brings tests plays"
    )


async def test_votes_that_the_server_rejects_do_not_vanish(paper_run, tmp_path):
    """24 of 24 votes were rejected, the choice was random, and nothing was reported."""
    words = "the model server answered 400: grammar too complex"
    model = Judging("right", "odd", "wrong", votes=lambda *_: RequestRejected(words))
    with pytest.raises(ExceptionGroup) as stopped:
        await paper_run(model=model, **settings(rollouts=4, seed=3))
    code, told = explain(stopped.value)
    assert (code, told) == (ExitCode.USAGE, f"the judge's server rejected every vote: {words}")
    warnings = [
        event.data["text"] for event in read_events(tmp_path / "run" / "events.jsonl") if event.kind == "warning"
    ]
    assert warnings == [f"heat 0: a vote was rejected: {words}"]


async def test_a_heat_without_a_patch_neither_votes_nor_selects(paper_run, tmp_path):
    model = Judging("")
    (result,) = await paper_run(model=model, **settings(iterations=2, rollouts=3))
    task = RunStore(tmp_path / "run").task("one")
    assert (result.status, result.selected, task.bracket(0).selected) == ("no_patch", None, ())
    assert model.orders == [] and task.rollout("heat-1/rollout-00").trajectory().parents == ()
    warnings = [
        event.data["text"] for event in read_events(tmp_path / "run" / "events.jsonl") if event.kind == "warning"
    ]
    assert warnings[0] == "heat 0: none of its 3 rollouts produced a patch, so nothing is kept"


async def test_an_attempt_without_a_patch_fills_no_place(paper_run, tmp_path):
    task, bracket = await kept(paper_run, tmp_path, Judging("right", "", ""), rollouts=4, select_k=4, seed=1)
    there = {one for one in task.rollouts(0) if task.rollout(one).patch()}
    assert there and set(bracket.selected) == there and set(bracket.ineligible) == set(task.rollouts(0)) - there


async def test_a_random_choice_does_not_pass_for_a_judgement(paper_run, tmp_path):
    model = Judging("right", "odd", "wrong", votes=lambda *_: "I think that")
    (result,) = await paper_run(model=model, **settings(rollouts=4, seed=3))
    run = RunStore(tmp_path / "run")
    assert result.by_chance and "chosen at random" in result.detail
    assert "no vote on it against" in account(run, "one")
    said = list(lines_of(run))
    assert any("could be read" in line and "advances at random" in line for line in said)
    assert any(line.startswith("one  warning: heat 0: no vote on") for line in said)


def lines_of(run):
    """What a user sees of a run, as lines."""
    view = RunView()
    for event in read_events(run.events_path):
        view.apply(event)
        line = plain_line(event, view)
        if line is not None:
            yield line


async def test_random_labels_do_not_reach_readers(paper_run, tmp_path):
    await paper_run(model=Judging("right", "odd", "wrong"), **settings(rollouts=4, seed=3))
    run = RunStore(tmp_path / "run")
    text, bracket = account(run, "one"), run.task("one").bracket(0)
    labels = {label for match in bracket.matches for vote in match.votes for label in vote.labels}
    assert labels and not any(label in text for label in labels)
    assert "against `heat-0/rollout-0" in text


async def test_progress_and_bracket_do_not_tell_two_stories(paper_run, tmp_path):
    """Progress said "0/01 beats 0/02", and the bracket "0/02 no opponent"."""
    for seed in range(4):
        await paper_run(
            model=Judging("right", "right", "odd"), directory=tmp_path / str(seed), **settings(rollouts=5, seed=seed)
        )
        run = RunStore(tmp_path / str(seed))
        told = {one.data["match"]: one.data for one in standing_matches(read_events(run.events_path))}
        bracket = run.task("one").bracket(0)
        assert {name: (tuple(one["contestants"]), one["winner"], one["decided_by"]) for name, one in told.items()} == {
            match.id: (match.contestants, match.winner, match.decided_by) for match in bracket.matches
        }


def test_a_match_that_no_longer_counts_is_taken_back(tmp_path):
    """Such as when a late rollout makes the same change as one that has already played."""
    from tournament.base import Match, Vote

    a, b, c = (f"heat-0/rollout-0{number}" for number in range(3))
    vote = Vote(order=(a, b), labels=("K1", "K2"), choice=a)
    events = EventLog(tmp_path / "events.jsonl")
    journal = TournamentJournal(tmp_path / "votes.jsonl", events, "one", 0)
    events.emit("task_started", task="one")
    journal.add_votes("r0-m0", (a, b), [vote])
    journal.add_match(first := Match(id="r0-m0", contestants=(a, b), votes=(vote,), winner=a, decided_by="votes"))
    journal.drop_match(first)
    journal.add_votes("r0-m0", (b, c), [vote.model_copy(update={"order": (b, c), "choice": c})])
    journal.add_match(Match(id="r0-m0", contestants=(b, c), votes=(vote,), winner=c, decided_by="votes"))
    journal.close()
    events.close()
    said, view = [], RunView(planned_tasks=1)
    for event in read_events(tmp_path / "events.jsonl"):
        view.apply(event)
        said.append(plain_line(event, view))
    assert [line for line in said if line] == [
        "one  heat 0, match r0-m0: 0/00 beats 0/01 1:0 (votes)",
        "one  heat 0, match r0-m0: 0/00 against 0/01 no longer counts: "
        "a later rollout makes the same change as one of them",
        "one  heat 0, match r0-m0: 0/02 beats 0/01 1:0 (votes)",
    ]
    (match,) = view.running["one"].matches.values()
    assert match.votes == {c: 1}
