"""Parsing the output of test runners of other languages, with the ids that the data sets use."""

import json

import pytest

from envs.swebench.plan import PARSERS
from envs.swebench.printed import POLYBENCH

GO = """=== RUN   TestTotal
    cart_test.go:9: wrong sign
--- FAIL: TestTotal (0.00s)
    --- PASS: TestTotal/two items (0.00s)
--- SKIP: TestSlow (0.00s)
FAIL
"""
CARGO = """running 3 tests
test cart::total ... FAILED
test cart::count ... ok
test cart::slow ... ignored
test result: FAILED. 1 passed; 1 failed
"""
JEST = """PASS src/cart.test.js
  cart
    \x1b[32m✓\x1b[0m counts (3 ms)
    ✕ totals (12 ms)
    ○ skipped later
"""
MAVEN = """+ mvn test -pl gson -Dtest=CartTest#total
[INFO] BUILD FAILURE
+ mvn test -pl gson -Dtest=CartTest#count
+ mvn test -pl gson -Dtest=CartTest#slow
[INFO] BUILD SUCCESS
"""
GRADLE = """
org.shop.CartTest > total FAILED
    java.lang.AssertionError at CartTest.java:9
org.shop.CartTest > count
WARNING: a late line
PASSED
> Task :test FAILED
"""
PHP = """Cart (Shop\\Tests\\Cart)
 ✔ Counts
 ✘ Totals
 ↩ Slow
"""
SUREFIRE = """[INFO] Results
<testsuite name="CartTest" tests="3">
  <testcase name="count" classname="org.shop.CartTest" time="0.1"/>
  <testcase name="total" classname="org.shop.CartTest"><failure message="&lt;3&gt;">at</failure></testcase>
  <testcase name="slow &quot;one&quot;" classname="org.shop.CartTest"><skipped/></testcase>
</testsuite>
"""


def report(**found: object) -> str:
    return f"> npm test\nnoise {{\n{json.dumps(found)}\nContainer exited"


JEST_REPORT = report(
    numFailedTestSuites=1,
    testResults=[
        {
            "name": "/app/cart.test.ts",
            "assertionResults": [
                {"fullName": "cart counts", "title": "counts", "status": "passed"},
                {"fullName": "cart totals", "title": "totals", "status": "failed"},
                {"fullName": "cart later", "title": "later", "status": "todo"},
            ],
        }
    ],
    wasInterrupted=False,
)
MOCHA_REPORT = report(
    stats={"passes": 1}, passes=[{"fullTitle": "cart counts"}], failures=[{"fullTitle": "cart totals"}]
)
PYTEST = """============ test session starts ============
tests/test_a.py::test_one PASSED [ 50%]
tests/test_a.py::A::test_two[x-1] FAILED [ 75%]
tests/test_a.py::A::test_three[a b] PASSED [100%]
"""
UNITTEST = "test_one (app.tests.T) ... ok\ntest_two (app.tests.T) ... FAIL\n"


