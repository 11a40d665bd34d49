"""A whole run without machines or servers."""

import sys
from collections import defaultdict
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agents.llm.ledger import Ledger
from heats.config import load_config
from heats.run import RunRequest, play
from heats.services import Services
from heats.slots import Slots

sys.path.insert(0, str(Path(__file__).parent))
from doubles import PaperBackend, PaperEnv


@pytest.fixture
def paper_run(tmp_path, monkeypatch):
    """Play a run on paper; returns its results. Keyword arguments change the configuration by dotted keys."""
    import heats.run as run_module

    async def go(*ids, model, env=None, mix=None, backend=None, listeners=(), directory=tmp_path / "run", **keys):
        backend = backend or PaperBackend()
        settings = {"rollouts": 4, "select_k": 2, "workers": 8, "model.name": "fake:counting", "seed": 1}
        config = load_config((), {**settings, "retries.wait_s": 0, **keys})
        env = env or PaperEnv(*(ids or ("one",)))

        @asynccontextmanager
        async def services(run_id, config, env, events, *, images, fetch=None):
            from agents import open_agent
            from tournament import open_selector

            yield Services(
                run_id=run_id,
                config=config,
                env=env,
                backend=backend,
                agent=open_agent("bash", config.agent),
                models=defaultdict(lambda: model) | (mix or {}),
                summarizer_model=model,
                selector=open_selector(config.tournament, model),
                events=events,
                slots=Slots(config.workers),
                facts={},
            )

        monkeypatch.setattr(run_module, "open_services", services)
        ledger = Ledger("run", config.limits.run)
        request = RunRequest(
            command="test", directory=directory, config=config, env=env, listeners=listeners, ledger=ledger
        )
        return await play(request)

    return go
