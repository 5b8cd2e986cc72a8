"""From a page to digits: pictures, ink, lines; the network that comes along; the window."""

from pathlib import Path

DIGITS = Path(__file__).with_name("digits.pt")  # written by `python -m handwriting.train`
