"""What answers of the repository tool cost in tokens, next to grep and cat, and whether they show the definition.

    git archive HEAD | tar -x -C /tmp/tree
    python -m benchmarks.repository_tool /tmp/tree --names 200

Names of functions, classes and methods are drawn by seed from the Python files of a folder, with Python's own parser.
For each, the answers of several commands are cut to what agents show of an output. A token is taken as four
characters. `shown` is the share of answers in which the definition is still visible.
"""

import argparse
import ast
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, median

from core.text import elide, fill
from heats.config import load_config
from sandbox.config import cache_directory
from sandbox.repo_tool import REPO_TOOL, repo_tool_directory

PER_TOKEN = 4
Definition = tuple[str, int, str]
"""File, line and name."""


def defined(folder: Path, count: int, rng: random.Random) -> list[Definition]:
    """Draw definitions."""
    found: list[Definition] = []
    for path in sorted(folder.rglob("*.py")):
        try:
            tree = ast.parse(path.read_text("utf-8"))
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name[:2] != "__":
                found.append((str(path.relative_to(folder)), node.lineno, node.name))
    return rng.sample(found, min(count, len(found)))


def said(folder: Path, *command: str) -> str:
    """What a command prints in a folder."""
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=300, check=False)
    return done.stdout.decode("utf-8", "replace")


def measure(folder: Path, count: int, seed: int) -> None:
    """Print a line for each command."""
    tool, agent = str(repo_tool_directory(cache_directory()) / "repo"), load_config(()).agent
    prompt = fill(agent.repository_prompt, command=f"{REPO_TOOL}/repo")
    names = defined(folder, count, random.Random(seed))
    files = len(list(folder.rglob("*.py")))
    print(
        f"\n### {files} Python files, {len(names)} names; the prompt's section: {len(prompt) / PER_TOKEN:.0f} tokens\n"
    )
    print("| command | tokens: median | mean | most | shown % |\n| --- | --: | --: | --: | --: |")
    commands: tuple[tuple[str, Callable[[Definition], list[str]]], ...] = (
        ("repo def NAME", lambda one: [tool, "def", one[2]]),
        ("grep -rnw NAME .", lambda one: ["grep", "-rnw", one[2], "."]),
        ("grep -rnE '(def|class) NAME\\b' .", lambda one: ["grep", "-rnE", rf"(def|class) {one[2]}\b", "."]),
        ("repo outline FILE", lambda one: [tool, "outline", one[0]]),
        ("cat -n FILE", lambda one: ["cat", "-n", one[0]]),
    )
    for text, command in commands:
        tokens, shown = [], []
        for one in names:
            answer, _ = elide(said(folder, *command(one)), agent.observation_head, agent.observation_tail)
            tokens.append(len(answer) / PER_TOKEN)
            shown.append(_shows(answer, one))
        figures = f"{median(tokens):.0f} | {fmean(tokens):.0f} | {max(tokens):.0f} | {100 * fmean(shown):.0f}"
        print(f"| `{text}` | {figures} |", flush=True)


def _shows(answer: str, one: Definition) -> bool:
    file, line, _ = one
    places = (f"{file}:{line}:", f"./{file}:{line}:", f"{line}:")
    rows = answer.splitlines()
    return any(row.startswith(places) or row.lstrip().startswith(f"{line}\t") for row in rows)


def main() -> None:
    """Print a table for each folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--names", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    for folder in asked.folders:
        measure(folder, asked.names, asked.seed)


if __name__ == "__main__":
    main()
