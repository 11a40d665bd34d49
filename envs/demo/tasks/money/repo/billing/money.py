"""An amount in cents. Never a float."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal


@dataclass(frozen=True, order=True)
class Money:
    cents: int

    @classmethod
    def parse(cls, text):
        """Read `12.34`; halves of a cent are rounded up."""
        value = Decimal(text.strip().replace(",", "")) * 100
        return cls(int(value.quantize(Decimal(1), rounding=ROUND_HALF_UP)))

    def __add__(self, other):
        return Money(self.cents + other.cents)

    def __sub__(self, other):
        return Money(self.cents - other.cents)

    def __str__(self):
        sign = "-" if self.cents < 0 else ""
        return f"{sign}{abs(self.cents) // 100}.{abs(self.cents) % 100:02d}"
