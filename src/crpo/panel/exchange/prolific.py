"""Prolific: the address of our own server for its Taskflow.

Format: docs.prolific.com (placeholders in a study's address) and Prolific's help on studies with several conditions
(Taskflow takes CSV: addresses in column A, numbers of participants in column B).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from crpo.errors import InputError
from crpo.panel.assign import Dealing
from crpo.panel.campaign import Campaign

PLACEHOLDERS = "PROLIFIC_PID={{%PROLIFIC_PID%}}&STUDY_ID={{%STUDY_ID%}}&SESSION_ID={{%SESSION_ID%}}"


def files(campaign: Campaign, address: str) -> dict[str, str]:
    """Return `prolific.csv`: the open link with Prolific's placeholders, and the number of raters the campaign needs.

    One row, and not a row for each rater's own link: Prolific hands an address on when a participant returns the study,
    and the next one would go on under the other's name. `crpo panel serve --open` deals each participant pages of their
    own by their Prolific id, and keeps a pseudonym of it.

    Raises
    ------
    InputError
        For an address that is none.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query:
        raise InputError(f"--base-url {address!r} is no address of a server", "Write https://panel.example.org.")
    return {"prolific.csv": f'"{address.rstrip("/")}/join?{PLACEHOLDERS}",{Dealing(campaign).raters}\n'}
