"""`kerf admin` against a real gateway: dead letters of all tenants, and a tenant that is deleted."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nats
import pytest

from e2e_shell import LIMIT_S, Shell
from kerf_client.cli import main
from kerf_core.auth import new_api_key, store_api_key
from stack_thread import StackThread, running_stack, service

QUICK_JOB = {"job": {"stages": [{"id": "one", "noop": {}}]}}
DYING_JOB = {"job": {"stages": [{"id": "one", "noop": {"fail_with": "on purpose"}}]}}
NEVER = "jobs/0000000000000000"
OPERATORS_TENANT = "local"
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackThread]:
    gateway = service("gateway", TENANT_DELETION_SETTLE="3", ACCEPT_RETRY_FOR="1")
    with running_stack(tmp_path_factory.mktemp("stack"), gateway, service("noop", "kerf_core.noop")) as running:
        yield running


@dataclass(frozen=True)
class Terminal:
    """Where somebody with one API key types commands; they run in this process, which saves a start for each."""

    stack: StackThread
    api_key: str
    folder: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, *words: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr."""
        self.capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("KERF_CLIENT_GATEWAY", self.stack.info.gateway_target)
            patch.setenv("KERF_CLIENT_API_KEY", self.api_key)
            patch.chdir(self.folder)
            code = main(words)
        said = self.capsys.readouterr()
        return code, said.out, said.err

    def answer(self, *words: str, code: int = 0) -> Any:
        """The JSON value that the command prints."""
        found, out, err = self.run(*words, "--json")
        assert found == code, f"{words}\n{out}\n{err}"
        return json.loads(out)

    def jobs(self, *lines: object, code: int = 0) -> list[str]:
        """Send a batch to its end; the names of its jobs."""
        (self.folder / "work.jsonl").write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
        return [str(each["job"]) for each in self.answer("batch", "work.jsonl", code=code)["jobs"]]

    def tenant(self, name: str) -> Terminal:
        """The same for a new tenant, who is no operator."""
        key = new_api_key()

        async def store() -> None:
            info = self.stack.info
            client = await nats.connect(info.nats_url, user=info.nats_user, password=info.nats_password)
            try:
                await store_api_key(client.jetstream(), key, name)
            finally:
                await client.close()

        asyncio.run(store())
        return replace(self, api_key=key)


