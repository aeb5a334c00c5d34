"""SIGKILL in the middle of judge.py rate, check and tune-data, the same command again: nothing lost
or asked twice.

While the first process writes, a second one is refused.
"""

import json
import signal
import subprocess
import sys
import time

import pytest

import judge as judge_script
from act.cli import run_script
from act.records import read_jsonl
from tests.conftest import ROOT
from tests.fake_server import serving
from tests.made_ratings import write
from tests.test_served_judge import CORPUS, RATED, as_json


def lines_of(path):
    return path.read_bytes().count(b"\n") if path.is_file() else 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "records"), [("rate", 2 * 8), ("check", 296), ("tune-data", 2 * 8 * 34)]
)
def test_a_killed_judge_goes_on_where_it_was(command, records, tmp_path, monkeypatch, refused):
    sessions = list(read_jsonl(CORPUS))[:8]
    human = [
        {"session": s["id"], "condition": s["condition"], "profile": s["profile"]["id"]}
        | {"rater": rater, "replicate": 0, "act_fm": RATED[:25], "tes": RATED[25:]}
        | {"status": "ok", "attempts": 1}
        for s in sessions
        for rater in ("anna", "ben")
    ]
    write(tmp_path / "sessions.jsonl", sessions)
    write(tmp_path / "human.jsonl", human)
    files = {"rate": "out.jsonl", "check": "out.judgements.jsonl", "tune-data": "out.jsonl"}
    with serving(lambda body, n: as_json(RATED), delay=0.02) as server:
        spec = f"m@{server.url}"
        words = {
            "rate": f"--sessions sessions.jsonl --judge {spec} --replicates 2 --concurrency 2",
            "check": f"--judge {spec} --concurrency 4",
            "tune-data": "--sessions sessions.jsonl --human human.jsonl",
        }[command].split()
        out = "out.json" if command == "check" else "out.jsonl"
        words = ["judge.py", command, *words, "--out", out]
        kept = tmp_path / files[command]
        process = subprocess.Popen(
            [sys.executable, str(ROOT / words[0]), *words[1:]],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while lines_of(kept) < 3 and process.poll() is None:
                time.sleep(0.005)
            process.send_signal(signal.SIGSTOP)  # it holds the file, and gets no further
            assert "another process is writing here" in refused(*words)
        finally:
            process.kill()
            process.wait()
        stored, asked = lines_of(kept), len(server.requests)
        assert 3 <= stored < records
        time.sleep(0.1)  # for what was under way
        monkeypatch.setattr("sys.argv", words)
        run_script(judge_script.main)
        held = list(read_jsonl(kept))
        assert (
            len(held)
            == records
            == len({json.dumps([r.get("id"), r.get("session"), r.get("replicate")]) for r in held})
        )
        if command != "tune-data":
            assert (
                len(server.requests) - asked <= records - stored + 4
            )  # what was under way is asked for again
    if command == "check":
        assert json.loads((tmp_path / "out.json").read_text())["unrated"] == 0
