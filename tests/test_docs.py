"""Docs stay correct: links lead somewhere, commands and flags exist, generated pages are fresh, the example runs."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from heats.cli import app
from tournament.registry import SELECTORS

ROOT = Path(__file__).resolve().parent.parent
GENERATED = ROOT / "docs" / "cli.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
GIT_IDENTITY = {
    f"GIT_{role}_{field}": f"reader{suffix}"
    for role in ("AUTHOR", "COMMITTER")
    for field, suffix in (("NAME", ""), ("EMAIL", "@example.org"))
}

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def shell_lines(page: Path) -> Iterator[str]:
    """Commands in a page's shell blocks, with continued lines joined and here-documents dropped."""
    for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
        if language not in {"sh", "bash", "console"}:
            continue
        block = re.sub(r"<<'?(\w+)'?.*?^\1$", "", block, flags=re.MULTILINE | re.DOTALL)
        yield from block.replace("\\\n", " ").splitlines()


def inline_code(page: Path) -> list[str]:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return re.findall(r"`([^`\n]+)`", text)


def commands() -> dict[str, Any]:
    """The program's commands by name. Their classes are private to typer."""
    group: Any = typer.main.get_command(app)
    return dict(group.commands)


def flags(command: Any) -> set[str]:
    return {"--help", "-h", *(flag for given in command.params for flag in [*given.opts, *given.secondary_opts])}


@pages
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:|#", target):
            assert (page.parent / target.partition("#")[0]).exists(), f"{page.name} links to {target}"


@pages
def test_every_heats_command_and_flag_on_a_page_exists(page: Path) -> None:
    known = commands()
    for line in [*shell_lines(page), *inline_code(page)]:
        words = shlex.split(line, comments=True) if re.match(r"\s*heats\s+[a-z]", line) else []
        words = words[: words.index("--")] if "--" in words else words  # the rest belongs to another program
        if len(words) < 2:
            continue
        assert words[1] in known, f"{page.name}: there is no command `heats {words[1]}`"
        command = known[words[1]]
        if below := getattr(command, "commands", None):
            assert len(words) == 2 or words[2] in below, (
                f"{page.name}: there is no command `heats {' '.join(words[1:3])}`"
            )
            command = below[words[2]] if len(words) > 2 else command
        unknown = {word.partition("=")[0] for word in words[2:] if re.match(r"--?[a-zA-Z]", word)}
        assert unknown <= flags(command), f"{page.name}: {line.strip()}"


@pages
def test_every_test_and_benchmark_named_on_a_page_exists(page: Path) -> None:
    for name in re.findall(
        r"`(?:[^`\n]* )?((?:tests/(?:agents|envs|heats|sandbox|summarizer|tournament|vllm)|benchmarks)/[\w./-]+\.py)",
        page.read_text(encoding="utf-8"),
    ):
        assert (ROOT / name).exists(), f"{page.name} names {name}"


@pages
def test_every_make_target_on_a_page_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for line in [*shell_lines(page), *inline_code(page)]:
        found = re.match(r"\s*make ([a-z -]+)", line.partition("#")[0])
        wanted = set(found.group(1).split()) if found else set()
        assert wanted <= targets, f"{page.name}: make has no target {wanted - targets}"


def test_the_readme_lists_every_command_and_no_other() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `heats (\w+)`", text, re.MULTILINE)) == set(commands())


def test_the_selection_page_lists_every_selector() -> None:
    text = (ROOT / "docs" / "selection.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE)) == set(SELECTORS.known)


def test_generated_pages_are_what_the_program_says() -> None:
    checked = subprocess.run(
        [sys.executable, "scripts/cli-docs", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.timeout(300)
def test_the_readme_example_ends_with_a_verified_patch(tmp_path: Path) -> None:
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## One minute")[2].partition("\n## ")[0]
    script = next(block for language, block in FENCE.findall(section) if language == "sh")
    path = f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env={"PATH": path, "HOME": str(tmp_path), **GIT_IDENTITY},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "verified" in ran.stdout
    fixed = subprocess.run([sys.executable, "-m", "unittest", "-q"], cwd=tmp_path / "shop", check=False)
    assert fixed.returncode == 0
