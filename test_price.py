import unittest

from price import total


class PriceTest(unittest.TestCase):
    def test_no_discount(self):
        self.assertEqual(total([10, 20], 0), 30)

    def test_half_price(self):
        self.assertEqual(total([10, 20], 50), 15)
