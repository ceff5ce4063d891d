"""Whose session a request is of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Cookie, Form, HTTPException
from fastapi.responses import Response

from crpo.panel.keys import SESSION, Keys
from crpo.panel.store import Rater, Store
from crpo.panel.web.access import Access
from crpo.panel.web.going import entered

COOKIE = "panel"
DAYS = 90
Session = Annotated[str, Cookie(alias=COOKIE)]
Token = Annotated[str, Form()]


@dataclass(frozen=True)
class Sessions:
    """Who a browser is, by its cookie and the tokens of its forms."""

    store: Store
    keys: Keys
    access: Access

    @property
    def title(self) -> str:
        """The study's title."""
        return self.store.campaign.settings.title

    def who(self, session: str) -> Rater:
        """Return whose session it is; 403 without one."""
        try:
            return self.store.rater(self.keys.opened(SESSION, session) or "")
        except KeyError:
            raise HTTPException(403) from None

    def seconds(self, rater: Rater, token: str) -> float:
        """Return how long ago a form was shown to the rater; 403 for a token that is not theirs."""
        found = self.keys.seconds_since(rater.rater, token)
        if found is None:
            raise HTTPException(403)
        return found

    def belongs(self, session: str, outside: str) -> bool:
        """Return whether the session is of this person; two may use one browser, with their names elsewhere."""
        try:
            rater = self.store.rater(self.keys.opened(SESSION, session) or "")
        except KeyError:
            return False
        return not outside or rater.outside == self.keys.pseudonym(outside)

    def welcomed(self, rater: Rater, where: str = "/rate") -> Response:
        """Lead a rater to a page, as theirs from now on."""
        session = self.keys.sign(SESSION, rater.rater)
        return entered(where, COOKIE, session, days=DAYS, path="/", secure=self.access.secure)
