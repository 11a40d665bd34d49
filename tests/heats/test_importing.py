"""Attempts of other tools, as found in files and folders."""

import json

from heats.importing.read import read_attempts

DIFF = "diff --git a/note.txt b/note.txt\n--- a/note.txt\n+++ b/note.txt\n@@ -1 +1 @@\n-old\n+{}\n"


def test_line_ends_of_unicode_inside_a_prediction_do_not_end_its_line(tmp_path):
    """JSON may contain U+2028 and U+0085 unescaped, and `splitlines` breaks rows there."""
    row = {"instance_id": "t", "model_patch": DIFF.format("a\N{LINE SEPARATOR}b\x85c")}
    (tmp_path / "all_preds.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n")
    (attempt,) = read_attempts([tmp_path / "all_preds.jsonl"]).attempts
    assert "a\N{LINE SEPARATOR}b\x85c".encode() in attempt.patch


def test_a_lone_patch_belongs_to_the_only_trajectory_of_its_folder(tmp_path):
    steps = [{"step_id": 1, "source": "user", "message": "fix"}, {"step_id": 2, "source": "agent", "message": "done"}]
    for name in ("one/a", "two/a", "two/b"):
        path = tmp_path / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"schema_version": "ATIF-v1.7", "agent": {"name": "x"}, "steps": steps}))
        path.with_name("patch.diff").write_text(DIFF.format("new"))
    assert [bool(one.patch) for one in read_attempts([tmp_path]).attempts if one.trajectory] == [True, False, False]
