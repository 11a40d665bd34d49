"""Fixtures of the summarizer's tests: the shipped settings, trajectories, and a scripted model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import configs
from agents.llm.base import ToolCall
from agents.llm.fake import FakeModel
from agents.llm.ledger import Ledger
from agents.trajectory import Exit, Observation, Step, Trajectory
from summarizer import SummarizerConfig, summarize
from summarizer.schema import Summary

PATCH = b"\n".join(
    [
        b"diff --git a/calc.py b/calc.py",
        b"--- a/calc.py",
        b"+++ b/calc.py",
        b"@@ -1,3 +1,4 @@",
        b" def add(a, b):",
        b"-    return a - b",
        b"+    # sum",
        b"+    return a + b",
        b" ",
        b"",
    ]
)


class Kit:
    """Builders, as a fixture because test modules cannot import one another."""

    PATCH = PATCH

    @staticmethod
    def ran(step: int, command: str, output: str = "", exit_code: int | None = 0, **more: Any) -> Step:
        """An agent's step with one bash call."""
        call = ToolCall(id=f"c{step}", name="bash", arguments=json.dumps({"command": command}))
        seen = Observation(tool_call_id=call.id, content=output, exit_code=exit_code, **more)
        return Step(id=step, source="agent", content="", tool_calls=(call,), observations=(seen,))

    @staticmethod
    def trajectory(*steps: Step) -> Trajectory:
        """A submitted rollout."""
        return Trajectory(
            id="heat-0/rollout-00",
            task_id="t",
            agent="bash",
            model="m",
            seed=0,
            steps=steps,
            exit=Exit(kind="submitted"),
        )

    @staticmethod
    def draft(**changes: Any) -> str:
        """A model's reply that fits the schema."""
        fields: dict[str, Any] = {
            "problem": "add subtracts",
            "hypotheses": [{"text": "wrong operator", "fate": "confirmed"}],
            "decisions": ["change the operator"],
            "progress": "calc.py: add returns a + b",
            "evidence": [
                {"command": "pytest -q", "step_id": 3, "tree": "changed", "outcome": "passes", "finding": "3 passed"}
            ],
            "end_state": "done",
            "doubts": ["negative numbers"],
        }
        return json.dumps({**fields, **changes})


@pytest.fixture
def kit() -> type[Kit]:
    """The builders."""
    return Kit


@pytest.fixture
def config() -> SummarizerConfig:
    """The shipped configuration."""
    text = (Path(configs.__file__).parent / "default.yaml").read_text("utf-8")
    return SummarizerConfig(**yaml.safe_load(text)["summarizer"])


@pytest.fixture
def story(kit: type[Kit]) -> Trajectory:
    """A small rollout: look, fail, fix, pass."""
    return kit.trajectory(
        Step(id=1, source="system", content="rules"),
        Step(id=2, source="user", content="Fix add."),
        kit.ran(3, "pytest -q", "3 passed in 0.1s", 0),
        kit.ran(4, "python check.py", "AssertionError", 1),
    )


@pytest.fixture
def write(config: SummarizerConfig, story: Trajectory) -> Callable[..., Any]:
    """Summarise with a scripted model; keyword arguments change the configuration."""

    async def run(model: FakeModel, trajectory: Trajectory = story, patch: bytes = PATCH, **changes: Any) -> Summary:
        return await summarize(
            trajectory,
            statement="add is wrong",
            patch=patch,
            model=model,
            ledger=Ledger("test"),
            config=config.model_copy(update=changes),
            seed=5,
        )

    return run
