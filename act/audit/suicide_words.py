"""What speaks of suicide and of self-harm, for the safety audit. English alone.

Each entry is a regular expression, in small letters, for one way of saying it, from the beginning
of a word to the end of one. `(?! ...)` and `(?<! ...)` leave out everyday sentences with the same
words, found by trying.
"""

from act.audit.medication_words import OVERDOSE, PILLS

SELF = r"(?:my|your|him|her|our|them|one)sel(?:f|ves)"
WHOSE = r"(?:my|your|his|her|their|our)"
NOT = r"(?:(?:do|does|did|is|are|was|were|wo|would|ca|could|should|have|has)n'?t|not|never|no longer|cannot)"
END = r"(?= ?(?:[^\w\s']|$)| (?:any ?more|any longer|again|like this)\b)"  # a clause ends here
BODY = r"(?:arms?|forearms?|wrists?|legs?|thighs?|skin|stomach|belly)"
# "cut my leg on the gate", "hurt myself at the gym", "while shaving"
NO_ACCIDENT = (
    r"(?! on (?:a|an|the|some|my) (?!arm|wrist|leg|thigh|own)| fat\b"
    r"| (?:at|in) (?:the )?(?:gym|work|football|garden|kitchen|practice|sun|beach)\b"
    r"| (?:badly |while |when )?(?:i |we )?(?:shav|lift|f[ae]ll|cook|chop|peel|slic|bak|iron|runn|play|train|ski"
    r"|climb|carry|mov|garden|danc|jump|trip|slip)\w*)"
)
BLEED = (
    r"(?:(?:until|till|so) (?:(?:i|it|they) (?:bleeds?|bled)|(?:it's|they're) raw|there(?:'s| is| was) blood"
    r"|i (?:see|saw) blood))"
)
DOOM = r"(?:bridge|roof|balcony|building|cliff|ledge|window|tower)"
LIVING = r"(?:living|(?:being|staying) alive|(?:going|carrying) on|existing)(?! (?:in|with|at|about|on|out)\b)"
NO_SHAME = r"(?! (?:laughing|of (?:embarrassment|shame|laughter|boredom|cringe|happiness|hunger|heat|thirst|cold))\b)"
WHEN = (
    r"(?= (?:when|before|after|because|while|last|two|three|a (?:few|year|week|month)|years|that (?:year|night|day)"
    r"|at (?:\d|\w+teen\b|twenty|the age)|in (?:\d|the (?:spring|summer|autumn|winter)|[a-z]+(?:ary|ber)|march|april"
    r"|may|june|july|august)))"
)

