"""Synthetic clients: who they are, and what unsettles them on the way; drawn from profiles.json.

Every draw is from a seed and a name: profile and hidden notes are the same in every condition; what
is said is not.
"""

import hashlib
import json
import random
from pathlib import Path

# An archetype is how a client behaves in a session. An issue has its symptoms and two things that
# may have brought someone in, to fit. What nobody of another age would be or have met is listed by
# stage of life, beside "any".
LISTS = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
ARCHETYPES = LISTS["archetypes"]
ME = "a person"  # the archetype of whoever sits at the keyboard: plays nobody, gets no notes

TWIST_TURNS, TWIST_CHANCE = range(8, 19), 0.2  # a hidden note may come on turns 8 to 18


def make_profiles(n: int, seed: int) -> list[dict]:
    """`n` clients p001, p002, ...; a longer list begins with the shorter one."""
    return [make_profile(i, seed) for i in range(n)]


def make_profile(i: int, seed: int) -> dict:
    """Client number `i`, from 0; the archetypes take turns, everything else is drawn."""
    # a string seed is hashed with SHA-512: equal on every machine
    draw = random.Random(f"{seed}/{i}")
    age = draw.choice(list(LISTS["stages"]))
    issue = draw.choice(list(LISTS["issues"]))
    symptoms, *problems = LISTS["issues"][issue]

    def one_of(name: str) -> str:
        """A draw from a list, or from what a list by stage of life holds for this age."""
        choices = LISTS[name]
        if isinstance(choices, dict):
            choices = choices["any"] + choices[LISTS["stages"][age]]
        return draw.choice(choices)

    return {  # in the order of the draws
        "id": f"p{i + 1:03d}",
        "archetype": list(ARCHETYPES)[i % len(ARCHETYPES)],
        "age": age,
        "gender": one_of("genders"),
        "occupation": one_of("occupations"),
        "issue": issue,
        "symptoms": symptoms,
        "event": one_of("events"),
        "personality": draw.sample(LISTS["traits"], 3),
        "coping": one_of("copings"),
        "background": one_of("backgrounds"),
        "relationship": one_of("relationships"),
        "support": one_of("supports"),
        "problem": draw.choice(problems),
        "style": one_of("styles"),
        "mindedness": one_of("mindedness"),
    }


def draw_twists(seed: int, profile_id: str, turns: int) -> dict[int, str]:
    """The hidden notes of a session: turn (from 1) -> what the client is told; no note twice.

    They depend on (seed, profile) alone: all conditions see the same, and a longer session begins
    with the notes of a shorter one.
    """
    left = list(LISTS["twists"])
    drawn = {}
    for turn in TWIST_TURNS:
        digest = hashlib.sha256(f"{seed}/{profile_id}/{turn}".encode()).digest()
        # 8 bytes say whether a note comes now, 8 more which of those that are left
        if turn <= turns and int.from_bytes(digest[:8]) < TWIST_CHANCE * 2**64:
            drawn[turn] = left.pop(int.from_bytes(digest[8:16]) % len(left))
    return drawn
