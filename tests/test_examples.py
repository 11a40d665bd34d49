"""Examples in docstrings run and give what they say, and every public Protocol has one."""

import doctest
import importlib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("core", "sandbox", "summarizer", "tournament", "agents")


def modules_with(text: str) -> list[str]:
    """Names of the modules whose source contains a text."""
    paths = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py") if "llm" not in path.parts)
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    return [name for name, path in zip(names, paths, strict=True) if text in path.read_text(encoding="utf-8")]


def examples(module: ModuleType) -> dict[str, doctest.DocTest]:
    return {test.name: test for test in doctest.DocTestFinder().find(module) if test.examples}


@pytest.mark.parametrize("name", modules_with(">>> "))
def test_the_examples_of_a_module_run(name: str) -> None:
    for test in examples(importlib.import_module(name)).values():
        failures: list[str] = []
        doctest.DocTestRunner().run(test, out=failures.append)
        assert not failures, "".join(failures)


@pytest.mark.parametrize("name", modules_with("Protocol)"))
def test_every_public_protocol_has_an_example(name: str) -> None:
    module = importlib.import_module(name)
    own = {key: value for key, value in vars(module).items() if getattr(value, "__module__", "") == name}
    protocols = {key for key, value in own.items() if not key.startswith("_") and getattr(value, "_is_protocol", False)}
    assert {f"{name}.{key}" for key in protocols} <= examples(module).keys()
