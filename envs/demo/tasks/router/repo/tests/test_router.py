import pytest

from web.errors import NotFound, RouteError
from web.router import Router


@pytest.fixture
def router():
    router = Router()
    router.add("/", "home")
    router.add("/users/{name}", "user")
    router.add("/items/{id:int}", "item")
    return router


def test_fixed_route(router):
    assert router.find("/") == ("home", {})


def test_named_part(router):
    assert router.find("/users/bob?tab=1") == ("user", {"name": "bob"})


def test_number(router):
    assert router.find("/items/12") == ("item", {"id": 12})


def test_no_number(router):
    with pytest.raises(NotFound):
        router.find("/items/bob")


def test_not_found(router):
    with pytest.raises(NotFound):
        router.find("/users/bob/more")


def test_name_twice():
    with pytest.raises(RouteError):
        Router().add("/{a}/{a}", "x")
