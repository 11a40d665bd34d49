"""What CONTRIBUTING promises: every kind of part is found as `module:Class`, with options if it declares some."""

import asyncio
import importlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest

from agents import Assignment, open_agent
from agents.choose import Turn, open_chooser
from agents.llm import ModelConfig, open_model
from agents.llm.base import Sampling
from agents.llm.fake import FakeModel, bash, submit
from agents.llm.ledger import Ledger
from core.errors import InvalidOptions
from envs import open_env
from heats.bank.asking import Asking
from heats.bank.config import WRITERS
from heats.bank.entry import Entry
from heats.bank.readers import Question, read_bank
from heats.bank.writers import Finished
from heats.cli.select import View
from heats.config import load_config
from heats.context_rules import Before, Choice, Earlier, choice_of, open_context_rule
from heats.errors import UsageError
from heats.planning.dice import Dice, Signals
from heats.planning.plan import Cost, Prices
from heats.planning.simulate import Method, World
from heats.planning.spending import play_policy
from heats.policies.registry import open_policy
from sandbox import open_backend
from sandbox.fake import FakeSandbox
from tournament import open_selector
from tournament.base import Bracket, Candidate, Case, Vote
from tournament.config import JudgeConfig
from tournament.journal import MemoryJournal
from tournament.registry import needs_model
from tournament.view import FIELDS

PRICES = Prices(steps=(10.0, 5.0), step=Cost(tokens=100), summary=Cost(), vote=Cost())
OWN = """
from core.record import Config
from tournament.baselines import RandomSelector


class Part:
    class Options(Config):
        cluster: str = "here"

    def __init__(self, config, *more, options):
        self.config, self.options = config, options


class Backend(Part):
    name = "own"

    @classmethod
    async def open(cls, config, *, options):
        return cls(config, options=options)


class Selector(Part):
    name, needs_model = "own", False


class Model:
    def __init__(self, config):
        self.config = config


class Env:
    def __init__(self, folder):
        self.folder = folder
"""


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "own_parts.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield


def configured(part: str, name: str, **options: object):
    key = {"sandbox": "backend", "agent": "name", "tournament": "selector"}[part]
    given = {f"{part}.options.{option}": value for option, value in options.items()}
    return getattr(load_config((), {f"{part}.{key}": f"own_parts:{name}", **given}), part)


async def test_a_sandbox_backend_agent_and_selector_of_ones_own_are_opened_with_their_options() -> None:
    backend = await open_backend(configured("sandbox", "Backend", cluster="there"))
    agent = configured("agent", "Part", cluster="there")
    selector = configured("tournament", "Selector", cluster="there")
    made = [backend, open_agent(agent.name, agent), open_selector(selector, None)]
    assert [one.options.cluster for one in made] == ["there"] * 3
    assert not needs_model(selector)


async def test_options_of_a_part_of_ones_own_are_checked_by_name() -> None:
    with pytest.raises(InvalidOptions, match=r"unknown option sandbox\.options\.custer; known: cluster"):
        await open_backend(configured("sandbox", "Backend", custer="x"))
    with pytest.raises(InvalidOptions, match=r"unknown option tournament\.options\.cluster; it takes no options"):
        open_selector(load_config((), {"tournament.options.cluster": "x"}).tournament, None)


def test_a_chat_model_and_an_env_of_ones_own_are_opened() -> None:
    config = ModelConfig(name="python:own_parts:Model", temperature=0.5)
    assert open_model(config).config is config
    assert open_env("own_parts:Env", {"folder": "x"}).folder == "x"


def test_a_model_of_a_server_may_be_named_like_a_module() -> None:
    config = ModelConfig(name="python:own_parts:Model", base_url="http://127.0.0.1:9/v1")
    assert open_model(config).name == "python:own_parts:Model"


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"sandbox.backend": "podman"}, "unknown sandbox backend 'podman'; known: docker, bubblewrap, local, auto"),
        ({"sandbox.backend": "dokcer"}, r"did you mean docker\?"),
    ],
)
def test_a_backend_that_is_not_known_is_refused_when_it_is_configured(overrides, told) -> None:
    with pytest.raises(UsageError, match=told):
        load_config((), overrides)