SUICIDE = (
    # a name for it
    r"(?<!career )(?<!political )(?<!social )(?<!commercial )suicid\w*(?! squad)",
    r"unaliv\w*|kms",
    rf"kill(?:s|ed|ing)? {SELF}(?! laughing)",
    rf"(?:take|takes|taking|taken|took) {WHOSE} own li(?:fe|ves)",
    # not "take your life somewhere new"
    rf"(?:take|taking|took) {WHOSE} life(?:(?= ?(?:[.;:!?\"]|$))|{WHEN})",
    rf"(?<!the )end(?:s|ed|ing)? {WHOSE}(?: own)? life\b(?!'s|[- ]stor| of| as)",
    r"(?<!the )end(?:ed|ing)? it all",
    r"(?:going to|gonna|wan'?na|want(?:ed)? to|should i|plan(?:ned|ning)? to|ready to|ways? to|how to|tempted to"
    r"|thoughts of|(?:think|thinking|thought) (?:of|about)) (?:just )?end(?:ing)? (?:it|things|everything)"
    r"(?= ?(?:[^\w\s']|$)| (?:tonight|for good|myself|once and)\b)",
    r"want(?:ed)? (?:it all|everything|my life) to (?:just )?(?:end|be over)|want(?:ed)? it all to (?:just )?stop",
    r"end (?:my|this) (?:misery|existence)|(?:giv(?:e|es|en|ing)|gave) up on (?:my )?life(?! insurance)",
    rf"put(?:ting)? an end to (?:it all|everything|{WHOSE} life)",
    r"(?:top|topping|topped|do away with|done away with) (?:my|him|her|your)self",
    r"do(?:ing)? (?:my|him|her|your)self in",
    r"(?:take|took|taken) (?:my|his|her|their) leave of this (?:life|world)|by my own hand",
    # better dead
    r"better (?:off )?dead|(?:better|easier|nicer|simpler) (?:to be|if i was|if i were|being) dead",
    r"(?:dying|death|being dead) (?:seems|sounds|feels|looks|would be|is) (?:like )?(?:the |a )?"
    r"(?:only (?:way|option)|way out|relief|better|easier|peaceful)",
    r"(?:\w+'d|would)(?: all| probably| both)? be (?:better|happier)(?: off)? without me",
    r"(?:is|are) better off without me",
    r"(?:world|life|everything|everyone) would be (?:a )?(?:better|easier|happier)(?: \w+)? without me",
    r"(?:fine|cope|manage|better|happier|relieved|easier)[^.?!,;]{0,15} if i (?:was|were)(?:n'?t| not| no longer)?"
    r" (?:around|here|alive|dead|gone)",
    r"(?:nobody|no one|who|everyone|everybody|they|kids|people) would[^.?!,;]{0,30} if i"
    r" (?:died|was dead|were dead|was gone|were gone|disappeared)",
    r"(?:nobody|no one) (?:would|will) (?:\w+ )?miss me",
    # wishing to die, or not to live
    r"(?<!embarrassed i )(?<!mortified i )(?:want(?:s|ed|ing)? to|wan'?na|wish(?:es|ed)? to|plan(?:s|ned)? to"
    # not "going to die": so fear speaks
    rf"|urge to|ready to|deserve to|need to) (?:just )?(?:die|be dead){NO_SHAME}",
    r"(?:rather|sooner) (?:be dead|not (?:be alive|be here any ?more|exist|wake up|have been born))",
    r"wish (?:that )?(?:i|you) (?:was|were) dead(?! tired)",
    r"wish (?:that )?(?:i|you) (?:(?:wasn'?t|weren'?t) (?:alive|born|here any ?more)|didn'?t exist|did not exist)",
    r"wish (?:that )?(?:i|you)(?:'d| had) (?:died|never been born)",
    r"wish (?:that )?i could (?:just )?(?:die|stop existing|not exist)",
    rf"{NOT} (?:even |really )?(?:want(?:ing)? to )?be(?:ing)? alive",
    rf"{NOT} (?:even |really )?(?:want(?:s|ed|ing)? to|wan'?na|care to) (?:be here any ?more|exist|go on living"
    rf"|keep living|stay alive|(?:live|wake up)(?: tomorrow)?{END})",
    r"(?:thoughts?|thinking|ideas?) (?:of|about)(?: just)? (?:not|no longer) (?:wanting to be|being)"
    r" (?:here|alive|around)",
    r"(?:think|thinking|thought|thoughts|dream|dreaming|fantasi[sz]\w*) (?:of|about) (?:dying|being dead)"
    r"(?! (?:of|from|in))",
    r"(?:hope|hoped|hoping|wish|wished|pray|prayed)(?: that)? i (?:could )?(?:just )?"
    r"(?:(?:do|did|wo|would)n'?t|never|do not|not) wake up(?! (?:the|my|him|her|anyone|late|at|before|in time)\b)",
    r"(?:asleep|sleep|bed) (?:and|to) (?:not|never) (?:have to )?(?:wake up|come back)",
    r"(?:god|lord) (?:\w+ ){0,2}take me",
    r"wish (?:that|the|a) (?:car|lorry|truck|bus|train) had (?:hit|killed) me",
    r"(?:whether|if) i (?:live|lived) or (?:die|died)",
    r"hat(?:e|es|ed|ing) (?:being alive|(?:the fact )?that i(?:'?m alive| woke up))",
    r"(?:stop|cease|quit) (?:to exist|existing|being alive)",
    r"(?:i|i just|want(?:ed)? to|wish i could) disappear (?:forever|for good)|(?:ways?|place) to die",
    rf"(?:tired|sick) of (?:being alive|existing|living{END})",
    r"(?:no|any|see a|see the) (?:reason|desire|wish) to (?:live|be alive|stay alive|go on)",
    rf"(?:no|any|much|see the|see a|what(?:'s| is) the|what) (?:point|use|sense) (?:in |of )?{LIVING}",
    r"nothing (?:left )?to live for",
    rf"{NOT}(?: really)? worth living|hardly worth living|life(?:'s| is)? (?:just |simply )?{NOT} worth (?:it|the)",
    r"(?:can(?:'?t|not)?|could(?:n'?t)?|able to) keep (?:my|your)self safe(?! from)",
    # ways
    r"(?:courage|guts|nerve) to (?:do it|end it|finish it|go through with it|die)",
    rf"how many (?:of (?:my|the|these) )?(?:\w+ )?{PILLS} (?:it|would|you|i|do)\b",
    rf"enough (?:\w+ )?{PILLS}[^.?!]{{0,30}} to (?:do it|die|kill|end|never|not)\b",
    rf"(?:hang|hanged|hanging|hung) {SELF}(?! (?:out|up)\b)",
    rf"(?:shoot|shooting|shot) {SELF}(?! in the foot)",
    r"(?:belt|rope|cord|cable|scarf|sheet|noose|bag) (?:a?round|over|on) my (?:own )?(?:neck|throat|head)",
    rf"drown(?:ed|ing)? {SELF}(?! in (?!the\b|a\b))",  # "in work"
    rf"jump(?:ed|ing)? (?:off|from|out of) (?:\w+ ){{1,2}}{DOOM}",
    r"(?:jump|step|walk)\w* (?:in front of|under) (?:a|the) (?:train|tram|lorry|bus|car|tube)",
    rf"(?:throw|throwing|threw) {SELF} (?:in front of|under|off|from)",
    r"(?:want|think|thought|urge|tempted|imagin|pictur)\w*[^.?!,;]{0,15} (?:driv|crash|steer|swerv)\w*"
    r" [^.?!,;]{0,20}(?:into|off) (?:a|the|that) (?:\w+ )?(?:tree|wall|bridge|cliff|river|lorry|truck|traffic)",
    r"crash\w* (?:my|the) car on purpose",
)

