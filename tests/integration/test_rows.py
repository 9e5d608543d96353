"""Rows are found by conditions, sorted, paged and exported; and no condition is ever more than a value."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator

import pyarrow.parquet as pq
import pytest

from service.domain import csv_text
from tests.running import Json, Service, eventually, imported, settled, superuser

PEOPLE = (
    "id,name,age,score,born,seen,member,ref,note\n"
    "1,Ada,36,1.5,1815-12-10,2024-01-01T10:00:00Z,true,123e4567-e89b-12d3-a456-426614174000,=1+1\n"
    "2,Grace,85,-2.25,1906-12-09,2024-01-02T10:00:00Z,false,123e4567-e89b-12d3-a456-426614174001,-5\n"
    "3,ann,,9.5,1990-01-31,2024-01-03T10:00:00+02:00,true,123e4567-e89b-12d3-a456-426614174002,\n"
    "4,Joanna,36,0.5,2001-02-03,2024-01-04T10:00:00Z,,123e4567-e89b-12d3-a456-426614174003,'@x\n"
    "5,Öz 100%_,7,3.25,1999-09-09,2024-01-05T10:00:00Z,false,123e4567-e89b-12d3-a456-426614174004,+tel\n"
).encode()


@pytest.fixture(scope="module")
async def people(service: Service) -> AsyncIterator[Json]:
    yield await imported(service.client, PEOPLE, "people")


async def found(service: Service, **params: object) -> list[int]:
    answer = await service.client.get("/v1/datasets/people/rows", params=params)
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()["rows"]]


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ("age>=36", [1, 2, 4]),
        ("age<36", [5]),
        ("age!=36", [2, 3, 5]),
        ("age is null", [3]),
        ("age is not null", [1, 2, 4, 5]),
        ("age = 99999999999", []),
        ("name=Ada", [1]),
        ("name~=ANN", [3, 4]),
        ("name~=%_", [5]),
        ("name^=ö", [5]),
        ("score<=0.5", [2, 4]),
        ("born<1907-01-01", [1, 2]),
        ("seen>=2024-01-04T10:00:00+00:00", [4, 5]),
        ("member=true", [1, 3]),
        ("ref=123E4567-e89b-12d3-a456-426614174002", [3]),
        ("_row>4", [5]),
        ("note=' or true --", []),
        ("name='; drop table millrace.job; --", []),
    ],
)
async def test_a_condition_finds_its_rows(service: Service, people: Json, where: str, ids: list[int]) -> None:
    assert await found(service, where=where) == ids
    assert sorted(await found(service, where=where, sort="name")) == ids


async def test_several_conditions_must_all_hold(service: Service, people: Json) -> None:
    assert await found(service, where=["age=36", "name~=a", "score>1"]) == [1]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"where": "age"}, "invalid_filter"),
        ({"where": "age>=many"}, "invalid_filter"),
        ({"where": "age~=3"}, "invalid_filter"),
        ({"where": "born>soon"}, "invalid_filter"),
        ({"where": "member=perhaps"}, "invalid_filter"),
        ({"where": "seen>2024-01-01T00:00:00"}, "invalid_filter"),
        ({"where": "name=a\0b"}, "invalid_filter"),
        ({"where": 'na"me=1'}, "invalid_filter"),
        ({"where": "colour=red"}, "unknown_column"),
        ({"where": ["age=1"] * 21}, "invalid_filter"),
        ({"sort": "colour"}, "unknown_column"),
        ({"columns": "id,colour"}, "unknown_column"),
        ({"job": "mine"}, "invalid_filter"),
        ({"sort": "age", "cursor": "nonsense"}, "invalid_cursor"),
    ],
)
async def test_what_cannot_be_looked_for_is_told(service: Service, people: Json, params: Json, code: str) -> None:
    answer = await service.client.get("/v1/datasets/people/rows", params=params)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert answer.json()["suggestion"]


@pytest.mark.parametrize("limit", [1, 2, 5])
@pytest.mark.parametrize(
    ("sort", "ids"),
    [
        ("age", [5, 1, 4, 2, 3]),
        ("-age", [2, 1, 4, 5, 3]),
        ("-score", [3, 5, 1, 4, 2]),
        ("-seen", [5, 4, 3, 2, 1]),
        ("member", [2, 5, 1, 3, 4]),
        ("-_row", [5, 4, 3, 2, 1]),
        ("_row", [1, 2, 3, 4, 5]),
    ],
)
async def test_pages_of_a_sorted_dataset_hold_each_row_once(
    service: Service, people: Json, sort: str, ids: list[int], limit: int
) -> None:
    seen: list[int] = []
    params: Json = {"sort": sort, "limit": limit}
    while True:
        page = (await service.client.get("/v1/datasets/people/rows", params=params)).json()
        seen += [row["id"] for row in page["rows"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert seen == ids


async def test_only_the_columns_asked_for_are_shown(service: Service, people: Json) -> None:
    answer = await service.client.get("/v1/datasets/people/rows?columns=name,_row,id&limit=1")
    assert answer.json()["rows"] == [{"name": "Ada", "_row": 1, "id": 1}]


async def test_the_rows_of_one_job(service: Service) -> None:
    first = await imported(service.client, b"a,b\n1,x\n2,y\n", "of_jobs")
    second = await imported(service.client, b"a,b\n3,z\n", "of_jobs")
    for job, wanted in ((first, [1, 2]), (second, [3])):
        for sort in ("_row", "a"):
            answer = await service.client.get("/v1/datasets/of_jobs/rows", params={"job": job["id"], "sort": sort})
            assert [row["a"] for row in answer.json()["rows"]] == wanted


async def test_a_query_over_its_time_says_so(service: Service, people: Json) -> None:
    async with superuser(service.database_url) as db:
        table = await db.fetchval("select table_name from dataset where name = 'people'")
        async with db.transaction():
            await db.execute(f'lock table datasets."{table}"')
            answer = await service.client.get("/v1/datasets/people/rows?sort=age", timeout=60)
    assert (answer.status_code, answer.json()["code"]) == (422, "query_too_slow")


async def test_an_export_takes_the_same_conditions_in_every_format(service: Service, people: Json) -> None:
    query = "where=age>=36&columns=id,name"
    texts = {form: await service.client.get(f"/v1/datasets/people/export?format={form}&{query}") for form in FORMATS}
    assert list(csv.reader(io.StringIO(texts["csv"].text))) == [
        ["id", "name"],
        ["1", "Ada"],
        ["2", "Grace"],
        ["4", "Joanna"],
    ]
    rows = [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Grace"}, {"id": 4, "name": "Joanna"}]
    assert [json.loads(line) for line in texts["ndjson"].text.splitlines()] == rows
    assert pq.read_table(io.BytesIO(texts["parquet"].content)).to_pylist() == rows


FORMATS = ("csv", "ndjson", "parquet")


async def test_a_parquet_export_keeps_types_nulls_and_values(service: Service, people: Json) -> None:
    answer = await service.client.get("/v1/datasets/people/export?format=parquet")
    assert answer.headers["Content-Type"] == "application/vnd.apache.parquet"
    table = pq.read_table(io.BytesIO(answer.content))
    kinds = {name: str(kind) for name, kind in zip(table.schema.names, table.schema.types, strict=True)}
    assert (kinds["id"], kinds["born"], kinds["seen"], kinds["member"]) == (
        "int32", "date32[day]", "timestamp[us, tz=UTC]", "bool",
    )  # fmt: skip
    rows = table.to_pylist()
    assert [row["age"] for row in rows] == [36, 85, None, 36, 7]
    assert [row["note"] for row in rows] == ["=1+1", "-5", None, "'@x", "+tel"]
    assert rows[2]["seen"].isoformat() == "2024-01-03T08:00:00+00:00"


async def test_a_csv_export_runs_nothing_in_a_spreadsheet_unless_asked_to(service: Service, people: Json) -> None:
    async def notes(formulas: str) -> list[str]:
        answer = await service.client.get(f"/v1/datasets/people/export?columns=note,score&formulas={formulas}")
        return [row[0] for row in csv.reader(io.StringIO(answer.text))][1:]

    assert await notes("neutralise") == ["'=1+1", "-5", "", "''@x", "'+tel"]
    assert await notes("keep") == ["=1+1", "-5", "", "'@x", "+tel"]


async def test_the_database_hides_formulas_exactly_as_we_do(service: Service) -> None:
    starts = [
        "",
        "'",
        "''",
        "=",
        "'=",
        "+",
        "-",
        "@",
        "\t",
        "\r",
        "\n=",
        " =",
        "-5",
        "+5",
        "-.5",
        "-1,000.5e-3%",
        "'-5",
    ]
    texts = [start + end for start in starts for end in ("", "1", "x", "1+1", "\n", "é")]
    async with superuser(service.database_url) as db:
        told = await db.fetch("select given, spreadsheet_safe(given) as safe from unnest($1::text[]) as given", texts)
    assert [row["safe"] for row in told] == [csv_text.safe(text) for text in texts]
    assert [csv_text.restored(row["safe"]) for row in told] == texts


async def test_another_account_sees_no_rows(service: Service, people: Json) -> None:
    async with await service.account("nosy") as nosy:
        assert (await nosy.get("/v1/datasets/people/rows?where=id=1")).status_code == 404
        assert (await nosy.get("/v1/datasets/people/export?format=parquet")).status_code == 404


async def test_a_parquet_export_of_one_column_keeps_its_nulls_and_long_texts(service: Service) -> None:
    long = "x" * 3_000_000
    content = json.dumps({"t": "a"}) + "\n" + json.dumps({"t": None}) + "\n" + json.dumps({"t": long}) + "\n"
    await imported(service.client, content.encode(), "lonely", processor="ndjson")
    answer = await service.client.get("/v1/datasets/lonely/export?format=parquet")
    assert pq.read_table(io.BytesIO(answer.content)).to_pylist() == [{"t": "a"}, {"t": None}, {"t": long}]


async def test_a_list_of_datasets_says_how_many_rows_each_has(service: Service) -> None:
    async with await service.account("counting") as client:

        async def counts() -> dict[str, tuple[int, str]]:
            found = (await client.get("/v1/datasets?rows=count")).json()["datasets"]
            return {each["name"]: (each["rows"], each["rows_are"]) for each in found}

        lines = [f"{n},{n % 7}\n" for n in range(1_500)]
        await imported(client, ("id,x\n" + "".join(lines[:1_000])).encode(), "few")
        await imported(client, b"a\n", "none")
        first = await imported(client, ("id,x\n" + "".join(lines)).encode(), "many", mode="upsert", keys="id")
        await imported(client, b"id,x\n1,0\n2,0\n1501,0\n", "many", mode="upsert", keys="id")
        assert await counts() == {"few": (1_000, "counted"), "many": (1_501, "about"), "none": (0, "counted")}
        undo = (await client.post(f"/v1/jobs/{first['id']}/undo")).json()
        assert (await settled(client, undo))["state"] == "completed"
        assert (await counts())["many"] == (3, "counted")
        await imported(client, ("id,x\n" + "".join(lines[:1_200])).encode(), "many", mode="replace")
        assert (await counts())["many"] == (1_200, "about")
        plain = (await client.get("/v1/datasets")).json()["datasets"]
        assert all("rows" not in each for each in plain)


async def test_the_last_rows_are_found_by_number_without_a_look_at_all_others(service: Service) -> None:
    rows = 60_000
    content = b"id,filler\n" + b"".join(b"%d,%s\n" % (n, b"x" * 80) for n in range(1, rows + 1))
    job = await imported(service.client, content, "indexed")
    assert job["counts"]["inserted"] == rows
    async with superuser(service.database_url) as db:
        table = await db.fetchval("select table_name from millrace.dataset where name = 'indexed'")
        pages = await db.fetchval("select pg_relation_size($1::regclass) / 8192", f'datasets."{table}"')

        async def read() -> int:
            """Pages that are read for the first rows: those that the index knows nothing of are always among them."""
            async with db.transaction():
                await db.execute("set local enable_seqscan = off")
                await db.execute("set local max_parallel_workers_per_gather = 0")
                told = await db.fetchval(
                    f'explain (analyze, format json) select * from datasets."{table}" where _row between 1 and 100'
                )
            return int(json.loads(told)[0]["Plan"].get("Lossy Heap Blocks", pages))  # no index yet: all of them

        async def is_whole() -> bool:
            return await read() <= 2 * 128

        assert pages > 6 * 128
        assert await eventually(is_whole)  # made behind the job's end
