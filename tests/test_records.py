"""The store between the scripts: whole lines, one record a key, nothing lost."""

import fcntl
import json
import os
import signal
import subprocess
import sys

import pytest

from act.records import (
    InputError,
    Store,
    check_rating,
    check_session,
    rating_key,
    read_jsonl,
    read_unique,
)
from tests.conftest import ROOT

RATING = {
    "session": "sft/p1",
    "condition": "sft",
    "profile": "p1",
    "rater": "r",
    "replicate": 0,
    "act_fm": [0] * 25,
    "tes": [7] * 9,
    "status": "ok",
}


def has_id(record):
    if "id" not in record:
        raise ValueError('"id" is missing')


def test_append_and_read_again(tmp_path):
    file = tmp_path / "deep/s.jsonl"
    with Store(file, has_id) as store:
        store.append({"id": "a", "text": "naïve 🙂"})
    with Store(file, has_id) as store:
        assert "a" in store and "b" not in store
        store.append({"id": "b"})
    assert [record["id"] for record in read_jsonl(file)] == ["a", "b"]
    assert "naïve 🙂" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("cut", [1, 5, 12])
def test_a_torn_last_line_is_cut_off_and_written_again(tmp_path, cut, capsys):
    file = tmp_path / "s.jsonl"
    file.write_bytes(b'{"id": "a"}\n' + b'{"id": "b", "x": "\xc3\xa9"}'[:-cut])
    with Store(file, has_id) as store:
        assert list(store.keys) == ["a"]
        store.append({"id": "b"})
    assert file.read_bytes() == b'{"id": "a"}\n{"id": "b"}\n'
    assert "torn last line" in capsys.readouterr().err


def test_a_whole_last_line_without_newline_is_kept(tmp_path):
    file = tmp_path / "s.jsonl"
    file.write_text('{"id": "a"}')
    with Store(file, has_id) as store:
        store.append({"id": "b"})
    assert [record["id"] for record in read_jsonl(file)] == ["a", "b"]


def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("my notes")
    with pytest.raises(InputError, match="notes.txt:1"):
        Store(file, has_id)
    assert file.read_text() == "my notes"


def test_a_second_record_with_one_id_is_refused(tmp_path):
    file = tmp_path / "s.jsonl"
    with Store(file, has_id) as store:
        store.append({"id": "a"})
        with pytest.raises(ValueError, match="second record with id 'a'"):
            store.append({"id": "a"})
    file.write_text('{"id": "a"}\n{"id": "a"}\n')
    with pytest.raises(InputError, match="s.jsonl:2: a second record"):
        Store(file, has_id)


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "p.jsonl").write_text('{"id": "p1", "archetype": "a"}\n')
    with pytest.raises(InputError, match='p.jsonl:1: "condition" is missing'):
        Store(tmp_path / "p.jsonl", check_session)
    with pytest.raises(InputError, match="cannot be written"):
        Store(tmp_path, check_session)


def test_an_input_file_holds_records_with_ids_of_their_own(tmp_path):
    file = tmp_path / "p.jsonl"
    file.write_text("\n")
    with pytest.raises(InputError, match="no records"):
        read_unique(file, has_id)
    file.write_text('{"id": "a"}\n{"id": "a"}\n')
    with pytest.raises(InputError, match="p.jsonl:2: a second record with id a"):
        read_unique(file, has_id)


def test_half_a_surrogate_pair_is_refused(tmp_path):
    (tmp_path / "p.jsonl").write_text('{"id": "\\ud800"}\n')
    with pytest.raises(InputError, match="p.jsonl:1: .*surrogates not allowed"):
        list(read_jsonl(tmp_path / "p.jsonl"))


def test_two_processes_cannot_write_one_file(tmp_path):
    with Store(tmp_path / "s.jsonl", has_id), pytest.raises(InputError, match="another process"):
        Store(tmp_path / "s.jsonl", has_id)


def test_a_store_that_ends_empty_leaves_no_file(tmp_path):
    """Where a command is refused before its first record, say; what was there before is left
    alone."""
    file = tmp_path / "s.jsonl"
    with pytest.raises(InputError), Store(file, has_id):
        raise InputError("refused")
    assert not file.exists()
    with Store(file, has_id) as store:
        store.append({"id": "a"})
    with Store(file, has_id):
        pass
    assert file.read_text() == '{"id": "a"}\n'


