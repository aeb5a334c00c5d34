"""Synthetic clients: who they are, how they behave in a session, and what unsettles them on the
way.

Every draw is from a seed and a name: profile and hidden notes are the same in every condition; what
is said is not.
"""

import hashlib
import random

ARCHETYPES = {
    "hopeless-skeptic": "You have tried things before and nothing lasted, so you expect this to fail too. You meet "
    "invitations with reasons why they cannot work and turn flat or sarcastic at any hopefulness. You soften only "
    "when nobody is selling you anything.",
    "intellectualiser": "You explain yourself: theories, causes, articles you have read. Asked what you feel, you say "
    "what you think, and you question the method when it comes close. Now and then something plain slips out, and "
    "you cover it with an analysis.",
    "anxious-fortune-teller": "You live in the next disaster and state predictions as facts. You ask whether it will "
    "be all right and press for guarantees and tips. A pause helps for a moment; then the next what-if arrives.",
    "overwhelmed-avoider": "Everything is too much, so you change the subject, say you do not know, or go quiet. When "
    "something painful comes near, you joke or put it off to another day. You agree quickly and then do not do it.",
}

STAGES = {"20-29": "young", "30-39": "young", "40-49": "middle", "50-59": "middle", "60-69": "late"}
GENDERS = ("woman", "woman", "woman", "man", "man", "man", "non-binary person")

# Lists by stage of life: a client draws from "any" and from their own stage, so that nobody retires
# at twenty.
OCCUPATIONS = {
    "any": (
        "a night-shift nurse",
        "a bus driver",
        "a secondary-school teacher",
        "a bookkeeper in a small firm",
        "a self-employed carpenter",
        "a warehouse team leader",
        "a hotel receptionist",
        "a translator working from home",
        "a market gardener",
        "a paramedic",
        "a hairdresser with a chair of your own",
    ),
    "young": (
        "a student in your last year",
        "an apprentice electrician",
        "a junior software tester",
        "a bar worker with two other jobs",
    ),
    "middle": (
        "a project manager in a housing office",
        "a head chef",
        "a laboratory technician",
        "a parish councillor",
    ),
    "late": (
        "recently retired from the post office",
        "a part-time librarian",
        "a semi-retired surveyor",
        "a farmer whose land is let",
    ),
}
EVENTS = {
    "any": (
        "Eight months ago your closest friend moved abroad",
        "Last winter money you had counted on fell through",
        "In the spring a car hit you on a crossing, and you walked away with bruises",
        "A year ago you moved to a town where you knew nobody",
        "Not long ago you found out that someone close had lied to you for years",
        "Since the summer you have been caring for a sick relative",
        "Two years ago a small business you had started went under",
        "Your dog of many years died this autumn",
    ),
    "young": (
        "Last term you failed an exam you had told everyone you would pass",
        "Your parents separated the week after you left home",
        "A close friend ended the friendship by text message",
    ),
    "middle": (
        "You nearly lost someone you love last year, and nobody has spoken of it since",
        "Your father died before the two of you had made peace",
        "Someone you had trained yourself overtook you",
    ),
    "late": (
        "Your last child left home, and the house went quiet",
        "Your brother died a few months after his diagnosis",
        "A hip operation has kept you at home longer than anyone said it would",
    ),
}
RELATIONSHIPS = {
    "any": (
        "You live alone and are single",
        "You live with your partner of several years",
        "You are seeing someone, and it is not clear where it is going",
        "You are recently separated",
    ),
    "young": (
        "You share a flat with two people you hardly know",
        "You have moved back in with your parents",
    ),
    "middle": (
        "You are married with two children at school",
        "You are divorced and have your child every other week",
    ),
    "late": ("You were widowed three years ago", "You have been married for over thirty years"),
}

