"""Both doors, from the same desk: direct calls and the job stage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import cast

import grpc
import pytest

from direct_door import serving_door, until
from kerf.artifacts.v1.artifacts_pb2 import Artifact
from kerf.captioner.v1 import captioner_pb2 as pb
from kerf.captioner.v1 import captioner_pb2_grpc
from kerf.jobs.v1.job_pb2 import NoopTask, Stage
from kerf_captioner.adapters.shelf import Shelf
from kerf_captioner.domain.desk import CaptionDesk
from kerf_captioner.handler import LABEL_CHARS, CaptionerHandler
from kerf_captioner.servicer import CaptionerServicer
from kerf_captioner.settings import CaptionerSettings
from kerf_captioner.wiring import unload_idle_models
from kerf_core.blobs import BlobStore
from kerf_core.compute import ComputePool
from kerf_core.errors import FailedPrecondition, InvalidArgument, NotFound, WorkCancelled
from kerf_core.rpc_status import reason_of
from memory_stage import TENANT, MemoryStage, MemoryStore

Png = Callable[[int], bytes]
SLOW = pb.CaptionOptions(max_tokens=200, min_tokens=200, beams=16)


@asynccontextmanager
async def serving(
    desk: CaptionDesk, store: MemoryStore | None = None
) -> AsyncIterator[tuple[captioner_pb2_grpc.CaptionerServiceAsyncStub, ComputePool]]:
    pool = ComputePool(1)
    servicer = CaptionerServicer(desk, pool, cast(BlobStore, store or MemoryStore()))
    try:
        async with serving_door(captioner_pb2_grpc.add_CaptionerServiceServicer_to_server, servicer) as channel:
            yield captioner_pb2_grpc.CaptionerServiceStub(channel), pool
    finally:
        pool.close()


def of(data: bytes) -> pb.Picture:
    return pb.Picture(data=data)


async def refused(call: object) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]  # a unary call
    return caught.value.code(), caught.value.details() or ""


async def test_a_picture_is_captioned(desk: CaptionDesk, picture_png: Png) -> None:
    async with serving(desk) as (stub, _):
        request = pb.CaptionRequest(picture=of(picture_png(1)), options=pb.CaptionOptions(min_tokens=4, max_tokens=9))
        first = await stub.Caption(request)
        second = await stub.Caption(request)
    assert first.text
    assert (first.model, first.engine, len(first.model_sha256)) == ("tiny", "blip", 64)
    assert not first.cached
    assert first.device_seconds > 0
    assert first.queue_seconds >= 0
    assert "threads-1" in first.numeric_class
    assert (second.cached, second.text, second.model_sha256) == (True, first.text, first.model_sha256)
    assert second.device_seconds < 0


async def test_a_large_picture_comes_as_an_artifact(desk: CaptionDesk, picture_png: Png) -> None:
    store = MemoryStore()
    artifact = await store.put(TENANT, picture_png(1), "image/png")
    async with serving(desk, store) as (stub, _):
        by_name = await stub.Caption(pb.CaptionRequest(picture=pb.Picture(artifact=artifact.name)))
        inline = await stub.Caption(pb.CaptionRequest(picture=of(picture_png(1))))
        missing = pb.CaptionRequest(picture=pb.Picture(artifact="artifacts/" + "0" * 64))
        assert await refused(stub.Caption(missing)) == (grpc.StatusCode.NOT_FOUND, "ARTIFACT_NOT_FOUND")
    assert by_name.text == inline.text
    assert inline.cached


async def test_bad_requests_are_refused_with_a_reason(desk: CaptionDesk, picture_png: Png) -> None:
    picture = of(picture_png(1))
    cases = [
        (pb.CaptionRequest(), "INVALID_FIELD"),
        (pb.CaptionRequest(picture=of(b"words")), "PICTURE_UNREADABLE"),
        (pb.CaptionRequest(picture=of(picture_png(1)[:200])), "PICTURE_DAMAGED"),
        (pb.CaptionRequest(picture=picture, options=pb.CaptionOptions(beams=17)), "INVALID_FIELD"),
        (pb.CaptionRequest(picture=picture, options=pb.CaptionOptions(min_tokens=9, max_tokens=8)), "INVALID_REQUEST"),
        (pb.CaptionRequest(picture=picture, options=pb.CaptionOptions(model="wombat")), "MODEL_NOT_INSTALLED"),
    ]
    async with serving(desk) as (stub, _):
        for request, reason in cases:
            assert (await refused(stub.Caption(request)))[1] == reason


async def test_a_batch_goes_on_after_a_broken_picture(desk: CaptionDesk, picture_png: Png) -> None:
    store = MemoryStore()
    missing = pb.Picture(artifact="artifacts/" + "0" * 64)
    request = pb.BatchCaptionRequest(pictures=[of(picture_png(1)), of(b"words"), missing, of(picture_png(2))])
    async with serving(desk, store) as (stub, _):
        answers = [answer async for answer in stub.BatchCaption(request)]
    assert [answer.item for answer in answers] == [0, 1, 2, 3]
    assert [answer.WhichOneof("outcome") for answer in answers] == ["caption", "failure", "failure", "caption"]
    assert [answers[item].failure.reason for item in (1, 2)] == ["PICTURE_UNREADABLE", "ARTIFACT_NOT_FOUND"]
    assert answers[1].failure.message


async def test_a_fault_of_the_model_ends_the_batch(desk: CaptionDesk, picture_png: Png) -> None:
    for request in (
        pb.BatchCaptionRequest(pictures=[of(picture_png(1))] * 3, options=pb.CaptionOptions(model="wombat")),
        pb.BatchCaptionRequest(pictures=[of(picture_png(1)), pb.Picture()]),
        pb.BatchCaptionRequest(pictures=[of(b"x" * (1 << 20))] * 3 + [of(b"x")]),
    ):
        servicer = CaptionerServicer(desk, ComputePool(1), cast(BlobStore, MemoryStore()))
        with pytest.raises((FailedPrecondition, InvalidArgument)):
            async for _ in servicer.BatchCaption(request, None):  # type: ignore[arg-type]  # it does not use the context
                pass


async def test_leaving_a_batch_stops_it(desk: CaptionDesk, picture_png: Png) -> None:
    pictures = [of(picture_png(seed)) for seed in range(100)]
    async with serving(desk) as (stub, pool):
        call = stub.BatchCaption(pb.BatchCaptionRequest(pictures=pictures, options=pb.CaptionOptions(min_tokens=25)))
        async for answer in call:
            assert answer.item == 0
            break
        call.cancel()
        await until(lambda: pool.free == 1)
        last = await stub.Caption(pb.CaptionRequest(picture=pictures[99], options=pb.CaptionOptions(min_tokens=25)))
    assert not last.cached


async def test_leaving_a_call_stops_its_search_and_frees_the_slot(desk: CaptionDesk, picture_png: Png) -> None:
    async with serving(desk) as (stub, pool):
        await stub.Caption(pb.CaptionRequest(picture=of(picture_png(1))))
        call = stub.Caption(pb.CaptionRequest(picture=of(picture_png(2)), options=SLOW))
        await until(lambda: pool.free == 0)
        call.cancel()
        await until(lambda: pool.free == 1)
        last = await stub.Caption(pb.CaptionRequest(picture=of(picture_png(2)), options=SLOW))
    assert not last.cached  # the first search did not come to its end


async def test_a_picture_is_measured(desk: CaptionDesk, picture_png: Png) -> None:
    async with serving(desk) as (stub, _):
        found = await stub.AnalyzeImage(pb.AnalyzeImageRequest(picture=of(picture_png(1)), colors=3))
        assert (await refused(stub.AnalyzeImage(pb.AnalyzeImageRequest())))[0] is grpc.StatusCode.INVALID_ARGUMENT
        assert (await refused(stub.AnalyzeImage(pb.AnalyzeImageRequest(picture=of(b"x")))))[1] == "PICTURE_UNREADABLE"
    assert (found.width_px, found.height_px) == (96, 96)
    assert 1 <= len(found.colors) <= 3
    assert 0 < found.brightness < 1
    assert 0 < found.contrast < 0.5
    assert found.sharpness > 0
    assert len(found.perceptual_hash) == 16


async def test_models_are_listed(desk: CaptionDesk, picture_png: Png) -> None:
    async with serving(desk) as (stub, _):
        await stub.Caption(pb.CaptionRequest(picture=of(picture_png(1))))
        models = (await stub.GetModelInfo(pb.GetModelInfoRequest())).models
    assert [(model.name, model.engine, model.loaded, model.is_default) for model in models] == [
        ("fixed", "simple", True, False),
        ("other", "blip", False, False),
        ("tiny", "blip", True, True),
    ]
    assert [len(model.sha256) for model in models] == [0, 0, 64]
    assert [model.image_size_px for model in models] == [0, 32, 32]


async def a_stage(pictures: list[bytes], **options: object) -> MemoryStage:
    caption = pb.CaptionRequest(options=pb.CaptionOptions(**options))  # type: ignore[arg-type]  # fields of all kinds
    context = MemoryStage(Stage(id="say", caption=caption))
    stored = [await context.store_.put(TENANT, data, "image/png") for data in pictures]
    context.inputs = [stored[:1], stored[1:]]
    return context


def text_of(context: MemoryStage, output: Artifact) -> str:
    return context.store_.kept[TENANT, output.sha256][0].decode()


async def test_a_stage_stores_one_text_per_picture(desk: CaptionDesk, picture_png: Png) -> None:
    context = await a_stage([picture_png(1), picture_png(2)], trigger_word="kerffox", min_tokens=3)
    result = await CaptionerHandler(desk).run(context)
    assert [output.labels["item"] for output in result.outputs] == ["0", "1"]
    for output in result.outputs:
        assert output.media_type == "text/plain; charset=utf-8"
        assert output.labels["role"] == "caption"
        assert output.rebuildable
        assert text_of(context, output).startswith("kerffox, ")
        assert output.labels["text"] == text_of(context, output)
    assert [(model.name, len(model.sha256)) for model in result.models] == [("tiny", 64)]
    assert "threads-1" in result.numeric_class
    assert {"torch", "transformers", "kerf-captioner"} <= result.versions.keys()
    assert result.device_seconds > 0
    assert result.item_failures == []
    assert context.steps[-1] == (2, 2)


async def test_labels_hold_the_beginning_of_a_long_text(desk: CaptionDesk, picture_png: Png) -> None:
    context = await a_stage([picture_png(1)], prompt="picture drawing " * 25)
    (output,) = (await CaptionerHandler(desk).run(context)).outputs
    assert len(text_of(context, output)) > LABEL_CHARS
    assert output.labels["text"] == text_of(context, output)[:LABEL_CHARS]


async def test_a_broken_picture_fails_alone(desk: CaptionDesk, picture_png: Png) -> None:
    result = await CaptionerHandler(desk).run(await a_stage([b"words", picture_png(1)]))
    assert [output.labels["item"] for output in result.outputs] == ["1"]
    (failure,) = result.item_failures
    assert failure.item == 0
    assert reason_of(failure.error) == "PICTURE_UNREADABLE"


async def test_if_every_picture_is_broken_the_first_error_is_raised(desk: CaptionDesk, picture_png: Png) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await CaptionerHandler(desk).run(await a_stage([b"words", picture_png(1)[:200]]))
    assert caught.value.reason == "PICTURE_UNREADABLE"
    lost = await a_stage([picture_png(1)])
    lost.store_.kept.clear()
    with pytest.raises(NotFound):
        await CaptionerHandler(desk).run(lost)


async def test_a_warning_of_all_pictures_is_told_once(desk: CaptionDesk, picture_png: Png) -> None:
    result = await CaptionerHandler(desk).run(await a_stage([picture_png(1), picture_png(2)], model="fixed"))
    assert [warning for warning in result.warnings if "does not look" in warning] == result.warnings
    assert len(result.warnings) == 1
    assert [(model.name, model.sha256) for model in result.models] == [("fixed", "")]


async def test_a_stage_from_the_cache_knows_no_device_seconds(desk: CaptionDesk, picture_png: Png) -> None:
    first = await CaptionerHandler(desk).run(await a_stage([picture_png(1)]))
    again = await CaptionerHandler(desk).run(await a_stage([picture_png(1)]))
    assert first.device_seconds > 0 > again.device_seconds
    assert [output.sha256 for output in first.outputs] == [output.sha256 for output in again.outputs]


async def test_both_doors_say_the_same(desk: CaptionDesk, picture_png: Png) -> None:
    context = await a_stage([picture_png(1)], min_tokens=6)
    result = await CaptionerHandler(desk).run(context)
    async with serving(desk) as (stub, _):
        options = pb.CaptionOptions(min_tokens=6)
        direct = await stub.Caption(pb.CaptionRequest(picture=of(picture_png(1)), options=options))
    assert direct.text == text_of(context, result.outputs[0])


async def test_a_cancelled_stage_stores_no_more(desk: CaptionDesk, picture_png: Png) -> None:
    context = await a_stage([picture_png(seed) for seed in range(4)])
    before = len(context.store_.kept)
    context.at_step = lambda step: context.cancel.cancel("the test says so") if step == 1 else None
    with pytest.raises(WorkCancelled):
        await CaptionerHandler(desk).run(context)
    assert len(context.store_.kept) == before + 1


async def test_foreign_tasks_pictures_in_the_task_and_empty_inputs_are_refused(
    desk: CaptionDesk, picture_png: Png
) -> None:
    twice = await a_stage([picture_png(1)])
    twice.stage.caption.picture.data = picture_png(1)
    for context in (MemoryStage(Stage(id="say", noop=NoopTask())), await a_stage([]), twice):
        with pytest.raises(InvalidArgument):
            await CaptionerHandler(desk).run(context)


async def test_idle_models_are_unloaded_in_the_background(
    settings: CaptionerSettings, desk: CaptionDesk, picture_png: Png
) -> None:
    shelf = cast(Shelf, desk.shelf)
    shelf.open("tiny", lambda: None)
    soon = settings.model_copy(update={"idle_unload": timedelta(milliseconds=40)})
    work = asyncio.create_task(unload_idle_models(soon, shelf))
    try:
        await until(lambda: not any(listing.loaded for listing in shelf.listings() if listing.name == "tiny"))
    finally:
        work.cancel()
