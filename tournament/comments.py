"""Where the comments of a file are, by language and without parsing.

Comments are line comments outside strings, and block comments that end in the same piece of text. Strings may span
lines. Where the syntax is unclear, text is code.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from keyword import kwlist

_DOUBLE = r'"(?:[^"\\]|\\.)*"'
_SINGLE = r"'(?:[^'\\]|\\.)*'"
_CHARACTER = r"'(?:[^'\\]|\\.[^']{0,9})'"
_WORDS = re.compile(r"[\w\s]+")
_NEVER = re.compile(r"(?!)")
_REGEX = re.compile(r"/(?![/*])(?:[^/\\\[]|\\.|\[(?:[^\]\\]|\\.)*\])+/")
_BEFORE_REGEX = re.compile(
    r"(?:[(,=:\[!&|?{};+*%<>~^-]|\b(?:return|typeof|case|in|of|delete|void|do|else|yield|await))$"
)
_INSIDE_BLOCK = re.compile(r"\s*\*(?:[ /]|$)")
_EXECUTED = re.compile(r"#!|#.*?coding[:=][ \t]*(?!utf-?8\b|ascii\b|latin)[-\w]|//go:|//\s*\+build|//export |/\*[!+]")
"""Comments that change what a program does."""
_HIDDEN_BLOCKS = re.compile(r'^import "C"|</?script|</?style|//\s*-->', re.MULTILINE)
"""Signs that block comments hold code: C in Go, and scripts in HTML."""
_FORMATTED = re.compile(r"(?:[fFtT][rRbB]?|\$)$")
_UNCLEAR_REGEX = re.compile(r"[\"'`\[]")
_STRING_PREFIX = re.compile(r"(?<!\w)[rRbBuUfFtTs$]{1,2}$")
_BEFORE_STRING = re.compile(rf"(?:[^\w\s.!?)\]}};]|\b(?:{'|'.join((*kwlist, 'case', 'match', 'when'))}))$")
"""What a string can follow: an operator or a keyword, the colon of a definition among them."""
_FIRST_WORD = re.compile(r"\s*(\w+)")
_RAW, _ESCAPED, _CONTINUED, _HERE, _INDENTED = "rechi"
"""Kinds of strings that span lines: without and with escapes, continued by a backslash, here-documents, indented."""
_HASH = re.compile("#")
_HASH_AFTER_SPACE = re.compile(r"(?<![^\s;&|()])#")
_SLASHES = re.compile("(?<!:)//")


@dataclass(frozen=True, slots=True)
class Language:
    """How a language writes comments and strings.

    Attributes:
        names: file extensions or whole file names.
        line: start of a line comment.
        block: start and end of a block comment.
        quoted: strings that end on their line.
        spanning: quotes of strings that may span lines.
        raw: starts of strings without escapes that may span lines; `ends` is expanded to their end.
        heredoc: start of a here-document; its second group is the word that ends it.
        interpolation: start and end of code in a string.
        unclear: lines with syntax that is not understood here; they are code.
        regexes: whether there are regular expressions between slashes.
        whole: whether a line comment has a line of its own.
        scalars: whether lines that are indented more than one that ends in `|` or `>` are a string.
    """

    names: re.Pattern[str]
    line: re.Pattern[str] = _NEVER
    block: tuple[str, str] | None = None
    quoted: re.Pattern[str] = re.compile(f"{_DOUBLE}|{_SINGLE}")
    spanning: tuple[str, ...] = ()
    raw: re.Pattern[str] = _NEVER
    ends: str = ""
    heredoc: re.Pattern[str] = _NEVER
    interpolation: tuple[tuple[str, str], ...] = ()
    unclear: re.Pattern[str] = _NEVER
    regexes: bool = False
    whole: bool = False
    scalars: bool = False


_C_BLOCK = ("/*", "*/")
_QUOTED_CHARACTERS = re.compile(f"{_DOUBLE}|{_CHARACTER}")
_ONLY_DOUBLE = re.compile(_DOUBLE)
_AS_IN_SHELL = re.compile(rf"{_DOUBLE}|'[^']*'")
_DOLLAR = (("${", "}"),)
_RUBY = (("#{", "}"),)
_HEREDOC = re.compile(r"""<<[-~]?\s*(["']?)([A-Za-z_]\w*)\1""")
_HEREDOC_BEFORE_NAME = re.compile(r"""<<[-~]?(["']?)([A-Z_]\w*)\1""")
_SLASH_FIRST = re.compile(r"^\s*/[^/*]")
"""Lines that may begin with a regular expression."""
_PATTERNS = re.compile(r"/[^/#]*#[^/]*/|%[wWiIqQrxs]?[({\[<|!/^~]|\?#|=~|\b(?:m|qr?|q[wqx]|s|tr|y)\s*[^\w\s,;.)=]")
"""Regular expressions and lists of words in Ruby and Perl."""
_LANGUAGES = (
    Language(
        re.compile("py[iwx]?"),
        _HASH,
        spanning=('"""', "'''"),
        interpolation=(("{", "}"),),
    ),
    Language(
        re.compile("sh|bash|zsh|fish|ksh|mk|makefile|gnumakefile|justfile"),
        _HASH_AFTER_SPACE,
        quoted=_AS_IN_SHELL,
        spanning=('"', "'"),
        heredoc=_HEREDOC,
        interpolation=(*_DOLLAR, ("$(", ")")),
        unclear=re.compile(r"\$'|`"),
    ),
    Language(re.compile("r|jl|exs?|cmake"), _HASH_AFTER_SPACE, spanning=('"""', '"'), interpolation=_RUBY),
    Language(re.compile("nix"), _HASH_AFTER_SPACE, spanning=("''", '"'), interpolation=_DOLLAR),
    Language(re.compile("ya?ml"), _HASH_AFTER_SPACE, scalars=True),
    Language(re.compile("cfg|conf|ini"), _HASH_AFTER_SPACE),
    Language(re.compile("toml"), _HASH, spanning=('"""', "'''")),
    Language(re.compile(r"dockerfile|\.?(?:git|docker)ignore"), _HASH, quoted=_NEVER, heredoc=_HEREDOC, whole=True),
    Language(
        re.compile("rb|gemfile|rakefile|pl|pm"),
        _HASH_AFTER_SPACE,
        spanning=('"', "'"),
        heredoc=_HEREDOC_BEFORE_NAME,
        interpolation=_RUBY,
        unclear=_PATTERNS,
    ),
    Language(
        re.compile("[cm]?[jt]sx?"),
        _SLASHES,
        _C_BLOCK,
        spanning=("`",),
        interpolation=_DOLLAR,
        unclear=_SLASH_FIRST,
        regexes=True,
    ),
    Language(
        re.compile("vue|svelte"),
        _SLASHES,
        ("<!--", "-->"),
        spanning=("`",),
        interpolation=_DOLLAR,
        unclear=_SLASH_FIRST,
        regexes=True,
    ),
    Language(
        re.compile("php"),
        re.compile(rf"{_SLASHES.pattern}|{_HASH_AFTER_SPACE.pattern}(?!\[)"),
        _C_BLOCK,
        spanning=('"', "'"),
        heredoc=re.compile(r"""<<<\s*(["']?)([A-Za-z_]\w*)\1"""),
        interpolation=_DOLLAR,
        unclear=re.compile(r"\?>"),
    ),
    Language(
        re.compile("tf|hcl"),
        re.compile(rf"{_SLASHES.pattern}|#"),
        _C_BLOCK,
        heredoc=_HEREDOC,
        interpolation=(*_DOLLAR, ("%{", "}")),
    ),
    Language(re.compile("scss|less"), _SLASHES, _C_BLOCK),
    Language(re.compile("css"), block=_C_BLOCK),
    Language(
        re.compile("dart|groovy"), _SLASHES, _C_BLOCK, spanning=('"""', "'''"), interpolation=_DOLLAR, regexes=True
    ),
    Language(
        re.compile("c|h|cc|cpp|cxx|hpp|hh|mm?|proto|zig"),
        _SLASHES,
        _C_BLOCK,
        _QUOTED_CHARACTERS,
        raw=re.compile(r'(?<=R)"([^\s()\\"]{0,16})\('),
        ends=r')\1"',
    ),
    Language(re.compile("go"), _SLASHES, _C_BLOCK, _QUOTED_CHARACTERS, raw=re.compile("`"), ends="`"),
    Language(
        re.compile("rs"),
        _SLASHES,
        _C_BLOCK,
        _QUOTED_CHARACTERS,
        spanning=('"',),
        raw=re.compile(r'(?<=r)(#*)"'),
        ends=r'"\1',
    ),
    Language(
        re.compile("cs"),
        _SLASHES,
        _C_BLOCK,
        _QUOTED_CHARACTERS,
        spanning=('"""',),
        raw=re.compile(r'(?:@\$?|\$@)"'),
        ends='"',
        interpolation=(("{", "}"),),
        unclear=re.compile(r'@\$?"|\$@"'),
    ),
    Language(
        re.compile("java|kts?|scala|swift"),
        _SLASHES,
        _C_BLOCK,
        _QUOTED_CHARACTERS,
        spanning=('"""',),
        interpolation=(*_DOLLAR, ("\\(", ")")),
        unclear=re.compile('#"|`'),
    ),
    Language(
        re.compile("sql"),
        re.compile("--"),
        _C_BLOCK,
        re.compile("'[^']*'|\"[^\"]*\""),
        spanning=("'", '"'),
        unclear=re.compile(r"\\|\$\$"),
    ),
    Language(re.compile("lua"), re.compile("--"), ("--[[", "]]"), raw=re.compile(r"\[(=*)\["), ends=r"]\1]"),
    Language(
        re.compile("hs|elm"),
        re.compile(r"(?<![!#$%&*+./<=>?@\\^|~:-])--+(?![!#$%&*+./<=>?@\\^|~:-])"),
        ("{-", "-}"),
        _ONLY_DOUBLE,
        unclear=re.compile("'\"'|\\[\\w*\\|"),
    ),
    Language(re.compile("ad[abs]"), re.compile("--"), quoted=re.compile('"[^"]*"|\'.\'')),
    Language(
        re.compile("lisp|cl|el|clj[sc]?|scm|rkt|asm"),
        re.compile(r"(?<!\?);"),
        quoted=_ONLY_DOUBLE,
        spanning=('"',),
        unclear=re.compile(r'\?\\?"'),
    ),
    Language(re.compile("tex|sty|[eh]rl"), re.compile(r"(?<!\$)%"), quoted=_ONLY_DOUBLE),
    Language(re.compile("html?|xml|xhtml|svg|md|rst"), block=("<!--", "-->"), quoted=_NEVER),
)
_UNKNOWN = Language(_NEVER, quoted=_NEVER)


def language_of(kind: str) -> Language:
    """Return the language of a file extension or whole file name in lower case."""
    return next((language for language in _LANGUAGES if language.names.fullmatch(kind)), _UNKNOWN)


@dataclass(slots=True)
class Stripped:
    """Lines without their comments.

    Attributes:
        lines: what is left of each line; None where nothing is, although the line was not blank.
        blocks: first and last line of each comment that spans lines.
    """

    lines: list[str | None]
    blocks: list[tuple[int, int]] = field(default_factory=list)


def without_comments(lines: Sequence[str], language: Language) -> Stripped:
    """Remove the comments from consecutive lines of a file, which may begin anywhere in it."""
    closing = language.block[1] if language.block and not _HIDDEN_BLOCKS.search("\n".join(lines)) else None
    last = max((place for place, line in enumerate(lines) if closing and closing in line), default=-1)
    done = Stripped(list(lines))
    place, closes = 0, _begins_in(lines, language)
    if closing == "*/":
        place = _inside_block(lines, language)
        done.lines[:place] = [None] * place
        if place:
            done.blocks.append((0, place - 1))
    while place < len(lines):
        line = _Line(lines[place], language, closes, blocks=closing is not None)
        closes, end = line.closes, place
        if line.opened and place < last:
            assert closing is not None
            end = next(at for at in range(place + 1, len(lines)) if closing in lines[at])
            before, rest = line.text, lines[end].partition(closing)[2]
            done.blocks.append((place, end))
            done.lines[place : end + 1] = [before if before.strip() else None, *[None] * (end - place)]
            if rest.strip():
                line = _Line(rest, language, "", blocks=True)
                closes = line.closes
                done.lines[end] = (rest if line.opened else line.text) or None
        elif not line.opened:
            done.lines[place] = line.text if line.text.strip() or not lines[place].strip() else None
        place = end + 1
    return done


def begins_in_string(lines: Sequence[str], quotes: Sequence[str]) -> str:
    """The triple quotes that end the string in which consecutive lines of a file begin; empty if they begin in none.

    They do if the first triple quotes stand where no string can start, and are an odd number.
    """
    pattern = re.compile("|".join(map(re.escape, quotes)))
    found = next(((at, mark) for at, line in enumerate(lines) if (mark := pattern.search(line))), None)
    if found is None or sum(line.count(found[1][0]) for line in lines) % 2 == 0:
        return ""
    place, mark = found
    before = " ".join([*lines[:place][-1:], lines[place][: mark.start()]])
    before = _STRING_PREFIX.sub("", before).rstrip()
    return "" if not before or _BEFORE_STRING.search(before) else mark[0]


def _begins_in(lines: Sequence[str], language: Language) -> str:
    quotes = [quote for quote in language.spanning if len(quote) == 3]
    found = begins_in_string(lines, quotes) if quotes else ""
    return _ESCAPED + found if found else ""


def heading_without_comments(heading: str, language: Language) -> str:
    """Remove the comments from the line of the file that a hunk's header repeats."""
    if _INSIDE_BLOCK.match(heading) and language.block == _C_BLOCK:
        return ""
    return _Line(heading, language, "", blocks=True).text.rstrip()


def _inside_block(lines: Sequence[str], language: Language) -> int:
    """Number of lines at the beginning that belong to a comment which starts above, as its asterisks show.

    A line of code can look like that too. Hence only a run from the first line counts that a comment's end, or nothing,
    follows; in style sheets, where `*` is a selector, only one with an end.
    """
    for place, line in enumerate(lines):
        if not _INSIDE_BLOCK.match(line) or "/*" in line:
            return 0
        if "*/" in line:
            return place + 1 if not line.partition("*/")[2].strip() else 0
    return 0 if language.line is _NEVER else len(lines)


class _Line:
    """One line without its comments.

    Args:
        code: the line.
        language: its language.
        closes: end of the string in which the line begins; empty if there is none.
        blocks: whether block comments are removed.

    Attributes:
        text: the line up to a comment that runs to its end, without comments that end before.
        closes: end of the string in which the next line begins, after a character for its kind.
        opened: whether the text ends at a block comment that does not end on the line.
    """

    def __init__(self, code: str, language: Language, closes: str, *, blocks: bool) -> None:
        self._code, self._language, self.closes, self.opened = code, language, closes, False
        self._blocks = language.block if blocks else None
        self._pending, self._executed = "", False
        kept = "".join(self._pieces())
        self.closes = self.closes or self._pending
        if kept != code and (language.unclear.search(code) or self._executed):
            kept, self.opened = code, False
        elif kept != code and not self.opened and code.endswith("\\"):  # the comment goes on in the next line
            kept = code
        if language.scalars and kept.rstrip().rstrip("+-0123456789").endswith((" |", " >")):
            self.closes = self.closes or _INDENTED + code[: len(code) - len(code.lstrip())]
        self.text = kept if kept == code else kept.rstrip()

    def _pieces(self) -> Iterator[str]:
        code, language, index, last = self._code, self._language, 0, ""
        if self.closes:
            index = self._end_of_string()
            yield code[:index]
        while index < len(code):
            if found := _WORDS.match(code, index):
                piece = found[0]
            elif self._blocks and code.startswith(self._blocks[0], index):
                self._executed |= _EXECUTED.match(code, index) is not None
                end = code.find(self._blocks[1], index + len(self._blocks[0]))
                if end < 0:
                    self.opened = True
                    return
                index = end + len(self._blocks[1])
                continue
            elif language.line.match(code, index) and not (language.whole and last):
                self._executed |= _EXECUTED.match(code, index) is not None
                return
            else:
                piece = self._piece(index, last)
            yield piece
            last = piece.rstrip() or last
            index += len(piece)

    def _piece(self, index: int, last: str) -> str:
        """A string, the rest of the line if its meaning is unclear, or a character."""
        code, language = self._code, self._language
        if found := language.heredoc.match(code, index):
            self._pending = _HERE + found[2]
            return found[0]
        if found := language.raw.match(code, index):
            return self._spanning(index, len(found[0]), _RAW + found.expand(language.ends))
        for quote in language.spanning:
            if code.startswith(quote, index):
                kind = _RAW if quote == "'" and language.quoted is _AS_IN_SHELL else _ESCAPED
                return self._checked(index, self._spanning(index, len(quote), kind + quote))
        if found := language.quoted.match(code, index):
            return self._checked(index, found[0])
        if code[index] in "\"'" and code.endswith("\\"):
            self.closes = _CONTINUED + code[index]
            return code[index:]
        if language.regexes and code[index] == "/" and not code.startswith("</", index - 1):
            return self._regex(index, last)
        return code[index : index + (2 if code[index] == "\\" else 1)]

    def _checked(self, index: int, string: str) -> str:
        """The string, or the rest of the line where the string seems to end inside an interpolation."""
        for start, end in self._language.interpolation:
            if start == "{" and not _FORMATTED.search(self._code[max(index - 2, 0) : index]):
                continue
            if not self.closes and start in string and string.count(start[-1]) > string.count(end):
                return self._code[index:]
        return string

    def _regex(self, index: int, last: str) -> str:
        """A regular expression, a slash, or the rest of the line if it is unclear which."""
        expected = not last or _BEFORE_REGEX.search(last[-10:])
        if not expected and not last.endswith(")"):
            return "/"
        found = _REGEX.match(self._code, index)
        if found is None or (not expected and _UNCLEAR_REGEX.search(found[0])):
            return self._code[index:]
        return found[0] if expected else "/"

    def _spanning(self, index: int, start: int, closes: str) -> str:
        """A string whose start has a given length, or the rest of the line if it does not end there."""
        at = _find(self._code, closes, index + start)
        if at < 0:
            self.closes = closes
            return self._code[index:]
        return self._code[index:at]

    def _end_of_string(self) -> int:
        """Index after the string in which the line begins; the line's length if it goes on."""
        code, kind, end = self._code, self.closes[0], self.closes[1:]
        if kind == _HERE:
            ended = _FIRST_WORD.match(code)
            self.closes = "" if ended is not None and ended[1] == end else self.closes
            return len(code)
        if kind == _INDENTED:
            inside = not code.strip() or (code.startswith(end) and code[len(end) :][:1].isspace())
            self.closes = self.closes if inside else ""
            return len(code) if inside else 0
        at = _find(code, self.closes, 0)
        if at >= 0 or (kind == _CONTINUED and not code.endswith("\\")):
            self.closes = ""
        return at if at >= 0 else len(code)


def _find(code: str, closes: str, start: int) -> int:
    """Index after the next end of a string; -1 if there is none. A backslash escapes unless the string is raw."""
    end = closes[1:]
    if closes[0] == _RAW:
        at = code.find(end, start)
        return at + len(end) if at >= 0 else -1
    for found in re.compile(rf"\\.|{re.escape(end)}").finditer(code, start):
        if found[0] == end:
            return found.end()
    return -1