def test_a_store_that_was_removed_while_it_was_opened_is_refused(tmp_path, monkeypatch):
    """Else what is appended to it would be lost."""
    lock = fcntl.flock

    def wait_for_lock(file, how):
        os.remove(file.name)  # what the process that held it does on its way out
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", wait_for_lock)
    with pytest.raises(InputError, match="another process is writing here"):
        Store(tmp_path / "s.jsonl", has_id)


def test_a_full_disk_says_which_file_and_loses_no_record(tmp_path):
    """A limit on the size of files stands for the disk."""
    program = (
        "import resource; from act.cli import run_script; from act.records import Store\n"
        "def main():\n"
        "    with Store('s.jsonl', lambda record: None) as store:\n"
        "        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "        for n in range(9): store.append({'id': n, 'text': 'x' * 20})\n"
        "run_script(main)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "error: s.jsonl: File too large\n")
    with Store(tmp_path / "s.jsonl", has_id) as store:
        assert list(store.keys) == [0, 1]


def test_sigkill_loses_at_most_the_record_in_flight(tmp_path):
    file = tmp_path / "s.jsonl"
    program = (
        "import sys; from act.records import Store\n"
        "with Store(sys.argv[1], lambda record: None) as store:\n"
        "    n = len(store)\n"
        "    print(n, flush=True)\n"
        "    while True:\n"
        "        store.append({'id': n, 'text': 'x' * 5000}); n += 1; print(n, flush=True)\n"
    )
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", program, file], stdout=subprocess.PIPE, text=True
        )
        said = [int(process.stdout.readline()) for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        process.wait()
        with Store(file, has_id) as store:
            assert list(store.keys) == list(range(len(store)))
            assert len(store) >= said[-1]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{broken}\n", ":2: "),
        ("[1]\n", ":2: not a JSON object"),
        ('{"id": 1\n', ":2: "),
        ("\xff\n", ":2: "),
    ],
)
def test_a_broken_line_is_named(tmp_path, line, said):
    file = tmp_path / "s.jsonl"
    file.write_bytes(b'{"id": "a"}\n' + line.encode("latin-1"))
    with pytest.raises(InputError, match=said):
        list(read_jsonl(file))


def turn(**changes):
    return {"client": "c", "thinking": None, "answer": "a", "status": "ok"} | changes


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        ([turn(status="fine")], "turn 1: status"),
        ([turn(), turn(answer="")], 'turn 2 is "ok" but has no answer'),
        ([turn(status="error", answer="HTTP 500")], 'turn 1 is "error" but has an answer'),
        ([turn(answer=3)], '"answer" is int'),
        (["hello"], "turn 1 is not an object"),
    ],
)
def test_a_session_with_a_wrong_turn_is_refused(turns, said):
    session = {"id": "x", "condition": "sft", "profile": {"id": "p", "archetype": "a"}}
    session["status"] = "complete"
    check_session(session | {"turns": [turn()]})
    with pytest.raises(ValueError, match=said):
        check_session(session | {"turns": turns})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"act_fm": [0] * 24}, "list of 25"),
        ({"tes": [0] + [7] * 8}, '"tes" item 1 is 0, outside 1..7'),
        ({"act_fm": [0] * 24 + [1.5]}, '"act_fm" item 25 is 1.5'),
        ({"act_fm": [True] + [0] * 24}, "item 1 is True"),
        ({"act_fm_expected": [0.5] * 24 + [3.2]}, "item 25 is 3.2"),
        ({"status": "context"}, "must be null"),
        ({"replicate": "0"}, '"replicate" is str'),
    ],
)
def test_a_rating_out_of_form_is_refused(change, said):
    check_rating(dict(RATING))
    with pytest.raises(ValueError, match=said):
        check_rating(RATING | change)


def test_ratings_are_kept_by_session_rater_and_replicate(tmp_path):
    with Store(tmp_path / "r.jsonl", check_rating, rating_key) as store:
        store.append(RATING)
        store.append(RATING | {"replicate": 1})
        assert ("sft/p1", "r", 1) in store
    assert json.loads((tmp_path / "r.jsonl").read_text().splitlines()[1])["replicate"] == 1
