"""The whole path: a file goes in, rows come out, and both are exactly what they should be."""

from __future__ import annotations

import hashlib

import pytest

from tests.conftest import StartService
from tests.running import Service, imported, post_import, rows_of, settled

PEOPLE = (
    b"id,name,born,balance,note\n"
    b"1,Ada,1815-12-10,10.50,\n"
    b'2,"Hopper, Grace",1906-12-09,0.25,"said ""bug"""\n'
    b'3,Zo\xc3\xab,1990-01-31,-7.00,"two\nlines"\n'
)
PEOPLE_ROWS = [
    {"id": 1, "name": "Ada", "born": "1815-12-10", "balance": 10.5, "note": None},
    {"id": 2, "name": "Hopper, Grace", "born": "1906-12-09", "balance": 0.25, "note": 'said "bug"'},
    {"id": 3, "name": "Zoë", "born": "1990-01-31", "balance": -7.0, "note": "two\nlines"},
]


def without_lineage(row: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in row.items() if not name.startswith("_")}


async def test_a_posted_file_is_answered_202_with_the_place_of_its_job(service: Service) -> None:
    answer = await service.client.post("/v1/imports?processor=csv&dataset=located", content=PEOPLE)
    assert answer.status_code == 202
    assert answer.headers["Location"] == answer.json()["links"]["self"]
    assert (await service.client.get(answer.headers["Location"])).json()["id"] == answer.json()["id"]
    await settled(service.client, answer.json())


async def test_a_completed_import_has_exactly_the_files_rows(service: Service) -> None:
    job = await imported(service.client, PEOPLE, "exact")
    assert (job["state"], job["outcome"], job["problem"]) == ("completed", "complete", None)
    rows = await rows_of(service.client, "exact")
    assert [without_lineage(row) for row in rows] == PEOPLE_ROWS


async def test_every_row_knows_its_number_and_its_job(service: Service) -> None:
    job = await imported(service.client, PEOPLE, "lineage")
    rows = await rows_of(service.client, "lineage")
    assert [(row["_row"], row["_job"]) for row in rows] == [(n, job["id"]) for n in (1, 2, 3)]


async def test_an_export_equals_the_file(service: Service) -> None:
    await imported(service.client, PEOPLE, "exported")
    export = await service.client.get("/v1/datasets/exported/export?format=csv")
    assert export.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert export.content == PEOPLE


async def test_the_counts_add_up(service: Service) -> None:
    job = await imported(service.client, b"n,m\n1,2\nx,3\n4,5\n6\n", "counted", header="true")
    assert job["counts"] == {"read": 4, "inserted": 3, "updated": 0, "skipped": 0, "rejected": 1}
    assert job["outcome"] == "partial"
    assert len(await rows_of(service.client, "counted")) == 3


async def test_a_reject_says_where_what_and_how_to_mend_it(service: Service) -> None:
    job = await imported(service.client, b"n,m\n1,2\n3,4,5\n", "mended")
    rejects = (await service.client.get(job["links"]["rejects"])).json()["rejects"]
    (reject,) = rejects
    assert {key: reject[key] for key in ("row", "line", "column", "code", "raw")} == {
        "row": 2,
        "line": 3,
        "column": None,
        "code": "wrong_field_count",
        "raw": "3,4,5",
    }
    assert reject["message"]
    assert reject["suggestion"]


async def test_the_upload_is_kept_byte_for_byte_under_its_id(service: Service) -> None:
    content = bytes(range(256)) * 5000
    answer = await service.client.post("/v1/uploads", content=content)
    assert answer.status_code == 201
    stored = answer.json()
    assert (service.folder / "files" / stored["id"]).read_bytes() == content
    assert stored["size_bytes"] == len(content)
    assert stored["sha256"] == hashlib.sha256(content).hexdigest()
    assert (await service.client.get(answer.headers["Location"])).json() == stored


async def test_an_upload_and_a_job_over_it_do_what_an_import_does(service: Service) -> None:
    one = await imported(service.client, PEOPLE, "one_step")
    upload = (await service.client.post("/v1/uploads", content=PEOPLE)).json()
    body = {"processor": "csv", "upload_id": upload["id"], "dataset": "two_steps"}
    answer = await service.client.post("/v1/jobs", json=body)
    assert (answer.status_code, answer.headers["Location"]) == (202, f"/v1/jobs/{answer.json()['id']}")
    two = await settled(service.client, answer.json())
    assert (two["state"], two["counts"]) == (one["state"], one["counts"])
    rows = [await rows_of(service.client, dataset) for dataset in ("one_step", "two_steps")]
    assert [without_lineage(row) for row in rows[0]] == [without_lineage(row) for row in rows[1]]


