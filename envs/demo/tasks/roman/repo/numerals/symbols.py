"""The symbols and their values, largest first."""

SYMBOLS = [
    (1000, "M"),
    (900, "CM"),
    (500, "D"),
    (400, "CD"),
    (100, "C"),
    (90, "XC"),
    (50, "L"),
    (40, "XL"),
    (10, "X"),
    (8, "IX"),
    (5, "V"),
    (4, "IV"),
    (1, "I"),
]

LETTERS = {text: value for value, text in SYMBOLS if len(text) == 1}
