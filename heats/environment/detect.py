"""Inspects a repository's files and proposes how to set it up and test it."""

import json
import re
from pathlib import Path

from heats.environment.others import go_proposal, make_proposal, mentions, node_proposal, rust_proposal
from heats.environment.proposal import SuggestedTests
from heats.environment.python import python_proposal
from heats.environment.tree import Files

_DETECTORS = (python_proposal, go_proposal, rust_proposal, node_proposal, make_proposal)


def detect(repository: Path, ref: str = "HEAD") -> SuggestedTests:
    """Propose a test command, set-up and image from the files of a commit, without running anything.

    Args:
        repository: a repository on disk, or a folder in one.
        ref: commit, branch or tag.

    Returns:
        The proposal; its test command is empty if nothing was recognised.

    Raises:
        TaskError: there is no such repository or commit.
    """
    files = Files.of(repository, ref)
    made = [one for detector in _DETECTORS if (one := detector(files)) is not None]
    proposal = made[0] if made else SuggestedTests()
    others = [one.language for one in made[1:] if one.language]
    notes = [f"there is also a {name} project here; only the {proposal.language} tests are run" for name in others]
    return proposal.noting(*notes, *_images(files), *_runs(files, proposal))


def _images(files: Files) -> list[str]:
    """Return images that the repository defines or names."""
    notes = [
        f"{name}: to use it, `docker build -t NAME -f {name} .` and give --image NAME"
        for name in sorted(files.matching(r"(?:\.devcontainer/)?(?:Dockerfile|Containerfile)"))[:2]
    ]
    for name in (".devcontainer/devcontainer.json", ".devcontainer.json"):
        text = re.sub(r"^\s*//.*$", "", files.read(name), flags=re.MULTILINE)
        try:
            image = json.loads(text).get("image")
        except (ValueError, AttributeError):
            continue
        if isinstance(image, str):
            notes.append(f"{name} names the image {image}: to use it, pull it and give --image {image}")
    return notes


def _runs(files: Files, proposal: SuggestedTests) -> list[str]:
    """Return the test commands of CI, if they differ from the proposal."""
    said = dict.fromkeys(f"{name} runs `{command[:100]}`" for name, command in mentions(files))
    return [one for one in said if f"`{proposal.test}`" not in one][:3]
