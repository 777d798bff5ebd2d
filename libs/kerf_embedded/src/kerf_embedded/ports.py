"""Free ports on the loopback interface that stay free while a server restarts."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from kerf_core.errors import Unavailable
from kerf_embedded.files import write_private

LOOPBACK = "127.0.0.1"
FIRST_PORT, LAST_PORT = 20_000, 32_767
"""Below Linux's default ephemeral range (32768 on): no outgoing connection takes the port of a server that restarts."""
PAIR_OFFSET = 10_000
"""SeaweedFS dials some of its own ports at this distance from another one, whatever it was told."""
_ATTEMPTS = 2_000


def is_free(port: int) -> bool:
    """True if a server could listen on this port now, on loopback and on every other interface."""
    for host in (LOOPBACK, ""):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            # What a server does too: a connection that is still closing (TIME_WAIT) does not keep the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                probe.listen(1)
            except OSError:
                return False
    return True


def draw(*, avoid: Collection[int] = (), with_partner: bool = False) -> int:
    """A free port that is not in `avoid`; with a partner, the port `PAIR_OFFSET` above is free too.

    Raises Unavailable (NO_FREE_PORT).
    """
    source = random.Random()  # noqa: S311 (which ports are tried is no secret)
    last = LAST_PORT - PAIR_OFFSET if with_partner else LAST_PORT
    for _ in range(_ATTEMPTS):
        port = source.randint(FIRST_PORT, last)
        if _suits(port, avoid, with_partner):
            return port
    raise Unavailable("NO_FREE_PORT", f"no free port between {FIRST_PORT} and {LAST_PORT} on {LOOPBACK}")


def _suits(port: int, avoid: Collection[int], with_partner: bool) -> bool:
    wanted = [port, port + PAIR_OFFSET] if with_partner else [port]
    return not set(wanted) & set(avoid) and all(is_free(each) for each in wanted)


class PortBook:
    """Which name has which port. Kept in a file, so that the next run uses the same ports where it can."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = self._read()

    def assign(self, singles: Sequence[str], pairs: Mapping[str, str] | None = None) -> dict[str, int]:
        """A free port for each name.

        `pairs` maps a name to a partner whose port is `PAIR_OFFSET` above. Ports of the last run are taken again if
        they are free. Raises Unavailable (NO_FREE_PORT).
        """
        chosen: dict[str, int] = {}
        for name, partner in (pairs or {}).items():
            chosen[name] = self._choose(name, chosen.values(), with_partner=True)
            chosen[partner] = chosen[name] + PAIR_OFFSET
        for name in singles:
            chosen[name] = self._choose(name, chosen.values(), with_partner=False)
        self._known = self._known | chosen
        write_private(self._path, json.dumps(self._known, indent=2) + "\n")
        return chosen

    def _choose(self, name: str, taken: Collection[int], *, with_partner: bool) -> int:
        known = self._known.get(name)
        if known is not None and _suits(known, taken, with_partner):
            return known
        return draw(avoid=taken, with_partner=with_partner)

    def _read(self) -> dict[str, int]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            known = {str(name): int(port) for name, port in content.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}  # only a preference: without it, ports are drawn
        return {name: port for name, port in known.items() if FIRST_PORT <= port <= LAST_PORT}