async def test_one_upload_serves_many_jobs(service: Service) -> None:
    upload = (await service.client.post("/v1/uploads", content=PEOPLE)).json()
    for dataset in ("many_a", "many_b"):
        body = {"processor": "csv", "upload_id": upload["id"], "dataset": dataset}
        job = await settled(service.client, (await service.client.post("/v1/jobs", json=body)).json())
        assert job["counts"]["inserted"] == 3


async def test_a_second_import_into_a_dataset_appends(service: Service) -> None:
    first = await imported(service.client, b"a,b\n1,x\n2,y\n", "shared")
    second = await imported(service.client, b"b,a\nz,3\n", "shared")
    rows = await rows_of(service.client, "shared")
    assert [(row["a"], row["b"], row["_job"]) for row in rows] == [
        (1, "x", first["id"]),
        (2, "y", first["id"]),
        (3, "z", second["id"]),
    ]


async def test_two_first_imports_into_one_dataset_at_once_both_end_well(service: Service) -> None:
    jobs = [await post_import(service.client, b"a,b\n1,x\n2,y\n", "raced") for _ in range(2)]
    ended = [await settled(service.client, job) for job in jobs]
    assert [job["state"] for job in ended] == ["completed", "completed"]
    assert len(await rows_of(service.client, "raced")) == 4


async def test_a_file_with_other_columns_than_its_dataset_fails_and_says_which(service: Service) -> None:
    await imported(service.client, b"a,b\n1,x\n", "shaped")
    job = await imported(service.client, b"a,colour\n1,red\n", "shaped")
    assert (job["state"], job["outcome"], job["attempt"]) == ("failed", "none", 1)
    assert job["problem"]["code"] == "schema_mismatch"
    assert "colour" in job["problem"]["message"]
    assert job["problem"]["suggestion"]
    assert len(await rows_of(service.client, "shaped")) == 1


async def test_values_that_do_not_fit_the_datasets_types_are_rejected_one_by_one(service: Service) -> None:
    await imported(service.client, b"a,b\n1,x\n", "typed")
    job = await imported(service.client, b"a,b\n2,y\nmany,z\n", "typed")
    assert (job["state"], job["outcome"]) == ("completed", "partial")
    (reject,) = (await service.client.get(job["links"]["rejects"])).json()["rejects"]
    assert (reject["row"], reject["column"]) == (2, "a")


async def test_the_most_urgent_job_starts_first_and_equals_start_in_order(start_service: StartService) -> None:
    service = await start_service("api", worker_slots=1)
    jobs = [await post_import(service.client, PEOPLE, f"p{n}", priority=p) for n, p in enumerate((1, 5, 10, 5))]
    await service.worker()
    started = [(await settled(service.client, job))["started_at"] for job in jobs]
    assert sorted(range(4), key=lambda n: str(started[n])) == [2, 1, 3, 0]


async def test_a_job_waits_for_a_worker_that_comes_later(start_service: StartService) -> None:
    service = await start_service("api")
    job = await post_import(service.client, PEOPLE, "later")
    assert job["state"] == "queued"
    await service.worker()
    assert (await settled(service.client, job))["state"] == "completed"


async def test_processor_options_are_query_parameters(service: Service) -> None:
    job = await imported(service.client, b"1;x\n2;y\n", "options", delimiter=";", header="false")
    assert job["options"] == {"delimiter": ";", "header": False}
    rows = await rows_of(service.client, "options")
    assert [without_lineage(row) for row in rows] == [
        {"column_1": 1, "column_2": "x"},
        {"column_1": 2, "column_2": "y"},
    ]


async def test_metadata_comes_back_as_it_was_given(service: Service) -> None:
    job = await post_import(service.client, PEOPLE, "described", metadata='{"order": 17, "tags": ["a", "ü"]}')
    assert (await settled(service.client, job))["metadata"] == {"order": 17, "tags": ["a", "ü"]}


