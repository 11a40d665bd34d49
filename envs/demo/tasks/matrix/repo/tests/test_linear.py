import pytest

from linear.algebra import add, multiply, power, trace
from linear.matrix import ShapeError, identity, shape, transpose


def test_transpose_of_a_wide_matrix():
    assert transpose([[1, 2, 3], [4, 5, 6]]) == [[1, 4], [2, 5], [3, 6]]


def test_transpose_of_a_square_matrix():
    assert transpose([[1, 2], [3, 4]]) == [[1, 3], [2, 4]]


def test_product_of_square_matrices():
    assert multiply([[1, 2], [3, 4]], identity(2)) == [[1, 2], [3, 4]]


def test_product_of_other_shapes():
    assert multiply([[1, 2, 3]], [[1, 0], [2, 1], [3, 0]]) == [[14, 2]]


def test_power_and_trace():
    assert power([[1, 1], [1, 0]], 5) == [[8, 5], [5, 3]]
    assert trace([[1, 9], [9, 2]]) == 3


def test_shapes_that_do_not_fit():
    with pytest.raises(ShapeError):
        add([[1]], [[1, 2]])
    with pytest.raises(ShapeError):
        shape([[1], [1, 2]])
