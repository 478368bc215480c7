"""How wide a line of text is, as nearly as a picture needs that must fit around it."""

from __future__ import annotations

from typing import Final

# Advance widths of DejaVu Sans, in thousandths of the letters' size, from " " to "~"; Verdana's are nearly the same.
# fmt: off
_WIDTHS: Final = (
    318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361, 318, 337, 636, 636, 636,
    636, 636, 636, 636, 636, 636, 636, 337, 337, 838, 838, 838, 531, 1000, 684, 686, 698, 770, 632,
    575, 775, 752, 295, 295, 656, 557, 863, 748, 787, 603, 787, 695, 635, 611, 732, 684, 989, 685,
    611, 685, 390, 337, 390, 838, 500, 500, 613, 635, 550, 635, 615, 352, 635, 634, 278, 278, 579,
    278, 974, 634, 612, 635, 635, 411, 521, 392, 634, 592, 818, 592, 592, 525, 636, 337, 636, 838,
)
# fmt: on
_WIDEST: Final = 1000  # of what is not in the table


def width(text: str, *, size: float) -> float:
    """Of *text* in letters of *size*, in the same unit."""
    places = (ord(letter) - ord(" ") for letter in text)
    return sum(_WIDTHS[place] if 0 <= place < len(_WIDTHS) else _WIDEST for place in places) * size / 1000
