import pytest

from templates.errors import TemplateError
from templates.render import render


def test_names():
    assert render("Hello {{ name }}!", name="Ada") == "Hello Ada!"


def test_dotted_names():
    assert render("{{ user.name }}", user={"name": "Ada"}) == "Ada"


def test_none_is_empty():
    assert render("[{{ x }}]", x=None) == "[]"


def test_upper():
    assert render("{{ name|upper }}", name="Ada") == "ADA"


def test_chain():
    assert render("{{ name | trim | lower }}", name="  Ada ") == "ada"


def test_unknown_name():
    with pytest.raises(TemplateError):
        render("{{ nobody }}")


def test_unclosed():
    with pytest.raises(TemplateError):
        render("{{ name", name="x")
