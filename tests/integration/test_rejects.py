"""Refused rows make a round trip: out as a table, corrected, and in again, each once and under its own number."""

from __future__ import annotations

import asyncio
import csv
import io

import httpx

from tests.conftest import StartService
from tests.running import Json, Service, eventually, imported, rows_of, settled

CONTACTS = (
    b"ID,Full Name,Balance\n"
    b"1,Ada,10\n"
    b"2,=cmd|' /C calc'!A0,x\n"  # a hostile cell in a bad row
    b"3,Grace,-5\n"
    b"four,-5,20\n"
    b"5,Zo\xc3\xab\n"
    b"six,'=1,\n"
)
COLUMNS = ["ID", "Full Name", "Balance"]
TOLD = ["_row", "_column", "_code", "_message", "_suggestion"]


async def table_of(client: httpx.AsyncClient, job: Json, **params: str) -> list[list[str]]:
    answer = await client.get(f"/v1/jobs/{job['id']}/rejects", params={"format": "csv"} | params)
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.reader(io.StringIO(answer.text, newline="")))


def written(table: list[list[str]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out).writerows(table)
    return out.getvalue().encode()


async def corrected(client: httpx.AsyncClient, job: Json, content: bytes, state: str = "completed") -> Json:
    answer = await client.post(f"/v1/jobs/{job['id']}/rejects", content=content, headers={"Content-Type": "text/csv"})
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == f"/v1/jobs/{answer.json()['id']}"
    ended = await settled(client, answer.json())
    assert ended["state"] == state, ended
    return ended


async def looked_at(client: httpx.AsyncClient, job: Json) -> Json:
    found: Json = (await client.get(f"/v1/jobs/{job['id']}")).json()
    return found


async def open_rows(client: httpx.AsyncClient, job: Json) -> list[int]:
    return [r["row"] for r in (await client.get(f"/v1/jobs/{job['id']}/rejects")).json()["rejects"]]


async def typed(client: httpx.AsyncClient, content: bytes, dataset: str) -> Json:
    """An import into a dataset whose columns are an integer, a text and an integer."""
    await imported(client, b"ID,Full Name,Balance\n0,Nobody,0\n", dataset)
    return await imported(client, content, dataset)


async def test_the_table_of_rejects_has_the_files_columns_first_and_no_formula(service: Service) -> None:
    job = await typed(service.client, CONTACTS, "table")
    head, *rows = await table_of(service.client, job)
    assert head == COLUMNS + TOLD
    assert [row[:4] for row in rows] == [
        ["2", "'=cmd|' /C calc'!A0", "x", "2"],
        ["four", "-5", "20", "4"],
        ["5", "Zoë", "", "5"],
        ["six", "''=1", "", "6"],
    ]
    assert [row[5] for row in rows] == ["not_an_integer", "not_an_integer", "wrong_field_count", "not_an_integer"]
    accepted = await service.client.get(f"/v1/jobs/{job['id']}/rejects", headers={"Accept": "text/csv"})
    assert accepted.text.startswith("ID,Full Name,Balance,_row,")


async def test_corrected_rows_go_in_under_their_own_numbers_and_close_their_rejects(service: Service) -> None:
    job = await typed(service.client, CONTACTS, "mended")
    assert job["counts"] == {"read": 6, "inserted": 2, "updated": 0, "skipped": 0, "rejected": 4}
    head, *rows = await table_of(service.client, job)
    by_row = {row[3]: row for row in rows}
    by_row["2"][2], by_row["4"][0], by_row["5"][2], by_row["6"][0] = "7", "4", "1", "6"
    correction = await corrected(service.client, job, written([head, *by_row.values()]))
    assert correction["corrects"] == job["id"]
    assert correction["counts"] == {"read": 4, "inserted": 4, "updated": 0, "skipped": 0, "rejected": 0}
    now = await looked_at(service.client, job)
    assert now["counts"] == {"read": 6, "inserted": 6, "updated": 0, "skipped": 0, "rejected": 0}
    assert now["outcome"] == "complete"
    stored = [row for row in await rows_of(service.client, "mended") if row["_job"] == job["id"]]
    assert [(r["_row"], r["id"], r["full_name"], r["balance"]) for r in stored] == [
        (1, 1, "Ada", 10),
        (2, 2, "=cmd|' /C calc'!A0", 7),
        (3, 3, "Grace", -5),
        (4, 4, "-5", 20),
        (5, 5, "Zoë", 1),
        (6, 6, "'=1", None),
    ]
    assert await open_rows(service.client, job) == []
    closed = (await service.client.get(f"/v1/jobs/{job['id']}/rejects?state=closed")).json()["rejects"]
    assert [(r["row"], r["closed_by"]) for r in closed] == [(n, correction["id"]) for n in (2, 4, 5, 6)]


async def test_what_comes_back_unchanged_stays_open_with_its_reason(service: Service) -> None:
    job = await typed(service.client, CONTACTS, "unchanged")
    before = (await service.client.get(f"/v1/jobs/{job['id']}/rejects")).json()["rejects"]
    table = await service.client.get(f"/v1/jobs/{job['id']}/rejects?format=csv")
    correction = await corrected(service.client, job, table.content)
    assert correction["counts"] == {"read": 4, "inserted": 0, "updated": 0, "skipped": 0, "rejected": 4}
    assert (await service.client.get(f"/v1/jobs/{job['id']}/rejects")).json()["rejects"] == before
    assert (await looked_at(service.client, job))["counts"] == job["counts"]


async def test_what_is_still_bad_stays_open_with_its_new_reason_and_deleted_lines_stay(service: Service) -> None:
    job = await typed(service.client, CONTACTS, "still_bad")
    head, *rows = await table_of(service.client, job)
    rows[0][2] = "99999999999"
    await corrected(service.client, job, written([head, rows[0]]))
    first, *others = (await service.client.get(f"/v1/jobs/{job['id']}/rejects")).json()["rejects"]
    assert (first["row"], first["code"], first["cells"][2]) == (2, "out_of_range", "99999999999")
    assert [reject["row"] for reject in others] == [4, 5, 6]
    assert (await looked_at(service.client, job))["counts"]["rejected"] == 4


async def test_a_correction_that_is_sent_twice_doubles_nothing(service: Service) -> None:
    job = await typed(service.client, CONTACTS, "twice")
    head, *rows = await table_of(service.client, job)
    rows[0][2] = "7"
    await corrected(service.client, job, written([head, rows[0]]))
    again = await corrected(service.client, job, written([head, rows[0]]))
    assert again["counts"] == {"read": 1, "inserted": 0, "updated": 0, "skipped": 0, "rejected": 1}
    (told,) = (await service.client.get(f"/v1/jobs/{again['id']}/rejects")).json()["rejects"]
    assert (told["code"], told["row"]) == ("unknown_row", 1)
    assert len([r for r in await rows_of(service.client, "twice") if r["_job"] == job["id"]]) == 3
    assert (await looked_at(service.client, job))["counts"] == job["counts"] | {"inserted": 3, "rejected": 3}


async def test_two_corrections_at_once_bring_each_row_in_once(service: Service) -> None:
    content = b"ID,Full Name,Balance\n" + b"".join(b"x%d,n,1\n" % n for n in range(300))
    job = await typed(service.client, content, "at_once")
    head, *rows = await table_of(service.client, job)
    for number, row in enumerate(rows):
        row[0] = str(number)
    ended = await asyncio.gather(*(corrected(service.client, job, written([head, *rows])) for _ in range(3)))
    assert sum(one["counts"]["inserted"] for one in ended) == 300
    stored = [r["_row"] for r in await rows_of(service.client, "at_once") if r["_job"] == job["id"]]
    assert stored == list(range(1, 301))
    assert (await looked_at(service.client, job))["counts"] == job["counts"] | {"inserted": 300, "rejected": 0}


async def test_rows_that_are_no_open_rejects_are_told_one_by_one(service: Service) -> None:
    job = await typed(service.client, CONTACTS, "foreign")
    lines = b"_row,ID,Full Name,Balance\n1,1,a,1\n99,1,a,1\n,1,a,1\nmany,1,a,1\n4,4,ok,1\n4,4,again,1\n"
    correction = await corrected(service.client, job, lines)
    assert correction["counts"] == {"read": 6, "inserted": 1, "updated": 0, "skipped": 0, "rejected": 5}
    told = (await service.client.get(f"/v1/jobs/{correction['id']}/rejects")).json()["rejects"]
    assert [(r["row"], r["line"], r["code"]) for r in told] == [(n, n + 1, "unknown_row") for n in (1, 2, 3, 4, 6)]


async def test_columns_may_be_reordered_and_saved_with_semicolons(service: Service) -> None:
    job = await typed(service.client, CONTACTS, "reordered")
    await corrected(service.client, job, '_row;Balance;Full Name;ID\n4;1;"semi;colon";4\n'.encode("utf-8-sig"))
    assert 4 not in await open_rows(service.client, job)


async def test_a_table_without_a_needed_column_is_refused_and_says_which(service: Service) -> None:
    job = await typed(service.client, CONTACTS, "lacking")
    failed = await corrected(service.client, job, b"_row,ID,Balance\n4,4,1\n", "failed")
    assert failed["problem"]["code"] == "schema_mismatch"
    assert "Full Name" in failed["problem"]["message"]


async def test_cells_can_be_corrected_in_json_and_the_others_stay(service: Service) -> None:
    job = await typed(service.client, CONTACTS, "by_json")
    body = {"rows": [{"row": 2, "values": {"Balance": 7}}, {"row": 6, "values": {"ID": "6", "Balance": None}}]}
    answer = await service.client.post(f"/v1/jobs/{job['id']}/rejects", json=body)
    assert answer.status_code == 202, answer.text
    ended = await settled(service.client, answer.json())
    assert ended["counts"]["inserted"] == 2
    stored = {r["_row"]: r for r in await rows_of(service.client, "by_json") if r["_job"] == job["id"]}
    assert (stored[2]["full_name"], stored[2]["balance"]) == ("=cmd|' /C calc'!A0", 7)
    assert (stored[6]["id"], stored[6]["full_name"]) == (6, "'=1")
    unknown = await service.client.post(
        f"/v1/jobs/{job['id']}/rejects", json={"rows": [{"row": 4, "values": {"Colour": "red"}}]}
    )
    assert (unknown.status_code, unknown.json()["code"]) == (422, "schema_mismatch")


async def test_every_fault_of_a_corrected_row_is_named(service: Service) -> None:
    job = await typed(service.client, CONTACTS, "faults")
    await corrected(service.client, job, b"_row,ID,Full Name,Balance\n4,a,b,c\n")
    (reject,) = [
        r for r in (await service.client.get(f"/v1/jobs/{job['id']}/rejects")).json()["rejects"] if r["row"] == 4
    ]
    assert [(fault["column"], fault["code"]) for fault in reject["faults"]] == [
        ("id", "not_an_integer"),
        ("balance", "not_an_integer"),
    ]
    line = next(row for row in await table_of(service.client, job) if row[3] == "4")
    assert line[4:6] == ["id; balance", "not_an_integer"]


async def test_rejects_of_objects_are_corrected_by_the_datasets_columns(service: Service) -> None:
    await imported(service.client, b'{"n": 1, "tags": ["a"]}\n', "objects", processor="ndjson")
    job = await imported(service.client, b'{"n": "x", "tags": ["b"]}\n{broken\n', "objects", processor="ndjson")
    head, *rows = await table_of(service.client, job)
    assert head == ["n", "tags", *TOLD]
    assert [row[:2] for row in rows] == [["x", '["b"]'], ["{broken", ""]]
    rows[0][0], rows[1][:2] = "2", ["3", '{"k": 1}']
    assert (await corrected(service.client, job, written([head, *rows])))["counts"]["inserted"] == 2
    stored = [(r["n"], r["tags"]) for r in await rows_of(service.client, "objects")]
    assert stored == [(1, ["a"]), (2, ["b"]), (3, {"k": 1})]


async def test_a_correction_is_not_itself_corrected(service: Service) -> None:
    job = await typed(service.client, CONTACTS, "taken_back")
    correction = await corrected(service.client, job, b"_row,ID,Full Name,Balance\n4,4,ok,1\nbad", "completed")
    assert await open_rows(service.client, job) == [2, 5, 6]
    answer = await service.client.post(f"/v1/jobs/{correction['id']}/rejects", content=b"_row\n")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_another_account_sees_and_corrects_nothing(service: Service) -> None:
    job = await typed(service.client, CONTACTS, "private")
    async with await service.account("stranger") as stranger:
        for answer in (
            await stranger.get(f"/v1/jobs/{job['id']}/rejects?format=csv"),
            await stranger.post(f"/v1/jobs/{job['id']}/rejects", content=b"_row,ID,Full Name,Balance\n4,4,a,1\n"),
            await stranger.post(f"/v1/jobs/{job['id']}/rejects", json={"rows": [{"row": 4, "values": {}}]}),
        ):
            assert answer.status_code == 404
        assert (await stranger.get("/v1/uploads")).json()["uploads"] == []
    assert await open_rows(service.client, job) == [2, 4, 5, 6]


async def test_cancelling_what_a_correction_brought_in_opens_its_rejects_again(start_service: StartService) -> None:
    service = await start_service("api")
    worker = await service.worker()
    job = await typed(service.client, CONTACTS, "reopened")
    content = b"_row,ID,Full Name,Balance\n4,4,ok,1\n" + b"99,1,x,1\n" * 50
    await worker.stop()
    answer = await service.client.post(f"/v1/jobs/{job['id']}/rejects", content=content)
    path = f"/v1/jobs/{answer.json()['id']}"
    worker = await service.worker(chunk_bytes=32, child_cpu_s=60)
    await eventually(lambda: is_open(service, job, 4, False))
    await service.client.post(f"{path}/cancel?rows=remove")
    ended = await settled(service.client, answer.json())
    if ended["state"] == "cancelled":
        assert await open_rows(service.client, job) == [2, 4, 5, 6]
        assert (await looked_at(service.client, job))["counts"] == job["counts"]
        assert 4 not in [r["_row"] for r in await rows_of(service.client, "reopened") if r["_job"] == job["id"]]


async def is_open(service: Service, job: Json, row: int, wanted: bool) -> bool:
    return (row in await open_rows(service.client, job)) is wanted


async def test_corrected_rows_meet_those_with_their_key_as_the_jobs_other_rows_did(service: Service) -> None:
    await imported(service.client, b"id,n\n1,10\n2,20\n", "keyed", mode="upsert", keys="id")
    job = await imported(service.client, b"id,n\n1,11\n2,x\n3,y\n4,z\n", "keyed", mode="upsert", keys="id")
    assert job["counts"] == {"read": 4, "inserted": 0, "updated": 1, "skipped": 0, "rejected": 3}
    ended = await corrected(service.client, job, b"_row,id,n\n2,2,22\n3,3,33\n4,,44\n")
    assert ended["counts"] == {"read": 3, "inserted": 1, "updated": 1, "skipped": 0, "rejected": 1}
    now = await looked_at(service.client, job)
    assert now["counts"] == {"read": 4, "inserted": 1, "updated": 2, "skipped": 0, "rejected": 1}
    rows = {row["id"]: (row["n"], row["_row"], row["_job"]) for row in await rows_of(service.client, "keyed")}
    assert rows == {1: (11, 1, job["id"]), 2: (22, 2, job["id"]), 3: (33, 3, job["id"])}
    (left,) = (await service.client.get(f"/v1/jobs/{job['id']}/rejects")).json()["rejects"]
    assert (left["row"], left["code"]) == (4, "key_missing")
    undo = await settled(service.client, (await service.client.post(f"/v1/jobs/{job['id']}/undo")).json())
    assert undo["state"] == "completed"
    assert {row["id"]: row["n"] for row in await rows_of(service.client, "keyed")} == {1: 10, 2: 20}


async def test_a_correction_of_what_was_undone_fails_and_says_so(service: Service) -> None:
    job = await typed(service.client, CONTACTS, "gone")
    await settled(service.client, (await service.client.post(f"/v1/jobs/{job['id']}/undo")).json())
    failed = await corrected(service.client, job, b"_row,ID,Full Name,Balance\n4,4,ok,1\n", "failed")
    assert failed["problem"]["code"] == "nothing_to_correct"
