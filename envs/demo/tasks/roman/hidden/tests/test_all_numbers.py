from numerals.convert import from_roman, to_roman


def test_every_number_comes_back():
    for number in range(1, 4000):
        assert from_roman(to_roman(number)) == number


def test_never_four_in_a_row():
    for number in range(1, 4000):
        text = to_roman(number)
        assert not any(letter * 4 in text for letter in "IXCM"), text
        assert not any(letter * 2 in text for letter in "VLD"), text
