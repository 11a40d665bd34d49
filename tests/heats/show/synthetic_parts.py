"""Parts of a synthetic run: steps, patches, evidence, summaries and brackets."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from agents.llm.base import ToolCall
from agents.llm.ledger import Usage
from agents.trajectory import Observation, Step
from envs.base import Evidence, Patch, TestReport
from summarizer.schema import CheckedClaim, Facts, Hypothesis, Summary
from tournament.base import Bracket, Match, Vote

Voice = Callable[[str], str]
START = datetime(2026, 1, 1, tzinfo=UTC)


def plain(text: str) -> str:
    """The voice of a well-behaved agent."""
    return text


@dataclass
class Plan:
    """What to build.

    A share `infra_share` of the rollouts fails by infrastructure; `graded` writes grades; `chatty` writes what a real
    run writes for every call: an event per step, a charge per call.
    """

    tasks: int = 3
    rollouts: int = 8
    heats: int = 2
    keep: int = 4
    votes: int = 4
    steps: int = 8
    seed: int = 0
    graded: bool = True
    evidence: bool = True
    chatty: bool = False
    infra_share: float = 0.05
    voice: Voice = plain
    patch_note: bytes = b""
    clock: float = 0.0
    seq: int = 0
    rng: random.Random = field(default_factory=lambda: random.Random(0))


def make_steps(count: int, plan: Plan) -> list[Step]:
    """A system prompt, the issue, then `count` turns with one command each."""
    voice = plan.voice
    steps = [
        Step(id=1, source="system", content="You fix one issue with bash."),
        Step(id=2, source="user", content=voice("Fix it.")),
    ]
    for number in range(count):
        command = ["ls -la && git log --oneline | head", "python3 -m pytest -q", "sed -n 1,80p merge.py", "git diff"][
            number % 4
        ]
        call = ToolCall(id=f"call-{number}", name="bash", arguments=json.dumps({"command": voice(command)}))
        output = voice("\n".join(f"tests/test_merge.py::test_{line} PASSED" for line in range(14)))
        shown = Observation(
            tool_call_id=call.id, content=output, exit_code=number % 2, duration_s=0.4, output_bytes=len(output)
        )
        steps.append(
            Step(
                id=number + 3,
                source="agent",
                content=voice("I look at what the tests say first."),
                tool_calls=(call,),
                observations=(shown,),
                reasoning=voice("The loop may end too early.") if number % 3 == 0 else None,
                usage=Usage(calls=1, prompt_tokens=2_000, completion_tokens=90),
                timestamp=START.isoformat(),
            )
        )
    return steps


def make_patch(plan: Plan, passes: bool) -> Patch:
    """A diff of two files, one of them new."""
    if not passes and plan.rng.random() < 0.15:
        return Patch(b"")
    bound = plan.rng.choice([b"len(a)", b"len(a) + 1", b"max(len(a), len(b))"])
    name = plan.voice("merge.py").replace("\n", " ").encode("utf-8", "replace")
    return Patch(
        b"diff --git a/"
        + name
        + b" b/"
        + name
        + b"\nindex 1111111..2222222 100644\n--- a/"
        + name
        + b"\n+++ b/"
        + name
        + b"\n@@ -1,5 +1,6 @@ def merge(a, b):\n def merge(a, b):\n     out = []\n-    for i in range(len(a) - 1):\n"
        + b"+    for i in range("
        + bound
        + b"):\n+        # both ends count\n         out.append(a[i])\n     return out + b\n"
        + b"diff --git a/notes.txt b/notes.txt\nnew file mode 100644\nindex 0000000..3333333\n"
        + b"--- /dev/null\n+++ b/notes.txt\n"
        + b"@@ -0,0 +1,2 @@\n+"
        + plan.patch_note
        + plan.voice("why").replace("\n", "\n+").encode("utf-8", "replace")
        + b"\n+end\n"
    )


def report(plan: Plan, broken: int) -> TestReport:
    """A run of twelve tests, the first `broken` of which fail."""
    tests: dict[str, Any] = {plan.voice(f"tests/test_merge.py::test_{number}"): "passed" for number in range(12)}
    for name in list(tests)[:broken]:
        tests[name] = "failed"
    output = plan.voice(f"{broken} failed, {12 - broken} passed in 0.31s")
    return TestReport(
        command="python3 -m pytest -q",
        status="failed" if broken else "passed",
        exit_code=int(broken > 0),
        tests=tests,
        output=output,
        duration_s=0.31,
    )


def make_evidence(plan: Plan, patch: Patch, passes: bool) -> Evidence:
    """Evidence before and after."""
    before, after = report(plan, 3), report(plan, 0 if passes else 2)
    verdict: Any = "no_patch" if not patch else "verified" if passes else "unverified"
    fixed = before.ids("failed")[: 3 if passes else 1]
    return Evidence(
        patch_sha256=patch.sha256,
        verdict=verdict,
        reason=plan.voice("what failed now passes" if passes else "2 still fail"),
        rank=3 if passes else 2,
        before=before,
        after=after,
        fixed=fixed,
        still_failing=after.ids("failed"),
    )


def make_summary(rollout: str, patch: Patch, steps: int, plan: Plan) -> Summary:
    """A summary with something in every field."""
    voice = plan.voice
    return Summary(
        rollout_id=rollout,
        problem=voice("The loop of `merge` ends one element early."),
        hypotheses=(
            Hypothesis(text=voice("off by one in range"), fate="confirmed"),
            Hypothesis(text=voice("wrong slice"), fate="refuted"),
        ),
        decisions=(voice("change the bound, not the caller"),),
        progress=voice("`merge.py` changed, tests run."),
        evidence=(
            CheckedClaim(
                command=voice("pytest -q"),
                tree="changed",
                outcome="passes",
                finding=voice("12 passed"),
                step_id=4,
                mark="confirmed",
            ),
            CheckedClaim(
                command=voice("pytest -q"),
                tree="changed",
                outcome="passes",
                finding=voice("all pass"),
                step_id=99,
                mark="unconfirmed",
                note="no such step",
            ),
        ),
        end_state=voice("clean tree, one file changed"),
        doubts=(voice("first tried to sort the lists"), voice("empty lists are not tested")),
        facts=Facts(
            exit="submitted",
            steps=steps,
            files=(voice("merge.py"),),
            lines_added=2,
            lines_removed=1,
            patch_sha256=patch.sha256,
        ),
    )


def play(candidates: list[str], keep: int, plan: Plan, passing: dict[str, bool]) -> Bracket:
    """A knock-out tournament by seeded votes: pairs, a bye for the odd one, until `keep` are left."""
    rounds: list[tuple[Match, ...]] = []
    alive = list(candidates)
    merged = {alive[0]: (alive.pop(),)} if len(alive) > keep + 2 else {}
    while len(alive) > keep:
        pairs = [tuple(alive[place : place + 2]) for place in range(0, len(alive), 2)]
        matches = [decide(f"r{len(rounds)}-m{place}", pair, plan, passing) for place, pair in enumerate(pairs)]
        rounds.append(tuple(matches))
        alive = [match.winner for match in matches]
    out = [
        one
        for match_round in reversed(rounds)
        for match in match_round
        for one in match.contestants
        if one not in alive
    ]
    ranking = tuple(dict.fromkeys([*alive, *out]))
    return Bracket(
        selector="rtv",
        seed=plan.seed,
        group_size=2,
        votes_per_match=plan.votes,
        rounds=tuple(rounds),
        merged=merged,
        ranking=ranking,
        selected=ranking[:keep],
    )


def decide(name: str, pair: tuple[str, ...], plan: Plan, passing: dict[str, bool]) -> Match:
    """One match: sometimes by evidence, if it differs, else by votes that favour the better candidate."""
    if len(pair) == 1:
        return Match(id=name, contestants=pair, winner=pair[0], decided_by="bye")
    better = max(pair, key=lambda one: (passing[one], plan.rng.random()))
    if passing[pair[0]] != passing[pair[1]] and plan.rng.random() < 0.3:
        return Match(id=name, contestants=pair, winner=better, decided_by="evidence")
    votes = []
    for _ in range(plan.votes):
        choice = better if plan.rng.random() < 0.7 else plan.rng.choice([*pair, None])
        reason = plan.voice("names the failing bound and shows the test passing") if choice else ""
        votes.append(Vote(order=pair, labels=("K", "Q"), choice=choice, reason=reason))
    tally = [sum(vote.choice == one for vote in votes) for one in pair]
    winner = pair[0] if tally[0] > tally[1] else pair[1]
    decided: Any = "votes" if tally[0] != tally[1] else "tie-break"
    return Match(id=name, contestants=pair, votes=tuple(votes), winner=winner, decided_by=decided)
