"""Runs to show: `make_run` builds one out of nothing."""

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from heats.store import RunStore


def _load() -> ModuleType:
    """`synthetic.py` beside this file; test folders are no packages."""
    if "heats_synthetic" not in sys.modules:
        path = Path(__file__).with_name("synthetic.py")
        spec = importlib.util.spec_from_file_location("heats_synthetic", path)
        assert spec is not None and spec.loader is not None
        module = sys.modules["heats_synthetic"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules["heats_synthetic"]


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    """The builder's module."""
    return _load()


@pytest.fixture
def make_run(tmp_path: Path, synthetic: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RunStore]:
    """Builds a run: keyword arguments of `synthetic.Plan`."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)

    def make(name: str = "run", **plan: Any) -> RunStore:
        return synthetic.build_run(tmp_path / name, synthetic.Plan(**plan))

    return make
