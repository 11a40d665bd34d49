"""Between numbers and numerals."""

from numerals.symbols import LETTERS, SYMBOLS

LARGEST = 3999


def to_roman(number):
    if not 0 < number <= LARGEST:
        raise ValueError(f"no Roman numeral for {number}")
    text = ""
    for value, symbol in SYMBOLS:
        while number >= value:
            text += symbol
            number -= value
    return text


def from_roman(text):
    """Read a numeral; also forms that nobody should write, such as IIII."""
    total = 0
    previous = 0
    for letter in reversed(text.upper().strip()):
        if letter not in LETTERS:
            raise ValueError(f"not a Roman numeral: {text!r}")
        value = LETTERS[letter]
        total += -value if value < previous else value
        previous = max(previous, value)
    return total


def is_proper(text):
    """True when the numeral is written the usual way."""
    try:
        return to_roman(from_roman(text)) == text
    except ValueError:
        return False
