"""Computing with matrices."""

from linear.matrix import ShapeError, identity, shape, zeros


def add(left, right):
    if shape(left) != shape(right):
        raise ShapeError(f"{shape(left)} + {shape(right)}")
    return [[a + b for a, b in zip(row, other)] for row, other in zip(left, right)]


def multiply(left, right):
    rows, inner = shape(left)
    other, columns = shape(right)
    if inner != other:
        raise ShapeError(f"{shape(left)} x {shape(right)}")
    result = zeros(rows, columns)
    for row in range(rows):
        for column in range(columns):
            result[row][column] = sum(left[row][index] * right[index][column] for index in range(columns))
    return result


def power(matrix, exponent):
    rows, columns = shape(matrix)
    if rows != columns:
        raise ShapeError("only square matrices have powers")
    result = identity(rows)
    for _ in range(exponent):
        result = multiply(result, matrix)
    return result


def trace(matrix):
    return sum(matrix[index][index] for index in range(min(shape(matrix))))
