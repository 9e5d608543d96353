"""Fills in what a step of a flow takes from the outputs of earlier ones, when an attempt of it begins."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from service.domain import reference
from service.domain.dataset import checked_name
from service.domain.errors import InputError, NotFound, TooLarge
from service.store import claims, datasets, uploads
from service.store.claims import Claim
from workers.tools import Tools

MAX_INPUT_BYTES = 1024 * 1024
"""As for the body of a request: outputs that hold outputs would grow without end."""


async def resolve(tools: Tools, claim: Claim) -> Claim:
    """The claim with its references filled in. Raises InputError (`missing_output`), TooLarge, LeaseLost.

    A job that reads a file takes its upload and dataset from there, and keeps them once it has a checkpoint.
    """
    if claim.flow_id is None or not (steps := {reference.step_of(path) for path in reference.within(claim.input)}):
        return claim
    async with tools.database.connection() as db:
        outputs = await claims.outputs(db, claim, sorted(steps))
    found: Mapping[str, Any] = reference.resolved(claim.input, outputs)
    await asyncio.to_thread(_check_size, found)
    processor = tools.processors.get(claim.processor)
    if processor is None or not processor.reads_file:
        return claim._replace(input=found)
    return claim if claim.cursor else await _bind(tools, claim, found)


async def _bind(tools: Tools, claim: Claim, found: Mapping[str, Any]) -> Claim:
    upload_id, dataset_id = claim.upload_id, claim.dataset_id
    async with tools.database.transaction() as db:
        if "upload_id" in found:
            upload_id = (await uploads.of_account(db, claim.account_id, _upload_id(found["upload_id"]))).id
        if "dataset" in found:
            dataset_id = await datasets.ensure(db, claim.account_id, _dataset(found["dataset"]))
        assert upload_id is not None
        assert dataset_id is not None
        return await claims.bind(db, claim, upload_id, dataset_id)


def _check_size(found: Mapping[str, Any]) -> None:
    size = 0
    try:
        for piece in json.JSONEncoder().iterencode(found):  # piece by piece: a few references can stand for terabytes
            size += len(piece)
            if size > MAX_INPUT_BYTES:
                break
    except RecursionError:
        size = MAX_INPUT_BYTES + 1
    if size > MAX_INPUT_BYTES:
        raise TooLarge(
            "too_large",
            "With its references filled in, the input is over 1 MiB or nested too deeply.",
            suggestion="Refer to the fields that are needed, not to whole outputs.",
        )


def _upload_id(given: object) -> UUID:
    try:
        return UUID(str(given))
    except ValueError:
        raise NotFound("upload", given) from None


def _dataset(given: object) -> str:
    if isinstance(given, str):
        return checked_name(given)
    raise InputError(
        "invalid_dataset_name", f"{given!r} cannot name a dataset.", suggestion="Refer to a field that holds a name."
    )
