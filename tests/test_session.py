"""The session loop with scripted speakers: what each sees, which statuses end a session, what may enter it."""

from act.dialogue.chat import Reply
from act.dialogue.profiles import draw_twists, make_profiles
from act.dialogue.prompts import CLIENT_OPENING, cot_reply, therapist_prompt
from act.dialogue.session import hold_sessions, new_session, seed_from
from act.model.sampler import Sampling
from act.records import check_session


class Scripted:
    """A ChatModel that answers with `say(ask, n)`, where n counts the asks of the conversation from 1."""

    name = "scripted"
    sampling = Sampling(1.0, 1.0, 50)

    def __init__(self, say):
        self.say, self.asks = say, []

    def reply(self, asks):
        replies = []
        for ask in asks:
            self.asks.append(ask)
            said = self.say(ask, sum(a.key == ask.key for a in self.asks))
            replies.append(said if isinstance(said, Reply) else Reply(said, "ok", 10, 5))
        return replies


def hold(therapist, client, turns=3, cot=False, condition="sft", n=1, form="observe", seed=0):
    therapist, client = Scripted(therapist), Scripted(client)
    sessions = [new_session(condition, profile, therapist, client, form, seed) for profile in make_profiles(n, 0)]
    rounds = [[s["id"] for s in going] for going in hold_sessions(sessions, therapist, client, turns, cot)]
    for session in sessions:
        check_session(session)
    return sessions, therapist, client, rounds


def test_both_see_the_history_of_answers_only():
    (session,), therapist, client, _ = hold(
        lambda ask, n: cot_reply(f"secret {n}", f"answer {n}"), lambda ask, n: f"words {n}", cot=True
    )
    last = therapist.asks[-1].messages
    assert last[0] == {"role": "system", "content": therapist_prompt(True)}
    assert [m["content"] for m in last[1:]] == ["words 1", "answer 1", "words 2", "answer 2", "words 3"]
    assert [m["content"] for m in client.asks[-1].messages[1:]] == [
        CLIENT_OPENING,
        "words 1",
        "answer 1",
        "words 2",
        "answer 2",
    ]
    assert [turn["thinking"] for turn in session["turns"]] == ["secret 1", "secret 2", "secret 3"]
    assert not any("secret" in m["content"] for ask in therapist.asks + client.asks for m in ask.messages)


def test_trap_18_a_reply_out_of_form_is_asked_for_once_more_then_ends_the_session():
    (session,), therapist, _, rounds = hold(lambda ask, n: "no labels", lambda ask, n: "hello", cot=True)
    assert len(therapist.asks) == 2 and therapist.asks[0].seed != therapist.asks[1].seed
    assert session["status"] == "format" and rounds == [[]]
    assert session["turns"][-1]["answer"] is None and "no labels" not in str(session)


def test_trap_18_the_second_try_counts():
    def second_time(ask, n):
        return "no labels" if n == 1 else cot_reply("t", "a")

    (session,), *_ = hold(second_time, lambda ask, n: "hello", turns=2, cot=True)
    assert session["status"] == "complete" and [t["status"] for t in session["turns"]] == ["ok", "ok"]


def test_errors_and_full_contexts_end_a_session_and_never_enter_it():
    for status in ("error", "context"):
        fault = Reply("" if status == "context" else "HTTP 500 at host", status, 10, 0)
        (session,), therapist, client, _ = hold(lambda ask, n, f=fault: f if n == 2 else "fine", lambda ask, n: "hi")
        assert session["status"] == status and len(session["turns"]) == 2 and len(client.asks) == 2
        assert session["turns"][1]["answer"] is None and "HTTP" not in str(session)


def test_a_client_that_fails_ends_the_session_before_the_therapist_is_asked():
    (session,), therapist, _, _ = hold(
        lambda ask, n: "fine", lambda ask, n: Reply("HTTP 500", "error", 5, 0) if n == 2 else "hi"
    )
    assert session["status"] == "error" and len(therapist.asks) == 1
    assert session["turns"][1]["client"] == "" and "HTTP" not in str(session)


def test_a_cut_off_answer_goes_on_and_is_marked():
    (session,), *_ = hold(lambda ask, n: Reply("cut o", "length", 9, 50), lambda ask, n: "hi", turns=2)
    assert session["status"] == "complete"
    assert [(t["status"], t["response_tokens"]) for t in session["turns"]] == [("length", 50), ("length", 50)]


def test_one_session_that_ends_does_not_stop_the_others():
    def fail_second(ask, n):
        return Reply("", "error", 1, 0) if ask.key == "sft/p002" and n == 2 else "fine"

    sessions, *_, rounds = hold(fail_second, lambda ask, n: "hi", n=3)
    assert [s["status"] for s in sessions] == ["complete", "error", "complete"]
    assert rounds[1] == rounds[2] == ["sft/p001", "sft/p003"]


def test_twists_are_equal_in_all_conditions_and_hidden_from_the_therapist():
    def notes(condition):
        (session,), therapist, client, _ = hold(
            lambda ask, n: "fine", lambda ask, n: "hi", turns=18, condition=condition, seed=0
        )
        assert not any("Private note" in m["content"] for ask in therapist.asks for m in ask.messages)
        found = {i: turn["note"] for i, turn in enumerate(session["turns"], 1) if turn["note"]}
        for number, note in found.items():
            assert note in client.asks[number - 1].messages[-1]["content"]
        return found

    assert notes("sft") == notes("orpo") == draw_twists(0, "p001", 18) != {}


def test_seeds_differ_by_everything_they_are_made_of():
    held = [hold(lambda a, n: "x", lambda a, n: "y", turns=2, condition=c, n=2)[1] for c in ("sft", "orpo")]
    seeds = [ask.seed for therapist in held for ask in therapist.asks]
    assert len(set(seeds)) == 8
    assert seed_from(0, "sft", "p001") == 6635599874003122185 and seed_from(1, 2) != seed_from(12)


def test_enforcing_the_form_is_asked_for_in_cot_conditions_only():
    for condition, cot, form, wanted in (("sft-cot", True, "enforce", True), ("sft", False, "enforce", False)):
        _, therapist, _, _ = hold(lambda a, n: cot_reply("t", "a"), lambda a, n: "y", 1, cot, condition, 1, form)
        assert [ask.enforce for ask in therapist.asks] == [wanted]
    _, therapist, _, _ = hold(lambda a, n: cot_reply("t", "a"), lambda a, n: "y", 1, True, "sft-cot")
    assert [ask.enforce for ask in therapist.asks] == [False]
