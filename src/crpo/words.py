"""A text's distinct words, as the divergent semantic integration of an answer needs them; in any language.

English is parted as in the official code's tokenizer. Elsewhere words are those of Unicode's word boundaries (UAX #29):
letters with their marks and digits; an apostrophe or a middle dot joins letters, a quotation mark Hebrew letters
(gershayim), a full stop or comma digits. Deviations: a full stop or colon does not join letters, for people forget the
space after it; an underscore joins nothing; an apostrophe at the end of a Hebrew word is a quotation mark. Scripts
without spaces: see `crpo.unspaced`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import pandas as pd

from crpo.unspaced import is_unspaced, unspaced_words

_CLITIC = re.compile(r"\b([^\W_]+?)(n't|'s|'re|'ve|'ll|'d|'m)\b")
_PIECE = re.compile(r"[^\W_]+")
_LAST_LATIN = 0x24F

# A text is matched through its characters' kinds, one letter each: w letter, h Hebrew letter, d digit, u letter of a
# script without spaces, x mark, z joiner, e symbol, r half of a flag; joints are a and m of letters (a: apostrophe),
# q of Hebrew letters, p of digits; a blank parts words.
_WORD = re.compile(
    r"(?P<word>[whd][whdxz]*(?:(?:[am](?=[wh])|(?<=[hx])q(?=h)|(?<=d)p(?=d))[whd][whdxz]*)*)"
    r"|(?P<unspaced>u[uxz]*)"
    r"|(?P<symbol>rr|[er][xz]*(?:(?<=z)e[xz]*)*)"
)
_JOINTS = {
    "'": "a",
    "·": "m",
    "‧": "m",
    "׳": "w",
    "״": "m",
    '"': "q",
    ".": "p",
    ",": "p",
    "٫": "p",
    "٬": "p",
    "\u200d": "z",
    "\u200c": "x",
}
_BREAK = "\u200b"  # parts words, where the other format characters are nothing


def distinct_words(text: str, language: str | None = None) -> list[str]:
    """Return the distinct lower-case words of `text`, sorted; punctuation and white space are no words.

    Parameters
    ----------
    text : str
        Any. It is composed first (Unicode NFC), and format characters (direction marks, soft hyphens) are left out. A
        symbol or a whole emoji is a word, as the official code has it.
    language : str, optional
        A code or name. English, and Latin text of no named language, has its contractions and its words with an
        apostrophe, and numbers, parted ("don't" is "do" and "n't"); of other languages the apostrophe joins ("l'eau").

    Notes
    -----
    Deviation: the official code counts a run of white space as a word too, and applies English rules everywhere.

    Examples
    --------
    >>> distinct_words("Don't use it, use THIS!")
    ['do', 'it', "n't", 'this', 'use']
    >>> distinct_words("L'eau, l'été", "fr")
    ["l'eau", "l'été"]
    """
    return sorted(set(words_in_order(text, language)))


def words_in_order(text: str, language: str | None = None) -> list[str]:
    """Return the words of `text` as they stand, lower-case; parameters and words as `distinct_words`.

    Examples
    --------
    >>> words_in_order("Don't use it, use THIS!")
    ['do', "n't", 'use', 'it', 'use', 'this']
    """
    text = text.lower().replace("’", "'")
    if not text.isascii():
        text = unicodedata.normalize("NFC", text.translate(_SEEN))
    english = not language or language.casefold().startswith("en")
    kinds = text.translate(_KINDS)
    words: list[str] = []
    for match in _WORD.finditer(kinds):
        start, end = match.span()
        own = text[start:end].rstrip("\u200c\u200d")
        if match.lastgroup == "unspaced":
            words += unspaced_words(own)
        elif match.lastgroup == "word" and english and _is_joined(kinds[start:end]) and _is_latin(own):
            words += _parted(own)
        else:
            words.append(own)
    return words


def words_of(responses: pd.DataFrame) -> list[list[str]]:
    """Return the distinct words of each row's `response`, by its `language` where the table has that column."""
    return [sorted(set(words)) for words in ordered_words_of(responses)]


def ordered_words_of(responses: pd.DataFrame) -> list[list[str]]:
    """Return the words of each row's `response` as they stand, by its `language` where the table has that column."""
    languages: Sequence[str | None] = [None] * len(responses)
    if "language" in responses:
        languages = [own if isinstance(own, str) else None for own in responses["language"]]
    return [words_in_order(text, own) for text, own in zip(responses["response"], languages, strict=True)]


def _parted(word: str) -> list[str]:
    words: list[str] = []
    for place, piece in enumerate(_CLITIC.split(word)):  # what is before, a word, its clitic, and so on
        words += [piece] if place % 3 == 2 else _PIECE.findall(piece)
    return words


def _is_joined(kinds: str) -> bool:
    return any(joint in kinds for joint in "amqp")


def _is_latin(word: str) -> bool:
    return all(ord(character) <= _LAST_LATIN or not character.isalpha() for character in word)


class _Kinds(dict[int, str]):
    """The kind of each character, found when first met."""

    def __missing__(self, point: int) -> str:
        self[point] = _kind(chr(point))
        return self[point]


class _Seen(dict[int, str]):
    """Each character, without format characters but those that matter in words."""

    def __missing__(self, point: int) -> str:
        character = chr(point)
        left_out = unicodedata.category(character) == "Cf" and character not in _JOINTS
        self[point] = " " if character == _BREAK else "" if left_out else character
        return self[point]


def _kind(character: str) -> str:
    category = unicodedata.category(character)
    if character in _JOINTS:
        return _JOINTS[character]
    if "\U0001f1e6" <= character <= "\U0001f1ff":
        return "r"
    if category[0] == "M" or "\U0001f3fb" <= character <= "\U0001f3ff":  # a skin colour
        return "x"
    if is_unspaced(character):
        return "u"
    if character.isalnum():
        return "d" if category == "Nd" else "h" if "\u05d0" <= character <= "\u05f2" else "w"
    return "e" if category[0] == "S" or category in ("Cn", "Co") else " "  # an emoji newer than this Python is Cn


_KINDS, _SEEN = _Kinds(), _Seen()
