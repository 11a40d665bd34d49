"""Context rules: what each rollout of a later heat is shown, and what its tree starts with."""

import subprocess
from collections import Counter
from dataclasses import replace
from typing import ClassVar

import pytest
from doubles import CountingModel, PaperBackend, PaperSandbox

from core.errors import InvalidOptions
from heats.config import load_config
from heats.context_rules import CONTEXT_RULES, Before, Choice, Earlier, choice_of, fresh_rollouts, open_context_rule
from heats.store.store import RunStore
from summarizer.schema import CheckedClaim, Facts, Hypothesis, Summary
from tournament.base import Bracket, Candidate

NAMES = tuple(f"heat-0/rollout-{index:02d}" for index in range(4))
A, B, C, D = NAMES
BRACKET = Bracket(
    selector="rtv", seed=0, group_size=2, votes_per_match=2, ranking=NAMES, selected=(A, B), ineligible=(D,)
)


def claim(command, mark, outcome="passes"):
    return CheckedClaim(command=command, step_id=3, tree="changed", outcome=outcome, finding="all of it", mark=mark)


def attempt(name, *, patch="x", against=(), **summary):
    told = Summary(rollout_id=name, problem="p", facts=Facts(exit="submitted", steps=3, files=("f.py",)), **summary)
    candidate = Candidate(id=name, summary="", patch=patch, patch_key=patch, evidence="2 tests still fail.")
    return Earlier(candidate, told, against=against)


def before(*attempts, **more):
    view = Before(bracket=BRACKET, usable=NAMES[:3], predecessor=A, k=2, seed=7, heat_seed=9)
    made = attempts or [attempt(name, patch=name) for name in NAMES[:3]]
    return replace(view, attempts={one.candidate.id: one for one in made}, **more)


def chosen(name, view, **options):
    return choice_of(open_context_rule(name, options), view)


def test_every_rule_can_be_asked_about_a_heat_without_a_single_usable_attempt() -> None:
    nobody = Before(bracket=BRACKET, usable=(), predecessor=A, k=2, seed=0)
    for name in CONTEXT_RULES.known:
        assert chosen(name, nobody) == Choice(), name


def test_every_rule_answers_the_same_question_alike() -> None:
    for name in CONTEXT_RULES.known:
        assert chosen(name, before(index=1)) == chosen(name, before(index=1)), name


def test_every_role_that_a_rule_names_has_a_text() -> None:
    roles = load_config(()).refine.roles
    views = [before(index=index, fresh=fresh) for index in range(3) for fresh in (False, True)]
    named = {chosen(name, view).role for name in CONTEXT_RULES.known for view in views} - {""}
    assert named <= set(roles)


def test_best_worst_ends_with_the_worst_change_and_skips_attempts_without_one() -> None:
    assert chosen("best-worst", before()).parents == (A, C)
    assert chosen("best-worst", before(), best=2).parents == (A, B, C)
    same = [attempt(name) for name in NAMES[:3]]
    assert chosen("best-worst", before(*same)) == Choice(parents=(A,))  # one change is not its own warning


def test_evolving_rollouts_have_different_parents_while_there_are_any() -> None:
    choices = [chosen("evolve", before(index=index)) for index in range(6)]
    assert Counter(one.start for one in choices) == {A: 2, B: 2, C: 2}
    assert {one.start for one in choices[:3]} == {A, B, C}
    assert all(one.parents[0] == one.start and len(one.parents) == 2 for one in choices)


def test_better_ranked_attempts_are_drawn_as_first_parents_more_often() -> None:
    first = Counter(chosen("evolve", before(heat_seed=seed)).start for seed in range(600))
    assert first[A] > first[B] > first[C] > 0


def test_a_large_power_draws_parents_in_order_of_rank_and_fails_on_nothing() -> None:
    assert [chosen("evolve", before(index=index), power=1e6).start for index in range(4)] == [A, B, C, A]


def test_migrants_take_no_more_than_k_places() -> None:
    assert chosen("islands", before(index=1, k=1), migrants=2).parents == (A,)


def test_evolving_from_text_starts_from_the_untouched_tree() -> None:
    choice = chosen("evolve", before(), start="text")
    assert choice.start == "" and choice.parents == chosen("evolve", before()).parents


def test_an_island_reads_its_own_attempts_and_migrants() -> None:
    assert [chosen("islands", before(index=index)).parents for index in (0, 1)] == [(A, C), (B,)]
    assert chosen("islands", before(index=1), migrants=1).parents == (A, B)


