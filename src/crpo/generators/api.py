"""What the generators of the three interfaces share: settings, keys, requests and their failures."""

from __future__ import annotations

import importlib.util
import json
import traceback
from collections.abc import AsyncIterator, Container, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar
from urllib.parse import urlsplit

from crpo.errors import CrpoError, InputError, needs_extra
from crpo.generators import Decoding, Request, requests_for
from crpo.generators.capabilities import NEUTRAL, Capabilities, capabilities_of, check_settings
from crpo.generators.exchange import Ask, exchange
from crpo.generators.failures import GivenUp, TryAgain, failure_in
from crpo.generators.keys import NO_KEY, key_from, masked, masked_logs, secrets_in_environment
from crpo.generators.pacing import Pace
from crpo.generators.replies import Reply, record_of
from crpo.generators.retrying import with_retries

_OWN = {*NEUTRAL, "seed", "n", "candidate_count", "model", "messages", "max_tokens"}
_replied: ContextVar[bool] = ContextVar(
    "replied", default=False
)  # whether a good reply has come, of this task's request


@dataclass(frozen=True)
class Api:
    """Draw samples from a server, through the official library of its interface.

    The library is imported when the first sample is drawn, and its own retries are off. What a model does not take is
    an error when the generator is made; nothing is dropped in silence. Settings that change no sample are not in its
    `repr`: they may change between two runs of one file of records.

    Parameters
    ----------
    model : str
        As the server calls it.
    grid : sequence of Decoding
        Settings and numbers of samples; mappings with the same keys will do.
    max_new_tokens : int
        Most tokens of an answer, thinking included; one that does not end within it has status "truncated".
    base_url : str
        Where the server is; the service's own address when empty.
    key_variable : str
        The environment variable that holds the key. When empty, the service's own variable, and that only for the
        service's own address: no key goes to another server unless it is named here.
    seeded : bool
        Send each sample's own seed (`Request.random_seed`). A request then asks for one sample.
    choices : int, optional
        Most samples a request asks for; the table of capabilities knows when None.
    extra : mapping
        More parameters, as the server calls them, such as {"reasoning_effort": "low"}.
    capabilities : str
        A YAML file of rows that come after those of `capabilities.yaml`.
    concurrency : int
        Most requests at once.
    deadline : float
        Seconds for a request, to the last byte of its reply.
    tries : int
        Most requests for the same samples.
    first_wait, longest_wait : float
        Seconds; see `with_retries`.

    Raises
    ------
    InputError
        When made: for a setting the model does not take, naming both. When called: without a key; for a key, a model
        or a parameter that the server refuses.
    MissingExtraError
        When called without the library.
    BudgetReachedError
        When the account's quota is used up.
    TooManyFailuresError
        When 20 requests in a row fail.
    """

    model: str
    grid: tuple[Decoding, ...] = (Decoding(),)
    max_new_tokens: int = 64
    base_url: str = ""
    key_variable: str = field(default="", repr=False)
    seeded: bool = False
    choices: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    capabilities: str = field(default="", repr=False)
    concurrency: int = field(default=8, repr=False)
    deadline: float = field(default=300.0, repr=False)
    tries: int = field(default=8, repr=False)
    first_wait: float = field(default=1.0, repr=False)
    longest_wait: float = field(default=60.0, repr=False)

    drains: ClassVar[bool] = True  # what is under way still arrives once `had` holds every key
    service: ClassVar[str] = ""
    home: ClassVar[str] = ""
    key_variables: ClassVar[tuple[str, ...]] = ()
    library: ClassVar[str] = ""

    def __post_init__(self) -> None:
        cells = [cell if isinstance(cell, Decoding) else Decoding(**cell) for cell in self.grid]
        object.__setattr__(self, "grid", tuple(cells))
        counts = (self.max_new_tokens, self.concurrency, self.tries, 1 if self.choices is None else self.choices)
        if min(counts) < 1 or self.deadline <= 0:
            raise ValueError("max_new_tokens, concurrency, tries, choices and deadline must be above 0")
        where = urlsplit(self.address)
        if where.scheme not in ("http", "https") or not where.hostname:
            raise InputError(f"base_url {self.base_url!r} is no address", "Write it as http://host:port/v1.")
        if where.username or where.password or where.query:
            raise InputError("base_url holds a name, a password or a query", "Name the key's variable: key_variable.")
        repeated = {*_OWN, self.taken.limit} & {*self.extra}
        if repeated:
            raise InputError(f"extra holds {min(repeated)}, which has a setting of its own", "Set that one.")
        check_settings(self.taken, self.model, self.grid, self.seeded)

    def __call__(
        self, prompts: Sequence[tuple[str, str]], *, seed: int, had: Container[str] = ()
    ) -> Iterator[dict[str, Any]]:
        self.ready()
        key = self._key()
        secrets = [key, *secrets_in_environment()] if key != NO_KEY else secrets_in_environment()
        own = [key] if key != NO_KEY else []
        with masked_logs(secrets), _masked_errors(secrets):
            jobs = self._jobs(prompts, seed, had)
            for request, reply in exchange(jobs, lambda: self._connected(key), self.concurrency, had):
                yield record_of(request, reply, own)

    def ready(self) -> None:
        """Raise MissingExtraError without the library, InputError without a key."""
        if not _installed(self.library):
            raise needs_extra(f"the generator {self.service}", "api")
        self._key()

    @property
    def address(self) -> str:
        """The server's address."""
        return self.base_url or self.home

    @property
    def taken(self) -> Capabilities:
        """What the model takes."""
        return capabilities_of(self.service, urlsplit(self.address).netloc, self.model, self.capabilities)

    def client(self, http: Any, key: str) -> Any:
        """Return the library's client over an HTTP client, its own retries off."""
        raise NotImplementedError

    async def ask(self, client: Any, requests: Sequence[Request], taken: Capabilities) -> dict[str, Any]:
        """Send one request for all of `requests`, of one prompt and one cell, and return the reply's body."""
        raise NotImplementedError

    def read(self, body: Mapping[str, Any]) -> list[Reply]:
        """Return the choices of a reply's body."""
        raise NotImplementedError

    def _key(self) -> str:
        if self.key_variable:
            return key_from([self.key_variable])
        at_home = urlsplit(self.address)[:2] == urlsplit(self.home)[:2]
        return key_from(self.key_variables) if at_home else NO_KEY

    def _jobs(self, prompts: Sequence[tuple[str, str]], seed: int, had: Container[str]) -> Iterator[list[Request]]:
        """Yield what one request may ask for: samples of one prompt and one cell that are not had by now."""
        most = 1 if self.seeded else self.choices or self.taken.choices
        for prompt_id, prompt in prompts:
            by_cell: dict[Decoding, list[Request]] = {}
            for request in requests_for(prompt_id, prompt, self.grid, seed):
                if request.key not in had:
                    by_cell.setdefault(request.decoding, []).append(request)
            for wanted in by_cell.values():
                yield from (wanted[start : start + most] for start in range(0, len(wanted), most))

    @asynccontextmanager
    async def _connected(self, key: str) -> AsyncIterator[Ask]:
        import httpx2

        limits = httpx2.Limits(max_connections=self.concurrency, max_keepalive_connections=self.concurrency)
        async with httpx2.AsyncClient(
            timeout=self.deadline, follow_redirects=False, limits=limits, event_hooks={"response": [self._look_at]}
        ) as http:
            client, taken = self.client(http, key), self.taken

            async def ask(requests: Sequence[Request], pace: Pace) -> list[Reply]:
                replies, attempts = await with_retries(
                    lambda: self._once(client, requests, taken), pace, tries=self.tries, deadline=self.deadline,
                    first_wait=self.first_wait, longest_wait=self.longest_wait,
                )  # fmt: skip
                return [replace(reply, attempts=attempts) for reply in replies]

            yield ask

    async def _look_at(self, response: Any) -> None:
        failure = failure_in(
            response.status_code, response.headers, await response.aread(), model=self.model,
            server=urlsplit(self.address).netloc, sent=_parameters(response.request.content),
            key_names=self.key_variable or " or ".join(self.key_variables),
        )  # fmt: skip
        if failure is not None:
            raise failure
        _replied.set(True)

    async def _once(self, client: Any, requests: Sequence[Request], taken: Capabilities) -> list[Reply]:
        _replied.set(False)
        try:
            body = await self.ask(client, requests, taken)
        except Exception as error:
            raise _meaning_of(error, self.library) from None
        try:
            replies = self.read(body)
        except (AttributeError, KeyError, IndexError, TypeError, ValueError):
            raise TryAgain("a reply of another form than this interface has") from None
        if not replies:
            raise TryAgain("a reply without any choice")
        return replies