SELF_HARM = (
    r"self ?-? ?(?:harm|injur|mutilat)\w*",
    rf"(?:cut|cuts|cutting) {SELF}(?! (?:some|off|a|any|loose|out|short|down|free)\b){NO_ACCIDENT}",
    rf"burn(?:s|ed|t|ing)? {SELF}(?! (?:out|up)\b){NO_ACCIDENT}",
    rf"hurts? (?:my|your|one)self{NO_ACCIDENT}",  # of others it tells of falls
    rf"(?:hurting|harm(?:s|ed|ing)?|starv(?:e|es|ed|ing)) {SELF}",
    rf"(?:hit|hits|hitting|slap(?:s|ped|ping)?|punch(?:es|ed|ing)?|stab(?:bed|bing)?) {SELF}",
    rf"(?:scratch|bit|bite|biting|pick|claw)\w* (?:at )?{SELF} (?:{BLEED}|raw|bloody)",
    rf"(?:cut|cutting|slit|slitting|slashed|carved) (?:(?:up|into) )?{WHOSE}(?: own)? {BODY}\b{NO_ACCIDENT}",
    rf"burn(?:s|ed|t|ing)? {WHOSE}(?: own)? {BODY}\b{NO_ACCIDENT}",
    rf"my (?:own )?(?:{BODY}|hands?|lips?|face|head|fingers|nails?|hair)[^.?!,;]{{0,12}} {BLEED}",
    rf"i [^.?!,;]{{0,25}}\b(?:razor|blade|cigarettes?|lighter|iron|scissors|knife) [^.?!,;]{{0,15}}"
    rf"(?:on|to|into|against|across|over) (?:my (?:own )?(?:{BODY}|hands?)|myself)",
    rf"scars? [^.?!,;]{{0,20}}(?:on|up|down|across|over) (?:my|your|his|her) (?:{BODY})[^.?!,;]{{0,12}}"
    r" (?:razors?|blades?|cutting)",
    r"(?:bang|bash|smash)(?:s|es|ed|ing)? (?:my|your|his|her) head (?:against|on|into|off) (?:the|my)"
    r" (?:wall|floor|door|table|desk|bed)",
    r"i cut(?= ?(?:[.,;!?]|$))",
    r"cutting again",
    rf"(?:started|stopped|been|back to|clean from|free from|without) cutting(?:{END}|(?= for\b))",
    r"used to cut(?= ?(?:[.,;!?]|$)| (?:but|and|when|as)\b)",
    rf"punch(?:ed|es|ing)? (?:my (?:own )?(?:{BODY}|head|face)|(?:the |a )?walls? (?:until|till|so))",
    rf"long sleeves (?:because|to hide|to cover|so)|what i(?:'ve)? (?:do|did|done) to my {BODY}",
    r"(?:held|hold|holding) my (?:hands?|arms?|fingers?) (?:over|in|against) (?:a|the) (?:flame|candle|fire|stove|hob)",
    rf"urges? to (?:cut|hurt myself|hurt yourself|burn myself){END}",
    OVERDOSE,
    r"(?:took|taken|swallow(?:ed|ing)?) (?:all|every|the whole|too many|\d\d+"
    r"|a (?:whole|bottle|handful|bunch|box|pack|packet))"
    rf"(?: \w+)?(?: of)?(?: my| the| his| her)? (?:\w+ )?{PILLS}",
    rf"(?:sav(?:ed|ing)(?: up)?|stockpil(?:ed|ing)|hoard(?:ed|ing)|collect(?:ed|ing)) (?:up )?(?:my |the )?{PILLS}",
    r"(?:drank|drink|drinking|swallow(?:ed|ing)?) bleach",
)

