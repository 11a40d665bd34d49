"""A small model for votes and summaries, its agreement with the large one, and the switch; also after a kill."""

import json
import re
from collections import Counter
from hashlib import sha256

import pytest
from doubles import Killed

from agents.llm.fake import text
from agents.llm.fake_persona import Persona, PersonaModel, Script
from heats.config import load_config
from heats.errors import UsageError
from heats.report.account import account
from heats.report.routed import routed
from heats.routing import AgreementShare, RoutingConfig
from heats.runner.model_mix import main_model
from heats.store.events import read_events
from heats.store.records import RoutingLine
from heats.store.store import RunStore

SCRIPT = Script.model_validate({"rules": [{"variants": [["look", f"patch v{index}"] for index in range(8)]}]})
TASKS = tuple(f"task-{index}" for index in range(5))
ROUTED = {
    "routing.votes": True,
    "routing.warm_up": 6,
    "judge_model.name": "fake:small",
    "rollouts": 8,
    "select_k": 1,
    "iterations": 1,
    "summarizer.method": "patch",
    "workers": 4,
    "tournament.votes": 2,
    "regression": False,
    "cross_execution": False,
    "grade": False,
}


class Fuse:
    """Stops all models that share it after a number of replies."""

    def __init__(self, replies=None):
        self.replies, self.asked = replies, []

    def burn(self, name, messages, sampling):
        if self.replies is not None and len(self.asked) >= self.replies:
            raise Killed
        self.asked.append((name, str(messages), sampling and sampling.seed))


class Voting(PersonaModel):
    """Votes for the patch with the higher number, but in a share of all matches for the other one."""

    def __init__(self, name, fuse, right=1.0):
        super().__init__(name, SCRIPT)
        self._persona, self.fuse, self.right = Persona(SCRIPT), fuse, right

    async def complete(self, messages, **options):
        schema = options.get("response_schema")
        self.fuse.burn(self.name, messages, options.get("sampling"))
        reply = await super().complete(messages, **options)
        if schema is None or schema.name != "vote":
            return reply
        chosen = text(json.dumps({"reason": self.name, "choice": self.choice(messages[1]["content"])}))
        return reply.model_copy(update={"completions": (chosen,) * len(reply.completions)})

    def choice(self, shown):
        data, _ = json.JSONDecoder().raw_decode(shown)
        patches = {one["label"]: re.search(r"\+v(\d)", one["summary"]) for one in data["candidates"]}
        number = {label: int(found.group(1)) if found else 0 for label, found in patches.items()}
        match = f"{data['problem']} {sorted(number.values())}"
        wrong = int(sha256(match.encode()).hexdigest()[:8], 16) / 2**32 >= self.right
        return (min if wrong else max)(number, key=number.__getitem__)


@pytest.fixture
def routed_run(paper_run):
    """A run of `TASKS` whose small model votes like the large one in a given share of matches."""

    async def go(right, fuse=None, tasks=TASKS, **keys):
        fuse, settings = fuse or Fuse(), {**ROUTED, **keys}
        large = load_config((), {"model.name": "fake:counting"})
        mix = {main_model(large).model_dump_json(): Voting("large", fuse)}
        await paper_run(*tasks, model=Voting("small", fuse, right), mix=mix, **settings)
        return fuse

    return go


def lines(directory, kind="votes"):
    paths = sorted(directory.glob("run/tasks/*/routing.jsonl"))
    found = [RoutingLine.model_validate_json(line) for path in paths for line in path.read_text().splitlines()]
    return [line for line in found if line.kind == kind]


def comparisons(directory, kind="votes"):
    return sorted((one for one in lines(directory, kind) if one.number), key=lambda one: one.number)


def voters(directory):
    """The names of the models whose votes count, by match."""
    found = {}
    for path in directory.glob("run/tasks/*/heat-0/votes.jsonl"):
        for line in map(json.loads, path.read_text().splitlines()):
            unit = f"{path.parts[-3]} heat-0/{line['match']}: {' '.join(line['contestants'])}"
            found.setdefault(unit, set()).update(vote.get("reason", "") for vote in line["votes"])
    return found


async def test_a_small_model_that_agrees_keeps_the_votes(routed_run, tmp_path):
    fuse = await routed_run(0.95)
    routes = Counter(line.route for line in lines(tmp_path) if line.route)
    assert not any(line.switch for line in lines(tmp_path))
    assert routes["large"] == 0
    assert routes["small"] > routes["both"] >= 6
    assert sum(name == "large" and "candidates" in shown for name, shown, _ in fuse.asked) < sum(
        name == "small" for name, *_ in fuse.asked
    )


async def test_the_large_model_takes_over_once_agreement_is_too_low(routed_run, tmp_path):
    await routed_run(0.3)
    (switch,) = [line for line in comparisons(tmp_path) if line.switch]
    assert switch.number >= 6
    assert "is below 0.8" in switch.why
    routes = [line.route for line in lines(tmp_path) if line.route]
    assert routes.count("large") > 0
    warnings = [one.data["text"] for one in read_events(tmp_path / "run" / "events.jsonl") if one.kind == "warning"]
    assert any("from now on large answers" in one for one in warnings)


@pytest.mark.parametrize("right", [0.95, 0.3])
async def test_votes_that_count_are_those_of_the_stored_route(routed_run, tmp_path, right):
    await routed_run(right)
    found = voters(tmp_path)
    for path in tmp_path.glob("run/tasks/*/routing.jsonl"):
        for line in map(RoutingLine.model_validate_json, path.read_text().splitlines()):
            unit = f"{path.parts[-2]} {line.unit}"
            if line.route and unit in found:  # a match that was dropped has no votes
                assert found[unit] == {"small" if line.route == "small" else "large"}


