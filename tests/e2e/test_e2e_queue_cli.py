"""The commands of a shop with many jobs, as processes against a real gateway: batch, queue, estimate, dead letters."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from e2e_shell import LIMIT_S, Shell
from stack_thread import StackThread

QUICK_JOB = {"job": {"stages": [{"id": "one", "noop": {}}]}}
SLOW_JOB = {"job": {"stages": [{"id": "one", "noop": {"seconds": 600}}]}}
DYING_JOB = {"job": {"stages": [{"id": "one", "noop": {"fail_with": "on purpose"}}]}}


@pytest.fixture
def kerf(noop_stack: StackThread, tmp_path: Path) -> Shell:
    return Shell(noop_stack, tmp_path)


@pytest.mark.timeout(400)
def test_a_batch_is_sent_followed_and_counted(kerf: Shell) -> None:
    done = kerf.answer("batch", kerf.file("twenty.jsonl", *[QUICK_JOB] * 20))
    assert (done["batch"]["succeeded"], done["batch"]["failed"]) == (20, 0)
    assert [each["place"] for each in sorted(done["jobs"], key=lambda each: each["place"])] == list(range(1, 21))
    name = done["batch"]["name"]
    shown = kerf.answer("batch", "show", name)
    assert [job["state"] for job in shown["jobs"]] == ["JOB_STATE_SUCCEEDED"] * 20
    assert len(kerf.answer("jobs", "list", "--batch", name)) == 20
    queue = kerf.answer("queue")
    assert queue["total"]["waiting"] >= 0
    assert queue["free_slots"]["noop"] > 0
    estimate = kerf.answer("estimate", "a fish", "--model", "nobody-asked-for-this")
    assert estimate["total_seconds"] is None
    assert estimate["stages"][0]["samples"] == 0


@pytest.mark.timeout(400)
def test_a_wrong_line_sends_nothing(kerf: Shell) -> None:
    # By name: what an earlier test left may still be ending.
    before = [job["name"] for job in kerf.answer("jobs", "list", "--limit", "1")]
    refused = kerf.answer("batch", kerf.file("bad.jsonl", QUICK_JOB, {"make": "fish", "width": "8"}), code=2)
    assert [each["field"] for each in refused["error"]["violations"]] == ["line 2"]
    assert [job["name"] for job in kerf.answer("jobs", "list", "--limit", "1")] == before


@pytest.mark.timeout(400)
def test_an_interrupted_batch_goes_on_until_it_is_cancelled(kerf: Shell) -> None:
    with kerf.start("batch", kerf.file("slow.jsonl", QUICK_JOB, SLOW_JOB)) as process:
        assert process.stderr is not None
        heard = ""
        while "running" not in heard:
            line = process.stderr.readline()
            assert line, heard
            heard += line
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130
    name = next(word for word in heard.split() if word.startswith("batches/")).rstrip(":")
    assert f"`kerf batch fetch {name}`" in rest
    assert kerf.answer("batch", "show", name)["batch"]["cancelled"] == 0
    kerf.answer("batch", "cancel", name, "--reason", "enough")
    ended = kerf.answer("batch", "fetch", name, code=1)
    assert [each["state"] for each in sorted(ended["jobs"], key=lambda each: each["place"])] == [
        "SUCCEEDED",
        "CANCELLED",
    ]


@pytest.mark.timeout(400)
def test_a_dead_letter_is_found_and_tried_again(kerf: Shell) -> None:
    dead = kerf.answer("batch", kerf.file("dying.jsonl", DYING_JOB), code=1)["jobs"][0]
    assert dead["error"]["message"]
    letters = {letter["job"]["name"]: letter for letter in kerf.answer("jobs", "dead")}
    letter = letters[dead["job"]]
    again = kerf.answer("jobs", "retry", dead["job"], "--tenant", letter["tenant"])
    assert again["retry_of"] == dead["job"]
