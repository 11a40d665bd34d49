"""Checks a summary's claims against the trajectory: did that step run that command, and did it end so?"""

import re

from agents.trajectory import Observation, Trajectory
from summarizer.schema import CheckedClaim, Claim
from summarizer.view import calls_of, command_of, ending

_FAILURES = re.compile(r"\b[1-9]\d* (?:failed|failures?|errors?)\b|^FAILED |^FAIL: |failures=[1-9]", re.MULTILINE)
_TRACES = re.compile(r"Traceback \(most recent call last\)|^\w*(?:Error|Exception)\b", re.MULTILINE)


def check_claims(claims: tuple[Claim, ...], trajectory: Trajectory) -> tuple[CheckedClaim, ...]:
    """Mark every claim as supported or not, with the reason."""
    return tuple(_check(claim, trajectory) for claim in claims)


def _check(claim: Claim, trajectory: Trajectory) -> CheckedClaim:
    runs = [
        (step.id, observation)
        for step in trajectory.steps
        for call, observation in calls_of(step)
        if _same(claim.command, command_of(call) or call.name)
    ]
    here = [observation for step_id, observation in runs if step_id == claim.step_id]
    if not here:
        note = _elsewhere(claim, runs, trajectory)
    else:
        notes = [_contradiction(claim, observation) for observation in here]
        note = "" if "" in notes else notes[0]
    return CheckedClaim(**claim.model_dump(), supported=not note, note=note)


def _elsewhere(claim: Claim, runs: list[tuple[int, Observation | None]], trajectory: Trajectory) -> str:
    if runs:
        step_id, observation = runs[-1]
        return f"ran in step {step_id}, not {claim.step_id} ({ending(observation)})"
    if claim.step_id not in {step.id for step in trajectory.steps}:
        return f"there is no step {claim.step_id}"
    return f"step {claim.step_id} ran no such command"


def _contradiction(claim: Claim, observation: Observation | None) -> str:
    """Why the observation does not bear the claim out; empty when it does."""
    if observation is None or observation.status in ("rejected", "indeterminate"):
        return f"ended with {ending(observation)}"
    failed = observation.status != "exited" or observation.exit_code != 0
    shows_failure = bool(_FAILURES.search(observation.content))
    if claim.outcome == "passed" and failed:
        return f"ended with {ending(observation)}"
    if claim.outcome == "passed" and shows_failure:
        return "exit 0, but its output reports failures"
    if claim.outcome == "failed" and not failed and not shows_failure and not _TRACES.search(observation.content):
        return "ended with exit 0 and its output reports no failure"
    return ""


def _same(claimed: str, actual: str) -> bool:
    """Whether a claimed command is the one that ran; one of the two may quote only a part of it."""
    one, other = " ".join(claimed.split()).strip("`$ "), " ".join(actual.split())
    if not one or not other:
        return False
    return one == other or (len(one) >= 4 and one in other) or (len(other) >= 4 and other in one)
