"""A whole run without machines or servers."""

import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agents.llm.fake_persona import Persona, PersonaModel, Script
from heats.config import load_config
from heats.run import RunRequest, play
from heats.services import Services

sys.path.insert(0, str(Path(__file__).parent))
from doubles import PaperBackend, PaperEnv

SCRIPT = Script.model_validate(
    {
        "rules": [{"variants": [["look", "patch right"], ["patch wrong"], ["look", "look", "patch odd"], ["look"]]}],
        "pick": "hash",
    }
)


class Killed(BaseException):
    """Stands in for a kill: nothing may catch it and go on."""


class CountingModel(PersonaModel):
    """A persona that remembers the digests of its requests, over the processes' lives of a test."""

    def __init__(self, asked, *, fail_after=None):
        super().__init__("fake:counting", SCRIPT)
        self._persona = Persona(SCRIPT)
        self.asked, self.fail_after = asked, fail_after

    async def complete(self, messages, **options):
        if self.fail_after is not None:
            self.fail_after -= 1
            if self.fail_after < 0:
                raise Killed
        reply = await super().complete(messages, **options)
        schema, sampling = options.get("response_schema"), options.get("sampling")
        self.asked.append((schema.name if schema else "agent", str(messages), sampling and sampling.seed))
        return reply


@pytest.fixture
def paper_run(tmp_path, monkeypatch):
    """Play a run on paper; returns its results. Keyword arguments change the configuration by dotted keys."""
    import heats.run as run_module

    async def go(*ids, model, backend=None, listeners=(), directory=tmp_path / "run", **keys):
        backend = backend or PaperBackend()
        settings = {"rollouts": 4, "select_k": 2, "workers": 8, "model.name": "fake:counting", "seed": 1, **keys}
        config = load_config((), settings)
        env = PaperEnv(*(ids or ("one",)))

        @asynccontextmanager
        async def services(run_id, config, env, events, *, sandboxes=True):
            from agents import open_agent
            from tournament import open_selector

            yield Services(
                run_id=run_id,
                config=config,
                env=env,
                backend=backend,
                agent=open_agent("bash", config.agent),
                model=model,
                summarizer_model=model,
                selector=open_selector(config.tournament, model),
                events=events,
                slots=asyncio.Semaphore(config.workers),
                facts={},
            )

        monkeypatch.setattr(run_module, "open_services", services)
        request = RunRequest(command="test", directory=directory, config=config, env=env, listeners=listeners)
        return await play(request)

    return go
