import pytest

from linear.algebra import multiply
from linear.matrix import ShapeError, shape, transpose, zeros


@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("columns", [1, 2, 4])
def test_shapes(rows, columns):
    matrix = [[row * 10 + column for column in range(columns)] for row in range(rows)]
    assert shape(transpose(matrix)) == (columns, rows)
    assert transpose(transpose(matrix)) == matrix
    assert shape(multiply(matrix, zeros(columns, 3))) == (rows, 3)
    assert multiply(matrix, transpose(matrix))[0][0] == sum(value * value for value in matrix[0])


def test_inner_sizes_must_agree():
    with pytest.raises(ShapeError):
        multiply([[1, 2]], [[1, 2]])


def test_tall():
    assert multiply([[1], [2]], [[3, 4]]) == [[3, 4], [6, 8]]