def candidates(**patch_sizes: int) -> dict[str, Candidate]:
    return {name: Candidate(id=name, summary="", patch="x" * size) for name, size in patch_sizes.items()}


def case() -> Case:
    return Case(problem="", seed=0, ledger=Ledger("t"), journal=MemoryJournal())


@pytest.fixture
def example(tmp_path: Path) -> Callable[[str], None]:
    """Saves the example of a section of CONTRIBUTING.md as `mine.py`."""

    def save(section: str) -> None:
        page = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
        text = page.partition(f"### {section}\n")[2].partition("\n##")[0]
        (tmp_path / "mine.py").write_text("".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL)))
        sys.modules.pop("mine", None)
        importlib.invalidate_caches()

    return save


async def test_the_selector_in_contributing_works(example: Callable[[str], None]) -> None:
    example("A selector with settings")
    config = load_config((), {"tournament.selector": "mine:Shortest", "tournament.options.at_least": 2}).tournament
    arrived = {name: asyncio.sleep(0, one) for name, one in candidates(a=9, b=1, c=5).items()}
    assert (await open_selector(config, None).select(arrived, 1, case())).ranking == ("c", "a", "b")


@pytest.mark.parametrize(("favourites", "winner"), [(("b", "b", "b", "a"), "b"), (("b", "b", "a", "a"), "a")])
async def test_the_voting_rule_in_contributing_works(
    example: Callable[[str], None], favourites: tuple[str, ...], winner: str
) -> None:
    example("A voting rule")
    module = importlib.import_module("mine")

    class Judge:
        async def vote(self, problem, contestants, *, count, first, seed, ledger):
            order = tuple(one.id for one in contestants)
            chosen = favourites[first : first + count]
            return [Vote(order=order, labels=("A", "B"), choice=one, reason="") for one in chosen]

    changes = {"tournament.votes": 4, "tournament.early_stop": "never", "tournament.ties": []}
    config = load_config((), changes).tournament
    arrived = {name: asyncio.sleep(0, one) for name, one in candidates(a=1, b=2).items()}
    bracket = await module.MajoritySelector(config, Judge()).select(arrived, 1, case())
    assert bracket.selected == (winner,)


def test_every_judge_view_is_named_where_contributing_says() -> None:
    assert set(FIELDS) == set(get_args(JudgeConfig.model_fields["view"].annotation)) == {view.value for view in View}


def test_the_context_rule_in_contributing_works(example: Callable[[str], None]) -> None:
    example("A context rule")
    rule = open_context_rule(load_config((), {"refine.context": "mine:BestAndWorst"}).refine.context)
    bracket = Bracket(selector="rtv", seed=0, group_size=2, votes_per_match=2)
    before = Before(bracket=bracket, usable=("c", "a", "b"), predecessor="a", k=2, seed=0)
    assert tuple(rule.parents(before)) == ("c", "b")


def test_the_policy_in_contributing_works(example: Callable[[str], None]) -> None:
    example("An allocation policy")
    config = load_config((), {"policy.name": "mine:Strikes", "policy.options.strikes": 2}).policy
    dice = Dice(Method(rollouts=8, iterations=2), World(0.3, 1.0, (0.6,), (0.1, 0.5)), Signals(), PRICES)
    found = play_policy(open_policy(config.name, config.options), dice.tasks(50))
    assert {one.attempts for one in found} == {1, 2}
    with pytest.raises(InvalidOptions, match=r"unknown option policy\.options\.strike; known: strikes"):
        open_policy("mine:Strikes", {"strike": 2})


