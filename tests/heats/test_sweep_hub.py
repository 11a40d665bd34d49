"""Data sets on the Hub, served by a stand-in: parquet, JSON and CSV, splits, revisions, refusals, and offline."""

import io
import json
import logging
import os
import subprocess
import sys

import pytest
from hub_stand_in import commit_of, hub

from heats.cli import main
from heats.store.lock import Lock

pytest.importorskip("huggingface_hub")
parquet = pytest.importorskip("pyarrow.parquet")


def row(number, statement="It fails."):
    return {
        "instance_id": f"shop__shop-{number}", "repo": "shop/shop", "version": "1", "base_commit": "a" * 40,
        "problem_statement": statement, "patch": "", "test_patch": "", "FAIL_TO_PASS": ["tests/test_a.py::test_a"],
        "PASS_TO_PASS": [], "test_cmd": "pytest -rA", "image": "heats-test-absent:1",
    }  # fmt: skip


def as_parquet(*rows):
    import pyarrow

    data = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(list(rows)), data)
    return data.getvalue()


def as_lines(*rows):
    return "".join(json.dumps(one) + "\n" for one in rows).encode()


ONE = {"data/test-00000-of-00002.parquet": as_parquet(row(1)), "data/test-00001-of-00002.parquet": as_parquet(row(2))}
TWO = {**ONE, "data/test-00001-of-00002.parquet": as_parquet(row(2, "It still fails."), row(3))}
FLAGS = (
    *("--sandbox", "local", "--unsafe", "--agent", "noop", "--model", "builtin:repair", "-k", "1", "--iterations", "1"),
    *("--progress", "quiet", "--json", "-c", "grade=false", "-c", "retries.wait_s=0", "-c", "retries.task=0"),
)
"""Tasks fail at once, since no image is there: what was read, and what the run wrote down about it, is the point."""
SETS = {
    "org/rows": [ONE, TWO],
    "org/lines": [{"go/a_dataset.jsonl": as_lines(row(4)), "rust/b_dataset.jsonl": as_lines(row(5))}],
    "org/both": [{"train.json": json.dumps([row(6)]).encode(), "test.json": json.dumps([row(7)]).encode()}],
    "SWE-Gym/SWE-Gym": [{"data/train-00000-of-00001.parquet": as_parquet(row(8))}],
}


@pytest.fixture
def served():
    with hub(SETS) as stand_in:
        yield stand_in


@pytest.fixture
def sweep(served, tmp_path, monkeypatch, capsys):
    """Run `heats sweep` in this process, with an agent that does nothing; returns exit code, lock and stderr."""
    from huggingface_hub import constants

    template = constants.HUGGINGFACE_CO_URL_TEMPLATE
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template.replace(constants.ENDPOINT, served.url))
    monkeypatch.setattr(constants, "ENDPOINT", served.url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(logging.getLogger("huggingface_hub"), "handlers", [])  # they keep another test's stderr

    def go(*arguments, out="run"):
        command = ["heats", "sweep", *map(str, arguments), *FLAGS, "--out", str(tmp_path / out)]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, lock_in(tmp_path / out), capsys.readouterr().err

    return go


def lock_in(run):
    path = run / "lock.json"
    return Lock.model_validate_json(path.read_bytes()) if path.exists() else None


def test_a_run_pins_the_revision_that_it_read_and_goes_on_with_it(sweep, served, tmp_path):
    served.sets = {**SETS, "org/rows": [ONE]}
    code, lock, err = sweep("org/rows")
    assert (code, {*lock.tasks}, lock.data.revision) == (3, {"shop__shop-1", "shop__shop-2"}, commit_of(ONE)), err
    served.sets = SETS
    _, again, err = sweep("org/rows")
    assert ({*again.tasks}, again.data.revision) == ({*lock.tasks}, commit_of(ONE)), err
    _, newer, err = sweep("org/rows", out="other")
    assert (len(newer.tasks), newer.data.revision) == (3, commit_of(TWO)), err
    _, repeated, err = sweep("--from-lock", tmp_path / "run" / "lock.json", out="third")
    assert ({*repeated.tasks}, repeated.data.revision) == ({*lock.tasks}, commit_of(ONE)), err
    code, _, err = sweep(
        "--from-lock", tmp_path / "run" / "lock.json", "org/rows", "-O", f"revision={commit_of(TWO)}", out="fourth"
    )
    assert (code, "other statements, commits or images: shop__shop-2" in err) == (2, True), err


@pytest.mark.slow
def test_a_revision_is_chosen_by_tag_and_read_offline_afterwards(served, tmp_path):
    """In processes of their own, configured by the Hub's variables alone."""
    keep = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    known = {**keep, "HF_HOME": str(tmp_path / "cache"), "HF_ENDPOINT": served.url}

    def go(name, out, **env):
        command = [sys.executable, "-c", "from heats.cli import main; main()", "sweep", name, *FLAGS]
        command += ["-O", "revision=v1", "--out", str(tmp_path / out)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**known, **env})
        return done.returncode, lock_in(tmp_path / out), done.stderr

    _, lock, err = go("org/rows", "first")
    assert (len(lock.tasks), lock.data.revision) == (2, commit_of(ONE)), err
    asked = served.asked.total()
    _, again, err = go("org/rows", "again", HF_HUB_OFFLINE="1")
    assert (again.data, served.asked.total()) == (lock.data, asked), err
    code, _, err = go("org/both", "never", HF_HUB_OFFLINE="1")
    assert (code, "offline, give a file" in err.splitlines()[-1]) == (2, True), err


def test_splits_and_kinds_of_files(sweep):
    tasks = {}
    for name, *more in (("org/both",), ("org/both", "--split", "train"), ("org/lines", "--split", "go"), ("gym",)):
        _, lock, err = sweep(name, *more, out="-".join([name.replace("/", "-"), *more]))
        assert lock is not None, err
        tasks[" ".join([name, *more])] = [*lock.tasks]
    assert tasks == {
        "org/both": ["shop__shop-7"],
        "org/both --split train": ["shop__shop-6"],
        "org/lines --split go": ["shop__shop-4"],
        "gym": ["shop__shop-8"],
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("org/rows", "--split", "dev"), "no files of split dev on the Hub; it has test: choose one with --split"),
        (("org/nothing",), "the Hub has no data set org/nothing, or it is private: check the name, or set HF_TOKEN"),
        (("org/rows", "-O", "revision=v9"), "the data set org/rows has no revision v9"),
        (("rows.jsonl", "-O", "revision=v1"), "the option revision is for data sets on the Hub"),
    ],
)
def test_what_the_hub_does_not_have_is_said_in_one_line(arguments, said, sweep, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_bytes(as_lines(row(1)))
    code, lock, err = sweep(*arguments)
    (line,) = [line for line in err.splitlines() if line.startswith("heats:")]
    assert (code, lock, said in line) == (2, None, True), err


def test_a_gated_data_set_and_one_refused_for_a_while(sweep, served):
    served.refuse["org/rows"] = [(403, {"X-Error-Code": "GatedRepo"})] * 9
    code, _, err = sweep("org/rows")
    assert (code, "is gated: accept its terms on the Hub, and set HF_TOKEN" in err) == (2, True), err
    served.refuse["org/rows"] = [(429, {"Retry-After": "1"})] * 2
    _, lock, err = sweep("org/rows", out="later")
    assert lock is not None and len(lock.tasks) == 3, err
