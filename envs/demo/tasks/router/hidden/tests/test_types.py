import pytest

from web.errors import NotFound, RouteError
from web.router import Router


def test_unknown_type():
    with pytest.raises(RouteError):
        Router().add("/a/{b:colour}", "x")


def test_text_by_type():
    router = Router()
    router.add("/a/{b:str}", "x")
    assert router.find("/a/12") == ("x", {"b": "12"})


def test_falling_through_to_the_next_route():
    router = Router()
    router.add("/a/{id:int}", "number")
    router.add("/a/{name}", "text")
    assert router.find("/a/7") == ("number", {"id": 7})
    assert router.find("/a/seven") == ("text", {"name": "seven"})


def test_two_placeholders():
    router = Router()
    router.add("/{year:int}/{month:int}/x", "m")
    assert router.find("/2024/02/x") == ("m", {"year": 2024, "month": 2})
    with pytest.raises(NotFound):
        router.find("/2024/feb/x")
