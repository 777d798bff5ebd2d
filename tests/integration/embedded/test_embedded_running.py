"""One stack, looked at from all sides while it runs and while its processes are killed."""

from __future__ import annotations

import asyncio
import io
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import nats.errors
import psutil
import pytest
import pytest_asyncio
import urllib3
from minio import Minio
from nats.aio.client import Client
from pydantic import SecretStr

from integration.embedded.embedded_processes import alive, eventually, fake_service, ports_of
from kerf_core.auth import KeyRing
from kerf_core.bus import Bus
from kerf_core.errors import FailedPrecondition, InvalidArgument, Unauthenticated
from kerf_core.settings import ServiceSettings
from kerf_embedded.credentials import load_or_draw
from kerf_embedded.state import read_running, read_state
from kerf_embedded.supervisor import EmbeddedStack

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedStack]:
    root = tmp_path_factory.mktemp("embedded") / "root"
    async with EmbeddedStack(root, services=[fake_service(child="1")]) as running:
        yield running


def root_of(stack: EmbeddedStack) -> Path:
    return Path(stack.info.root)


def pid_of(stack: EmbeddedStack, name: str) -> int:
    pid = stack.pid(name)
    assert pid is not None
    return pid


def http_status(url: str, method: str = "GET", data: bytes | None = None) -> int:
    return int(urllib3.request(method, url, body=data, timeout=5, retries=False).status)


def s3_client(stack: EmbeddedStack) -> Minio:
    info = stack.info
    endpoint = info.s3_endpoint.removeprefix("http://")
    return Minio(endpoint, access_key=info.s3_access_key, secret_key=info.s3_secret_key, secure=False)


async def test_only_loopback_is_listened_on(stack: EmbeddedStack) -> None:
    for name in ("nats", "s3", "fake"):
        listening = [
            each.laddr
            for each in psutil.Process(pid_of(stack, name)).net_connections("inet")
            if each.status == "LISTEN"
        ]
        assert listening, name
        assert {address.ip for address in listening} <= {"127.0.0.1", "::ffff:127.0.0.1"}, name
        assert {address.port for address in listening} <= set(ports_of(root_of(stack)).values()), name


async def test_no_secret_is_on_a_command_line(stack: EmbeddedStack) -> None:
    credentials = load_or_draw(root_of(stack) / "credentials.json")
    secrets = [credentials.nats_password, credentials.s3_secret_key, credentials.s3_internal_key, credentials.api_key]
    for name in stack.names:
        line = " ".join(psutil.Process(pid_of(stack, name)).cmdline())
        assert not any(secret in line for secret in secrets), name


async def test_servers_get_none_of_our_environment(stack: EmbeddedStack) -> None:
    """SeaweedFS takes AWS_ACCESS_KEY_ID and WEED_… as identities and settings."""
    for name in ("nats", "s3"):
        assert set(psutil.Process(pid_of(stack, name)).environ()) <= {
            "PATH",
            "HOME",
            "LC_CTYPE",
        }  # the last is set by the launcher's Python


async def test_secrets_are_readable_by_their_owner_only(stack: EmbeddedStack) -> None:
    root = root_of(stack)
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    for name in ("credentials.json", "state.json", "nats/nats.conf", "s3/s3.json", "s3/security.toml", "logs/nats.log"):
        assert stat.S_IMODE((root / name).stat().st_mode) == 0o600, name


@pytest.mark.parametrize("password", [None, "wrong"])
async def test_nats_refuses_strangers(stack: EmbeddedStack, password: str | None) -> None:
    async def silent(_: Exception) -> None: ...

    user = None if password is None else stack.info.nats_user
    client = Client()
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await client.connect(stack.info.nats_url, allow_reconnect=False, error_cb=silent, user=user, password=password)
    await client.close()


async def test_nats_syncs_every_write_and_has_no_monitoring_port(stack: EmbeddedStack) -> None:
    credentials = load_or_draw(root_of(stack) / "credentials.json")
    client = await nats.connect(
        stack.info.nats_url, user=credentials.nats_system_user, password=credentials.nats_system_password
    )
    answer = await client.request("$SYS.REQ.SERVER.PING.VARZ", b"{}", timeout=5)
    await client.close()
    facts = json.loads(answer.data)["data"]
    assert facts["jetstream"]["config"]["sync_always"] is True
    assert facts["host"] == "127.0.0.1"
    assert not facts.get("http_port")


