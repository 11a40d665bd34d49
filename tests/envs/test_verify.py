"""Verification of correct and of lucky patches; each test's name says what it forbids or promises."""

import pytest
from little_repo import COMMENT, FIXED, PRICE, PYTEST, UNITTEST, Repo

CASE = "import unittest\nfrom price import total\n\n\nclass PriceTest(unittest.TestCase):\n"
HALF = CASE + "    def test_half(self):\n        self.assertEqual(total([10, 20], 50), 15)\n"
NONE = "\n    def test_none(self):\n        self.assertEqual(total([10, 20], 0), 30)\n"


async def test_a_fix_is_verified_and_says_by_what(workdir: str) -> None:
    found = await Repo(workdir, {"test_price.py": HALF + NONE}, UNITTEST).verify(FIXED)
    assert (found.verdict, found.rank, found.strength, found.strength_reasons) == ("verified", 3, "confirmed", ())
    assert found.reason == (
        "1 test that failed now passes (test_price.PriceTest.test_half), 1 still pass; "
        "confirmed by sentinel tests and another run of the base"
    )


async def test_a_fixture_that_fails_on_the_base_is_no_test_that_got_lost(workdir: str) -> None:
    tests = CASE + (
        "    @classmethod\n    def setUpClass(cls):\n        cls.half = total([10, 20], 50)\n"
        "        assert cls.half == 15\n\n    def test_half(self):\n        self.assertEqual(self.half, 15)\n"
    )
    found = await Repo(workdir, {"test_price.py": tests}, UNITTEST).verify(FIXED)
    assert (found.verdict, found.fixed) == ("verified", ("test_price.PriceTest.test_half",)), found.reason


async def test_what_a_program_prints_is_not_the_outcome_of_a_test(workdir: str) -> None:
    noisy = NONE.replace(
        "        self", "        print('skipped 2 carts')\n        print('Ran 9 tests in 0.1s')\n        self"
    )
    found = await Repo(workdir, {"test_price.py": HALF + noisy}, UNITTEST).verify(FIXED)
    assert found.verdict == "verified", found.reason


async def test_source_with_doctests_that_a_test_loads_is_no_test_file(workdir: str) -> None:
    """more-itertools does that; its fixes were restored as if they were changes to tests."""
    doctests = "\n\ndef load_tests(loader, tests, ignore):\n    import doctest, shop.price\n"
    tests = {
        "test_price.py": HALF.replace("price", "shop.price")
        + doctests
        + "    tests.addTests(doctest.DocTestSuite(shop.price))\n"
        "    return tests\n",
        "shop/__init__.py": "",
        "shop/price.py": PRICE.replace(":\n", ':\n    """>>> total([2], 0)\n    2.0\n    """\n', 1),
    }
    found = await Repo(workdir, tests, UNITTEST).verify(
        {"shop/price.py": tests["shop/price.py"].replace("100 +", "100 -")}
    )
    assert (found.verdict, found.restored) == ("verified", ()), found.reason
    assert len(found.after.tests if found.after else ()) == 2


@pytest.mark.slow
async def test_ids_that_change_in_every_run_do_not_refuse_a_fix(workdir: str) -> None:
    tests = (
        "import pytest, time\nfrom price import total\n\n"
        "@pytest.mark.parametrize('now', [time.time_ns()])\ndef test_now(now):\n    assert total([1], 0) == 1\n\n"
        "@pytest.mark.parametrize('now', [time.time_ns()])\ndef test_half(now):\n    assert total([10, 20], 50) == 15\n"
    )
    repo = Repo(workdir, {"test_price.py": tests}, PYTEST)
    found = await repo.verify(FIXED)
    assert (found.verdict, found.fixed) == ("verified", ("test_price.py::test_half[*]",)), found.reason
    assert "the ids of 2 tests change from run to run" in found.reason
    idle = await repo.verify(COMMENT)
    assert (idle.verdict, idle.rank, idle.broken) == ("unverified", 1, ()), idle.reason


@pytest.mark.slow
async def test_a_report_option_of_the_users_own_does_not_weaken_the_verdict(workdir: str) -> None:
    tests = "from price import total\n\ndef test_half():\n    assert total([10, 20], 50) == 15\n"
    found = await Repo(workdir, {"test_price.py": tests}, f"{PYTEST} --junitxml=report.xml -x").verify(FIXED)
    assert found.verdict == "verified", found.reason


async def test_a_command_that_fails_for_another_reason_is_judged_by_its_tests(workdir: str) -> None:
    """Such as a coverage threshold, or a linter that runs afterwards."""
    found = await Repo(workdir, {"test_price.py": HALF + NONE}, f"{UNITTEST}; exit 1").verify(FIXED)
    assert found.verdict == "verified"
    assert "no test fails, but the test command ends with exit code 1" in found.reason