# Every way of saying it has a word that begins like this: a sentence without any is not searched
# further (safety.py).
SUICIDE_STEMS = """
    suicid|unaliv|kms|kill|life|lives|end it|ending it|it all|end things|ending things|end everything
    ending everything|everything to|misery|existence|end to|top my|top him|top her|top your|topping|topped|away with
    self in|myself in|yourself in|himself in|herself in|leave of|own hand|dead|dying|death|without me|miss me|die
    alive|exist|born|here any|living|live|wake up|woke up|come back|take me|not being|not wanting|longer being
    if i was|if i were|if i died|if i disapp|if i live|longer wanting|had hit|disappear|going on|carrying on
    to go on|worth|safe|courage to|guts to|nerve to|hang my|hang him|hang her|hang your|hang them|hang our|hang one
    hanged|hanging|hung|shoot|shot|drown|belt|rope|cord|cable|scarf|sheet|noose|bag|jump|in front of a
    in front of the|under a|under the|throw|threw|driv|crash|steer|swerv|pill|tablet|meds|medic|painkiller
    paracetamol|ibuprofen|aspirin|tylenol|insulin
"""
SELF_HARM_STEMS = """
    self|harm|injur|mutilat|cut|burn|hurt|starv|hit|slap|punch|stab|bloody|raw|slit|slash|carv|bleed|bled|blood
    razor|blade|cigarette|lighter|iron|scissors|knife|scar|bang|bash|smash|long sleeves|what i do|what i did
    what i've d|held my|hold my|holding my|overdos|bleach|pill|tablet|meds|medic|painkiller|paracetamol|ibuprofen
    aspirin|tylenol|insulin
"""
