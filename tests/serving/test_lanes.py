"""One model call at a time, a bounded number waiting."""

import asyncio
import threading

import pytest
from served import bench_at, make_app

from reactions.serving.access import Access
from reactions.serving.lanes import ClientGone, Lane
from reactions.serving.limits import Busy


def run(work):
    return asyncio.run(asyncio.wait_for(work, timeout=300))


def test_results_and_errors_come_back():
    async def work():
        lane = Lane("test", waiting=2)
        assert await lane.run(lambda: 7) == 7
        with pytest.raises(ZeroDivisionError):
            await lane.run(lambda: 1 // 0)
        assert lane.pending == 0

    run(work())


def test_one_at_a_time_and_the_rest_wait_or_are_sent_away():
    async def work():
        lane = Lane("test", waiting=2)
        go, active, most_active = threading.Event(), 0, 0

        def slow():
            nonlocal active, most_active
            active += 1
            most_active = max(most_active, active)
            go.wait(120)
            active -= 1
            return True

        jobs = [asyncio.ensure_future(lane.run(slow)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="busy"):
            await lane.run(slow)
        go.set()
        assert await asyncio.gather(*jobs) == [True] * 3
        assert most_active == 1
        assert await lane.run(lambda: 1) == 1

    run(work())


def test_what_nobody_waits_for_is_not_begun():
    async def work():
        lane = Lane("test", waiting=2)
        go, calls_begun = threading.Event(), []
        first = asyncio.ensure_future(lane.run(lambda: go.wait(120)))
        await asyncio.sleep(0)
        hung_up = asyncio.Event()
        second = asyncio.ensure_future(lane.run(lambda: calls_begun.append(2), gone=hung_up.wait))
        await asyncio.sleep(0)
        hung_up.set()
        with pytest.raises(ClientGone):
            await second
        go.set()
        await first
        assert await lane.run(lambda: 3) == 3
        assert calls_begun == []
        assert lane.pending == 0

    run(work())


def test_a_full_queue_is_503_with_a_time_to_come_back(tmp_path):
    import httpx

    app = make_app(bench_at(tmp_path, waiting=1), Access())
    desk = app.state.desk

    async def work():
        go = threading.Event()
        running = [asyncio.ensure_future(desk.models.run(lambda: go.wait(120))) for _ in range(2)]
        await asyncio.sleep(0)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            answer = await client.post("/api/search", json={"query": {"text": "a"}})
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) > 0
            assert answer.json()["error"] == "Busy"
            # What needs no model is answered meanwhile.
            query = {"index": 0, "modality": "text", "number": 0}
            answer = await client.post("/api/search", json={"query": query})
            assert answer.status_code == 200
            go.set()
            await asyncio.gather(*running)
            answer = await client.post("/api/search", json={"query": {"text": "a"}})
            assert answer.status_code == 200

    run(work())
