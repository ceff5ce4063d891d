"""A text's distinct words, as the divergent semantic integration of an answer needs them."""

from __future__ import annotations

import re
import unicodedata

_PIECES = re.compile(r"[^\W_]+(?:n't\b)|[^\W_]+|[^\w\s]|_")
_CLITIC = re.compile(r"\b([^\W_]+?)(n't|'s|'re|'ve|'ll|'d|'m)\b")


def distinct_words(text: str) -> list[str]:
    """Return the distinct lower-case words of `text`, sorted; punctuation and white space are no words.

    English contractions are parted ("don't" is "do" and "n't"), as in the official code's tokenizer. Deviation: that
    code also counts a run of white space as a word.

    Examples
    --------
    >>> distinct_words("Don't use it, use THIS!")
    ['do', 'it', "n't", 'this', 'use']
    """
    text = text.lower().replace("’", "'")
    words: set[str] = set()
    for match in _CLITIC.finditer(text):
        words.add(match.group(2))
    rest = _CLITIC.sub(lambda match: f"{match.group(1)} ", text)
    words.update(piece for piece in _PIECES.findall(rest) if not _is_punctuation(piece))
    return sorted(words)


def _is_punctuation(piece: str) -> bool:
    return all(unicodedata.category(character).startswith("P") for character in piece)
