"""Building and looking at matrices."""


class ShapeError(ValueError):
    """Shapes that do not fit."""


def shape(matrix):
    """Return (rows, columns)."""
    columns = len(matrix[0]) if matrix else 0
    if any(len(row) != columns for row in matrix):
        raise ShapeError("rows of different lengths")
    return len(matrix), columns


def zeros(rows, columns):
    return [[0] * columns for _ in range(rows)]


def identity(size):
    result = zeros(size, size)
    for index in range(size):
        result[index][index] = 1
    return result


def transpose(matrix):
    rows, columns = shape(matrix)
    result = zeros(rows, columns)
    for row in range(rows):
        for column in range(columns):
            result[column][row] = matrix[row][column]
    return result