async def test_a_name_is_a_label_and_never_a_path(service: Service) -> None:
    answer = await service.client.post("/v1/uploads", params={"name": "../../etc/pass\u202ewd\x00.csv"}, content=b"x")
    assert answer.json()["name"] == "passwd.csv"
    assert (service.folder / "files" / answer.json()["id"]).read_bytes() == b"x"


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="people.csv"', "people.csv"),
        ("attachment; filename=people.csv", "people.csv"),
        ("attachment; filename*=UTF-8''Zo%C3%AB.csv", "Zoë.csv"),
        ("attachment", "unnamed"),
    ],
)
async def test_the_name_may_come_in_content_disposition(service: Service, disposition: str, name: str) -> None:
    headers = {"Content-Disposition": disposition}
    assert (await service.client.post("/v1/uploads", content=b"x", headers=headers)).json()["name"] == name


async def test_a_file_is_listed_newest_first_page_by_page(start_service: StartService) -> None:
    service = await start_service("api")
    ids = [(await service.client.post("/v1/uploads", content=b"x")).json()["id"] for _ in range(3)]
    first = (await service.client.get("/v1/uploads?limit=2")).json()
    rest = (await service.client.get(f"/v1/uploads?limit=2&cursor={first['next_cursor']}")).json()
    assert [upload["id"] for upload in first["uploads"] + rest["uploads"]] == ids[::-1]
    assert rest["next_cursor"] is None


async def test_ndjson_becomes_rows_too(service: Service) -> None:
    lines = b'{"id": 1, "ok": true}\n{"id": 2, "ok": null}\n'
    job = await imported(service.client, lines, "lines", processor="ndjson")
    assert job["state"] == "completed", job["problem"]
    rows = await rows_of(service.client, "lines")
    assert [without_lineage(row) for row in rows] == [{"id": 1, "ok": True}, {"id": 2, "ok": None}]


def many_lines(first: int, last: int) -> bytes:
    return b"".join(b"%d,row number %d\n" % (n, n) for n in range(first, last + 1))


async def test_a_file_of_many_chunks_is_stored_row_for_row(start_service: StartService) -> None:
    service = await start_service(chunk_bytes=4096)
    job = await imported(service.client, b"n,text\n" + many_lines(1, 5000), "chunked")
    assert job["counts"] == {"read": 5000, "inserted": 5000, "updated": 0, "skipped": 0, "rejected": 0}
    rows = sorted((row["_row"], row["n"], row["text"]) for row in await rows_of(service.client, "chunked"))
    assert rows == [(n, n, f"row number {n}") for n in range(1, 5001)]


async def test_an_export_of_many_chunks_keeps_the_files_order(start_service: StartService) -> None:
    service = await start_service(chunk_bytes=4096)
    content = b"n,text\n" + many_lines(1, 5000)
    await imported(service.client, content, "ordered")
    assert (await service.client.get("/v1/datasets/ordered/export")).content == content


async def test_pages_come_job_by_job_and_in_input_order(start_service: StartService) -> None:
    service = await start_service("all", chunk_bytes=4096)
    content = b"n,text\n" + b"".join(b"%d,text %d\n" % (n, n) for n in range(1, 3001))
    jobs = [await imported(service.client, content, "paged") for _ in range(2)]
    rows = await rows_of(service.client, "paged")
    assert [row["_job"] for row in rows] == [jobs[0]["id"]] * 3000 + [jobs[1]["id"]] * 3000
    assert [row["n"] for row in rows] == [*range(1, 3001)] * 2


async def test_a_reader_who_pages_while_a_job_runs_misses_no_row(start_service: StartService) -> None:
    service = await start_service("all", chunk_bytes=2048)
    content = b"n,text\n" + b"".join(b"%d,text %d\n" % (n, n) for n in range(1, 30_001))
    job = await post_import(service.client, content, "watched")
    seen, cursor, ended = [], "", False
    while not ended or cursor:
        ended = (await service.client.get(job["links"]["self"])).json()["state"] == "completed"
        page = await service.client.get(
            "/v1/datasets/watched/rows", params={"limit": 500, **({"cursor": cursor} if cursor else {})}
        )
        rows = page.json()["rows"] if page.status_code == 200 else []
        seen += [row["n"] for row in rows]
        cursor = f"{rows[-1]['_job']}.{rows[-1]['_row']}" if rows else "" if ended else cursor
    assert seen == [*range(1, 30_001)]
