"""Text files by people and other tools are read correctly, whichever editor saved them."""

import codecs
import json

import pytest

from core.textfile import decode, json_lines, read_text

TEXT = '{"a": "größer"}\r\n'
MARKED = {
    "plain": TEXT.encode(),
    "utf-8": codecs.BOM_UTF8 + TEXT.encode(),
    "utf-16-le": codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
    "utf-16-be": codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    "utf-32-le": codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"),
    "utf-32-be": codecs.BOM_UTF32_BE + TEXT.encode("utf-32-be"),
}


@pytest.mark.parametrize("data", MARKED.values(), ids=MARKED)
def test_a_byte_order_mark_says_the_encoding_and_is_no_text(tmp_path, data):
    (tmp_path / "a.json").write_bytes(data)
    assert read_text(tmp_path / "a.json") == TEXT
    assert [(number, value) for number, value in json_lines(data)] == [(1, {"a": "größer"})]


def test_text_that_is_none_is_refused_or_replaced():
    with pytest.raises(UnicodeDecodeError):
        decode(b"caf\xe9")
    assert decode(b"caf\xe9", "replace") == "caf\N{REPLACEMENT CHARACTER}"


def test_a_line_that_is_not_json_is_its_own_fault_only():
    first, second, third = json_lines(b'{"a": 1}\n\xff\n\n\xef\xbb\xbf{"a": 2}\n')
    assert (first, third) == ((1, {"a": 1}), (4, {"a": 2}))
    assert isinstance(second[1], ValueError) and "line 2 is not JSON" in str(second[1])


def test_only_a_line_feed_ends_a_line():
    row = json.dumps({"a": "x\N{LINE SEPARATOR}y\x85z"}, ensure_ascii=False).encode()
    assert len(list(json_lines(row + b"\n" + row))) == 2
