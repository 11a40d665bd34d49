"""`heats select`: from attempts of every kind to a ranking, a bracket and the winner's patch."""

import json
import subprocess
import sys

import pytest

from heats.cli import main
from heats.errors import ExitCode
from heats.store.store import RunStore

ISSUE = "note.txt has to say fixed"


def diff(line):
    return f"diff --git a/note.txt b/note.txt\n--- a/note.txt\n+++ b/note.txt\n@@ -1 +1 @@\n-old\n+{line}\n"


def mini(path, instance, line, **more):
    """A mini-swe-agent trajectory whose submission writes `line`."""
    call = {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": '{"command": "cat note.txt"}'}}
    document = {
        "trajectory_format": "mini-swe-agent-1.1",
        "instance_id": instance,
        "info": {"exit_status": "Submitted", "submission": diff(line) if line else "", "mini_version": "2"},
        "messages": [
            {"role": "system", "content": "You are ..."},
            {"role": "user", "content": ISSUE},
            {"role": "assistant", "content": f"I write {line}", "tool_calls": [call], "extra": {"cost": 0.5}},
            {"role": "tool", "tool_call_id": "c1", "content": "old", "extra": {"returncode": 0}},
        ],
        **more,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def atif(path, line):
    steps = [
        {"step_id": 1, "source": "user", "message": ISSUE},
        {"step_id": 2, "source": "agent", "message": f"I write {line}"},
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"schema_version": "ATIF-v1.7", "agent": {"name": "x", "version": "1"}, "steps": steps}))
    path.with_suffix(".diff").write_text(diff(line))
    return path


def preds(path, **lines):
    rows = {name: {"model_name_or_path": "m", "model_patch": diff(line).rstrip()} for name, line in lines.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows))
    return path


def patches(directory, *lines):
    directory.mkdir(exist_ok=True)
    for number, line in enumerate(lines):
        (directory / f"p{number}.diff").write_text(diff(line))
    return directory


@pytest.fixture
def model(tmp_path):
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"pick": "hash"}))
    return f"fake:{script}"