@pytest.fixture
def kerf(stack: StackThread, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """An operator's."""
    return Terminal(stack, stack.info.api_key, tmp_path, capsys)


def test_dead_letters_of_tenants_are_found_and_tried_again(kerf: Terminal) -> None:
    mine = kerf.jobs(DYING_JOB, DYING_JOB, code=1)
    (theirs,) = kerf.tenant("shop-1").jobs(DYING_JOB, code=1)
    letters = {each["job"]["name"]: each["tenant"] for each in kerf.answer("admin", "dead-letters")}
    assert letters.items() >= {mine[0]: OPERATORS_TENANT, mine[1]: OPERATORS_TENANT, theirs: "shop-1"}.items()
    code, out, err = kerf.run("admin", "dead-letters", "--tenant", "shop-1", "--limit", "5")
    assert code == 0
    assert out.startswith(f"shop-1  noop  {theirs}  FAILED")
    assert out.count("\n") == 1
    assert "kerf admin retry" in err
    again = kerf.answer("admin", "retry", mine[0], theirs.removeprefix("jobs/"), mine[0])
    assert [each["retry_of"] for each in again] == [mine[0], theirs], "whose each is was looked up"
    named = kerf.answer("admin", "retry", "--tenant", "shop-1", theirs)
    assert [each["retry_of"] for each in named] == [theirs]


def test_nothing_is_tried_again_where_one_is_no_dead_letter(kerf: Terminal) -> None:
    (dead,) = kerf.jobs(DYING_JOB, code=1)
    (done,) = kerf.jobs(QUICK_JOB)
    refused = kerf.answer("admin", "retry", dead, done, NEVER, code=2)["error"]
    assert refused["reason"] == "DEAD_LETTER_NOT_FOUND"
    assert done in refused["message"]
    assert NEVER in refused["message"]
    assert dead not in refused["message"]
    assert dead not in [job.get("retry_of") for job in kerf.answer("jobs", "list")]


def test_what_was_made_before_an_error_is_told(kerf: Terminal) -> None:
    (dead,) = kerf.jobs(DYING_JOB, code=1)
    code, out, err = kerf.run("admin", "retry", "--tenant", OPERATORS_TENANT, dead, NEVER)
    assert code == 2
    made = out.split()[0]
    assert f"{made} was made before this error, for {dead}" in err


def test_a_tenant_is_deleted_while_one_looks(kerf: Terminal) -> None:
    kerf.tenant("leaver").jobs(QUICK_JOB, QUICK_JOB)
    code, out, err = kerf.run("admin", "delete-tenant", "leaver", "--yes")
    assert code == 0, err
    assert out.startswith("leaver  deleted  ")
    assert "2 jobs" in out
    assert "1 API keys" in out
    assert "removed so far" in err
    shown = kerf.answer("admin", "deletion", "leaver")
    assert (shown["state"], shown["jobs"]) == ("TENANT_DELETION_STATE_DONE", "2")
    assert shown["uploads"] == "0", "what was not there is told as 0"
    assert len(kerf.tenant("leaver").jobs(QUICK_JOB)) == 1, "the name is free again"


def test_the_name_is_asked_for(kerf: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    stayer = kerf.tenant("stayer")
    stayer.jobs(QUICK_JOB)
    command = ["admin", "delete-tenant", "stayer", "--detach"]
    for typed in ("", "stay\n", "\n"):
        code, _, err = typed_at(kerf, monkeypatch, typed, command)
        assert code == 2
        assert "type its name" in err
        assert "nothing was deleted" in err
    monkeypatch.setattr("sys.stdin", None)
    assert kerf.run(*command)[0] == 2
    assert kerf.answer("admin", "deletion", "stayer", code=2)["error"]["reason"] == "DELETION_NOT_FOUND"
    code, out, err = typed_at(kerf, monkeypatch, "stayer\n", command)
    assert code == 0
    assert out.startswith("stayer  is being deleted  ")
    assert "`kerf admin deletion stayer` shows how far it is" in err
    assert kerf.answer("admin", "deletion", "stayer")["tenant"] == "stayer"


def typed_at(kerf: Terminal, monkeypatch: pytest.MonkeyPatch, text: str, command: list[str]) -> tuple[int, str, str]:
    """Run a command with a pipe as stdin, and the same once more with a file where it was refused."""
    (kerf.folder / "typed").write_text(text)
    reading, writing = os.pipe()
    os.write(writing, text.encode())
    os.close(writing)
    with open(reading, encoding="utf-8") as pipe:
        monkeypatch.setattr("sys.stdin", pipe)
        found = kerf.run(*command)
    with (kerf.folder / "typed").open(encoding="utf-8") as file:
        monkeypatch.setattr("sys.stdin", file)
        assert kerf.run(*command)[0] == found[0]
    return found


def test_ctrl_c_at_the_question_deletes_nothing(kerf: Terminal) -> None:
    terminal, end = pty.openpty()
    with Shell(kerf.stack, kerf.folder).start("admin", "delete-tenant", "nobody", stdin=end) as process:
        assert process.stderr is not None
        assert "type its name" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=LIMIT_S)
    os.close(terminal)
    os.close(end)
    assert process.returncode == 130
    assert "nothing was deleted" in rest
    assert kerf.answer("admin", "deletion", "nobody", code=2)["error"]["reason"] == "DELETION_NOT_FOUND"


def test_only_operators_and_never_their_own_tenant(kerf: Terminal) -> None:
    shop = kerf.tenant("shop-2")
    for words in (
        ["dead-letters"],
        ["retry", NEVER, "--tenant", "shop-2"],
        ["delete-tenant", "shop-2", "--yes"],
        ["deletion", "shop-2"],
    ):
        assert shop.answer("admin", *words, code=2)["error"]["reason"] == "OPERATORS_ONLY", words
    own = kerf.answer("admin", "delete-tenant", OPERATORS_TENANT, "--yes", code=2)["error"]
    assert own["reason"] == "OWN_TENANT"
    wrong = kerf.answer("admin", "delete-tenant", "No Such", "--yes", code=2)["error"]
    assert [each["field"] for each in wrong["violations"]] == ["tenant"]
