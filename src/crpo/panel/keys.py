"""What only the right person has: links of raters, the researcher's link, and tokens of forms, all signed."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from crpo.errors import InputError, needs_extra

FILE = "secret.key"
SESSION, LINK, FORM, DASHBOARD = "session", "link", "form", "dashboard"


@dataclass(frozen=True)
class Keys:
    """Signs and checks tokens with the campaign's secret; one made for one purpose is worth nothing for another.

    Parameters
    ----------
    secret : str
        See `keys_of`.
    """

    secret: str

    def sign(self, purpose: str, value: str) -> str:
        """Return the value with a signature, as text that may stand in an address."""
        return self._serializer(purpose).dumps(value)

    def opened(self, purpose: str, token: str) -> str | None:
        """Return the value of a token, or None when it was not signed here for this purpose."""
        from itsdangerous import BadData

        try:
            return str(self._serializer(purpose).loads(token))
        except BadData:
            return None

    def form(self, rater: str) -> str:
        """Return the token of a form shown to a rater now; no two are the same, as one who joins is known by it."""
        return self.sign(FORM, f"{rater} {time.time():.3f} {secrets.token_hex(8)}")

    def seconds_since(self, rater: str, token: str) -> float | None:
        """Return how long ago the form with this token was shown to the rater; None for a token that is not theirs."""
        whose, shown, _ = (self.opened(FORM, token) or "  ").split(" ", 2)
        return max(0.0, time.time() - float(shown)) if whose and hmac.compare_digest(whose, rater) else None

    def pseudonym(self, outside: str) -> str:
        """Return what stands for somebody's name elsewhere (a Prolific id): the same each time, not to be undone."""
        return hmac.new(self.secret.encode(), outside.encode(), hashlib.sha256).hexdigest()[:20]

    @property
    def dashboard(self) -> str:
        """The researcher's token."""
        return self.sign(DASHBOARD, "researcher")

    def _serializer(self, purpose: str):  # noqa: ANN202 - its type belongs to an extra
        from itsdangerous import URLSafeSerializer

        return URLSafeSerializer(self.secret, salt=f"crpo panel {purpose}")


def keys_of(folder: Path) -> Keys:
    """Return the keys of a campaign; its secret is made at the first call, readable by its owner alone.

    Raises
    ------
    InputError
        When the secret cannot be read or written.
    MissingExtraError
        Without the panel extra.
    """
    try:
        import itsdangerous  # noqa: F401
    except ImportError as error:
        raise needs_extra("crpo panel serve", "panel") from error
    path = folder / FILE
    try:
        if not path.exists():
            _make(path)
        secret = path.read_text().strip()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", "Make the campaign's folder writable for you.") from error
    if len(secret) < 64:
        raise InputError(f"{path} is damaged", "Delete it; all links must then be sent anew.")
    return Keys(secret)


def _make(path: Path) -> None:
    # Written beside and linked, so that of two processes one makes the secret and both read it whole.
    beside = path.with_name(f".{FILE}.{os.getpid()}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
    try:
        os.link(beside, path)
    except FileExistsError:
        pass
    finally:
        beside.unlink()
