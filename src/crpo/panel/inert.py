"""Cells that a spreadsheet would run as a formula, made inert, and restored."""

from __future__ import annotations

import re

# What OWASP lists under CSV injection, behind white space too: = + - @, their full-width forms, tab and line ends.
# A negative number, as a rating from -2 to 2 may be, runs nothing.
_ACTIVE = re.compile(r"'*(?!-\d+(?:\.\d+)?\Z)(?:\s*[=+\-@＝＋－＠]|[\t\r\n])")


def inert(text: str) -> str:
    """Return the text with an apostrophe before it where a spreadsheet could take it for a formula.

    A text that already has apostrophes before such a character gets one more, so that `restored` is its exact inverse.

    Examples
    --------
    >>> inert("=1+1"), inert("- a door stop"), inert("a = b"), inert("-2")
    ("'=1+1", "'- a door stop", 'a = b', '-2')
    """
    return "'" + text if _ACTIVE.match(text) else text


def restored(text: str) -> str:
    """Return the text that `inert` was given.

    Examples
    --------
    >>> restored("'=1+1"), restored("'tis a brick")
    ('=1+1', "'tis a brick")
    """
    return text[1:] if text.startswith("'") and _ACTIVE.match(text) else text