async def test_failures_that_the_base_has_too_do_not_refuse_a_fix(workdir: str) -> None:
    other = "\n    def test_other(self):\n        self.fail('needs a network')\n"
    repo = Repo(workdir, {"test_price.py": HALF + NONE + other}, UNITTEST)
    found = await repo.verify(FIXED)
    assert (found.verdict, found.rank) == ("verified", 2), found.reason
    assert "1 fail with and without the patch: test_price.PriceTest.test_other" in found.reason
    wanted = Repo(
        workdir, {"test_price.py": HALF + NONE + other}, UNITTEST, must_pass=["test_price.PriceTest.test_half"]
    )
    found = await wanted.verify(FIXED)
    assert (found.verdict, found.rank) == ("verified", 3), found.reason
    wanted = Repo(workdir, {"test_price.py": HALF + NONE + other}, UNITTEST, must_pass=["test_price.PriceTest"])
    found = await wanted.verify(FIXED)
    assert (found.verdict, found.rank) == ("unverified", 2), found.reason


async def test_by_exit_code_a_fix_passes_and_is_not_verified(workdir: str) -> None:
    command = "python3 -c 'from price import total; raise SystemExit(total([10, 20], 50) != 15)'"
    found = await Repo(workdir, {}, command).verify(FIXED)
    assert (found.verdict, found.strength, found.rank) == ("passes", "exit-code", 3)
    assert found.strength_reasons == ("only the test command's exit code is known",)


async def test_without_sentinels_a_fix_passes_and_is_not_verified(workdir: str) -> None:
    found = await Repo(workdir, {"test_price.py": HALF + NONE}, UNITTEST, sentinels=False).verify(FIXED)
    assert (found.verdict, found.strength) == ("passes", "report")
    assert "not confirmed: verify.sentinels is off" in found.reason


async def test_tests_of_what_is_yet_to_be_written_pass_and_are_not_verified(workdir: str) -> None:
    tests = {"test_price.py": HALF + NONE, "test_new.py": "import unittest\nfrom price import new\n" + HALF}
    repo = Repo(workdir, tests, UNITTEST, allow_collection_errors=True)
    found = await repo.verify({"price.py": FIXED["price.py"] + "\ndef new(): pass\n"})
    assert (found.verdict, found.strength) == ("passes", "report"), found.reason
    assert "never failed on the base, which cannot load them: test_new.PriceTest.test_half" in found.reason


LUCK = {
    "random": ("import random\n", "random.random() < 0.5"),
    "import": ("import random\nLUCKY = random.random() < 0.5\n", "LUCKY"),
    "time": ("import time\n", "time.time_ns() // 1000 % 2"),
    "hash": ("", "hash('half') % 2"),
    "source": ("", "total([1], 'lucky') == 1"),
}
LUCKY_PRICE = "import random\n\n\ndef total(prices, discount):\n    return random.choice([1, 2])\n"


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("luck", LUCK)
async def test_a_comment_is_no_fix_of_a_test_that_passes_by_chance(luck: str, workdir: str) -> None:
    """The base fails half of the time, and the patch always passes."""
    source = LUCKY_PRICE if luck == "source" else PRICE
    start, condition = LUCK[luck]
    tests = f"{start}{CASE}    def test_half(self):\n        self.assertTrue({condition})\n"
    repo = Repo(workdir, {"test_price.py": tests, "price.py": source}, UNITTEST)
    before = await repo.baseline()
    while not before.failing:
        before = await repo.baseline()
    verdicts = [(await repo.verify({"price.py": f"# {n}\n" + source}, before)).verdict for n in range(12)]
    assert set(verdicts) == {"unverified"}


async def test_the_history_in_a_verification_is_the_tree_alone(workdir: str) -> None:
    """A patch must not find the original tests to compare sentinels with."""
    git = "subprocess.run(['git', *words], capture_output=True, text=True, check=True).stdout"
    tests = CASE + (
        f"    def test_half(self):\n        import subprocess\n        run = lambda *words: {git}\n"
        "        self.assertEqual(run('status', '--porcelain', '-uno'), '')\n"
        "        self.assertEqual(run('rev-list', '--all').count('\\n'), 1)\n"
        "        self.assertEqual(total([10, 20], 50), 15)\n"
    )
    found = await Repo(workdir, {"test_price.py": tests}, UNITTEST).verify(FIXED)
    assert found.verdict == "verified", found.reason
