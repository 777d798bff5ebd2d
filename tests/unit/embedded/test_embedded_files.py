"""Credentials, ports, the folder of a stack and its state file, without any server."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerf_core.errors import FailedPrecondition, InvalidArgument
from kerf_embedded.binaries import Server, find_server
from kerf_embedded.credentials import Credentials, load_or_draw
from kerf_embedded.files import write_private
from kerf_embedded.guard_script import follow
from kerf_embedded.nats_server import nats_config
from kerf_embedded.ports import FIRST_PORT, LAST_PORT, PAIR_OFFSET, PortBook, draw, is_free
from kerf_embedded.process import LAUNCHER, tail
from kerf_embedded.state import Root, StackInfo, default_root, is_stale, private_root, read_running, read_state


def an_info(root: Path) -> StackInfo:
    return StackInfo(
        root=str(root),
        nats_url="nats://127.0.0.1:1",
        nats_user="kerf",
        nats_password="hidden-1",
        s3_endpoint="http://127.0.0.1:2",
        s3_access_key="KERF",
        s3_secret_key="hidden-2",
        s3_bucket="kerf",
        api_key="hidden-3",
        targets={"gateway": "127.0.0.1:3"},
        metrics={},
    )


def test_private_files_are_private_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_private(path, "one")
    write_private(path, "two")
    assert path.read_text() == "two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_credentials_are_drawn_once(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    first = load_or_draw(path)
    assert load_or_draw(path) == first != Credentials.draw()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_secrets_are_not_printed(tmp_path: Path) -> None:
    drawn = Credentials.draw()
    for secret in (drawn.nats_password, drawn.s3_secret_key, drawn.s3_internal_key, drawn.api_key):
        assert secret not in repr(drawn)
    assert "hidden" not in repr(an_info(tmp_path))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"nats_user": "kerf"}', "\x00"])
def test_damaged_credentials_are_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "credentials.json"
    path.write_text(content)
    with pytest.raises(FailedPrecondition, match="delete the file"):
        load_or_draw(path)


def test_the_nats_configuration_syncs_every_write() -> None:
    config = nats_config(Path('/a "quoted" folder'), 4222, Credentials.draw())
    assert "sync_interval: always" in config
    assert 'host: "127.0.0.1"' in config
    assert r'store_dir: "/a \"quoted\" folder/jetstream"' in config


def test_ports_are_kept_from_run_to_run_unless_taken(tmp_path: Path) -> None:
    path = tmp_path / "ports.json"
    first = PortBook(path).assign(["a", "b"], {"c": "d"})
    assert len(set(first.values())) == 4
    assert first["d"] == first["c"] + PAIR_OFFSET
    assert all(FIRST_PORT <= port <= LAST_PORT for port in first.values())
    assert PortBook(path).assign(["a", "b"], {"c": "d"}) == first
    with socket.socket() as other:
        other.bind(("127.0.0.1", first["a"]))
        other.listen()
        assert not is_free(first["a"])
        second = PortBook(path).assign(["a", "b"], {"c": "d"})
    assert second["a"] != first["a"]
    assert second["b"] == first["b"]


@pytest.mark.parametrize("content", ["", "7", '{"a": "x"}', '{"a": 22}', '{"a": null}', '{"a": 99999}'])
def test_a_damaged_port_file_is_drawn_anew(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ports.json"
    path.write_text(content)
    assert FIRST_PORT <= PortBook(path).assign(["a"])["a"] <= LAST_PORT
    assert json.loads(path.read_text())


def test_a_port_on_any_interface_counts_as_taken() -> None:
    port = draw()
    with socket.socket() as other:
        other.bind(("", port))
        other.listen()
        assert not is_free(port)


def test_one_stack_holds_a_folder(tmp_path: Path) -> None:
    root = Root(tmp_path / "root")
    root.hold()
    with pytest.raises(FailedPrecondition, match="starting or stopping"):
        Root(tmp_path / "root").hold()
    root.publish(an_info(tmp_path / "root"), {"nats": 1})
    assert read_state(tmp_path / "root") == an_info(tmp_path / "root")
    with pytest.raises(FailedPrecondition, match=rf"process {os.getpid()} serves at 127\.0\.0\.1:3"):
        Root(tmp_path / "root").hold()
    root.release(keep_data=True)
    assert read_state(tmp_path / "root") is None
    Root(tmp_path / "root").hold()


def test_a_dead_supervisors_state_counts_as_none(tmp_path: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path; from kerf_embedded.state import Root\n"
        "from test_embedded_files import an_info\n"
        "root = Root(Path(sys.argv[1])); root.hold(); root.publish(an_info(root.path), {}); print('held')"
    )
    folder = str(Path(__file__).parent)
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "root"), folder], check=True)
    assert is_stale(tmp_path / "root")
    assert read_running(tmp_path / "root") is None
    state = tmp_path / "root" / "state.json"
    content = json.loads(state.read_text())
    content["supervisor"]["pid"] = os.getpid()  # its number was given to somebody else, to us
    state.write_text(json.dumps(content))
    assert read_running(tmp_path / "root") is None


def test_somebody_elses_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(InvalidArgument, match="holds other things"):
        Root(tmp_path).hold(fresh=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(InvalidArgument, match="not a folder"):
        Root(tmp_path / "thesis.tex").hold()


def test_fresh_removes_data_of_the_stack_only(tmp_path: Path) -> None:
    root = Root(tmp_path / "root")
    root.hold()
    root.release(keep_data=True)
    for name in ("nats/jetstream", "s3/data", "mine"):
        (root.path / name).mkdir(parents=True)
    root.hold(fresh=True)
    assert {path.name for path in root.path.iterdir()} == {"lock", "logs", "mine"}
    root.release(keep_data=False)
    assert [path.name for path in root.path.iterdir()] == ["mine"]


def test_abandoned_private_roots_are_removed_and_running_ones_are_not(tmp_path: Path) -> None:
    abandoned, running = Root(private_root(tmp_path)), Root(private_root(tmp_path))
    abandoned.hold()
    abandoned.release(keep_data=True)
    running.hold()
    fresh = private_root(tmp_path)
    assert not fresh.exists()
    assert not abandoned.path.exists()
    assert running.path.exists()


def test_the_default_root_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("KERF_EMBEDDED_ROOT", raising=False)
    assert default_root() == tmp_path / ".local/state/kerf"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert default_root() == tmp_path / "state/kerf"
    monkeypatch.setenv("KERF_EMBEDDED_ROOT", "~/here")
    assert default_root() == tmp_path / "here"


@pytest.mark.parametrize("server", list(Server))
def test_a_missing_server_says_what_to_install(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_server(server).is_file()
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(FailedPrecondition, match=f"pip install --force-reinstall {server.package}"):
        find_server(server)


def test_the_launcher_refuses_an_orphan() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(LAUNCHER), "1", "/bin/echo", "ran"], capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (125, b"")


def test_a_tail_is_short_and_never_fails(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert tail(log) == ""
    log.write_bytes(b"\xff first\n" * 10_000 + b"last\n")
    assert len(tail(log).splitlines()) == 20
    assert tail(log).endswith("last")


@given(
    st.lists(st.tuples(st.sampled_from("+-"), st.integers(1, 20))), st.lists(st.text("abc/ ", min_size=1), max_size=3)
)
def test_the_guard_knows_who_is_left(told: list[tuple[str, int]], paths: list[str]) -> None:
    lines = [f"{kind}{group}\n" for kind, group in told] + [f"~{path}\n" for path in paths]
    groups, files = follow(lines)
    last = {group: kind for kind, group in told}
    assert groups == {group for group, kind in last.items() if kind == "+"}
    assert files == paths
