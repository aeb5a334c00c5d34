"""SIGKILL at random moments of generate.py and simulate.py, the same command again: nothing lost,
nothing done twice.

The models are a fake endpoint whose words depend on the request alone, and a tiny checkpoint. Each
request carries a seed that belongs to one reply of one turn, so the server's log tells what was
asked for again.
"""

import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from act.dialogue.profiles import make_profiles
from act.dialogue.prompts import cot_reply, supervisor_prompt, therapist_prompt
from act.dialogue.session import REVISIONS, seed_from
from act.records import check_session, read_jsonl
from generate import ATTEMPTS
from tests.conftest import ROOT
from tests.fake_server import LOADING, serving

KEY = "sk-secret-0d1e2f3a"
PROFILES = 6


def say(body: dict, n: int):
    """Words that depend on the request alone; now and then a passing fault; a supervisor who sends
    some drafts back."""
    if n % 17 == 0:
        return LOADING
    system = body["messages"][0]["content"]
    token = body["seed"] % 1000
    if system in (supervisor_prompt("client"), supervisor_prompt("therapist")):
        return "REVISE: Say it in other words." if token % 3 == 0 else "ACCEPT"
    words = f"So {token} it is, after {len(body['messages'])} messages."
    return cot_reply("Hm.", words) if system == therapist_prompt(True) else words


def turn_of(condition: str, speakers: tuple[str, ...], turns: int) -> dict[int, tuple[str, int]]:
    """Seed in a request's body -> (session, turn)."""
    table = {}
    for profile in (f"p{i + 1:03d}" for i in range(PROFILES)):
        for number in range(1, turns + 1):
            for revision in range(REVISIONS + 1):
                for attempt in ("first", "again"):
                    for who in speakers:
                        what = (who, number, revision)
                        for parts in ((*what, attempt), ("supervisor", *what)):
                            seed = seed_from(0, condition, profile, *parts) % 2**31
                            table[seed] = (f"{condition}/{profile}", number)
    return table


def pair_of(models: tuple[str, ...], turns: int) -> dict[int, tuple[str, int]]:
    """Seed in a request's body -> (session, turn) of the pair it is for."""
    return {
        seed_from(0, f"transcript/p{i + 1:03d}/{number}", model, attempt) % 2**31: (
            f"transcript/p{i + 1:03d}",
            number,
        )
        for i in range(PROFILES)
        for number in range(1, turns + 1)
        for model in models
        for attempt in range(ATTEMPTS)
    }


def finished(out: Path) -> set[tuple[str, int]]:
    """The turns that are stored, in whole sessions or in the journal, or that pairs are stored
    of."""
    turns = set()
    if out.is_file():
        for record in read_jsonl(out):
            if "chosen" in record:
                session, _, number = record["id"].rpartition("/")
                turns.add((session, int(number)))
            else:
                turns |= {(record["id"], number) for number in range(1, len(record["turns"]) + 1)}
    part = Path(f"{out}.part")
    if part.is_file():
        for record in read_jsonl(part):
            session, _, number = record["id"].rpartition("#")
            turns.add((session, int(number)))
    return turns


