"""Fixtures of the tournament's tests."""

from pathlib import Path
from typing import Any

import pytest
import yaml

import configs
from tournament.config import TournamentConfig


@pytest.fixture
def settings() -> dict[str, Any]:
    """The shipped `tournament:` section."""
    text = (Path(configs.__file__).parent / "default.yaml").read_text("utf-8")
    section: dict[str, Any] = yaml.safe_load(text)["tournament"]
    return section


@pytest.fixture
def config(settings: dict[str, Any]) -> TournamentConfig:
    """The shipped configuration."""
    return TournamentConfig(**settings)
