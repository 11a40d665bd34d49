import pytest

from templates.errors import TemplateError
from templates.render import render


def test_escape():
    assert render("{{ x|escape }}", x="<a & b>") == "&lt;a &amp; b&gt;"


def test_order_matters():
    assert render("{{ x|escape|upper }}", x="<") == "&LT;"


def test_unknown_filter_is_named():
    with pytest.raises(TemplateError, match="shout"):
        render("{{ x|shout }}", x="a")


def test_numbers():
    assert render("{{ x|trim }}", x=12) == "12"


def test_filters_on_dotted_names():
    assert render("{{ a.b|upper }} {{ a.c }}", a={"b": "x", "c": "y"}) == "X y"