# What a client has: what it is like, and two things that may have brought them in just now. Kept
# together, to fit.
ISSUES = {
    "constant worry": (
        "a mind that runs ahead from morning on, tight shoulders, and checking everything twice",
        "you turned back three times on one errand to check the door, and then sat in the car and cried",
        "a decision about moving house has been due for weeks, and you cannot stop turning it over",
    ),
    "low mood": (
        "heavy mornings, no appetite for things you used to like, and a voice that says there is no point",
        "you have not opened your post for two months",
        "a friend asked what you were looking forward to, and you had no answer",
    ),
    "fear of being judged": (
        "a burning face, rehearsing every sentence, and hours of going over what you said",
        "you are to give a speech at a wedding and have begun to look for excuses",
        "you eat lunch alone in the car so that nobody can talk to you",
    ),
    "pain that does not go away": (
        "an aching back most days, poor sleep, and plans you drop at the last minute",
        "the last specialist said there is nothing more to find, and you do not know what to do with that",
        "you said no to a holiday because of your back, and the others went without you",
    ),
    "sleeplessness": (
        "lying awake from three, watching the clock, and dragging yourself through the day",
        "you have begun to dread the evening as soon as it gets dark",
        "you fell asleep at the table on your own birthday, and everyone saw",
    ),
    "grief": (
        "waves of missing someone in ordinary places, numb days between, and a room you do not go into",
        "you found an old voicemail and have neither played nor deleted it",
        "people have begun to say that it is time to move on, and you shout at them or say nothing",
    ),
    "fear of illness": (
        "pressing and checking, reading about symptoms at night, and relief that lasts an hour after each test",
        "your doctor has asked you to stop booking appointments for a while",
        "you no longer let anyone near you talk about people who are ill",
    ),
    "exhaustion": (
        "an emptiness that no weekend mends, a short temper, and tears over small things",
        "you sat in a parked car for an hour because you could not face going in",
        "your doctor told you to stop for a month, and you fill the days with errands for others",
    ),
    "perfectionism": (
        "things that are never finished, sleepless checking, and shame about the smallest mistake",
        "you missed an important date for the first time because you could not let a thing go",
        "somebody has asked you, kindly, to stop redoing what they had done",
    ),
    "panic": (
        "a pounding heart and numb hands out of nowhere, and a list of places you no longer go to",
        "you got off a train between your stops and have not taken one since",
        "you can do the shopping only with somebody on the phone",
    ),
    "anger": (
        "a heat that rises in seconds, words you regret, and long silences afterwards",
        "you threw a plate at the kitchen wall, and someone you love flinched",
        "you shouted at a stranger's child in a shop, and everyone went quiet",
    ),
    "doubts that will not settle": (
        "going back to make sure, asking others to confirm, and thoughts that disgust you",
        "you drove the same road four times to be certain that you had hit nobody",
        "those close to you have lost patience with your questions",
    ),
    "loneliness": (
        "evenings that stretch, messages written and not sent, and a sense of watching life through glass",
        "you noticed one Sunday that you had said nothing that mattered to anyone since Thursday",
        "you were invited somewhere at last and did not go",
    ),
    "shame about yourself": (
        "a harsh voice that comments on everything, hiding, and not being able to take a kind word",
        "someone praised you in front of others, and you left the room",
        "you have put off a dream of yours for so long that you tell people you never wanted it",
    ),
}

TRAITS = (
    "dutiful",
    "stubborn",
    "gentle",
    "restless",
    "proud",
    "shy",
    "generous",
    "impatient",
    "loyal",
    "private",
)
COPINGS = (
    "keep busy until you drop",
    "scroll on your phone until your eyes hurt",
    "clean the house from top to bottom",
    "have a glass or two more than you meant to",
    "cancel everything and go to bed",
    "make lists, and lists of the lists",
    "look after someone else instead",
    "pick a quarrel over something small",
    "eat standing up at the fridge",
    "ask people again and again whether it is fine",
    "go over the numbers until late",
    "drive around with the radio on",
)
BACKGROUNDS = (
    "You grew up as the eldest of five and were the sensible one early on",
    "You grew up over your parents' shop, where feelings were for after closing time",
    "You came to this country as a child and interpreted for your parents",
    "You grew up in a very quiet house, mostly among adults",
    "You grew up in the country with a father who seldom spoke",
    "You moved house nine times before you were twelve",
    "You grew up in a religious family and left the faith as an adult",
    "Your mother was often ill, and you learned to tiptoe",
    "You were the first in your family to go to university, and everybody watched",
    "You grew up in a loud and loving family where crying was laughed at",
)
SUPPORTS = (
    "there is a sister you ring on Sundays",
    "there is one old friend who knows most of it",
    "there is a choir you have stopped going to",
    "there are colleagues, but nobody you would call at night",
    "there is a neighbour who brings soup and asks no questions",
    "there is nobody you would like to trouble",
    "your family means well and gives advice",
    "there is an online group where you read and never write",
)
STYLES = (
    "dry humour",
    "short, blunt sentences",
    "many apologies",
    "stories full of detail",
    "questions handed back to the therapist",
    "polite and formal",
    "a little swearing",
    "careful words, with long hesitations",
    "everyday comparisons from your work",
)
MINDEDNESS = (
    "You rarely look inwards and find such questions odd",
    "You notice a mood only once it is over",
    "You can say what you feel if you are given time",
    "You watch yourself closely, and mostly in order to find fault",
    "You understand your patterns well, and it has changed little",
)

