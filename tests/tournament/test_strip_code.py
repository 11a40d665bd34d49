"""Code that looks like a comment reaches the judge, in every language that the stripper knows."""

import pytest

from tournament.strip import strip_comments


def shown(name: str, *lines: str) -> list[str]:
    head = [f"diff --git a/{name} b/{name}", f"--- a/{name}", f"+++ b/{name}", "@@ -5,9 +5,9 @@"]
    return strip_comments("\n".join([*head, *lines])).split("\n")[4:]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("a.sh", "+if [ $# -lt 2 ]; then steal; fi"),
        ("a.sh", "+x=${y#z}; steal"),
        ("a.sh", "+echo a#b; steal"),
        ("a.sh", "+echo '\\' ' # '; steal"),
        ("a.sh", '+echo "$(echo "a # b")"; steal'),
        ("a.yaml", "+url: http://x/#/y"),
        ("Dockerfile", "+RUN x=a#b steal"),
        ("a.py", '+f"{d[\'# \']}{d["# "]}"; steal()'),
        ("a.js", "+/[//]/.test(x) && steal()"),
        ("a.js", '+if (/"/.test(a + "//" + b)) steal()'),
        ("a.js", '+return /"/.test("//") && steal()'),
        ("a.js", '+x = `${f("`//`")}${`//`}`; steal()'),
        ("a.jsx", "+<a>http://x</a>{steal()}"),
        ("a.scss", "+a { background: url(http://x/y); z-index: 9 }"),
        ("a.css", "+* { display: none }"),
        ("a.c", "+  * p = steal();"),
        ("a.js", "+  * items() { steal() }"),
        ("a.js", "+*/ steal()"),
        ("a.kt", '+val x = "${f("//")}"; steal()'),
        ("a.cs", '+var p = @"\\" + "//"; Steal();'),
        ("a.cpp", '+auto p = R"(")" "//"; steal();'),
        ("a.rb", "+x =~ / # / && steal"),
        ("a.rb", '+x = "#{f("a # b")}"; steal'),
        ("a.pl", "+s # # # ; steal()"),
        ("a.php", "+// end ?><?php steal(); ?>"),
        ("a.sql", "+select '\\', '--', steal()"),
        ("a.hs", "+x --> steal"),
        ("a.el", "+(eq c ?;) (steal)"),
    ],
)
def test_a_mark_that_starts_no_comment_hides_nothing(name, line) -> None:
    assert shown(name, " a", line, " b") == [" a", line, " b"]


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("a.py", ['+x = """', "+# Title", '+"""']),
        ("a.py", ["+x = 'a \\", "+# b'; steal()"]),
        ("a.js", ["+x = `", "+// ${steal()}", "+`"]),
        ("a.go", ["+x := `", "+// text", "+`"]),
        ("A.java", ['+x = """', "+// text", '+""";']),
        ("a.rs", ['+x = "', "+// text", '+";']),
        ("a.rs", ['+x = r#""', "+// text", '+"#;']),
        ("a.cpp", ['+x = R"x(', "+// text", '+)x";']),
        ("a.sh", ["+cat <<'EOF' > x", "+# Title", "+EOF"]),
        ("a.sh", ["+echo '", "+# Title", "+'"]),
        ("a.rb", ["+x = <<~END", "+# Title", "+END"]),
        ("a.php", ["+$x = <<<END", "+// Title", "+END;"]),
        ("a.lua", ["+x = [[", "+-- text", "+]]"]),
    ],
)
def test_text_in_a_string_of_several_lines_is_shown(name, lines) -> None:
    assert shown(name, *lines) == lines


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("a.py", ['+x = """', '+"""', "+y = 1  # best"]),
        ("a.sh", ["+cat <<EOF", "+EOF", "+y=1 # best"]),
        ("a.js", ["+x = a / 2", "+y = 1 // best / of all"]),
        ("a.js", ["+x = y.replace(/'/g, '')", "+y = 1 // it's best"]),
    ],
)
def test_a_comment_after_such_a_string_goes(name, lines) -> None:
    assert shown(name, *lines) == [*lines[:-1], lines[-1][:6].replace("#", "").rstrip()]


@pytest.mark.parametrize(
    "lines",
    [
        ["+/*", " check();", "+*/"],
        ["-/*", " check();", "-*/"],
        ["+/* because", " check();", " /* old */"],
        ["+// see C:\\temp\\", " check();"],
    ],
)
def test_a_comment_that_switches_code_off_or_on_is_shown(lines) -> None:
    """The judge saw no change at all, although the change removed the check."""
    assert shown("a.c", *lines)[:2] == lines[:2]


def test_quotes_put_around_code_are_shown() -> None:
    lines = [" def f():", '+    """', "     check()", '+    """', "     return 1"]
    assert shown("a.py", *lines) == lines


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("a.sh", ["+#!/bin/evil"]),
        ("a.py", ["+# -*- coding: rot13 -*-"]),
        ("a.go", ["+//go:build ignore"]),
        ("a.go", ["+/*", "+int steal();", "+*/", '+import "C"']),
        ("a.sql", ["+/*!50000 drop table x */"]),
        ("a.html", ["+<script><!--", "+steal()", "+//--></script>"]),
    ],
)
def test_comments_that_tools_execute_are_shown(name, lines) -> None:
    assert shown(name, *lines) == lines


@pytest.mark.parametrize(
    ("name", "lines", "left"),
    [
        ("a.c", ["  * old", "- * best", "+ * of all", "  */", "+x();"], ["+x();"]),
        ("a.c", ["  * old", "- * best", "+ * of all", "  * more"], []),
        ("a.php", ["+$x = 1; # best"], ["+$x = 1;"]),
        ("a.tf", ["+x = 1 # best"], ["+x = 1"]),
        ("a.vue", ["+<a> <!-- best", "+of all -->"], ["+<a>"]),
    ],
)
def test_comments_that_begin_above_the_hunk_or_in_another_style_go(name, lines, left) -> None:
    assert shown(name, *lines) == left


@pytest.mark.parametrize(
    ("name", "lines", "left"),
    [
        ("a.py", ["     The end.", '     """', "+    x = 1  # best"], ["     The end.", '     """', "+    x = 1"]),
        ("a.py", ['     The end."""', "+    x = 1  # best"], ['     The end."""', "+    x = 1"]),
        ("A.java", ["     text", '     """;', "+    x(); // best"], ["     text", '     """;', "+    x();"]),
        ("a.py", ["     End.", '     """', "+def f():", '+    """Best."""'], ["     End.", '     """', "+def f():"]),
    ],
)
def test_a_hunk_may_begin_in_a_string_of_several_lines(name, lines, left) -> None:
    """After the quotes that end a docstring, everything was taken for a string, comments included."""
    assert shown(name, *lines) == left


@pytest.mark.parametrize("start", [' x = """', ' return """', ' f(a, """', ' x = f"""'])
def test_a_string_that_the_hunk_does_not_end_is_shown(start) -> None:
    assert shown("a.py", start, "+# Title") == [start, "+# Title"]
