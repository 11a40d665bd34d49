"""Synthetic runs for display: `make_run` builds them."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from heats.store.store import RunStore

sys.path.insert(0, str(Path(__file__).parent))  # for synthetic.py: test folders are not packages


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    """The builder's module."""
    import synthetic

    return synthetic


@pytest.fixture
def make_run(tmp_path: Path, synthetic: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RunStore]:
    """Builds a run: keyword arguments of `synthetic.Plan`."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)

    def make(name: str = "run", **plan: Any) -> RunStore:
        return synthetic.build_run(tmp_path / name, synthetic.Plan(**plan))

    return make