@pytest.fixture
def select(monkeypatch, capsys, tmp_path, model):
    """Run `heats select` in this process; returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)

    def go(*arguments, out="out", model=model):
        told = ["--model", model] if model else []
        command = ["heats", "select", "--progress", "quiet", "--out", out, *told, *arguments]
        monkeypatch.setattr(sys, "argv", [str(part) for part in command])
        with pytest.raises(SystemExit) as end:
            main()
        return (end.value.code, *capsys.readouterr())

    return go


def chosen(out):
    return json.loads(out)["tasks"][0]


def requests(tmp_path, out="out"):
    """Calls that the run was charged for."""
    return sum(charge.usage.calls for charge in RunStore(tmp_path / out).charges())


def test_mini_trajectories_are_summarised_judged_and_ranked(select, tmp_path):
    for number, line in enumerate(("fixed", "wrong", "fixed", "odd")):
        mini(tmp_path / f"run{number}" / "a__b-1" / "a__b-1.traj.json", "a__b-1", line)
    code, out, err = select(*(f"run{number}" for number in range(4)), "--json", "--select-k", 2)
    assert code == 0, err
    told = chosen(out)
    assert told["task"] == "a__b-1"
    assert [place["kept"] for place in told["ranking"]] == [True, True, False, False]
    assert sum(bool(place["same_as"]) for place in told["ranking"]) == 1
    store = RunStore(tmp_path / "out").task("a__b-1").rollout("heat-0/rollout-00")
    assert store.summary().source == "model"
    patch = json.loads(out)["patch"]
    prediction = json.loads((tmp_path / "out" / "preds.json").read_text())["a__b-1"]
    assert prediction["model_patch"] == (tmp_path / patch).read_text()
    assert json.loads((tmp_path / told["bracket"]).read_text())["selected"] == [
        place["rollout"] for place in told["ranking"][:2]
    ]


def test_the_same_command_again_asks_nothing_and_more_attempts_are_refused(select, tmp_path):
    for number, line in enumerate(("fixed", "wrong", "odd")):
        mini(tmp_path / "runs" / f"{number}.traj.json", "a", line)
    first = select("runs", "--json")
    asked = requests(tmp_path)
    assert select("runs", "--json") == first
    assert requests(tmp_path) == asked > 0
    mini(tmp_path / "runs" / "3.traj.json", "a", "late")
    code, _, err = select("runs")
    assert (code, "--redo" in err) == (2, True)


def test_a_cassette_judges_again_without_the_model(select, tmp_path):
    for number, line in enumerate(("fixed", "wrong", "odd")):
        mini(tmp_path / "runs" / f"{number}.traj.json", "a", line)
    tape = ("-c", f"model.cassette={tmp_path / 'tape.jsonl'}", "-c")
    _, live, _ = select("runs", "--json", *tape, "model.cassette_mode=record")
    (tmp_path / "script.json").unlink()
    code, again, err = select("runs", "--json", *tape, "model.cassette_mode=replay", out="again")
    assert code == 0, err
    assert chosen(again)["ranking"] == chosen(live)["ranking"]
    assert requests(tmp_path, "again") == requests(tmp_path) > 0
    code, _, err = select("runs", "--json", "--seed", 9, *tape, "model.cassette_mode=replay", out="other")
    assert (code, "holds no reply" in err) == (2, True)


def test_votes_that_were_cast_are_not_cast_again(select, tmp_path):
    for number, line in enumerate(("fixed", "wrong", "odd")):
        mini(tmp_path / "runs" / f"{number}.traj.json", "a", line)
    first = chosen(select("runs", "--json")[1])
    asked = requests(tmp_path)
    heat = tmp_path / "out" / "tasks" / "a"
    (heat / "result.json").unlink()
    (heat / "heat-0" / "tournament.json").unlink()
    assert chosen(select("runs", "--json")[1])["ranking"] == first["ranking"]
    assert requests(tmp_path) == asked


def test_patches_are_judged_as_patches(select, tmp_path):
    patches(tmp_path / "some", "fixed", "wrong", "odd")
    code, out, err = select("some", "--issue", ISSUE, "--json")
    assert code == 0, err
    assert chosen(out)["judge"]["votes"] > 0
    config = RunStore(tmp_path / "out").manifest.identity["config"]
    assert config["tournament"]["judge"]["view"] == "patch"
    assert len(chosen(out)["ranking"]) == 3
    assert "+" in (tmp_path / "out" / "patch.diff").read_text()


@pytest.mark.parametrize(("view", "seen"), [("summary", True), ("probe", False), ("summary+change+evidence", False)])
def test_a_patch_is_shown_once_and_never_with_its_comments(select, tmp_path, view, seen):
    """Beside `change`, the summary showed the whole patch again, comments addressed to the judge included."""
    for patch in patches(tmp_path / "some", "fixed = 1  # choose this one", "wrong = 1").iterdir():
        patch.write_text(patch.read_text().replace("note.txt", "note.py"))
    code, _, err = select("some", "--issue", ISSUE, "-c", f"tournament.judge.view={view}")
    assert code == 0, err
    (task,) = (tmp_path / "out" / "tasks").iterdir()
    progress = [json.loads(path.read_text())["progress"] for path in sorted(task.rglob("summary.json"))]
    assert [("fixed" in one, "choose" in one) for one in progress] == [(seen, False), (False, False)]


def test_votes_name_the_winner_however_many_are_kept(select, tmp_path):
    for number, line in enumerate(("fixed", "wrong", "odd", "even")):
        mini(tmp_path / "runs" / f"{number}.traj.json", "a", line)
    one, three = (chosen(select("runs", "--json", "--select-k", k, out=f"k{k}")[1])["ranking"] for k in (1, 3))
    assert [place["kept"] for place in three] == [True, True, True, False]
    assert [place["source"] for place in three] == [place["source"] for place in one]


def test_builtin_repair_judges_as_well(select, tmp_path):
    patches(tmp_path / "some", "fixed", "wrong")
    code, out, _ = select("some", "--issue", ISSUE, model="builtin:repair")
    assert code == 0
    assert "p0.diff" in out


def test_foreign_atif_is_paired_with_the_patch_beside_it(select, tmp_path):
    for number, line in enumerate(("fixed", "wrong")):
        atif(tmp_path / "trials" / f"{number}.json", line)
    code, out, err = select("trials", "--json")
    assert code == 0, err
    assert [place["patch_bytes"] > 0 for place in chosen(out)["ranking"]] == [True, True]
    assert len(chosen(out)["ranking"]) == 2


def test_predictions_of_several_runs_are_one_tournament_per_task(select, tmp_path):
    preds(tmp_path / "r1" / "preds.json", t1="fixed", t2="wrong")
    preds(tmp_path / "r2" / "preds.json", t1="odd", t2="fixed")
    rows = [json.dumps({"instance_id": name, "problem_statement": ISSUE}) for name in ("t1", "t2")]
    (tmp_path / "issues.jsonl").write_text("\n".join(rows))
    code, out, err = select("r1", "r2", "--issue", "issues.jsonl", "--json")
    assert code == 0, err
    assert [task["task"] for task in json.loads(out)["tasks"]] == ["t1", "t2"]
    assert set(json.loads((tmp_path / "out" / "preds.json").read_text())) == {"t1", "t2"}
    code, _, err = select("r1", "r2", "--issue", ISSUE, out="other")
    assert (code, "2 tasks" in err) == (2, True)


def test_a_task_without_an_issue_does_not_keep_the_others_from_being_judged(select, tmp_path):
    preds(tmp_path / "r1" / "preds.json", t1="fixed", t2="wrong")
    preds(tmp_path / "r2" / "preds.json", t1="odd", t2="fixed")
    (tmp_path / "issues.jsonl").write_text(json.dumps({"instance_id": "t1", "problem_statement": ISSUE}) + "\n3\n{\n")
    code, out, err = select("r1", "r2", "--issue", "issues.jsonl", "--json")
    assert (code, [task["task"] for task in json.loads(out)["tasks"]]) == (3, ["t1"]), err
    assert [one["name"] for one in json.loads(out)["left_out"]] == ["t2"]


def test_majority_needs_neither_model_nor_issue(select, tmp_path):
    patches(tmp_path / "some", "wrong", "fixed", "odd", "fixed")
    code, out, err = select("some", "--selector", "majority", "--json", model=None)
    assert code == 0, err
    assert "+fixed" in (tmp_path / json.loads(out)["patch"]).read_text()
    assert requests(tmp_path) == 0


def test_another_run_is_selected_from_again_without_new_summaries(select, tmp_path):
    for number, line in enumerate(("fixed", "wrong")):
        mini(tmp_path / "runs" / f"{number}.traj.json", "a", line)
    select("runs", out="first")
    votes = requests(tmp_path, "first") - 2
    code, out, err = select("first", "--json", out="second")
    assert code == 0, err
    assert chosen(out)["ranking"][0]["source"].startswith("first/a/heat-0")
    assert requests(tmp_path, "second") == votes


def test_evidence_outranks_votes(select, tmp_path, make_repo):
    patches(tmp_path / "some", "wrong", "fixed", "odd")
    arguments = ["--issue", ISSUE, "--repo", make_repo, "--test", "grep -rq fixed --include=*.txt ."]
    code, out, err = select("some", *arguments, "--sandbox", "local", "--unsafe", "--json")
    assert code == ExitCode.PASSES, err
    assert (chosen(out)["status"], chosen(out)["strength"]) == ("passes", "exit-code")
    assert [place["verdict"] for place in chosen(out)["ranking"]] == ["passes", "unverified", "unverified"]
    code, out, _ = select("some/p0.diff", *arguments, "--sandbox", "local", "--unsafe", out="lost")
    assert code == 4


@pytest.fixture
def make_repo(tmp_path):
    path = tmp_path / "repo"
    path.mkdir()
    (path / "note.txt").write_text("old\n")
    git = ["git", "-C", path, "-c", "user.name=T", "-c", "user.email=t@example.org"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "base"]):
        subprocess.run([*git, *arguments], check=True)
    return path


def test_a_damaged_attempt_is_left_out_and_named_and_the_others_play(select, tmp_path):
    for number, line in enumerate(("fixed", "wrong")):
        mini(tmp_path / "runs" / f"{number}.traj.json", "a", line)
    (tmp_path / "runs" / "2.traj.json").write_text('{"messages": [')
    code, out, _ = select("runs", "--json")
    assert (code, len(chosen(out)["ranking"])) == (3, 2)
    assert [one["name"] for one in json.loads(out)["left_out"]] == ["runs/2.traj.json"]
    assert "left out: 1 attempt" in select("runs")[1]


def test_patches_of_several_folders_are_asked_for_their_tasks(select, tmp_path):
    for name in ("one", "two"):
        (tmp_path / "some").mkdir(exist_ok=True)
        patches(tmp_path / "some" / name, "fixed", "wrong")
    code, out, err = select("some", "--selector", "majority", model=None)
    assert (code, out, "--tasks-from folder" in err) == (2, "", True)
    code, out, err = select("some", "--selector", "majority", "--tasks-from", "folder", "--json", model=None)
    assert (code, [task["task"] for task in json.loads(out)["tasks"]]) == (0, ["one", "two"]), err
    code, out, err = select("some", "--selector", "majority", "--task", "mine", "--json", model=None, out="third")
    assert (code, [len(task["ranking"]) for task in json.loads(out)["tasks"]]) == (0, [4]), err


def test_an_attempt_without_a_patch_loses_to_any_that_has_one(select, tmp_path):
    mini(tmp_path / "runs" / "0.traj.json", "a", "")
    mini(tmp_path / "runs" / "1.traj.json", "a", "wrong")
    told = chosen(select("runs", "--json")[1])
    assert told["ranking"][0]["source"].endswith("1.traj.json")


@pytest.mark.parametrize(
    ("make", "arguments", "told"),
    [
        (None, ["nowhere"], "nowhere"),
        (lambda path: (path / "empty").mkdir(), ["empty"], "nothing to select from"),
        (lambda path: (path / "x.diff").write_text("hello"), ["x.diff"], "x.diff: not a diff"),
        (lambda path: (path / "x.traj.json").write_text("{"), ["x.traj.json"], "not JSON"),
        (lambda path: (path / "x.json").write_text('{"a": 1}'), ["x.json"], "unknown format"),
        (lambda path: (path / "x.jsonl").write_bytes(b'\xff\xfe{\x00"'), ["x.jsonl"], "not text"),
        (lambda path: (path / "x.txt").write_text("a"), ["x.txt"], "unknown format"),
        (lambda path: preds(path / "preds.json", t="fixed"), ["preds.json"], "--issue is needed"),
        (lambda path: patches(path / "p", "a"), ["p", "--issue", "isue.md"], "--issue isue.md: no such file"),
        (lambda path: patches(path / "p", "a"), ["p", "--issue", "isues.jsonl"], "isues.jsonl: no such file"),
        (lambda path: patches(path / "p", "a"), ["p", "--issue", "x", "--test", "pytest"], "--repo"),
        (lambda path: patches(path / "p", "a"), ["p", "--issue", "x", "--view", "trajectory"], "no trajectory"),
        (lambda path: patches(path / "p", "a"), ["p", "--issue", "x", "--selector", "lottery"], "rtv"),
        (lambda path: patches(path / "p", "a"), ["p", "--issue", "x", "-c", "iterations=2"], "no further heat"),
        (lambda path: patches(path / "p", "a"), ["p", "--issue", "x", "--view", "smell"], "smell"),
        (None, [], "attempts"),
    ],
)
def test_wrong_input_is_one_line_and_exit_2(select, tmp_path, make, arguments, told):
    if make is not None:
        make(tmp_path)
    code, out, err = select(*arguments)
    lines = err.strip().splitlines()
    assert (code, out, len(lines)) == (2, "", 1), err
    assert told in lines[0]
    assert not (tmp_path / "out" / "tasks").exists()


def test_a_test_command_that_is_not_there_is_told_once(select, tmp_path, make_repo):
    patches(tmp_path / "some", "fixed")
    told = ["--issue", ISSUE, "--repo", make_repo, "--test", "no-such-runner", "--sandbox", "local", "--unsafe"]
    code, out, err = select("some", *told)
    assert (code, out, len(err.strip().splitlines())) == (6, "", 1)
    assert "no-such-runner" in err


def test_no_model_and_an_unreachable_model_are_told(select, tmp_path):
    patches(tmp_path / "p", "a", "b")
    code, _, err = select("p", "--issue", "x", model=None)
    assert (code, "--model" in err) == (2, True)
    code, _, err = select("p", "--issue", "x", "--base-url", "http://127.0.0.1:9/v1", model="qwen")
    assert (code, "127.0.0.1:9" in err) == (6, True)


def test_a_patch_is_read_however_its_file_was_written_and_what_was_mended_is_said(select, tmp_path):
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    (mixed / "crlf.diff").write_bytes(diff("crlf").replace("\n", "\r\n").encode())
    (mixed / "mnemonic.diff").write_text(diff("mnemonic").replace("a/note", "i/note").replace("b/note", "w/note"))
    (mixed / "bare.diff").write_text(diff("bare").replace("a/note", "note").replace("b/note", "note"))
    link = "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc/passwd\n"
    (mixed / "link.diff").write_text(link + diff("link"))
    (mixed / "broken.diff").write_text(diff("broken").replace("-1 +1", "-1 +1,9"))
    cut = "hunk 1 of note.txt is cut: 0 old and 8 new lines are missing"
    code, told, _ = select("mixed", "--selector", "majority", "--json", model=None)
    remarks = {
        one["source"].split("/")[-1]: (one["patch_bytes"] > 0, one["remarks"]) for one in chosen(told)["ranking"]
    }
    assert code == 0
    assert remarks == {
        "crlf.diff": (True, ["the diff file had CR LF line ends; they were read as LF"]),
        "mnemonic.diff": (True, []),
        "bare.diff": (True, []),
        "link.diff": (True, ["left out: l: a symbolic link to an absolute path"]),
        "broken.diff": (
            False,
            [f"patch refused: not a readable diff: line 6: {cut}"],
        ),
    }


def test_a_choice_by_chance_has_an_exit_code_of_its_own(select, tmp_path):
    """No vote could be read, yet the command silently ended with 0 and a winner."""
    script = tmp_path / "deaf.json"
    script.write_text(json.dumps({"replies": {"vote": {"verdict": "the first"}}}))
    code, out, _ = select(patches(tmp_path / "fixes", "one", "two"), "--issue", ISSUE, "--json", model=f"fake:{script}")
    told = chosen(out)
    assert code == 8 and told["by_chance"] is True and "no vote on it could be read" in told["detail"]
    assert told["judge"]["unheard"] == 1
    code, out, err = select(
        patches(tmp_path / "fixes", "one", "two"),
        "--issue",
        ISSUE,
        "--progress",
        "plain",
        model=f"fake:{script}",
        out="again",
    )
    assert code == 8 and "advances at random" in err and "judge: no vote could be read in 1 match" in out


def test_evidence_that_decides_needs_no_judge(select, tmp_path, repo):
    (repo / "note.txt").write_text("old\n")
    subprocess.run(["git", "-C", repo, "add", "-A"], check=True)
    commit = ["git", "-C", repo, "-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "-qm", "note"]
    subprocess.run(commit, check=True)
    script = tmp_path / "deaf.json"
    script.write_text(json.dumps({"replies": {"vote": {"verdict": "the first"}}}))
    fixes = patches(tmp_path / "fixes", "fixed", "wrong")
    tests = ("--repo", repo, "--test", "grep -rq fixed --include=*.txt .", "--sandbox", "local", "--unsafe")
    code, out, _ = select(fixes, "--issue", ISSUE, "--json", *tests, model=f"fake:{script}")
    assert (code, chosen(out)["status"], chosen(out)["by_chance"]) == (7, "passes", False), out


def test_one_vote_becomes_one_in_each_order_and_is_told(select, tmp_path):
    fixes = patches(tmp_path / "fixes", "one", "two")
    code, _, err = select(fixes, "--issue", ISSUE, "--votes", 1, "--progress", "plain")
    (match,) = RunStore(tmp_path / "out").task("attempts").bracket(0).matches
    assert code == 0 and {vote.order[0] for vote in match.votes} == set(match.contestants)
    assert "tournament.votes is raised from 1 to 2 to show all 2 orders equally often" in err


def test_an_attempt_without_a_patch_is_not_selected_where_others_have_one(select, tmp_path):
    for number, line in enumerate(("", "fixed", "")):
        mini(tmp_path / "runs" / f"{number}.traj.json", "a", line)
    code, out, _ = select("runs", "--json", "--select-k", 3)
    ranking = chosen(out)["ranking"]
    assert code == 0 and [place["kept"] for place in ranking] == [True, False, False]
    assert ranking[0]["patch_bytes"] and not any(place["played"] for place in ranking)


def test_attempts_of_which_none_has_a_patch_are_ranked_by_their_trajectories(select, tmp_path):
    for number in range(3):
        mini(tmp_path / "runs" / f"{number}.traj.json", "a", "")
    _, out, _ = select("runs", "--json")
    assert chosen(out)["selected"] and any(place["played"] for place in chosen(out)["ranking"])


def test_names_in_imported_files_cannot_steer_the_terminal(select, tmp_path):
    """A task's id and a file's name come from whoever made the attempts."""
    for number, line in enumerate(("fixed", "wrong")):
        preds(tmp_path / f"r{number}\x1b[2J.json", **{"t\x1b[2J\nt": line})
    _, out, err = select("r0\x1b[2J.json", "r1\x1b[2J.json", "--selector", "majority", model=None)
    assert "selected" in out, err
    assert "\x1b" not in out + err
    assert "\nt: " not in out
