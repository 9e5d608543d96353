"""Every error Millrace raises on purpose. None knows HTTP or arq.

MillraceError
├── InputError       the caller's request or file is at fault; a job fails at once
│   └── TooLarge     over a stated limit
├── AccessError      who are you, or you may not
├── StateError       the thing is not there, or not in a state that allows this
│   └── NotFound
├── QuotaError       a limit of the account is reached; says when it frees
└── Transient        nobody's fault, worth another try; a job retries by itself
    ├── Occupied     another job has the thing; a job waits for it, and that costs no try
    └── Deferred     it is known when to try again; until then a job waits, and that costs no try

Anything else that is raised is a bug: the API answers 500 with an incident id, a job is retried to its limit.
"""

from __future__ import annotations

from pydantic import ValidationError


class MillraceError(Exception):
    """`code` is stable and documented; `message` says what broke; `suggestion` says what to do."""

    def __init__(self, code: str, message: str, *, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.suggestion = suggestion


class InputError(MillraceError):
    """The request or the file cannot be used as it is; trying again changes nothing."""


class TooLarge(InputError):
    """Over a stated size limit."""


class AccessError(MillraceError):
    """Not signed in (`unauthenticated`), or signed in without the right (`forbidden`)."""


class StateError(MillraceError):
    """The thing exists but its state does not allow this (`conflict`, `already_finished`)."""


class NotFound(StateError):
    """No such thing in this account."""

    def __init__(self, what: str, name: object) -> None:
        super().__init__(
            "not_found",
            f"There is no {what} {name!s} in this account.",
            suggestion="Check the name or id; things of other accounts are not visible.",
        )


class QuotaError(MillraceError):
    """A limit of the account is reached; `retry_after_s` says when it frees, if that is known."""

    def __init__(
        self, code: str, message: str, *, suggestion: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(code, message, suggestion=suggestion)
        self.retry_after_s = retry_after_s


class Transient(MillraceError):
    """A dependency is away or busy (`busy`, `timeout`, `upstream_unavailable`); worth another try."""

    def __init__(
        self, code: str, message: str, *, suggestion: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(code, message, suggestion=suggestion)
        self.retry_after_s = retry_after_s


class Occupied(Transient):
    """Another job has the thing (`dataset_busy`); whoever needs it waits for its turn."""


class Deferred(Transient):
    """Somebody else says when to try again (`quota_used_up`, `upstream_resting`); whoever needs it waits until then."""


def faults_of(error: ValidationError, whole: str) -> str:
    """What does not fit and where, as one line; `whole` names what is at fault as a whole."""
    return "; ".join(f"{'.'.join(map(str, fault['loc'])) or whole}: {fault['msg']}" for fault in error.errors())
