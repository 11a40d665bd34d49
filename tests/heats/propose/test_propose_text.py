"""The text of a proposal says what happened, and triggers nothing that an issue or an agent wants."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

sys.path.insert(0, str(Path(__file__).parent.parent / "show"))
import synthetic
from hostile import MARKDOWN, TERMINAL, XSS, HostileVoice

from heats.errors import UsageError
from heats.propose.commit import Commit
from heats.propose.config import ProposeConfig, filled
from heats.propose.proposal import read_run
from heats.propose.rules import FileChange
from heats.propose.text import MAX_TEXT, message, plain, pull_request, title, variables
from heats.store.store import RunStore

MakeRun = Callable[..., RunStore]
COMMIT = Commit("c" * 40, "t" * 40, "0" * 40, (FileChange(b"a [x](http://y) @me `.py", "100644", "100644"),))
PARSER = MarkdownIt("gfm-like", {"linkify": False})
HARMLESS = {
    "heading_open", "heading_close", "paragraph_open", "paragraph_close", "inline", "fence", "text", "code_inline",
    "softbreak", "bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close", "strong_open",
    "strong_close", "hr",
}  # fmt: skip


@pytest.fixture
def make_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeRun:
    """Builds a synthetic run: keyword arguments of `synthetic.Plan`."""
    monkeypatch.setattr("os.fsync", lambda handle: None)
    return lambda **plan: synthetic.build_run(tmp_path / "synthetic", synthetic.Plan(**plan))


def acts(markdown: str) -> list[str]:
    tokens = PARSER.parse(markdown)
    flat = [*tokens, *(child for token in tokens for child in token.children or [])]
    prose = [token.content for token in flat if token.type == "text"]
    found = [token.type for token in flat if token.type not in HARMLESS]
    return found + [text for text in prose if re.search(r"@\w|#\d|https?:|www\.|<", text)]


def test_change_and_doubts_and_the_best_alternative_come_before_the_rest(make_run: MakeRun) -> None:
    run = make_run(tasks=1, seed=3)
    (task,) = run.manifest.identity["tasks"]
    files = run.task(task).rollout(run.task(task).result().selected)
    files.save_summary(files.summary().model_copy(update={"doubts": ("Empty lists were not tried.",)}))
    text = pull_request(read_run(run)[0], COMMIT)
    heads = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert heads[:4] == [
        "The change, as the attempt describes it",
        "What was not checked, and open doubts",
        "Tests before and after",
        "The strongest alternative",
    ]
    assert "- Doubt stated by the attempt: `Empty lists were not tried.`" in text


def test_it_tells_what_was_tried_why_this_won_the_tests_and_the_cost(make_run: MakeRun) -> None:
    proposal, _ = read_run(make_run(tasks=1, seed=3))
    text = pull_request(proposal, COMMIT)
    for heading in (
        "What was asked",
        "What changes",
        "Tests before and after",
        "Why this patch",
        "What was tried",
        "Cost",
    ):
        assert f"\n## {heading}\n" in text
    assert f"`{proposal.rollout}` was chosen among 16 rollouts." in text
    assert re.search(r"- Before: `failed`, 3 failed", text)
    assert "40 calls" in text
    assert text.count("(this patch)") == 1


def test_a_hostile_run_links_mentions_and_closes_nothing(make_run: MakeRun) -> None:
    proposal, _ = read_run(make_run(tasks=1, seed=3, voice=HostileVoice()))
    assert acts(pull_request(proposal, COMMIT)) == []


@pytest.mark.parametrize(
    "text", [*XSS, *MARKDOWN, *TERMINAL, "fixes #12", "GH-3", "see @acme/team", "https://x.test/1"]
)
def test_titles_and_commit_messages_react_to_nothing(make_run: MakeRun, text: str) -> None:
    proposal, _ = read_run(make_run(tasks=1, rollouts=2, keep=1, steps=3))
    proposal = proposal.model_copy(update={"issue": f"{text}\nmore", "verdict": text, "task": text[:300] or "t"})
    config = ProposeConfig(message="{{ task }} {{ verdict }} {{ issue }}")
    for said in (title(proposal, config), message(proposal, config), plain(text)):
        assert not re.search(r"@|#\d|gh-\d|://|[<>`\[\]\x00-\x09\x0b-\x1f\x7f]", said, re.IGNORECASE)
    assert "\n" not in title(proposal, config)
    assert len(title(proposal, config)) <= 120


def test_a_large_run_fits_what_github_takes(make_run: MakeRun) -> None:
    proposal, _ = read_run(make_run(tasks=1, rollouts=8, seed=3))
    long = tuple(one.model_copy(update={"did": "x" * 240, "reason": "y" * 160}) for one in proposal.attempts) * 25
    text = pull_request(proposal.model_copy(update={"attempts": long[:400], "issue": "z" * 20_000}), COMMIT)
    assert len(text) <= MAX_TEXT
    assert "more rollouts not shown here" in text


def test_templates_know_their_variables_and_no_others(make_run: MakeRun) -> None:
    proposal, _ = read_run(make_run(tasks=1, rollouts=2, keep=1, steps=3))
    name = filled("{{ task }}-{{ patch }}", variables(proposal))
    assert name == f"demo task-000-{proposal.patch_sha256[:8]}"
    with pytest.raises(UsageError, match="cannot be filled in"):
        filled("{{ task.nothing }}", variables(proposal))
    for field in ("branch", "title", "message"):
        with pytest.raises(ValueError, match="unknown variables"):
            ProposeConfig(**{field: "{{ secret }}"})
        with pytest.raises(ValueError, match="broken template"):
            ProposeConfig(**{field: "{{ "})


@pytest.mark.parametrize(
    "author", ["Ada", "Ada <ada>", "<a@b.c>", "Ada <a@b.c> x", "A\nB <a@b.c>", "A <a@b.c>\n<d@e.f>"]
)
def test_an_author_is_a_name_and_an_address(author: str) -> None:
    with pytest.raises(ValueError, match="Name <email>"):
        ProposeConfig(author=author)
