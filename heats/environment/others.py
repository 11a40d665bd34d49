"""Set-up and tests of Node, Go and Rust projects, and of those with only a Makefile or CI workflow."""

import json
import re
from collections.abc import Iterator

from heats.environment.proposal import SuggestedTests
from heats.environment.tree import Files

_WORKFLOWS = r"\.github/workflows/[^/]+\.ya?ml|\.gitlab-ci\.yml|\.circleci/config\.yml"
_RUNS_TESTS = re.compile(
    r"^\s*(?:-\s+)?(?:run:\s*)?((?:[A-Z_]+=\S+\s+)?(?:python3? -m )?"
    r"(?:pytest|tox|nox|unittest|npm (?:run )?test|yarn test|pnpm test|go test|cargo test|make (?:test|check))\b"
    r"[^#\n]*)$",
    re.MULTILINE,
)


def node_proposal(files: Files) -> SuggestedTests | None:
    """Build the proposal for a package.json with a test script."""
    try:
        package = json.loads(files.read("package.json"))
        script = str(package.get("scripts", {}).get("test", ""))
    except (ValueError, AttributeError):
        return None
    if not script or "no test specified" in script:
        return None
    if "package-lock.json" in files or "npm-shrinkwrap.json" in files:
        lock, install = "package-lock.json", "npm ci"
    elif "yarn.lock" in files:
        lock, install = "yarn.lock", "npx --yes yarn@1 install --frozen-lockfile"
    elif "pnpm-lock.yaml" in files:
        lock, install = "pnpm-lock.yaml", "npx --yes pnpm install --frozen-lockfile"
    else:
        lock, install = "", "npm install"
    needs = {**package.get("dependencies", {}), **package.get("devDependencies", {})}
    return SuggestedTests(
        language="node",
        test="npm test",
        setup=install if needs else "",
        image="node:22-bookworm",
        found=("package.json", *((lock,) if lock else ())),
    )


def go_proposal(files: Files) -> SuggestedTests | None:
    """Build the proposal for a Go module; its set-up also compiles, which warms the build cache for the tests."""
    if "go.mod" not in files:
        return None
    # Tolerate a failed build: the tests report which package does not compile.
    setup = "go mod download && { go test -count=1 -run '^$' ./... || true; }"
    return SuggestedTests(
        language="go", test="go test -v ./...", setup=setup, image="golang:1-bookworm", found=("go.mod",)
    )


def rust_proposal(files: Files) -> SuggestedTests | None:
    """Build the proposal for a Cargo package or workspace."""
    if "Cargo.toml" not in files:
        return None
    setup = "cargo fetch && { cargo test --no-run || true; }"
    found = ("Cargo.toml", *(("Cargo.lock",) if "Cargo.lock" in files else ()))
    return SuggestedTests(language="rust", test="cargo test", setup=setup, image="rust:1-bookworm", found=found)


def make_proposal(files: Files) -> SuggestedTests | None:
    """Build the proposal for a Makefile with a `test` or `check` target, or for commands in CI or AGENTS.md."""
    targets = re.findall(r"^(test|check)\s*:", files.read("Makefile"), re.MULTILINE)
    if targets:
        return SuggestedTests(test=f"make {'test' if 'test' in targets else 'check'}", found=("Makefile",))
    for name, command in mentions(files):
        return SuggestedTests(test=command, found=(name,))
    return None


def mentions(files: Files) -> Iterator[tuple[str, str]]:
    """Yield test commands in CI workflows and AGENTS.md, with the file that contains each."""
    names = [*sorted(files.matching(_WORKFLOWS)), "AGENTS.md", "CONTRIBUTING.md"]
    for name in names:
        for found in _RUNS_TESTS.finditer(files.read(name)):
            if "${{" not in found[1]:
                yield name, found[1].strip().strip("`'\"")