def test_the_full_context_rule_in_contributing_works(example: Callable[[str], None]) -> None:
    example("A context rule")
    config = load_config((), {"refine.context": "mine:Shrink", "refine.options.role": "Simplify it."}).refine
    rule = open_context_rule(config.context, config.options)
    bracket = Bracket(selector="rtv", seed=0, group_size=2, votes_per_match=2, ranking=("a", "b"), selected=("a",))
    attempts = {"a": Earlier(Candidate(id="a", summary="", patch="+", patch_key="+", evidence="1 test still fails."))}
    before = Before(
        bracket=bracket, usable=("a", "b"), predecessor="a", k=1, seed=0, attempts=attempts, lost={"b": "No change."}
    )
    wanted = Choice(
        parents=("a",), texts=("1 test still fails.\n1 attempts were not kept.",), start="a", role="Simplify it."
    )
    assert choice_of(rule, before) == wanted


async def test_the_watcher_in_contributing_works(example: Callable[[str], None]) -> None:
    example("A watcher")
    options = {"mine:TestsFirst": {"word": "tox", "after": 2}}
    config = load_config((), {"agent.watchers": ["mine:TestsFirst"], "agent.watcher_options": options}).agent
    model = FakeModel(bash("ls"), bash("ls -a"), submit(), submit())
    task = Assignment(rollout_id="heat-0/rollout-00", task_id="t", instruction="Fix it.", workdir="/w", seed=1)
    agent = open_agent("bash", config)
    trajectory = await agent.run(task, FakeSandbox(["", ""]), model, Ledger("rollout"), lambda _: None)
    assert [step.content for step in trajectory.steps if step.watcher] == ["Run tox now."]
    refused = [one.content for step in trajectory.steps for one in step.observations if one.watcher]
    assert refused == ["tox was never run: run it, then submit again."]
    assert trajectory.exit is not None and trajectory.exit.kind == "submitted"


def test_an_unknown_context_rule_is_refused_when_it_is_configured() -> None:
    with pytest.raises(UsageError, match=r"unknown context rule 'select'.*did you mean select-k\?"):
        load_config((), {"refine.context": "select"})


async def test_the_step_chooser_in_contributing_works(example: Callable[[str], None]) -> None:
    example("A step chooser")
    chooser = open_chooser(load_config((), {"agent.chooser.name": "mine:Shorter"}).agent.chooser)
    model, ledger = FakeModel(bash("a long command"), bash("ls")), Ledger("t")
    turn = Turn(
        messages=[],
        means={},
        model=model,
        drafter=None,
        ledger=ledger,
        sampling=Sampling(seed=1),
        calls=lambda one: one.tool_calls,
    )
    reply, (other,) = await chooser.choose(turn)
    assert "ls" in reply.first.tool_calls[0].arguments and "long" in other.tool_calls[0].arguments
    assert reply.usage == ledger.spent


async def test_the_reader_and_the_writer_in_contributing_work(example: Callable[[str], None]) -> None:
    example("A reader and a writer of a bank")
    given = {"bank.path": "b", "bank.writers": ["mine:Titles"], "bank.readers": ["mine:Newest"]}
    config = load_config((), given).bank
    asking = Asking(model=FakeModel(), ledger=Ledger("t"), config=config, seed=0)
    writer = WRITERS.open("mine:Titles", "mine:Titles", config)
    (proposal,) = await writer.write(Finished(statement="Fix it.\nMore.", accounts=()), [], asking)
    assert proposal.name == "Fix it."
    entries = [Entry(kind="k", name=name, text=name) for name in ("old", "new")]
    found = await read_bank(Question(statement="", most=1, asking=asking), entries, config)
    assert [one.name for one in found] == ["new"]


def test_the_export_in_contributing_works(example: Callable[[str], None], tmp_path: Path) -> None:
    example("An export")
    sys.path.insert(0, str(Path(__file__).parent / "heats" / "show"))
    from synthetic import Plan, build_run

    run = build_run(tmp_path / "run", Plan(tasks=2))
    (path,) = importlib.import_module("mine").export_winners(run, tmp_path)
    assert len(path.read_text().splitlines()) == 2 and "heat-" in path.read_text()
