"""Signs that a test may pass by chance: what counts in a module that a test imports, and what does not."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pytest

from envs.chance import Chance, by_chance, draws_random_numbers, imported

HELPER = (
    "import random\nfrom uuid import uuid4 as fresh\n\n\ndef plain():\n    '''Not random, whatever this says.'''\n\n\n"
    "def luck():\n    return random.random()\n\n\ndef through():\n    return luck()\n\n\n"
    "def renamed():\n    return fresh()\n\n\nclass Base:\n    def pick(self):\n        return through()\n"
)


@dataclass
class Tree:
    """The files of a task, held in memory."""

    held: Mapping[str, str]

    async def modules(self) -> Collection[str]:
        return self.held

    async def read(self, path: str) -> bytes | None:
        return self.held[path].encode() if path in self.held else None


async def signs(test: str, *, changed: Collection[str] = (), **modules: str) -> Chance:
    held = {"tests/test_a.py": test, **{f"{name}.py": text for name, text in modules.items()}}
    return await by_chance([], changed, ["tests/test_a.py"], Tree(held))


@pytest.mark.parametrize("name", ["luck", "through", "renamed", "Base", "*"])
async def test_random_numbers_count_in_a_definition_that_the_test_imports(name: str) -> None:
    assert await signs(f"from helper import {name}\n", helper=HELPER) == "random"


@pytest.mark.parametrize("code", ["hash('a') % 2", "id(object()) % 2", "os.getpid() % 2"])
async def test_what_each_process_draws_anew_is_as_random_in_a_test_or_a_changed_file(code: str) -> None:
    tree = Tree({"tests/test_a.py": "", "a.py": f"LUCKY = {code}\n"})
    assert await by_chance([code.encode()], [], ["tests/test_a.py"], tree) == "random"
    assert await by_chance([], ["a.py"], ["tests/test_a.py"], tree) == "random"
    assert await by_chance([], [], ["tests/test_a.py"], tree) == ""


async def test_random_numbers_elsewhere_in_an_imported_module_are_no_sign() -> None:
    assert await signs("from helper import plain\n", helper=HELPER) == ""


async def test_a_name_that_is_not_visibly_defined_may_be_anything() -> None:
    assert await signs("from helper import made_up\n", helper=HELPER) == "random"


async def test_a_module_imported_whole_counts_as_a_whole() -> None:
    assert await signs("import helper\n", helper=HELPER) == "random"


@pytest.mark.parametrize(
    "code",
    [
        "LUCKY = luck() < 0.5\n",
        "if through():\n    flag = 1\n",
        "def other(x=luck()):\n    pass\n",
        "@luck\ndef other():\n    pass\n",
        "class Other:\n    value = luck()\n",
        "class Other:\n    def method(self, x=luck()):\n        pass\n",
        "class Other(Base):\n    pass\n",
        "globals()['x'] = __import__('random').random()\n",
    ],
)
async def test_random_numbers_drawn_at_import_count_whatever_the_test_takes(code: str) -> None:
    assert await signs("from helper import plain\n", helper=HELPER + "\n\n" + code) == "random"


@pytest.mark.parametrize("text", ["# random\n", "'''Uses random.random().'''\n", "x = 'a random text'\n"])
async def test_comments_and_texts_of_an_imported_module_are_no_sign(text: str) -> None:
    assert await signs("import helper\n", helper=text) == ""


async def test_a_module_that_cannot_be_parsed_is_searched_as_text() -> None:
    assert draws_random_numbers(b"def (:\n  random.random()\n", {"x"})
    assert not draws_random_numbers(b"def (:\n", {"x"})


@pytest.mark.parametrize(
    ("text", "sign"), [("import random\n", "random"), ("x = sleep(1)\n", "timing"), ("x = 1\n", "")]
)
async def test_a_changed_file_counts_with_all_its_text(text: str, sign: Chance) -> None:
    assert await signs("from other import x\n", changed=["source.py"], source=text) == sign


def test_imports_name_the_modules_and_what_is_taken_from_them() -> None:
    found = imported("pkg/tests/test_a.py", b"import a.b\nfrom ..lib import one, two\nfrom . import near\n")
    assert found["a/b.py"] == {"*"} and found["src/a/b/__init__.py"] == {"*"}
    assert found["pkg/lib.py"] == {"one", "two"} and found["pkg/lib/one.py"] == {"*"}
    assert found["pkg/tests/__init__.py"] == {"near"} and found["pkg/tests/near.py"] == {"*"}


SCRIPTS = {
    "test/a.test.js": b"const { total } = require('../lib/cart')\n",
    "lib/cart.js": b"export * from './sum.js'\n",
    "lib/sum.ts": b"import money from './money'\n",
    "lib/money/index.js": b"module.exports = () => 1\n",
    "lib/other.js": b"Math.random()\n",
}


@pytest.mark.parametrize(
    ("path", "data", "found"),
    [
        ("lib/money/index.js", b"module.exports = () => Math.random()\n", "random"),
        ("lib/sum.ts", b"import { randomInt } from 'node:crypto'\n", "random"),
        ("test/a.test.js", b"const { v4 } = require('uuid')\n", "random"),
        ("lib/cart.js", b"setTimeout(() => 1)\n", "timing"),
        ("lib/cart.js", b"const now = new Date()\n", "timing"),
        ("lib/cart.js", b"const day = new Date('2020-01-01')\n", ""),
        ("lib/sum.ts", b"setTimeout(() => 1)\n", ""),
        ("lib/money/index.js", b"// nothing\n", ""),
    ],
)
async def test_in_javascript_randomness_counts_in_all_that_is_loaded_and_clocks_in_changed_files(
    path: str, data: bytes, found: Chance
) -> None:
    texts = {name: text.decode() for name, text in {**SCRIPTS, path: data}.items()}
    assert await by_chance([b"it('a', () => {})"], ["lib/cart.js"], ["test/a.test.js"], Tree(texts)) == found