def test_key_facts_merges_what_attempts_found_and_says_who_supports_it() -> None:
    cause = Hypothesis(text="The cache key ignores the locale.", fate="confirmed")
    again = Hypothesis(text="the cache key ignores the locale", fate="confirmed")
    wrong = Hypothesis(text="The parser drops the sign.", fate="refuted")
    view = before(
        attempt(A, patch="a", hypotheses=(cause,), evidence=(claim("pytest", "contradicted"),)),
        attempt(B, patch="b", hypotheses=(again, wrong)),
        attempt(C, patch="c", hypotheses=(Hypothesis(text="The parser drops the sign!", fate="confirmed"),)),
    )
    (text,) = chosen("key-facts", view).texts
    confirmed, refuted, disputed = text.split("\n\n")
    assert confirmed == "Confirmed:\n- The cache key ignores the locale. (attempt 1, attempt 2)"
    assert "`pytest` on the changed tree passes" in refuted and "(attempt 1)" in refuted
    assert "The parser drops the sign. (confirmed by attempt 3, refuted by attempt 2)" in disputed


def test_guided_tells_only_fresh_rollouts_which_strategies_to_avoid() -> None:
    view = before(*(attempt(one, patch=one, decisions=("Cache per locale. Details follow.",)) for one in (A, B)))
    assert chosen("guided", view).parents == (A, B)
    fresh = chosen("guided", replace(view, fresh=True))
    assert fresh.parents == () and fresh.role == "guided"
    assert fresh.texts == ("Strategies used so far:\n- f.py: Cache per locale. (2 attempts)",)


def test_other_rules_tell_fresh_rollouts_nothing() -> None:
    for name in CONTEXT_RULES.known:
        if name != "guided":
            assert chosen(name, before(fresh=True)) == Choice(), name


def test_critique_numbers_each_defect_once() -> None:
    reasons = ("This attempt forgets negative numbers.", "this attempt forgets negative numbers")
    best = attempt(A, against=reasons, doubts=("Zero was not tried.",), evidence=(claim("tox", "contradicted"),))
    choice = chosen("critique", before(best))
    (text,) = choice.texts
    assert choice.start == A and "2 tests still fail." in text
    assert "1. This attempt forgets negative numbers.\n2. It claims that `tox` passes" in text
    assert text.endswith("3. Its own doubt: Zero was not tried.")


def test_debate_puts_ones_own_attempt_first_and_fuse_the_best() -> None:
    assert chosen("debate", before(predecessor=C)).parents == (C, A, B)
    assert chosen("fuse", before()).parents == (A, B)


def test_options_of_a_rule_are_checked() -> None:
    with pytest.raises(InvalidOptions, match=r"unknown option refine\.options\.bset; known: best, worst"):
        open_context_rule("best-worst", {"bset": 1})
    with pytest.raises(InvalidOptions, match="it takes no options"):
        open_context_rule("select-k", {"best": 1})


@pytest.mark.parametrize(
    ("count", "share", "fresh"), [(1, 0.25, 0), (2, 0.25, 1), (3, 0.25, 1), (8, 0.25, 2), (4, 0, 0), (1, 1, 1)]
)
def test_from_two_rollouts_on_one_is_fresh_unless_the_share_is_zero(count, share, fresh) -> None:
    assert fresh_rollouts(count, share) == fresh


def test_the_paper_has_no_fresh_rollouts() -> None:
    paper = load_config(("paper",))
    assert fresh_rollouts(paper.rollouts, paper.refine.fresh_share) == 0
    assert paper.refine.context == "select-k"


class GitSandbox(PaperSandbox):
    """A paper sandbox whose `git apply` script puts the patch's added line into the "tree"."""

    async def exec(self, command, **options):
        if "apply --whitespace" not in command:
            return await super().exec(command, **options)
        (patch,) = (data for path, data in self.files.items() if path.endswith("/patch"))
        self.content = next(
            line[1:] for line in patch.decode().splitlines() if line.startswith("+") and "+++" not in line
        )
        return await super().exec("true")


class GitBackend(PaperBackend):
    async def start(self, spec):
        await super().start(spec)
        return GitSandbox(self)


class Recording:
    """A rule that remembers what it was shown."""

    reads_summaries = True
    seen: ClassVar[list[Before]] = []

    def choose(self, before):
        self.seen.append(before)
        return Choice(texts=("Nothing to add.",), role="Do as you like.")


