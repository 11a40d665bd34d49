"""`heats sweep` as users type it: wrong input, what a run leaves, and a custom command as the agent."""

import json
import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest

from heats.cli import main
from heats.store.events import read_events

ASKS_TWICE = """
import json, os, sys, urllib.request
head = {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "Content-Type": "application/json"}
for said in ("one", "two"):
    body = json.dumps({"messages": [{"role": "user", "content": said}]}).encode()
    urllib.request.urlopen(urllib.request.Request(os.environ["OPENAI_BASE_URL"] + "/chat/completions", body, head))
"""


@pytest.fixture
def heats(monkeypatch, capsys, tmp_path):
    """Run `heats sweep` in this process; returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)

    def go(*arguments):
        monkeypatch.setattr(sys, "argv", ["heats", "sweep", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        return end.value.code, out, err

    return go


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere.jsonl", "--model", "builtin:repair"), "nowhere.jsonl: no such file"),
        (("demo", "--filter", "no-such-task"), "none of the 19 tasks"),
        (("demo", "--executor", "cloud"), "--executor cloud: unknown; choose one of local, ray"),
        (("demo", "-O", "nothing"), "expected key=value"),
        (("demo", "--agent", "command:"), "needs a command"),
        (("no.such.module:Env", "--model", "builtin:repair"), "env 'no.such.module:Env' cannot be loaded"),
        (("demo", "-O", "image_template=x"), "invalid options for the env demo"),
        (("demo", "--within-timeout"), "no task has an agent timeout"),
        (("demo", "--keep-state"), "no task is graded by its end state"),
    ],
)
def test_wrong_input_is_one_line_and_exit_2(heats, arguments, said):
    code, _, err = heats(*arguments, "--sandbox", "local", "--unsafe", "--progress", "quiet")
    assert (code, said in err, err.count("\n")) == (2, True, 1), err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("demo", "-c", "select_k=9", "-c", "rollouts=2"), "select_k (9) is larger than rollouts (2)"),
        (("demo", "-c", "agent.templates.task='{{ nope }}'"), "unknown variables ['nope']"),
        (("demo", "-c", "propose.author=me"), "write it as `Name <email>`"),
        (("ROWS", "-O", "network=all"), "invalid options for the env swebench: network: Input should be"),
    ],
)
def test_no_message_shows_how_a_fault_was_found(heats, tmp_path, arguments, said):
    """Messages of validators were preceded by "Value error,", or ended with a URL of the library."""
    (tmp_path / "rows.jsonl").write_text("{}\n")
    given = [str(tmp_path / "rows.jsonl") if one == "ROWS" else one for one in arguments]
    code, _, err = heats(*given, "--model", "builtin:repair")
    assert (code, said in err, err.count("\n"), "Value error" in err) == (2, True, 1, False), err


@pytest.mark.slow
@pytest.mark.bubblewrap
def test_a_command_of_ones_own_is_an_agent_like_any_other(heats, tmp_path):
    tool = "command:sh -c 'cat $HEATS_INSTRUCTION > notes.txt; echo noted'"
    flags = ("demo", "-i", "csv", "-i", "money", "-k", "2", "--iterations", "1", "--agent", tool)
    more = ("--sandbox", "bubblewrap", "--out", tmp_path / "run", "--progress", "quiet", "--json")
    code, out, err = heats(*flags, *more)
    assert code == 0, err
    told = json.loads(out)
    assert told["counts"] == {"not verified": 2}
    assert [task["status"] for task in told["tasks"]] == ["unverified", "unverified"]
    preds = json.loads((tmp_path / "run" / "preds.json").read_text())
    assert all("notes.txt" in one["model_patch"] for one in preds.values())
    assert len(told["predictions"]) == 4
    again = heats(*flags, *more)
    assert json.loads(again[1])["results"] == told["results"]


@pytest.mark.slow
@pytest.mark.bubblewrap
def test_progress_counts_replies_of_an_agent_without_tools(heats, tmp_path):
    """Aider writes its edits as text: its replies have neither calls nor observations."""
    tool = f"command:python3 -c {shlex.quote(ASKS_TWICE)}"
    flags = ("demo", "-i", "csv", "-k", "2", "--iterations", "1", "--agent", tool, "--model", "builtin:repair")
    code, _, err = heats(*flags, "--sandbox", "bubblewrap", "--out", tmp_path / "run", "--progress", "quiet")
    assert code == 0, err
    steps = [event.data["step"] for event in read_events(tmp_path / "run/events.jsonl") if event.kind == "rollout_step"]
    assert sorted(steps) == [1, 1, 2, 2]


@pytest.mark.slow
@pytest.mark.bubblewrap
def test_a_command_that_is_not_in_the_image_is_told_and_no_wrong_answer(heats, tmp_path):
    flags = ("demo", "-i", "csv", "-k", "2", "--iterations", "1", "--agent", "command:no-such-tool {instruction}")
    code, out, _ = heats(*flags, "--sandbox", "bubblewrap", "--out", tmp_path / "run", "--progress", "quiet")
    assert code == 3
    assert "1 cannot be attempted" in out
    assert "no-such-tool" in out


def test_rays_environment_holds_all_that_heats_needs():
    """Its pins are separate from uv.lock, so a new dependency has to be added there as well."""
    root = Path(__file__).resolve().parent.parent.parent
    wanted = tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]
    pinned = (root / "tests" / "tools" / "ray.txt").read_text().lower()
    missing = [
        name for name in (re.split(r"[<>=\[~! ]", one)[0].lower() for one in wanted) if f"\n{name}==" not in pinned
    ]
    assert not missing, "make tests/tools/ray.txt again, as its first lines say"
