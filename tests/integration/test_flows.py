"""Flows: steps in their order, what becomes of a flow when one fails, and one step's output as the next one's input."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.acceptance.test_worker_faults import people
from tests.conftest import StartService
from tests.integration.test_dependencies import END
from tests.running import (
    Json,
    Service,
    account_id_of,
    eventually,
    imported,
    is_blocked,
    rows_of,
    settled,
    superuser,
)
from tests.sealed import put_content
from tests.sse import Message, connected, message, messages

UNKNOWN = "01a20594-aee7-73c2-b485-15425946dd2c"
BROKEN = b"[1]\n"


def echo(key: str, *after: str, **fields: Any) -> Json:
    """A step that gives its input back."""
    return {"key": key, "processor": "echo", "input": {"key": key}, "after": list(after)} | fields


async def submitted(client: httpx.AsyncClient, *steps: Json, **fields: Any) -> Json:
    answer = await client.post("/v1/flows", json={"name": "a flow", "steps": list(steps)} | fields)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == answer.json()["links"]["self"]
    return dict(answer.json())


async def shown(client: httpx.AsyncClient, flow: Json) -> Json:
    return dict((await client.get(flow["links"]["self"])).json())


async def reaches(client: httpx.AsyncClient, flow: Json, state: str, **states: str) -> Json:
    """The flow once it, and the steps named, are in these states."""

    async def look() -> Json:
        seen = await shown(client, flow)
        return seen if seen["state"] == state and states.items() <= states_of(seen).items() else {}

    return await eventually(look, pause_s=0.02)


def states_of(flow: Json) -> dict[str, str]:
    return {step["key"]: step["state"] for step in flow["steps"]}


def step_of(flow: Json, key: str) -> Json:
    return next(step for step in flow["steps"] if step["key"] == key)


async def stream_of(client: httpx.AsyncClient, flow: Json, **request: Any) -> list[Message]:
    answer = await client.get(flow["links"]["events"], **request)
    assert answer.status_code == 200, answer.text
    return [found for text in answer.text.split("\n\n") if (found := message(text))]


async def told(client: httpx.AsyncClient, flow: Json) -> list[str]:
    """The events of a flow that has ended."""
    return [event.event for event in (await stream_of(client, flow))[1:]]


async def broken_file(client: httpx.AsyncClient) -> str:
    """An upload that ndjson cannot read: a step that fails."""
    return str((await client.post("/v1/uploads", content=BROKEN)).json()["id"])


async def failing(client: httpx.AsyncClient, key: str, *after: str, **fields: Any) -> Json:
    upload_id = await broken_file(client)
    return {
        "key": key,
        "processor": "ndjson",
        "upload_id": upload_id,
        "dataset": "broken",
        "after": list(after),
    } | fields


async def test_a_diamond_runs_each_step_after_those_it_needs(service: Service) -> None:
    steps = echo("d", "b", "c"), echo("b", "a"), echo("c", "a"), echo("a")
    flow = await submitted(service.client, *steps, metadata={"order": 17})
    assert [step["key"] for step in flow["steps"]] == ["a", "b", "c", "d"]
    assert {(edge["from"], edge["to"]) for edge in flow["edges"]} == {("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")}
    ended = await reaches(service.client, flow, "completed")
    assert ended["metadata"] == {"order": 17}
    jobs = {key: await job_of(service, ended, key) for key in "abcd"}
    for before, after in (("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")):
        assert jobs[before]["finished_at"] <= jobs[after]["started_at"]
    assert (jobs["d"]["flow_id"], jobs["d"]["step"], jobs["d"]["waits_for"]) == (flow["id"], "d", 0)
    assert await told(service.client, flow) == ["flow.completed"]


async def job_of(service: Service, flow: Json, key: str) -> Json:
    return dict((await service.client.get(step_of(flow, key)["links"]["job"])).json())


async def test_an_optional_step_may_fail_and_the_flow_is_completed(service: Service) -> None:
    optional = await failing(service.client, "optional", "first", required=False)
    flow = await submitted(service.client, echo("first"), optional, echo("last", "optional", run_if="ended"))
    ended = await reaches(service.client, flow, "completed", optional="failed")
    assert states_of(ended) == {"first": "completed", "optional": "failed", "last": "completed"}
    assert await told(service.client, flow) == ["flow.completed"]


async def test_a_required_step_fails_the_flow_and_what_needs_it_does_not_run(service: Service) -> None:
    flow = await submitted(service.client, await failing(service.client, "a"), echo("b", "a"), echo("c", "b"))
    ended = await reaches(service.client, flow, "failed", c="failed")
    assert step_of(ended, "a")["problem"]["code"] == "no_objects"
    assert step_of(ended, "b")["problem"]["code"] == step_of(ended, "c")["problem"]["code"] == "dependency_failed"
    assert (await job_of(service, ended, "b"))["started_at"] is None
    assert await told(service.client, flow) == ["flow.failed"]
    answer = (await service.client.get(step_of(ended, "b")["links"]["job"] + "/explain")).json()
    assert (answer["reason"], answer["jobs"]) == (
        "dependency_failed",
        [{"id": step_of(ended, "a")["job_id"], "state": "failed", "step": "a"}],
    )
    assert f"/v1/jobs/{step_of(ended, 'a')['job_id']}/retry" in answer["suggestion"]


async def test_a_retried_flow_goes_on_and_tells_so(start_service: StartService) -> None:
    service = await start_service("all")
    flow = await submitted(service.client, await failing(service.client, "a"), echo("b", "a"))
    await reaches(service.client, flow, "failed", b="failed")
    (name,) = service.files
    await put_content(service, name, b'{"id": 1}\n')  # as if the cause were mended
    answer = await service.client.post(flow["links"]["self"] + "/retry")
    assert answer.status_code == 200, answer.text
    assert states_of(answer.json())["b"] == "pending"
    await reaches(service.client, flow, "completed")
    assert await told(service.client, flow) == ["flow.failed", "flow.resumed", "flow.completed"]
    refused = await service.client.post(flow["links"]["self"] + "/retry")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")


async def test_a_cancelled_flow_cancels_every_step_that_lives(start_service: StartService) -> None:
    service = await start_service("api")
    flow = await submitted(service.client, echo("a"), echo("b", "a"), echo("c", "b", run_if="ended"))
    answer = await service.client.post(flow["links"]["self"] + "/cancel")
    assert (answer.status_code, answer.json()["state"]) == (200, "failed")
    assert set(states_of(answer.json()).values()) == {"cancelled"}
    assert await told(service.client, flow) == ["flow.failed"]
    assert (await service.client.post(flow["links"]["self"] + "/cancel")).status_code == 409
    assert (await service.client.post(flow["links"]["self"] + "/retry")).status_code == 200
    await service.worker()
    await reaches(service.client, flow, "completed")
    assert await told(service.client, flow) == ["flow.failed", "flow.resumed", "flow.completed"]


async def test_steps_that_end_together_complete_their_flow_once(service: Service) -> None:
    await service.worker()
    wide = [echo(f"s{n}", "first") for n in range(8)]
    submits = (
        submitted(service.client, echo("first"), *wide, echo("last", *(s["key"] for s in wide[:4]))) for _ in range(40)
    )
    flows = await asyncio.gather(*submits)
    for flow in flows:
        await reaches(service.client, flow, "completed", last="completed")
    assert [await told(service.client, flow) for flow in flows] == [["flow.completed"]] * len(flows)
    clashes = [
        line for process in (service.process, *service.others) for line in process.logged if "eadlock" in str(line)
    ]
    assert clashes == []


async def test_two_last_steps_whose_ends_overlap_complete_their_flow(start_service: StartService) -> None:
    service = await start_service("api")
    flow = await submitted(service.client, echo("a"), echo("b"))
    a, b = [step["job_id"] for step in flow["steps"]]
    async with (
        superuser(service.database_url) as one,
        superuser(service.database_url) as other,
        superuser(service.database_url) as watcher,
    ):
        await one.execute("update job set state = 'running' where flow_id = $1", flow["id"])
        async with one.transaction():
            await one.execute(END, a)
            await one.execute("set constraints all immediate")  # the flow is judged now, with b still running
            ending = asyncio.create_task(other.execute(END, b))

            async def done_or_blocked() -> bool:
                return ending.done() or await is_blocked(watcher, "update job")

            await eventually(done_or_blocked)
        await ending
    assert (await shown(service.client, flow))["state"] == "completed"
    assert await told(service.client, flow) == ["flow.completed"]


async def test_a_flow_outlives_the_worker_that_ran_it(start_service: StartService) -> None:
    service = await start_service("api", lease_s=1)
    upload = await service.client.post("/v1/uploads", content=people(50_000))
    load = {"key": "load", "processor": "csv", "upload_id": upload.json()["id"], "dataset": "people"}
    after = echo("after", "load", input={"rows": {"$from": "load.rows"}})
    flow = await submitted(service.client, echo("first"), load | {"after": ["first"]}, after)
    worker = await service.worker(chunk_bytes=4096)

    async def has_rows() -> bool:
        return step_of(await shown(service.client, flow), "load")["counts"]["read"] > 0

    await eventually(has_rows)
    worker.kill()
    await service.worker()
    ended = await reaches(service.client, flow, "completed")
    assert step_of(ended, "load")["counts"]["read"] == 50_000
    assert step_of(ended, "after")["output"] == {"rows": step_of(ended, "load")["counts"]["inserted"]}
    assert await told(service.client, flow) == ["flow.completed"]


async def test_csv_goes_in_and_out_as_ndjson_and_in_again_as_one_flow(service: Service) -> None:
    content = b'id,name,price,born,note\n1,"Ann ""A"", x",1.50,2001-02-03,\n'
    content += b'2,B\xc3\xb6b,22.25,1999-12-31,"back\\slash\nline"\n'
    upload = (await service.client.post("/v1/uploads", content=content)).json()
    flow = await submitted(
        service.client,
        {"key": "load", "processor": "csv", "upload_id": upload["id"], "dataset": "first_copy"},
        {
            "key": "export",
            "processor": "export",
            "input": {"dataset": {"$from": "load.dataset"}, "format": "ndjson"},
            "after": ["load"],
        },
        {
            "key": "again",
            "processor": "ndjson",
            "upload_id": {"$from": "export.upload_id"},
            "dataset": "second_copy",
            "after": ["export"],
        },
    )
    ended = await reaches(service.client, flow, "completed")
    assert step_of(ended, "load")["output"] == {"dataset": "first_copy", "upload_id": upload["id"], "rows": 2}
    made = step_of(ended, "export")["output"]
    stored = (await service.client.get(f"/v1/uploads/{made['upload_id']}")).json()
    assert (made["rows"], made["size_bytes"], made["sha256"]) == (2, stored["size_bytes"], stored["sha256"])
    assert stored["name"] == "first_copy.ndjson"
    first, second = [
        [{name: value for name, value in row.items() if name[0] != "_"} for row in await rows_of(service.client, name)]
        for name in ("first_copy", "second_copy")
    ]
    assert first == second
    assert first[1]["note"] == "back\\slash\nline"
    streamed = await service.client.get("/v1/datasets/first_copy/export?format=ndjson")
    assert [json.loads(line) for line in streamed.text.splitlines()] == first


async def test_an_export_counts_its_rows_over_many_lots(service: Service) -> None:
    job = await imported(service.client, people(120_000), "many")
    answer = await service.client.post("/v1/jobs", json={"processor": "export", "input": {"dataset": "many"}})
    ended = await settled(service.client, {"links": {"self": answer.headers["location"]}})
    assert ended["output"]["rows"] == ended["progress"]["done"] == job["counts"]["inserted"]
    whole = await service.client.get("/v1/datasets/many/export?format=csv")
    assert ended["output"]["size_bytes"] == len(whole.content)


async def run_export(client: httpx.AsyncClient, **given: Any) -> Json:
    answer = await client.post("/v1/jobs", json={"processor": "export", "input": given})
    assert answer.status_code == 202, answer.text
    return await settled(client, answer.json())


async def test_an_export_of_nothing_fails_and_says_so(service: Service) -> None:
    await imported(service.client, b"[1]\n", "hollow", processor="ndjson")
    assert (await run_export(service.client, dataset="hollow"))["problem"]["code"] == "dataset_empty"
    assert (await run_export(service.client, dataset="nowhere"))["problem"]["code"] == "not_found"
    assert (await run_export(service.client, dataset="hollow", format="pdf"))["problem"]["code"] == "invalid_input"


async def test_no_job_reads_the_datasets_or_uploads_of_another_account(service: Service) -> None:
    mine = await imported(service.client, b"id\n1\n", "secret")
    async with await service.account("curious") as curious:
        assert (await run_export(curious, dataset="secret"))["problem"]["code"] == "not_found"
        steal = {"key": "steal", "processor": "csv", "upload_id": {"$from": "a.key"}, "dataset": "loot", "after": ["a"]}
        flow = await submitted(curious, echo("a", input={"key": mine["upload_id"]}), steal)
        ended = await reaches(curious, flow, "failed", steal="failed")
        assert step_of(ended, "steal")["problem"]["code"] == "not_found"
        for path in ("", "/events"):
            assert (await service.client.get(flow["links"]["self"] + path)).status_code == 404
        for path in ("/cancel", "/retry"):
            assert (await service.client.post(flow["links"]["self"] + path)).status_code == 404
        assert flow["id"] not in str((await service.client.get("/v1/flows")).json())
        waits = await curious.post("/v1/jobs", json={"processor": "echo", "after": [mine["id"]]})
        assert (waits.status_code, waits.json()["code"]) == (404, "not_found")


async def test_the_database_keeps_flows_of_accounts_apart(service: Service) -> None:
    flow = await submitted(service.client, echo("a"), echo("b", "a"))
    await reaches(service.client, flow, "completed")
    mine = await account_id_of(service.database_url)
    async with superuser(service.database_url) as db:
        await db.execute("set role millrace_api")
        for account_id, is_seen in ((str(mine), True), (UNKNOWN, False)):
            await db.execute("select set_config('millrace.account', $1, false)", account_id)
            for table in ("flow", "flow_event", "dependency"):
                assert await db.fetchval(f"select exists (select from {table})") == is_seen


async def test_references_reach_any_depth_and_any_ancestor(service: Service) -> None:
    flow = await submitted(
        service.client,
        echo("a", input={"list": [{"x": 1}, {"x": [2, 3]}], "n": None}),
        echo("b", "a"),
        echo(
            "c",
            "b",
            input={
                "deep": [{"got": {"$from": "a.list.1.x"}}],
                "whole": {"$from": "b"},
                "none": {"$from": "a.n"},
                "kept": {"$from": "a", "beside": 1},
            },
        ),
    )
    ended = await reaches(service.client, flow, "completed")
    assert step_of(ended, "c")["output"] == {
        "deep": [{"got": [2, 3]}],
        "whole": {"key": "b"},
        "none": None,
        "kept": {"$from": "a", "beside": 1},
    }


async def test_a_reference_to_what_was_not_made_fails_its_step(service: Service) -> None:
    missing = await submitted(service.client, echo("a"), echo("b", "a", input={"x": {"$from": "a.other"}}))
    ended = await reaches(service.client, missing, "failed", b="failed")
    assert step_of(ended, "b")["problem"]["code"] == "missing_output"
    assert "'other'" in step_of(ended, "b")["problem"]["message"]
    broken = await failing(service.client, "a", required=False)
    flow = await submitted(service.client, broken, echo("b", "a", run_if="ended", input={"x": {"$from": "a.rows"}}))
    ended = await reaches(service.client, flow, "failed", b="failed")
    assert step_of(ended, "b")["problem"]["code"] == "missing_output"


async def test_outputs_of_outputs_do_not_grow_without_end(service: Service) -> None:
    steps = [echo("s0", input={"text": "x" * 1_000})]
    for n in range(1, 12):
        last = {"$from": f"s{n - 1}"}
        steps.append(echo(f"s{n}", f"s{n - 1}", input={"many": [last] * 20}))
    ended = await reaches(service.client, await submitted(service.client, *steps), "failed", s11="failed")
    assert states_of(ended) | {"s2": "completed", "s3": "failed"} == states_of(ended)
    assert step_of(ended, "s3")["problem"]["code"] == "too_large"


@pytest.mark.parametrize(
    ("steps", "code", "said"),
    [
        ([echo("a", "c"), echo("b", "a"), echo("c", "b"), echo("d")], "invalid_flow", "a → c → b → a"),
        ([echo("a", "a")], "invalid_flow", "a → a"),
        ([echo("a", "z")], "invalid_flow", "'z'"),
        ([echo("a"), echo("a")], "invalid_flow", "'a'"),
        ([echo("a", required=False)], "invalid_flow", "required"),
        ([echo("a"), echo("b", input={"x": {"$from": "a.key"}})], "invalid_reference", "'a.key'"),
        ([echo("a"), echo("b", "a", processor="nothing")], "unknown_processor", "Step 'b'"),
        ([echo("a", processor="csv", input={}, dataset="x")], "upload_needed", "Step 'a'"),
        ([echo("a", dataset={"$from": "b.x"})], "no_dataset_wanted", "Step 'a'"),
        ([echo("a", processor="csv", upload_id=UNKNOWN, dataset="x")], "no_input_wanted", "Step 'a'"),
        ([echo("a", processor="csv", input={}, upload_id=UNKNOWN, dataset="x")], "not_found", UNKNOWN),
        ([echo("a.b")], "invalid_request", "pattern"),
        ([echo(f"s{n}") for n in range(101)], "invalid_request", "100"),
        ([], "invalid_request", "steps"),
    ],
)
async def test_a_flow_that_cannot_run_is_refused_as_a_whole(
    service: Service, steps: list[Json], code: str, said: str
) -> None:
    before = await service.rows_in("flow", "job", "dependency")
    answer = await service.client.post("/v1/flows", json={"name": "wrong", "steps": steps})
    assert (answer.status_code, answer.json()["code"]) == (404 if code == "not_found" else 422, code), answer.text
    assert said in answer.json()["detail"]
    assert await service.rows_in("flow", "job", "dependency") == before


async def test_a_repeated_flow_is_answered_with_the_first(service: Service) -> None:
    body = {"name": "once", "steps": [echo("a"), echo("b", "a")]}
    headers = {"Idempotency-Key": "a flow's"}
    posts = (service.client.post("/v1/flows", json=body, headers=headers) for _ in range(4))
    answers = await asyncio.gather(*posts)
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 202]
    other = await service.client.post("/v1/flows", json=body | {"name": "other"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")


async def test_flows_are_listed_by_state_newest_first(start_service: StartService) -> None:
    service = await start_service("api")
    first, second, third = [await submitted(service.client, echo("a")) for _ in range(3)]
    await service.client.post(second["links"]["self"] + "/cancel")
    page = (await service.client.get("/v1/flows", params={"limit": 2})).json()
    assert [flow["id"] for flow in page["flows"]] == [third["id"], second["id"]]
    rest = (await service.client.get("/v1/flows", params={"cursor": page["next_cursor"]})).json()
    assert [flow["id"] for flow in rest["flows"]] == [first["id"]]
    failed = (await service.client.get("/v1/flows", params={"state": "failed"})).json()
    assert [flow["id"] for flow in failed["flows"]] == [second["id"]]
    assert (await service.client.get("/v1/flows", params={"state": "odd"})).status_code == 422


async def test_a_live_stream_of_a_flow_ends_with_it(start_service: StartService) -> None:
    service = await start_service("api")
    flow = await submitted(service.client, echo("a"), echo("b", "a"))
    following = asyncio.create_task(stream_of(service.client, flow))
    await service.worker()
    snapshot, completed = await following
    assert (snapshot.event, snapshot.id, snapshot.data["id"]) == ("snapshot", None, flow["id"])
    assert [step["key"] for step in snapshot.data["steps"]] == ["a", "b"]
    assert (completed.event, completed.id, completed.data["state"]) == ("flow.completed", "1", "completed")
    again = await service.client.get(flow["links"]["events"], headers={"Last-Event-ID": "1"})
    assert again.status_code == 204


async def test_the_stream_of_a_retried_flow_goes_on_behind_its_earlier_end(start_service: StartService) -> None:
    service = await start_service("api")
    flow = await submitted(service.client, echo("a"))
    ahead = await service.client.get(flow["links"]["events"], params={"after": 7})
    assert (ahead.status_code, ahead.json()["code"]) == (422, "invalid_last_event_id")
    await service.client.post(flow["links"]["self"] + "/cancel")
    await service.client.post(flow["links"]["self"] + "/retry")
    following = asyncio.create_task(stream_of(service.client, flow, params={"after": 1}))
    await service.worker()
    assert [(event.event, event.id) for event in (await following)[1:]] == [
        ("flow.resumed", "2"),
        ("flow.completed", "3"),
    ]


async def test_the_accounts_stream_tells_of_its_flows(start_service: StartService) -> None:
    service = await start_service("all")
    flow = await submitted(service.client, echo("a"), echo("b", "a"))
    told: list[Message] = []
    async with asyncio.timeout(20), connected(service, "/v1/events", "0-0") as (_, reader):
        async for event in messages(reader):
            told.append(event)
            if event.event == "flow.completed":
                break
    assert told[-1].data["flow_id"] == flow["id"]
    assert "job_id" not in told[-1].data
    assert [event.event for event in told].count("job.completed") == 2
    assert (await shown(service.client, flow))["state"] == "completed"