async def test_s3_refuses_strangers(stack: EmbeddedStack) -> None:
    info, ports = stack.info, ports_of(root_of(stack))
    bucket = f"{info.s3_endpoint}/{info.s3_bucket}"
    assert await asyncio.to_thread(http_status, bucket) == 403
    assert await asyncio.to_thread(http_status, f"{bucket}/x", "PUT", b"x") == 403
    volume = f"http://127.0.0.1:{ports['s3_volume']}/1,0000000000"
    for method in ("GET", "DELETE"):
        assert await asyncio.to_thread(http_status, volume, method) == 401


async def test_the_api_key_opens_the_gateway(stack: EmbeddedStack) -> None:
    info = stack.info
    settings = ServiceSettings.model_construct(
        nats_url=info.nats_url, nats_user=info.nats_user, nats_password=SecretStr(info.nats_password)
    )
    bus = await Bus.connect(settings, "test")
    try:
        caller = await KeyRing(bus).caller(f"Bearer {info.api_key}")
        assert (caller.tenant, caller.operator) == ("local", True)
        with pytest.raises(Unauthenticated):
            await KeyRing(bus).caller(f"Bearer {info.api_key}x")
    finally:
        await bus.close()


async def test_others_find_the_stack(stack: EmbeddedStack) -> None:
    assert read_state(root_of(stack)) == stack.info
    running = read_running(root_of(stack))
    assert running is not None
    assert running.supervisor_pid == psutil.Process().pid
    assert set(running.processes) == {"nats", "s3", "fake"}


async def test_a_second_stack_says_where_the_first_one_runs(stack: EmbeddedStack) -> None:
    with pytest.raises(FailedPrecondition, match=f"process {psutil.Process().pid} serves") as caught:
        await EmbeddedStack(root_of(stack), services=()).start()
    assert caught.value.reason == "STACK_RUNNING"
    assert read_state(root_of(stack)) == stack.info


async def test_nats_comes_back_with_its_data_and_clients_reconnect(stack: EmbeddedStack) -> None:
    info, old, back = stack.info, pid_of(stack, "nats"), asyncio.Event()

    async def reconnected() -> None:
        back.set()

    client = await nats.connect(
        info.nats_url,
        user=info.nats_user,
        password=info.nats_password,
        reconnect_time_wait=0.1,
        max_reconnect_attempts=-1,
        reconnected_cb=reconnected,
    )
    try:
        js = client.jetstream()
        await js.add_stream(name="SURVIVOR", subjects=["survivor"])
        await js.publish("survivor", b"still here")
        stack.kill("nats")
        await stack.wait_ready("nats")
        assert pid_of(stack, "nats") != old
        await asyncio.wait_for(back.wait(), 10)
        message = await js.get_last_msg("SURVIVOR", "survivor")
        assert message.data == b"still here"
    finally:
        await client.close()


async def test_s3_comes_back_with_its_data(stack: EmbeddedStack) -> None:
    old, client = pid_of(stack, "s3"), s3_client(stack)
    await asyncio.to_thread(client.put_object, "kerf", "survivor", io.BytesIO(b"still here"), 10)
    stack.kill("s3")
    await stack.wait_ready("s3")
    assert pid_of(stack, "s3") != old
    answer = await asyncio.to_thread(client.get_object, "kerf", "survivor")
    assert answer.read() == b"still here"
    answer.close()
    answer.release_conn()


async def test_a_service_comes_back_and_its_orphans_are_killed(stack: EmbeddedStack) -> None:
    old = pid_of(stack, "fake")
    children = psutil.Process(old).children(recursive=True)
    assert len(children) == 1
    stack.kill("fake")
    await stack.wait_ready("fake")
    await asyncio.to_thread(eventually, lambda: not alive(children), "the service's own child is gone")
    running = read_running(root_of(stack))
    assert running is not None
    assert running.processes["fake"] == pid_of(stack, "fake") != old


async def test_an_unknown_name_is_refused(stack: EmbeddedStack) -> None:
    with pytest.raises(InvalidArgument, match="there are nats, s3, fake"):
        stack.kill("captioner")