@pytest.mark.parametrize(
    ("parser", "text", "expected"),
    [
        ("gotest", GO, {"TestTotal": "failed", "TestTotal/two items": "passed", "TestSlow": "skipped"}),
        ("cargo", CARGO, {"cart::total": "failed", "cart::count": "passed", "cart::slow": "skipped"}),
        ("jest", JEST, {"counts": "passed", "totals": "failed", "skipped later": "skipped"}),
        (
            "jest_json",
            "[PASSED] cart counts\n[FAILED] cart totals\n[INFO] x",
            {"cart counts": "passed", "cart totals": "failed"},
        ),
        ("immutable_js", "[PASSED] a\n  ✕ b (1 ms)\n", {"a": "passed", "b": "failed"}),
        (
            "vitest",
            " ✓ a > b 12ms\n × a > c\n ↓ a > d [skipped]\n",
            {"a > b": "passed", "a > c": "failed", "a > d": "skipped"},
        ),
        ("tap", "TAP version 13\nok 1 counts\nnot ok 2 totals\n1..2\n", {"counts": "passed", "totals": "failed"}),
        (
            "googletest",
            "[       OK ] Cart.Counts (0 ms)\n7: [  FAILED  ] Cart.Totals (1 ms)\n[  FAILED  ] 1 test",
            {"Cart.Counts": "passed", "Cart.Totals": "failed"},
        ),
        (
            "redis",
            "[ok]: counts (12 ms)\n[err]: totals in tests/unit/cart.tcl\n[ignore]: slow\n",
            {"counts": "passed", "totals": "failed", "slow": "skipped"},
        ),
        ("jq", "PASS: tests/a\nFAIL: tests/b\n", {"tests/a": "passed", "tests/b": "failed"}),
        (
            "micropython_test",
            "pass  a.py\nFAIL  b.py\nskip  c.py\n",
            {"a.py": "passed", "b.py": "failed", "c.py": "skipped"},
        ),
        ("maven", MAVEN, {"CartTest#total": "failed", "CartTest#count": "passed"}),
        ("ant", "    [junit] [PASS] counts\n    [junit] [ERR] totals\n", {"counts": "passed", "totals": "failed"}),
        ("gradle_custom", GRADLE, {"org.shop.CartTest > total": "failed", "org.shop.CartTest > count": "passed"}),
        ("phpunit", PHP, {"Cart > Counts": "passed", "Cart > Totals": "failed", "Cart > Slow": "skipped"}),
        (
            "minitest",
            "CartTest#test_: a cart counts.  = 0.01 s = .\nCartTest#test_: it totals.  = 0.02 s = F\n",
            {"CartTest#test_: a cart counts": "passed", "CartTest#test_: it totals": "failed"},
        ),
        (
            "ruby_unit",
            "  test: counts:\t.: (0.001)\n  test_total:\tF\n  test_slow:\tO: (0.1)\n",
            {"counts": "passed", "test_total": "failed", "test_slow": "skipped"},
        ),
        (
            "rspec_transformed_json",
            "Cart counts - passed\nCart totals - failed\nCart later - pending\n",
            {"Cart counts": "passed", "Cart totals": "failed", "Cart later": "skipped"},
        ),
        (
            "r2e",
            "PASSED r2e_tests/test_1.py::T::test_a\nFAILED r2e_tests/test_1.py::test_b - assert 1\n",
            {"T.test_a": "passed", "test_b": "failed"},
        ),
        (
            "polybench-java",
            SUREFIRE,
            {
                "org.shop.CartTest.count": "passed",
                "org.shop.CartTest.total": "failed",
                'org.shop.CartTest.slow "one"': "skipped",
            },
        ),
        (
            "polybench-jest",
            JEST_REPORT,
            {"/app/cart.test.ts->cart counts": "passed", "/app/cart.test.ts->cart totals": "failed"},
        ),
        (
            "polybench-jest-titles",
            JEST_REPORT,
            {"/app/cart.test.ts->counts": "passed", "/app/cart.test.ts->totals": "failed"},
        ),
        ("polybench-mocha", MOCHA_REPORT, {"cart counts": "passed", "cart totals": "failed"}),
        ("polybench-mocha-or-tap", MOCHA_REPORT, {"cart counts": "passed", "cart totals": "failed"}),
        ("polybench-mocha-or-tap", "TAP version 13\nok 1 a\nnot ok 2 b", {"1 a": "passed", "2 b": "failed"}),
        (
            "polybench-python",
            PYTEST,
            {
                "tests/test_a.py:None:test_one": "passed",
                "tests/test_a.py:A:test_two[x-1]": "failed",
                "tests/test_a.py:A:test_three": "passed",
            },
        ),
        ("polybench-python", UNITTEST, {"app.tests.T:test_one:": "passed", "app.tests.T:test_two:": "failed"}),
    ],
)
def test_every_test_is_told_under_the_data_sets_id(parser: str, text: str, expected: dict[str, str]) -> None:
    assert PARSERS[parser](text) == expected


@pytest.mark.parametrize("parser", sorted(PARSERS))
@pytest.mark.parametrize("text", ["", "{\n\n\r\x1b[", "[" * 3000, '{"stats":' * 500, "<testcase " * 3000, "✓\n" * 50])
def test_hostile_output_is_no_result(parser: str, text: str) -> None:
    assert PARSERS[parser](text) == {}


def test_every_parser_of_a_project_exists() -> None:
    assert {*POLYBENCH.values()} <= {*PARSERS}
