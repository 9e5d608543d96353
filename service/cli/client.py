"""The HTTP API as the commands need it. Everything that can go wrong leaves here as a Failure in one sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from service.cli.failure import Away, Failure, Usage
from service.cli.sse import Message, messages

Json = dict[str, Any]

TIMEOUT = httpx.Timeout(30, connect=5)
STORED_TIMEOUT = httpx.Timeout(300, connect=5)  # the answer to an upload comes once a large file is safe on disk
PAGE = 1_000
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that another try may not see again."""


class Client:
    """One account at one service. Use it as a context manager."""

    def __init__(self, url: str, key: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise Usage(f"{url!r} is no address of a service; it looks like http://127.0.0.1:8000.")
        if not key:
            raise Usage("There is no key: set MILLRACE_KEY or pass --key (`python -m service account NAME` makes one).")
        if not (key.isascii() and key.isprintable()):
            raise Usage("The key holds characters that no key has; copy it again.")
        self.url = url.rstrip("/")
        with self._told():
            self._http = httpx.Client(
                base_url=self.url, headers={"Authorization": f"Bearer {key.strip()}"}, timeout=TIMEOUT
            )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def text(self, path: str, params: Mapping[str, str | int] | None = None) -> str:
        """The body behind `path`, untouched."""
        with self._told():
            return self._checked(self._http.get(path, params=params)).text

    def get(self, path: str) -> Json:
        """The JSON object behind `path`."""
        return self._json(self.text(path))

    def items(
        self, path: str, member: str, limit: int | None, params: Mapping[str, str] | None = None
    ) -> Iterator[str]:
        """Up to `limit` entries of a paged list, each as the JSON text the service wrote: no digit is lost."""
        asked: dict[str, str | int] = dict(params or {})
        while limit is None or limit > 0:
            asked["limit"] = PAGE if limit is None else min(limit, PAGE)
            page = self.text(path, asked)
            found = _elements(page, member)
            yield from found
            cursor = self._json(page).get("next_cursor")
            if cursor is None:
                return
            asked["cursor"] = cursor
            limit = None if limit is None else limit - len(found)

    def send(
        self, pieces: Iterator[bytes], size_bytes: int | None, params: Mapping[str, str], path: str = "/v1/imports"
    ) -> Json:
        """Upload a file in pieces and queue its job. `size_bytes` is None for a pipe."""
        length = {} if size_bytes is None else {"Content-Length": str(size_bytes)}
        with self._told():
            answer = self._http.post(path, params=params, content=pieces, headers=length, timeout=STORED_TIMEOUT)
            return self._json(self._checked(answer).text)

    def events(self, job_id: str, after: int) -> Iterator[Message]:
        """A job's live stream behind event `after`, until it ends or breaks."""
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": str(after)} if after else {})
        with self._told(), self._http.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers) as answer:
            yield from messages(self._checked(answer).iter_bytes())

    def change(self, method: str, path: str, params: Mapping[str, str] | None = None, body: Json | None = None) -> Json:
        """Change what is behind `path`; the JSON object that it became, empty if nothing is left."""
        with self._told():
            answer = self._checked(self._http.request(method, path, params=params, json=body))
        return self._json(answer.text) if answer.content else {}

    def export(self, dataset: str) -> Iterator[bytes]:
        """A dataset as CSV, in pieces."""
        return self.pieces(f"/v1/datasets/{dataset}/export")

    def pieces(self, path: str) -> Iterator[bytes]:
        """The body behind `path`, in pieces."""
        with self._told(), self._http.stream("GET", path) as answer:
            yield from self._checked(answer).iter_bytes()

    def _checked(self, answer: httpx.Response) -> httpx.Response:
        if answer.is_success:
            return answer
        answer.read()
        try:
            problem = answer.json()
            said = " — ".join(filter(None, (problem["detail"], problem.get("suggestion"))))
        except (ValueError, KeyError, TypeError):
            said = f"{self.url} answered {answer.status_code}, and not as Millrace does; is the address right?"
        raise (Away if answer.status_code in PASSING else Failure)(said)

    def _json(self, text: str) -> Json:
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if isinstance(found, dict):
            return found
        raise Failure(f"{self.url} answers, but not as Millrace does; is the address right?")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectError:
            raise Away(f"Nothing answers at {self.url}; is the service running, and is the address right?") from None
        except httpx.TimeoutException:
            raise Away(f"{self.url} was silent for too long.") from None
        except httpx.LocalProtocolError:
            raise Failure("The file changed while it was being sent; nothing was imported.") from None
        except httpx.TransportError:
            raise Away(f"The connection to {self.url} broke.") from None
        except (httpx.InvalidURL, httpx.RequestError) as error:
            raise Failure(f"{self.url} cannot be used: {error}") from None


def in_path(name: str) -> str:
    """An id or a name as it may stand in a path. Raises Usage for anything else."""
    if re.fullmatch(r"[\w-]+", name, re.ASCII):
        return name
    raise Usage(f"{name!r} is neither an id nor a name; `millrace jobs` lists both.")


def _elements(page: str, member: str) -> list[str]:
    """The elements of the array `member`, which comes first in every page, as text."""
    found, decoder = [], json.JSONDecoder()
    start = page.find("[", page.find(f'"{member}"')) + 1
    while start and page[start : start + 1] not in ("]", ""):
        _, end = decoder.raw_decode(page, start)
        found.append(page[start:end])
        start = end + (page[end] == ",")
    return found
