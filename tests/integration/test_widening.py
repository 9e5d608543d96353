"""A type found out of the first rows that turns out too narrow: the job starts over with a wider one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests import running
from tests.running import Json, Servers, Service, imported, rows_of, superuser

ROWS = 2_000
"""Many chunks, of which only the first is looked at for types."""


@pytest.fixture(scope="module")
async def service(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service that reads a few hundred rows at a time."""
    async with running.service(servers, tmp_path_factory.mktemp("service"), chunk_bytes=4096) as started:
        yield started


def table(late: dict[int, str], plain: str = "{}") -> bytes:
    """`id,value` with `plain` values, but for those of `late` by row."""
    lines = (f"{n},{late[n] if n in late else plain.format(n % 1000)}\n" for n in range(1, ROWS + 1))
    return ("id,value\n" + "".join(lines)).encode()


async def columns_of(service: Service, dataset: str) -> dict[str, Any]:
    shown = (await service.client.get(f"/v1/datasets/{dataset}")).json()
    return {column["name"]: (column["type"], column.get("scale")) for column in shown["columns"]}


async def events_of(service: Service, job: Json) -> list[Json]:
    async with superuser(service.database_url) as db:
        found = await db.fetch("select type, data from event where job_id = $1 order by seq", job["id"])
    return [{"type": row["type"], **json.loads(row["data"])} for row in found]


@pytest.mark.parametrize(
    ("name", "plain", "late", "kind"),
    [
        ("bigint", "{}", {1400: "3000000000"}, ("bigint", None)),
        ("whole", "{}", {1400: "3000000000", 1700: "9" * 30}, ("numeric", 0)),
        ("decimals", "{}", {1400: "1.5", 1700: "2.25"}, ("double", None)),
        ("scale", "{}.50", {1400: "1.125"}, ("numeric", 3)),
        ("moment", "2024-01-31", {1400: "2024-02-01T10:30:00"}, ("timestamp", None)),
        ("words", "{}", {n: f"word {n}" for n in range(1000, 1700)}, ("text", None)),
    ],
)
async def test_a_column_widens_to_what_its_file_goes_on_with(
    service: Service, name: str, plain: str, late: dict[int, str], kind: tuple[str, int | None]
) -> None:
    job = await imported(service.client, table(late, plain), name)
    assert job["state"] == "completed", job
    assert job["counts"] == {"read": ROWS, "inserted": ROWS, "updated": 0, "skipped": 0, "rejected": 0}
    assert (await columns_of(service, name))["value"] == kind
    found = await rows_of(service.client, name)
    assert [row["_row"] for row in found] == list(range(1, ROWS + 1))
    assert "value from" in job["progress"]["message"]
    resets = [event for event in await events_of(service, job) if event["type"] == "job.reset"]
    assert resets
    assert all("Started over with wider types: value from" in event["message"] for event in resets)


async def test_a_few_wrong_cells_are_rejects_and_widen_nothing(service: Service) -> None:
    late = {n: "soon" for n in range(1000, 1090)}
    job = await imported(service.client, table(late), "few")
    assert job["counts"]["rejected"] == 90
    assert (await columns_of(service, "few"))["value"] == ("integer", None)
    assert "job.reset" not in [event["type"] for event in await events_of(service, job)]


async def test_types_that_were_given_stay(service: Service) -> None:
    job = await imported(service.client, table({1400: "1.5"}), "given", types='{"value": "integer"}')
    assert job["counts"]["rejected"] == 1
    assert (await columns_of(service, "given"))["value"] == ("integer", None)


async def test_types_of_a_dataset_that_was_there_stay(service: Service) -> None:
    await imported(service.client, b"id,value\n1,2\n", "there")
    job = await imported(service.client, table({1400: "1.5"}), "there")
    assert (job["counts"]["inserted"], job["counts"]["rejected"]) == (ROWS - 1, 1)
    assert (await columns_of(service, "there"))["value"] == ("integer", None)


async def test_what_was_rejected_before_is_judged_anew(service: Service) -> None:
    job = await imported(service.client, table({1000: "soon", 1400: "5000000000", 1700: "never"}), "anew")
    rejects = (await service.client.get(job["links"]["rejects"])).json()["rejects"]
    assert [(reject["row"], reject["code"]) for reject in rejects] == [
        (1000, "not_an_integer"),
        (1700, "not_an_integer"),
    ]
    assert job["counts"]["inserted"] == ROWS - 2


async def test_json_lines_widen_too(service: Service) -> None:
    lines = (json.dumps({"id": n, "value": 2**40 if n == 1400 else n}) for n in range(1, ROWS + 1))
    job = await imported(service.client, "\n".join(lines).encode(), "lines", processor="ndjson")
    assert job["counts"]["inserted"] == ROWS
    assert (await columns_of(service, "lines"))["value"] == ("bigint", None)


async def test_a_replace_into_a_new_dataset_widens(service: Service) -> None:
    job = await imported(service.client, table({1400: "1.5"}), "replaced", mode="replace")
    assert job["counts"]["inserted"] == ROWS
    assert (await columns_of(service, "replaced"))["value"] == ("double", None)


async def test_an_upsert_into_a_new_dataset_widens(service: Service) -> None:
    job = await imported(service.client, table({1400: "1.5"}), "upserted", mode="upsert", keys="id")
    assert job["counts"]["inserted"] == ROWS
    assert (await columns_of(service, "upserted"))["value"] == ("double", None)