def kill_and_go_on(
    words: list, folder: Path, out: Path, fake, table: dict, kills: int, calls: int
) -> str:
    """Run a command of some `calls`, kill it `kills` times, let it end; checks the server's log
    after each death."""
    draw = random.Random(len(words) + kills)
    command = [sys.executable, str(ROOT / words[0]), *map(str, words[1:])]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "ACT_API_KEY": KEY}
    said = ""
    for last in [False] * kills + [True]:
        done, asked = finished(out), len(fake.requests)
        assert done <= set(table.values())
        with open(folder / "said", "w+") as file:
            process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=file, stderr=file
            )
            if last:
                assert process.wait(300) == 0, (folder / "said").read_text()
            else:
                enough = asked + draw.randint(0, calls // kills)
                while len(fake.requests) < enough and process.poll() is None:
                    time.sleep(0.01)
                time.sleep(draw.uniform(0, 0.1))
                process.kill()
                process.wait()
            file.seek(0)
            said += file.read()
        time.sleep(0.1)  # for what was under way
        seeds = {request["body"]["seed"] for request in fake.requests[asked:]}
        again = {table[seed] for seed in seeds & table.keys()} & done
        assert not again, f"asked again for turns that were stored: {again}"
    return said


def write_profiles(folder: Path) -> None:
    (folder / "p.jsonl").write_text(
        "".join(json.dumps(p) + "\n" for p in make_profiles(PROFILES, 0))
    )


def plain(sessions: list[dict]) -> dict[str, dict]:
    """Sessions by id without the number of attempts, which faults decide."""
    for session in sessions:
        for turn in session["turns"]:
            for call in turn.get("calls", []):
                call.pop("attempts")
    return {session["id"]: session for session in sessions}


def no_key_in(folder: Path, said: str) -> None:
    assert KEY not in said
    for path in folder.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


@pytest.mark.slow
@pytest.mark.parametrize("kills", [2, pytest.param(30, marks=pytest.mark.soak)])
def test_generate_sessions_and_pairs_survive_kills(tmp_path, kills):
    turns = 8
    table = turn_of("transcript", ("client", "therapist"), turns)
    with serving(say, delay=0.02) as fake:
        m = f"m@{fake.url}"
        sessions = ["generate.py", "sessions", "--profiles", "p.jsonl", "--out", "s.jsonl"]
        sessions += ["--therapist", m, "--client", m, "--supervisor", m, "--turns", turns]
        pairs = ["generate.py", "pairs", "--sessions", "s.jsonl", "--out", "d.jsonl"]
        # a death loses a chosen answer, and the rejected one under way, of each open session
        pairs += ["--chosen", f"c@{fake.url}", "--rejected", m, "--cot", "--batch", 2]
        for words in (sessions, pairs):
            words += ["--concurrency", 4]
        results = []
        for folder, deaths in ((tmp_path / "whole", 0), (tmp_path / "killed", kills)):
            folder.mkdir()
            write_profiles(folder)
            said = kill_and_go_on(sessions, folder, folder / "s.jsonl", fake, table, deaths, 240)
            assert f"{PROFILES} sessions in s.jsonl: {PROFILES} complete" in said
            held = list(read_jsonl(folder / "s.jsonl", check_session))
            assert len(held) == PROFILES and not (folder / "s.jsonl.part").exists()
            asked = len(fake.requests)
            drawn = pair_of(("c", "m"), turns)
            said += kill_and_go_on(pairs, folder, folder / "d.jsonl", fake, drawn, deaths, 96)
            assert {r["body"]["seed"] for r in fake.requests[asked:]} <= drawn.keys()
            made = list(read_jsonl(folder / "d.jsonl"))
            assert len({pair["id"] for pair in made}) == len(made) == PROFILES * turns
            assert len(fake.requests) - asked <= 2 * len(made) * 18 / 17 + 1 + deaths * 4
            no_key_in(folder, said)
            results.append((plain(held), {pair["id"]: pair for pair in made}))
    assert results[0] == results[1]
    past = [turn for session in results[0][0].values() for turn in session["turns"]]
    drafts = [draft for turn in past for draft in turn.get("drafts", [])]
    assert {draft["speaker"] for draft in drafts} == {"client", "therapist"}


@pytest.mark.slow
@pytest.mark.parametrize("kills", [2, pytest.param(30, marks=pytest.mark.soak)])
def test_simulate_survives_kills(tmp_path, folder, kills):
    turns, conditions = 5, ("instruct", "instruct-cot")
    table = {}
    for condition in conditions:
        table |= turn_of(condition, ("client",), turns)
    results = []
    with serving(say, delay=0.05) as fake:
        words = ["simulate.py", "--model", folder, "--client", f"m@{fake.url}", "--turns", turns]
        words += ["--profiles", "p.jsonl", "--conditions", ",".join(conditions)]
        words += ["--max-new-tokens", 6, "--batch", 4, "--concurrency", 4, "--out", "s.jsonl"]
        for where, deaths in ((tmp_path / "whole", 0), (tmp_path / "killed", kills)):
            where.mkdir()
            write_profiles(where)
            said = kill_and_go_on(words, where, where / "s.jsonl", fake, table, deaths, 36)
            held = list(read_jsonl(where / "s.jsonl", check_session))
            assert len(held) == PROFILES * 2 and not (where / "s.jsonl.part").exists()
            no_key_in(where, said)
            results.append(plain(held))
    assert results[0] == results[1]
    statuses = {(s["condition"], s["status"]) for s in results[0].values()}
    # a random model keeps no form
    assert statuses == {("instruct", "complete"), ("instruct-cot", "format")}


@pytest.mark.slow
@pytest.mark.parametrize("kills", [2, pytest.param(30, marks=pytest.mark.soak)])
def test_replayed_sessions_of_unequal_lengths_survive_kills(tmp_path, kills):
    """The therapist is the endpoint; the clients have 2 to 7 lines, of which --turns 6 takes 26."""
    table, conditions, lengths = {}, ("instruct", "instruct-cot"), range(2, PROFILES + 2)
    for condition in conditions:
        table |= turn_of(condition, ("therapist",), 6)
    rows = [
        {"id": f"p{i + 1:03d}", "turns": [{"client": f"{i}, {n}."} for n in range(length)]}
        for i, length in enumerate(lengths)
    ]
    results = []
    with serving(say, delay=0.05) as fake:
        words = ["simulate.py", "--model", f"m@{fake.url}", "--client", "c.jsonl", "--turns", 6]
        words += ["--conditions", ",".join(conditions), "--batch", 4, "--concurrency", 4]
        words += ["--out", "s.jsonl"]
        for where, deaths in ((tmp_path / "whole", 0), (tmp_path / "killed", kills)):
            where.mkdir()
            (where / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            said = kill_and_go_on(words, where, where / "s.jsonl", fake, table, deaths, 52)
            assert f"{2 * PROFILES} sessions in s.jsonl: {2 * PROFILES} complete" in said
            assert not (where / "s.jsonl.part").exists()
            results.append(plain(list(read_jsonl(where / "s.jsonl", check_session))))
    assert results[0] == results[1]
    for session in results[0].values():
        said = [turn["client"] for turn in session["turns"]]
        row = next(row for row in rows if row["id"] == session["profile"]["id"])
        assert said == [turn["client"] for turn in row["turns"]][:6]
    assert sum(len(session["turns"]) for session in results[0].values()) == 52


@pytest.mark.slow
def test_two_processes_cannot_write_one_file(tmp_path):
    """The first is kept waiting for its replies until the second is gone."""
    write_profiles(tmp_path)
    gone = threading.Event()

    def say_later(body, n):
        gone.wait(60)
        return say(body, n)

    with serving(say_later) as fake:
        m = f"m@{fake.url}"
        words = ["sessions", "--profiles", "p.jsonl", "--therapist", m, "--client", m]
        words += ["--turns", "1", "--out", "s.jsonl"]
        command = [sys.executable, str(ROOT / "generate.py"), *words]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        first = subprocess.Popen(command, cwd=tmp_path, **quiet)
        while not fake.requests:
            time.sleep(0.05)
        second = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        gone.set()
        assert second.returncode == 2 and "another process is writing here" in second.stderr
        assert first.wait(120) == 0
    assert len(list(read_jsonl(tmp_path / "s.jsonl", check_session))) == PROFILES