def _installed(library: str) -> bool:
    try:
        return importlib.util.find_spec(library) is not None and importlib.util.find_spec("tenacity") is not None
    except ModuleNotFoundError:  # of `google.genai`, where even `google` is missing
        return False


def _meaning_of(error: Exception, library: str) -> Exception:
    """Return our own failure behind a library's exception, or what follows where the library itself failed."""
    import httpx2

    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, TryAgain | GivenUp | CrpoError):
            return seen
        if isinstance(seen, httpx2.InvalidURL | httpx2.UnsupportedProtocol):
            return InputError(f"base_url is no address: {seen}", "Correct it.")
        if isinstance(seen, httpx2.HTTPError | OSError):
            return TryAgain(f"{type(seen).__name__}: {seen}".rstrip(": "))
        seen = seen.__cause__ or seen.__context__
    if _replied.get():
        return TryAgain(f"a reply that {library} cannot read ({type(error).__name__})")
    return InputError(
        f"{library} does not send this request: {error}", "Check the generator's settings, extra above all."
    )


def _parameters(content: bytes) -> list[str]:
    """Return the names of the parameters in a request, those of nested settings included."""
    try:
        body = json.loads(content)
    except ValueError:
        return []
    settings = body.get("generationConfig")
    inner = list(settings) if isinstance(settings, dict) else []
    return [*inner, *(name for name in body if name not in ("model", "messages", "contents"))]


@contextmanager
def _masked_errors(secrets: Sequence[str]) -> Iterator[None]:
    """Mask secrets in whatever is raised."""
    try:
        yield
    except CrpoError as error:
        raise type(error)(masked(error.problem, secrets), masked(error.fix, secrets)) from None
    except Exception as error:
        told = "".join(traceback.format_exception(error))
        if masked(told, secrets) == told:
            raise
        raise RuntimeError(masked(f"{type(error).__name__}: {error}", secrets)) from None