TWIST_TURNS = range(8, 19)
TWIST_CHANCE = 0.2
TWISTS = (
    # a shameful memory
    "You remember letting a friend take the blame for something you did. You are ashamed, and half want to say it.",
    "You suddenly remember a whole class laughing at you, and the heat of it is back in your face.",
    "It comes back to you that you did not visit someone who was dying and had asked for you. You feel small.",
    # a stressful message
    "Your phone has just lit up: you are to ring an office first thing tomorrow, and it does not say why.",
    "A message has just come from someone in your family: they are angry and want an answer tonight.",
    "You have just seen that a payment bounced. You try to go on as if nothing had happened.",
    # sudden weariness
    "All at once you are tired to the bone. Words come slowly, and you would like to stop answering.",
    "The strength goes out of you. What mattered a minute ago seems far away, and you say very little.",
    "You slept three hours last night, and it catches up with you now. You are irritable and lose the thread.",
    # confusion
    "You have lost track of what the therapist means and begin to wonder what all this is for.",
    "What the therapist last said sounds like the opposite of what you heard before, and you are muddled.",
    "You no longer know what you came for. Two feelings pull you in different directions, and neither has a name.",
)


def make_profiles(n: int, seed: int) -> list[dict]:
    """`n` clients p001, p002, ...; the archetypes take turns, everything else is drawn.

    Client i depends on (seed, i) alone: a longer list begins with the shorter one.
    """
    return [make_profile(i, seed) for i in range(n)]


def make_profile(i: int, seed: int) -> dict:
    """Client number `i`, from 0."""
    draw = random.Random(
        f"{seed}/{i}"
    )  # a string seed is hashed with SHA-512: equal on every machine
    age = draw.choice(tuple(STAGES))
    issue = draw.choice(tuple(ISSUES))
    symptoms, *problems = ISSUES[issue]

    def at_stage(by_stage: dict[str, tuple[str, ...]]) -> str:
        return draw.choice(by_stage["any"] + by_stage[STAGES[age]])

    return {
        "id": f"p{i + 1:03d}",
        "archetype": tuple(ARCHETYPES)[i % len(ARCHETYPES)],
        "age": age,
        "gender": draw.choice(GENDERS),
        "occupation": at_stage(OCCUPATIONS),
        "issue": issue,
        "symptoms": symptoms,
        "event": at_stage(EVENTS),
        "personality": draw.sample(TRAITS, 3),
        "coping": draw.choice(COPINGS),
        "background": draw.choice(BACKGROUNDS),
        "relationship": at_stage(RELATIONSHIPS),
        "support": draw.choice(SUPPORTS),
        "problem": draw.choice(problems),
        "style": draw.choice(STYLES),
        "mindedness": draw.choice(MINDEDNESS),
    }


def draw_twists(seed: int, profile_id: str, turns: int) -> dict[int, str]:
    """The hidden notes of one session: turn (from 1) -> what the client is told, in at most `turns`
    turns.

    Each of turns 8-18 has one with probability 0.2, no note twice in a session. They depend on
    (seed, profile) only: all conditions see the same, and a longer session begins with the notes of
    a shorter one.
    """
    left = list(TWISTS)
    drawn = {}
    for turn in TWIST_TURNS:
        digest = hashlib.sha256(f"{seed}/{profile_id}/{turn}".encode()).digest()
        if turn <= turns and int.from_bytes(digest[:8]) < TWIST_CHANCE * 2**64:
            drawn[turn] = left.pop(int.from_bytes(digest[8:16]) % len(left))
    return drawn
