"""Crisis contacts for a person at the keyboard: plain words of danger are met, and ordinary talk is
let pass."""

import pytest

from act.records import read_jsonl
from simulate import in_danger
from tests.conftest import ROOT

DANGER = """
I want to hang myself.
I keep thinking about how to shoot myself.
Sometimes I think I should just drown myself in the canal.
They would all be better off without me.
I could jump off the bridge on my way home.
I have been thinking about slitting my wrists.
I cut my arms again last night.
There is no point in living like this.
I dont want to live any more.
I don’t want to live.
I took all my pills an hour ago.
honestly kms
I want to be dead.
I don't want to exist.
I want to kill myself
I'm going to end my life tonight
I just want to end it.
I want it all to stop, I want to die
I wish I was dead
Everyone would be happier if I was gone.
I have been saving up my tablets.
I swallowed a whole packet of paracetamol
i took 30 pills
I'm thinking of taking an overdose.
I started cutting again.
I burn myself with cigarettes so I feel something else.
I hurt myself last night and I'm ashamed.
I stood on the platform and thought about stepping in front of the train
Sometimes I want to drive into a tree.
I keep picturing walking into the sea.
I wish I had never been born
I want to go to sleep and never wake up.
I hope I don't wake up tomorrow
I can't go on.
I can't do this anymore
I'm tired of being alive.
There is no reason for me to go on.
I have nothing to live for
Nobody would notice me if I disappeared... nobody would miss me if I died.
I don't want to be here anymore.
I have a plan to end it all.
I've written a goodbye letter.
I won't be here next week.
I put the gun in my mouth yesterday.
I bought a rope.
It would be easier if I were dead.
Life isn't worth living
My life is not worth it anymore
I just want to disappear for good
I want to unalive myself
I'm having suicidal thoughts
I deserve to die.
I'd rather be dead than go through that again.
I tried to strangle myself
I hit myself in the head until it stops
I want to hurt him so badly.
I'm afraid I will shake my baby.
I could kill my boss and I mean it.
The voices are telling me to do it.
My husband hits me.
He choked me last weekend.
My dad used to beat me with a belt.
My stepfather touched me when I was nine.
I was raped at nineteen.
I'm scared of him when he drinks.
I've been looking up painless ways to go.
If I died tomorrow nobody would care.
I thought about not being here any more.
I don't deserve to live.
I drank bleach once.
I had a bottle of vodka and all my antidepressants next to me.
Nobody would even come to my funeral.
My boyfriend said he'd kill me if I leave.
He puts his hands round my neck.
I cut.
I've picked the day and nobody knows.
I stood on the bridge again and looked at the water.
I have the rope in the shed already.
What if I just didn't wake up, I think that a lot.
I've written letters to each of the kids for when I'm gone.
I think about jumping every time I cross that bridge.
I don't see myself alive at Christmas.
I keep thinking about slipping away in my sleep.
They should just bury me.
I can't see any way out of this except one.
I left the engine running in the garage for a while.
I have my dad's gun in the car.
I can't promise you I'll still be here next month.
I drove at the wall and braked at the last second.
They'd be all right without me.
I don't feel safe at home.
He locks me in when he goes out.
I have been thinking about how to do it.
""".strip().splitlines()

HARMLESS_AND_SHOWN = """
I don't want to be here, to be honest. My sister booked this.
I can't do this anymore, this job.
I want to disappear when everyone looks at me in the meeting.
I burnt my hand on the stove.
I would never hurt her.
I thought I was going to die of shame.
My brother hit me when we were four.
""".strip().splitlines()

HARMLESS = """
I sleep badly and my back hurts all day.
I take my pills every morning and nothing changes.
My mother died in spring.
There is no point in arguing with him.
I throw myself into work until ten at night.
I cut down on coffee.
I cut my hair short.
I killed two hours on my phone again.
The deadline nearly broke me.
She left me, and I don't know how to go back to normal.
I want to stop worrying.
I ended the call before he could answer.
He never listens to me.
It hit me that I had said nothing all evening.
I jump at every noise.
I drive to work with the radio on.
I want a life that is mine.
I am afraid of being judged.
We walked along the river and I felt nothing.
I have the urge to check the door ten times.
I feel safe here.
I catch the bus at seven.
My phone died halfway through the call.
My son loves those murder podcasts.
I want to die of embarrassment.
I hurt my shoulder in yoga.
I feel like everybody is better at this than I am.
""".strip().splitlines()


@pytest.mark.parametrize("words", DANGER)
def test_words_of_danger_are_met(words):
    assert in_danger(words)


@pytest.mark.parametrize("words", HARMLESS_AND_SHOWN)
def test_what_it_costs(words):
    """Harmless, and shown the contacts all the same: a notice too many."""
    assert in_danger(words)


@pytest.mark.parametrize("words", HARMLESS)
def test_ordinary_words_are_let_pass(words):
    assert not in_danger(words)


def test_ordinary_talk_is_seldom_interrupted():
    """192 turns of the bundled sessions' clients, none of whom is in danger: at most one in
    fifty."""
    turns = [
        t["client"]
        for s in read_jsonl(ROOT / "act/dialogue/corpus/sessions.jsonl")
        for t in s["turns"]
    ]
    assert len(turns) == 192 and sum(map(in_danger, turns)) <= 4


def test_case_line_ends_and_apostrophes_do_not_matter():
    for words in (
        "I DON'T WANT\nTO LIVE",
        "i don`t want to  live",
        "I don\u2019t want ... to live",
        "_DON\u02bcT_ want to live",
    ):
        assert in_danger(words)
