"""The job that an upload is to start, by the parameters of its URL or the fields of its form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json
from starlette.requests import Request

from service.actions.job_requests import JobRequest
from service.api.params import choice_in, moment_in, number_in, word_of
from service.domain.errors import InputError
from service.domain.recognition import AUTO

_OWN = {"processor", "dataset", "priority", "metadata", "name", "run_at", "dedupe_key", "again"}


def job_wanted(request: Request, given: Mapping[str, str]) -> JobRequest | None:
    """The job, None if `given` names no processor; whatever is not about the job is an option of it.

    Raises InputError.
    """
    if "processor" not in given:
        return None
    return JobRequest(
        processor=given["processor"],
        dataset=given.get("dataset"),
        options={key: value for key, value in given.items() if key not in _OWN},
        priority=number_in(given.get("priority", "5"), "priority", low=1, high=10),
        metadata=_metadata(given.get("metadata", "{}")),
        run_at=moment_in(given.get("run_at"), "run_at"),
        dedupe_key=word_of(given.get("dedupe_key"), "dedupe_key"),
        idempotency_key=word_of(request.headers.get("idempotency-key"), "idempotency_key"),
        again=choice_in(given.get("again", "false"), "again", "false", "true") == "true",
    )


def import_wanted(request: Request, given: Mapping[str, str]) -> JobRequest:
    """The same where there has to be one; without a processor, the content says which. Raises InputError."""
    if "dataset" not in given:
        raise InputError(
            "missing_parameter",
            "The parameter 'dataset' is missing.",
            suggestion="For example: POST /v1/imports?processor=csv&dataset=contacts",
        )
    wanted = job_wanted(request, {"processor": AUTO, **given})
    assert wanted is not None
    return wanted


def _metadata(text: str) -> dict[str, Any]:
    try:
        given = from_json(text, allow_inf_nan=False)  # unlike json.loads it has a limit of depth
    except ValueError:
        given = None
    if isinstance(given, dict):
        return given
    raise InputError("invalid_metadata", "metadata is not a JSON object.", suggestion='For example: {"order": 17}')
