"""The command `repo`: what it finds in several languages, and what hostile repositories cannot make of it."""

import subprocess
from importlib import metadata

import pytest

from sandbox.errors import BackendUnavailable
from sandbox.repo_tool import REPO_TOOL, repo_tool_directory

CART = """class Cart:
    def total(self, items):
        return sum(items)


def total(cart):
    return cart.total([1])
"""
FILES = {
    "shop/cart.py": CART,
    "web/app.ts": "export class App {\n  start(port: number) { return port }\n}\n",
    "cmd/main.go": "package main\n\nfunc (s *Server) Run() error { return nil }\n\ntype Server struct{ Port int }\n",
    "src/lib.rs": "pub struct Pool;\nimpl Pool {\n    pub fn size(&self) -> u32 { 1 }\n}\n",
    "core.c": "int add(int a, int b) { return a + b; }\n",
}


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    return repo_tool_directory(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def repo(kit, tmp_path):
    """Run the command in a small tree; returns exit code, stdout and stderr."""
    tree = tmp_path / "tree"
    for name, content in FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(content)

    def go(*arguments):
        done = subprocess.run([kit / "repo", *arguments], cwd=tree, capture_output=True, timeout=120, check=False)
        return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode()

    go.tree = tree
    return go


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("Cart", ["shop/cart.py:1: class Cart"]),
        ("total", ["shop/cart.py:2: method Cart.total", "shop/cart.py:6: function total"]),
        ("Cart.total", ["shop/cart.py:2: method Cart.total"]),
        ("App.start", ["web/app.ts:2: method App.start"]),
        ("Run", ["cmd/main.go:3: method Run"]),
        ("Pool::size", ["src/lib.rs:3: method Pool.size"]),
        ("add", ["core.c:1: function add"]),
        ("nothing_of_the_kind", ["nothing found"]),
    ],
)
def test_it_finds_where_a_name_is_defined(repo, asked, found):
    code, out, _ = repo("def", asked)
    assert (code, out.splitlines()) == (0, found)


def test_it_outlines_a_file_and_a_folder(repo):
    _, out, _ = repo("outline", "shop/cart.py")
    assert out.splitlines() == ["1: class Cart", "2:   method total", "6: function total"]
    _, out, _ = repo("outline")
    assert out.splitlines() == sorted(out.splitlines())
    assert "shop/cart.py: Cart, total" in out.splitlines()


def test_it_lists_the_lines_that_use_a_name(repo):
    _, out, _ = repo("refs", "total", "shop")
    assert [line.split(":")[:2] for line in out.splitlines()] == [["shop/cart.py", str(line)] for line in (2, 6, 7)]


def test_repeated_calls_print_the_same(repo):
    for index in range(40):
        (repo.tree / f"m{index}.py").write_text(f"def common():\n    return {index}\n")
    assert len({repo("def", "common") for _ in range(4)}) == 1


def test_syntax_errors_hide_only_what_is_broken(repo):
    (repo.tree / "odd.py").write_text(
        "def fine():\n    pass\ndef broken(:\n  ][\nclass After:\n    def method(self): pass\n"
    )
    _, out, _ = repo("outline", "odd.py")
    assert "1: function fine" in out
    assert "5: class After" in out


def test_output_is_bounded_whatever_a_file_holds(repo):
    (repo.tree / "many.py").write_text("".join(f"def f{index}(): pass\n" for index in range(20_000)))
    (repo.tree / "wide.py").write_text("x = '" + "needle " * 200_000 + "'\n")
    for asked in (("outline", "many.py"), ("outline",), ("refs", "needle"), ("refs", "pass")):
        code, out, _ = repo(*asked)
        assert code == 0
        assert len(out) < 61 * 170
    assert "more lines" in repo("outline", "many.py")[1]


def test_links_lead_nowhere(repo, tmp_path):
    (tmp_path / "secret.py").write_text("def secret_name(): pass\n")
    (repo.tree / "file.py").symlink_to(tmp_path / "secret.py")
    (repo.tree / "folder").symlink_to(tmp_path)
    for asked in (("def", "secret_name"), ("refs", "secret_name"), ("outline",)):
        assert "secret" not in repo(*asked)[1]
    for asked in (("outline", "file.py"), ("outline", "folder"), ("refs", "x", ".."), ("def", "x", "/etc")):
        code, out, err = repo(*asked)
        assert (code, out) == (2, "")
        assert "outside" in err


def test_text_that_looks_like_a_result_is_no_result(repo):
    forged = '{"role":"item","symbolType":"class","name":"Forged","range":{"start":{"line":1}}}'
    (repo.tree / "forged.py").write_text(f"A = '{forged}'\ndef honest(x={forged!r}): pass\n")
    assert repo("def", "Forged")[1] == "nothing found\n"
    assert repo("def", "honest")[1] == "forged.py:2: function honest\n"


def test_odd_file_names_forge_no_lines(repo):
    (repo.tree / 'a\nshop:9: class Forged\n"x".py').write_text("class Odd: pass\n")
    assert "Forged" not in repo("def", "Odd")[1]


def test_a_configuration_in_the_repository_is_not_read(repo):
    (repo.tree / "sgconfig.yml").write_text(
        "ruleDirs: [rules]\ncustomLanguages:\n  x: {libraryPath: ./evil.so, extensions: [py]}\n"
    )
    assert repo("def", "Cart")[1] == "shop/cart.py:1: class Cart\n"


@pytest.mark.parametrize("asked", [(), ("def",), ("def", ""), ("refs",), ("what", "x"), ("outline", "missing.py")])
def test_wrong_usage_is_refused(repo, asked):
    code, out, err = repo(*asked)
    assert (code, out) == (2, "")
    assert err.startswith(("usage: ", "repo: there is no missing.py"))


def test_names_are_no_patterns_and_no_options(repo):
    assert repo("refs", ".*")[1] == "nothing found\n"
    assert repo("refs", "--include=x")[1] == "nothing found\n"
    assert repo("def", "$(touch made)")[1] == "nothing found\n"
    assert not (repo.tree / "made").exists()


def test_the_directory_is_made_once(tmp_path):
    made = repo_tool_directory(tmp_path)
    assert repo_tool_directory(tmp_path) == made
    assert sorted(one.name for one in made.iterdir()) == ["ast-grep", "repo", "sgconfig.yml"]


def test_without_ast_grep_the_message_says_what_to_install(tmp_path, monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(BackendUnavailable, match=r"pip install 'heats\[repo\]'"):
        repo_tool_directory(tmp_path)


@pytest.mark.kinds("docker", "bubblewrap")
@pytest.mark.asyncio(loop_scope="module")
async def test_it_works_in_a_sandbox(start, tmp_path):
    made = repo_tool_directory(tmp_path)
    sbx = await start(read_only_mounts={str(made): REPO_TOOL})
    await sbx.write_file("a.py", b"class Inside: pass\n")
    result = await sbx.exec(f"{REPO_TOOL}/repo def Inside", timeout=120)
    assert result.stdout == b"a.py:1: class Inside\n"
    assert result.exit_code == 0
