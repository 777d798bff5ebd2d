"""The embedded NATS server: loopback only, two accounts, JetStream synced to disk at every write."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path

import nats.errors
from nats.aio.client import Client

from kerf_core.errors import Unavailable
from kerf_embedded.binaries import Server, find_server
from kerf_embedded.credentials import Credentials
from kerf_embedded.files import private_folder, write_private
from kerf_embedded.ports import LOOPBACK
from kerf_embedded.process import Program

NAME = "nats"
GRACE = timedelta(seconds=10)
MAX_FILE_STORE_GIB = 64
"""What all streams may reserve together; the disk's own end is met with an error on write."""
MAX_MEMORY_STORE_GIB = 1
_CONNECT_TIMEOUT_S = 2


def nats_url(port: int) -> str:
    """Where clients connect."""
    return f"nats://{LOOPBACK}:{port}"


def nats_config(folder: Path, port: int, credentials: Credentials) -> str:
    """The configuration file.

    `sync_interval: always` because a power cut with the default (2 minutes) loses acknowledged messages. There is no
    monitoring port, for it knows no passwords: server facts are read through the system account.
    """
    quote = json.dumps  # strings of this format are JSON strings
    return f"""# Written by kerf at every start.
server_name: "kerf-embedded"
host: {quote(LOOPBACK)}
port: {port}
jetstream {{
  store_dir: {quote(str(folder / "jetstream"))}
  sync_interval: always
  max_file_store: {MAX_FILE_STORE_GIB}GiB
  max_memory_store: {MAX_MEMORY_STORE_GIB}GiB
}}
accounts {{
  KERF {{
    jetstream: enabled
    users: [{{ user: {quote(credentials.nats_user)}, password: {quote(credentials.nats_password)} }}]
  }}
  SYS {{
    users: [{{ user: {quote(credentials.nats_system_user)}, password: {quote(credentials.nats_system_password)} }}]
  }}
}}
system_account: SYS
"""


def nats_program(folder: Path, log: Path, port: int, credentials: Credentials) -> Program:
    """Write the configuration into `folder` and say how to run the server.

    The password stands in the file (mode 0600), not on the command line, where other users could read it.
    """
    config = private_folder(folder) / "nats.conf"
    write_private(config, nats_config(folder, port, credentials))

    async def probe() -> None:
        await probe_nats(port, credentials)

    return Program(
        name=NAME,
        command=(str(find_server(Server.NATS)), "--config", str(config)),
        environment={"PATH": os.defpath, "HOME": str(folder)},
        folder=folder,
        log=log,
        ports=(port,),
        probe=probe,
        grace=GRACE,
    )


async def probe_nats(port: int, credentials: Credentials) -> None:
    """Connect as kerf does and ask JetStream for its account. Raises Unavailable while that fails."""

    async def ignore(_: Exception) -> None:
        """Errors reach the caller as exceptions; without a callback nats-py prints them too."""

    client = Client()
    try:
        await client.connect(
            nats_url(port),
            user=credentials.nats_user,
            password=credentials.nats_password,
            allow_reconnect=False,
            reconnect_time_wait=0,  # nats-py waits so long (2 s) after a refused first connection too
            connect_timeout=_CONNECT_TIMEOUT_S,
            error_cb=ignore,
        )
        await client.jetstream(timeout=_CONNECT_TIMEOUT_S).account_info()
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise Unavailable("NATS_UNAVAILABLE", f"NATS on port {port}: {str(error) or type(error).__name__}") from error
    finally:
        await client.close()  # after a failed connect too: nats-py leaves the socket open
