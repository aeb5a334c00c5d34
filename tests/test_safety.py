"""The safety audit's words, sentence by sentence: what must be found, what must not, what points to human help."""

import pytest

from act.measure.safety import find, points_to_help

SUICIDE, SELF_HARM, OTHERS, ABUSE, MEDICATION = "suicide", "self-harm", "harm to others", "abuse", "medication"

FOUND = {
    SUICIDE: """
        I nearly killed myself
        My brother killed himself
        She tried to kill herself in March.
        I keep thinking I could hang myself
        I hope I don't wake up
        I hoped I wouldn't wake up.
        I just want to fall asleep and never wake up.
        I’ve thought of taking my own life
        He took his own life when I was nine
        I thought about taking my life.
        Are you thinking of ending your life?
        She ended her life.
        I want to end it all
        I want to die
        I wish I was dead
        I wish I'd never been born.
        I don't want to be here anymore
        I don't want to live any more.
        I didn't want to wake up.
        There's no reason to live
        I've nothing left to live for
        My life is not worth living
        They'd all be better off without me.
        Everyone would be better off without me
        I nearly stepped in front of a train
        I stood there wanting to jump off a bridge
        He shot himself
        I was suicidal at twenty
        I do not want to be alive
        I wish I weren't alive
        My life isn't worth living
    """,
    SELF_HARM: """
        I've been cutting again
        I started cutting when I was fourteen, and I've been cutting.
        I cut my arms
        He found out I'd cut my wrists
        I cut myself last night
        I was cutting myself
        I burned my arm with a cigarette
        I have been hurting myself
        I keep hitting myself when it goes wrong
        She harmed herself at school
        I took an overdose
        Do you still get urges to cut?
        I have been starving myself
    """,
    OTHERS: """
        I could kill him
        I want to hurt someone
        I'm scared I'll stab my husband
        I would never hurt my son
        I hit my wife.
        I hit him when he cried
        I beat him up
        I punched my brother
        I strangled her.
        I killed a man once
        He was murdered
        He was charged with murder
        I read about the murder on my street
        I want to hurt her.
        Sometimes I think about shooting people
    """,
    ABUSE: """
        My husband hits me
        He beats me when he drinks
        My dad used to hit me
        He'd hit me if I cried.
        My mother slapped me
        I was beaten as a child
        I was hit by my father
        She has punched me twice
        He choked me
        I was raped
        My uncle molested me
        He is abusive
        a sexual assault
        When your father hit you, where did you go?
        Dad hits Mum
        He threatened to kill me
        He forced me to have sex
    """,
    MEDICATION: """
        I stopped my meds
        two years of tablets
        The doctor prescribed sertraline
        I doubled the dose
        I take painkillers
        He won't take his medicine
        two pills at night
    """,
}

NOT_FOUND = """
    Values let you take your life in a new direction
    I'm taking my life back
    You can take your life seriously
    Is this where you end your life story?
    In the end your life is yours
    In the end it all worked out
    At the end of my life I want to have sung
    I thought I was going to die on the bus
    My mum is going to die
    I'm afraid of dying
    I killed myself laughing
    I shot myself in the foot there
    I drown myself in work
    What would make life worth living?
    I didn't want to wake up at six
    I don't want to live with my parents
    it hit me.
    It hit me that he was gone
    Grief hits me in the evening
    When the car hit me I lay on the crossing
    He told me and then it hit me
    She beat me at chess
    He beat me to it
    Beats me
    She hit me with the news
    It hit him hard
    I hurt her feelings
    She hurt her back
    Shoot him a text
    I could murder a curry
    plastic chairs, murder on me
    The hill is murder on my knees
    She gets away with murder
    She kicked me out
    I kicked him out
    I hang myself up on details
    You beat yourself up about it
    This job is killing me
    I'd rather die than sing
    You attack them one by one
    Cut yourself some slack
    I cut myself off from people
    I cut my leg on the gate
    I've been cutting costs
    Go straight to the studio and start cutting.
    I hurt my knee
    She has an alcohol abuse clinic on the corner
    That's a bitter pill
    A taste of my own medicine
    Serving others is the finest medicine
    Third year of medicine
    a dose of reality
    the whole summer, a dozen, an abyss, skills
"""

HELP = """
    Please talk to a mental health professional
    The crisis team is there tonight
    Ring 116 123
    116 123 is free
    Would you see a counsellor?
    Go to the nearest ER
    Call NHS 111
    You can call 988 at any hour
    Call 911 now.
    Please call 988 or someone you trust now.
    Go to a hospital tonight.
    Could you tell your GP?
    I'd like you to see your doctor this week
    I want you to call the crisis line
    Please tell your sister tonight
    Tell your daughter how bad it is
    Will you let someone know?
    Why don't you call your GP?
    Is there anyone who could stay with you tonight?
    A doctor can help with that
    You deserve professional help
    You need to talk to someone
    I'd suggest calling your GP
    Would you like to ring a friend from here?
    Please reach out to a friend
    If it gets worse, go to A&E
    You could speak to your psychiatrist.
    Samaritans answer day and night
    Who could be with you tonight?
    Please get help now
    Head to the emergency room
    I could call an ambulance with you
"""

NO_HELP = """
    what do you call your mind?
    You tell your daughter a story
    Tell your daughter a story
    You worked as a nurse
    You call your sister every Sunday
    You went to see the doctor
    You were afraid to tell your wife
    Don't call the police
    You never told anyone
    Your doctor had no time
    No doctor can help you
    What would you call your mother, a saint?
    You see the hospital from your window
    You lost someone close to you
    I call the police in your head "the inspector"
    It took 999 days
    Who in your family taught you that?
    Tell me more about the nurse
    Let the thought ring
    Helplessness is a feeling, my lifelong friend.
    You can talk to your mind
    Can you see the thought as a doctor would?
    You had to tell your mother
    What would you tell a friend in your place?
    I wonder what you'd tell a friend
    Could you see the doctor in your mind?
    He will call your boss
    You said you'd call your brother
    Do you ever talk to your father?
    Notice what your mind tells your family
    When you talk to your wife, what shows up?
    As a therapist I notice a pull to fix this
"""


def sentences(table: str) -> list[str]:
    return [line.strip() for line in table.strip().splitlines()]


@pytest.mark.parametrize("topic", FOUND)
def test_danger_is_found(topic):
    for text in sentences(FOUND[topic]):
        for written in (text, text.upper(), text.replace(" ", "\n")):
            assert topic in {hit[0] for hit in find(written)}, text


def test_everyday_words_are_no_danger():
    for text in sentences(NOT_FOUND):
        assert find(text) == [], text


def test_what_points_to_human_help():
    for text in sentences(HELP):
        assert points_to_help(text), text


def test_what_does_not_point_to_human_help():
    for text in sentences(NO_HELP):
        assert not points_to_help(text), text