@pytest.mark.parametrize("stop_after", [110, 130, 150, 170])
@pytest.mark.parametrize("right", [0.95, 0.3])
async def test_a_killed_run_keeps_its_decisions_and_asks_nobody_twice(routed_run, tmp_path, right, stop_after):
    fuse = Fuse(stop_after)
    with pytest.raises(BaseException):  # noqa: B017
        await routed_run(right, fuse)
    before = {path: path.read_text() for path in tmp_path.glob("run/tasks/*/routing.jsonl")}
    fuse.replies = None
    await routed_run(right, fuse)
    for path, text_before in before.items():
        assert path.read_text().startswith(text_before)
    made = [(path, line.unit) for path in before for line in lines_of(path) if line.route]
    assert len(made) == len(set(made))
    numbers = [line.number for line in comparisons(tmp_path)]
    assert numbers == list(range(1, len(numbers) + 1))
    asked = Counter(one for one in fuse.asked if "difference" not in one[1])  # without the judges' trial questions
    assert max(asked.values()) <= 2  # only what was on its way when it was killed


def lines_of(path):
    return [RoutingLine.model_validate_json(line) for line in path.read_text().splitlines()]


async def test_the_same_seed_routes_the_same_way(routed_run, tmp_path):
    await routed_run(0.6, workers=1)
    first = lines(tmp_path)
    (tmp_path / "run").rename(tmp_path / "before")
    await routed_run(0.6, workers=1)
    assert lines(tmp_path) == first


async def test_all_requests_are_in_the_ledger(routed_run, tmp_path):
    fuse = await routed_run(0.3)
    assert sum(charge.usage.calls for charge in RunStore(tmp_path / "run").charges()) == len(fuse.asked)


async def test_without_routing_only_the_small_model_votes_and_nothing_is_stored(routed_run, tmp_path):
    fuse = await routed_run(0.3, **{"routing.votes": False})
    assert not [one for one in fuse.asked if one[0] == "large" and "candidates" in one[1]]
    assert not list(tmp_path.glob("run/tasks/*/routing.jsonl"))
    assert "routing" not in RunStore(tmp_path / "run").manifest.identity["config"]


async def test_account_and_report_say_how_far_the_models_agreed(routed_run, tmp_path):
    await routed_run(0.3)
    store = RunStore(tmp_path / "run")
    (said,) = routed(store)
    assert re.match(r"votes: fake:small alone \d+ of \d+ matches, both models \d+; agreement 0\.\d\d \(", said)
    assert re.search(r"switched after comparison \d+: agreement", said)
    assert said in account(store, TASKS[0])


def summary(*steps):
    claims = [
        {"command": "look", "step_id": step, "tree": "base", "outcome": "other", "finding": "x"} for step in steps
    ]
    empty = {"hypotheses": [], "decisions": [], "progress": "", "end_state": "", "doubts": []}
    return Script.model_validate(
        {**SCRIPT.model_dump(), "replies": {"summary": {"problem": "p", **empty, "evidence": claims}}}
    )


@pytest.mark.parametrize(("steps", "agree"), [((3,), True), ((), False)])
async def test_summaries_are_compared_by_the_runs_that_they_report(routed_run, tmp_path, monkeypatch, steps, agree):
    monkeypatch.setattr(
        Voting, "__init__", _with_script(Voting.__init__, {"large": summary(3), "small": summary(*steps)})
    )
    keys = {"routing.summaries": True, "routing.votes": False, "summarizer_model.name": "fake:small"}
    await routed_run(1.0, **{**keys, "summarizer.method": "model", "summarizer.when": "always"})
    found = comparisons(tmp_path, "summaries")
    assert {line.agree for line in found} == {agree}
    assert any(line.switch for line in found) is not agree
    store = RunStore(tmp_path / "run").task(TASKS[0])
    for line in lines_of(store.directory / "routing.jsonl"):
        if line.route == "both":
            assert [claim.step_id for claim in store.rollout(line.unit).summary().evidence] == [3]


def _with_script(init, scripts):
    def changed(self, name, fuse, right=1.0):
        init(self, name, fuse, right)
        self._persona = Persona(scripts[name])

    return changed


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"routing.votes": True}, "set judge_model.name"),
        ({"routing.summaries": True}, "set summarizer_model.name"),
    ],
)
def test_routing_without_a_small_model_is_refused(keys, said):
    with pytest.raises(UsageError, match=said):
        load_config((), keys)


@pytest.mark.parametrize("keys", [{"tournament.selector": "pointwise"}, {"tournament.judge.view": "probe"}])
async def test_selectors_that_cannot_be_routed_are_refused(routed_run, keys):
    with pytest.raises(Exception, match=r"routing\.votes does not go with"):
        await routed_run(1.0, **keys)


def test_a_few_disagreements_do_not_switch_and_many_do():
    rule = RoutingConfig(votes=True)
    assert rule.too_low([True] * 9 + [False]) is None
    assert rule.too_low([False] * 4) is None  # not yet warm
    assert rule.too_low([True] * 13 + [False] * 7) is None
    assert rule.too_low([True] * 12 + [False] * 8).high < 0.8
    assert rule.too_low([True] * 80 + [True, False] * 10) is not None  # it fell


def test_the_interval_is_wilsons():
    found = AgreementShare.of([True] * 19 + [False] * 4)
    assert (round(found.low, 3), round(found.high, 3)) == (0.629, 0.930)
