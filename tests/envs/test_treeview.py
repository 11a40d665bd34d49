"""The base tree as seen in a sandbox: files, links, and where a name is used."""

from pathlib import Path
from typing import Any

from envs.basetree import read_base_tree
from envs.treeview import look
from envs.worktree import put_tree


async def test_files_links_and_users_of_a_word_are_found(box: Any, workdir: str, tmp_path: Path, git: Any) -> None:
    repo = tmp_path / "repo"
    (repo / "sub").mkdir(parents=True)
    git(repo, "init", "-q")
    (repo / "sub" / "a.py").write_text("import cart\n")
    (repo / "sub" / "b.py").write_text("import carts\n")
    (repo / "sub" / "link").symlink_to("../top.ini")
    (repo / "away").symlink_to("/etc/passwd")
    (repo / "top.ini").write_text("[x]\n")
    (repo / "caf\u00e9.txt").write_text("")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "base")
    await put_tree(box, workdir, read_base_tree(str(repo)))
    tree = await look(box, workdir)
    assert tree.files == {"sub/a.py", "sub/b.py", "sub/link", "away", "top.ini", "caf\u00e9.txt"}
    assert dict(tree.links) == {"sub/link": "top.ini"}
    assert await tree.users("cart") == {"sub/a.py"}
    assert (await tree.read("top.ini"), await tree.read("missing")) == ("[x]\n", "")


async def test_modules_that_python_has_anyway_are_known(box: Any, workdir: str) -> None:
    tree = await look(box, workdir)
    assert (await tree.installed("json"), await tree.installed("no_such_module_here")) == (True, False)
