"""Tests inside source files are restored to the base's, and the source around them stays as patched."""

import pytest

from envs.inline_tests import may_hold_tests, with_tests_of

RUST = """pub fn total(items: &[i64]) -> i64 {
    items.iter().fold(0, |sum, item| sum - item)
}

#[cfg(test)]
#[allow(clippy::all)]
mod tests {
    use super::*;

    #[test]
    fn adds() {
        assert_eq!(format!("}}{}", total(&[1, 2])), r#"}"}3"#); // }
        let brace = '{';
    }
}

pub fn after<'a>(text: &'a str) -> &'a str { text }
"""
FIXED = RUST.replace("sum - item", "sum + item")
PYTHON = '''"""Money.

>>> total([1])
1
"""


def total(items):
    """The sum.

    >>> total([1, 2])
    3
    """
    return -sum(items)


class Cart:
    """Holds items."""

    def count(self): "one line"; return 0
'''


@pytest.mark.parametrize(
    "changed",
    [
        FIXED.replace('3"#', '-3"#'),
        FIXED.replace("#[test]", "#[test]\n    #[ignore]"),
        FIXED.replace("    fn adds() {\n", "    fn adds() {\n        return;\n"),
        FIXED.replace("use super::*;", "use super::*;\n    macro_rules! assert_eq { ($($x:tt)*) => {} }"),
        FIXED + "\n#[cfg(test)]\nmod more {\n    #[test]\n    fn b() {}\n}\n",
    ],
)
def test_a_rust_files_test_module_is_the_bases(changed: str) -> None:
    assert with_tests_of(RUST, changed, "src/lib.rs").rstrip() == FIXED.rstrip()


def test_a_test_module_that_was_removed_is_there_again() -> None:
    start, end = FIXED.index("#[cfg(test)]"), FIXED.index("pub fn after")
    found = with_tests_of(RUST, FIXED[:start] + FIXED[end:], "src/lib.rs")
    assert FIXED[start : end - 2].rstrip() in found
    assert "sum + item" in found


def test_a_file_whose_tests_are_the_same_stays_byte_for_byte() -> None:
    assert with_tests_of(RUST, FIXED, "src/lib.rs") == FIXED
    assert with_tests_of(PYTHON, PYTHON.replace("-sum", "sum"), "shop.py") == PYTHON.replace("-sum", "sum")


def test_doctests_are_the_bases_and_other_docstrings_the_patches() -> None:
    changed = PYTHON.replace("-sum", "+sum").replace("    3\n", "    -3\n").replace("Holds items.", "Holds all items.")
    found = with_tests_of(PYTHON, changed.replace("total([1])\n1", "total([1])\n-1"), "shop.py")
    assert found == PYTHON.replace("-sum", "+sum").replace("Holds items.", "Holds all items.")


def test_what_cannot_be_parsed_stays_as_it_is() -> None:
    assert with_tests_of(PYTHON, "def total(:\n", "shop.py") == "def total(:\n"
    assert with_tests_of(RUST, "#[cfg(test)]\nmod tests {\n", "src/lib.rs").startswith("#[cfg(test)]\nmod tests {\n")


def test_only_files_with_tests_inside_are_looked_at() -> None:
    assert may_hold_tests("src/lib.rs", RUST, doctests=False)
    assert not may_hold_tests("src/lib.rs", "pub fn a() {}\n", doctests=False)
    assert (may_hold_tests("a.py", PYTHON, doctests=True), may_hold_tests("a.py", PYTHON, doctests=False)) == (
        True,
        False,
    )
