"""What CONTRIBUTING promises: every kind of part is found as `module:Class`, with options where it declares some."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents import open_agent
from agents.llm import ModelConfig, open_model
from agents.llm.ledger import Ledger
from core.errors import InvalidOptions
from envs import open_env
from heats.config import load_config
from heats.errors import UsageError
from sandbox import open_backend
from tournament import open_selector
from tournament.base import Candidate, Case
from tournament.journal import MemoryJournal
from tournament.registry import needs_model

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


async def test_the_selector_in_contributing_works(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "mine.py").write_text(example)
    config = load_config((), {"tournament.selector": "mine:Shortest", "tournament.options.at_least": 2}).tournament
    field = {name: Candidate(id=name, summary="", patch="x" * size) for name, size in (("a", 9), ("b", 1), ("c", 5))}
    arrived = {name: asyncio.sleep(0, candidate) for name, candidate in field.items()}
    case = Case(problem="", seed=0, ledger=Ledger("t"), journal=MemoryJournal())
    assert (await open_selector(config, None).select(arrived, 1, case)).ranking == ("c", "a", "b")