async def test_a_rule_sees_what_the_store_holds_and_can_change_nothing(paper_run, tmp_path):
    Recording.seen.clear()
    await paper_run(model=CountingModel([]), **{"refine.context": f"{__name__}:Recording"})
    task = RunStore(tmp_path / "run").task("one")
    view = Recording.seen[0]
    assert [one.index for one in Recording.seen] == [0, 1, 2]  # the last rollout is fresh
    assert set(view.attempts) == set(view.bracket.ranking) == set(task.rollouts(0))
    assert set(view.lost) == set(task.rollouts(0)) - set(view.bracket.selected)
    assert any("Handed in no change" in why for why in view.lost.values())
    for name, attempt in view.attempts.items():
        assert attempt.summary == task.rollout(name).summary()
        assert attempt.candidate.patch.encode() == task.rollout(name).patch().data
    beaten = [match for match in view.bracket.matches if match.decided_by == "votes"]
    assert beaten and all(view.attempts[one].against for one in beaten[0].contestants if one != beaten[0].winner)
    with pytest.raises(TypeError):
        view.attempts[A] = None
    told = task.rollout(task.rollouts(1)[0]).trajectory()
    assert "Nothing to add." in told.steps[1].content and "Do as you like." in told.steps[1].content
    assert task.rollout(task.rollouts(1)[3]).trajectory().steps[1].content.count("earlier attempts") == 0


EVOLVE = {"refine.context": "evolve", "refine.fresh_share": 0.0}


async def test_a_rollout_starts_from_its_parents_patch_and_is_told_so(paper_run, tmp_path):
    await paper_run(model=CountingModel([]), backend=GitBackend(), **EVOLVE)
    task = RunStore(tmp_path / "run").task("one")
    for name in task.rollouts(1):
        told = task.rollout(name).trajectory()
        assert "The change of attempt 1 is\nin your tree already" in told.steps[1].content
        assert told.extra["started_from"] == "attempt 1"
        ran = [call.arguments for step in told.steps for call in step.tool_calls]
        if not any("patch" in arguments for arguments in ran):  # so it hands in what it started with
            parent = task.rollout(told.parents[0]).patch()
            assert task.rollout(name).patch() == parent


async def test_a_patch_that_does_not_apply_leaves_the_tree_clean_and_the_prompt_says_so(paper_run, tmp_path):
    class Refusing(GitSandbox):
        async def exec(self, command, **options):
            if "apply --whitespace" in command:
                return replace(await PaperSandbox.exec(self, "true"), exit_code=1)
            return await super().exec(command, **options)

    class Backend(PaperBackend):
        async def start(self, spec):
            await super().start(spec)
            return Refusing(self)

    await paper_run(model=CountingModel([]), backend=Backend(), **EVOLVE)
    task = RunStore(tmp_path / "run").task("one")
    told = task.rollout(task.rollouts(1)[0]).trajectory()
    assert "You start from a clean tree" in told.steps[1].content and "started_from" not in told.extra


@pytest.mark.parametrize("rule", ["evolve", "key-facts", "guided", "critique"])
async def test_an_interrupted_run_ends_alike_under_rules_that_read_the_store(paper_run, tmp_path, rule):
    from doubles import Killed

    wanted = {"refine.context": rule, "workers": 1}
    whole = await paper_run(model=CountingModel([]), backend=GitBackend(), directory=tmp_path / "whole", **wanted)
    with pytest.raises(BaseException) as caught:
        await paper_run(model=CountingModel([], fail_after=24), backend=GitBackend(), **wanted)
    error = caught.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Killed)
    again = await paper_run(model=CountingModel([]), backend=GitBackend(), **wanted)
    assert [(one.selected, one.patch_sha256) for one in again] == [(one.selected, one.patch_sha256) for one in whole]
    for name in RunStore(tmp_path / "run").task("one").rollouts(1):
        both = [RunStore(tmp_path / run).task("one").rollout(name).trajectory() for run in ("run", "whole")]
        assert both[0].steps[1].content == both[1].steps[1].content


@pytest.mark.bubblewrap
def test_the_final_patch_of_a_rollout_that_started_from_one_is_against_the_base(solve, tmp_path):
    """Two heats of one rollout: the second starts from the first's note and adds another."""
    script = tmp_path / "two.json"
    script.write_text(
        '{"rules": [{"when": "in your tree already", "commands": ["cat note.txt", "echo more > more.txt"]},'
        ' {"commands": ["echo fixed > note.txt"]}]}'
    )
    more = ("-c", "refine.context=evolve", "-c", "refine.fresh_share=0", "-c", "refine.stop_when_verified=false")
    code, _, err = solve(*more, model=f"fake:{script}", sandbox="bubblewrap", iterations=2)
    assert code in (0, 7), err
    (task,) = (tmp_path / "run" / "tasks").iterdir()
    diff = (task / "heat-1" / "rollout-00" / "patch.diff").read_text()
    assert "+fixed" in diff and "+more" in diff
    subprocess.run(["git", "-C", tmp_path / "repo", "apply", "--check", "-"], input=diff.encode(), check=True)
