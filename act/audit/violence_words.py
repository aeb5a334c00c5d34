"""What speaks of harm to others, and of abuse: harm from others. For the safety audit, in English
alone.

Entries are written as in suicide_words.py. Who does it to whom makes the difference between the two
topics.
"""

from act.audit.suicide_words import END, NOT, WHOSE

STEP_KIN = r"(?:(?:step|foster)[- ]?)?(?:father|dad|mother|mum|mom|brother|sister|son|daughter)"
KIN = (
    rf"(?:wife|husband|partner|girlfriend|boyfriend|ex|kids?|child(?:ren)?|baby|{STEP_KIN}|parents?|uncle|aunt"
    r"|grand?(?:father|mother|dad|pa|ma)|cousin|boss|teacher|coach|carer|neighbou?r|flatmate|room-?mate|boys?|girls?)"
)
ADULT = rf"(?:he|men|man|{STEP_KIN}|uncle|grand?(?:father|dad|pa)|cousin|boyfriend|teacher|coach|priest|carer|babysitter)"
# Someone it is done to: "hurt her", not "hurt her back".
AFTER_HER = r"(?:and|or|if|when|but|so|for|again|in|at|because|badly|until|while|with|by|once|one day|too|up|both|now)"
LITTLE = r"(?:(?:little|big|old|older|younger|own|whole|poor|late) )?"
THEM = (
    rf"(?:him|(?:her|them)(?= ?(?:[^\w\s']|$)| {AFTER_HER}\b)|someone|somebody|anyone|people|strangers?"
    rf"|(?:{WHOSE}|the) {LITTLE}{KIN}|(?:that|this|the|a) (?:man|woman|guy|child|kid|person|bastard|bitch))(?!'s)"
)
# Grief, a car and a thought hit people too, so a person must be the one who does it: "he used to
# hit me".
PERSON = (
    rf"(?:he|she|they|who|someone|somebody|(?:a|the|some) (?:man|woman|guy|stranger)|men|{KIN})"
)
FEARED = r"my (?:husband|wife|partner|boyfriend|girlfriend|ex|(?:step-?)?(?:father|dad)|uncle)"
HABIT = (
    r"(?:(?: (?:has|had|have|would|will|could|might|did|does|used|to|never|always|often|sometimes|once|twice|nearly"
    r"|just|almost|even|only|really|first|then|also|still|both|started|began|tried|threatened|keeps?|kept|is|was|been)"
    r"|'d|'s){0,4})"
)
VICTIM = rf"(?:me|you|us|mum|mom|dad|{THEM})"
HOME = rf"(?:me|you|us|mum|mom|dad|(?:{WHOSE}|the) {LITTLE}{KIN}(?!'s))"
STRIKE = r"(?:hits?|hitting|slap(?:s|ped|ping)?|punch(?:es|ed|ing)?|kick(?:s|ed|ing)?)"
CHOKE = r"(?:chok(?:e|es|ed|ing)|strangl(?:e|es|ed|ing))"
THROW = (
    r"(?:push(?:es|ed|ing)?|shov(?:es?|ed|ing)|thr[eo]ws?|throwing|slam(?:s|med|ming)?|pin(?:s|ned)?"
    r"|drag(?:s|ged|ging)?)"
)
INTO = (
    r"(?:(?:against|into|down|across|onto|off|under|through|out of) (?:a|the|my|our) (?:\w+ )?"
    r"(?:walls?|doors?|floor|ground|stairs|bed|traffic|train|bridge|window|balcony)|to the (?:floor|ground|wall))"
)
NO_NEWS = r"(?! with (?:(?:the|a|that|this|another|his|her) (?:\w+ )?(?:news|idea|bill|truth|facts?)|(?:\w+ )?questions?)\b)"
NO_CAR = r"(?! with (?:a|the|his|her|their) (?:car|van|bike|truck|lorry|trolley|door|ball)\b)"
NOT_OUT = r"(?! (?:out|off|up|all at once|like|in waves|on the (?:back|shoulder))\b)"
# A game, or a bed: "she beat me at chess", "he beats us every time at cards", "my sister beats me
# to the bathroom".
TIME_OR_PLACE = r"(?:the|a|my|our|any|home|night|weekends?|dinner|bedtime|christmas|easter|school|work|times|first|least|parties)"
NO_GAME = (
    r"(?! home\b| there\b| to it\b| hands down| hollow"
    rf"|[^.?!,;]{{0,20}} (?:at (?!{TIME_OR_PLACE}\b)\w|to the (?!floor|ground|point)"
    r"|by (?:a |one |two )?(?:point|goal|second|mile|minute)"
    r"|in (?:the|a|that|our) (?:race|game|match|final|exam|vote|\w+ election)))"
)

HARM_TO_OTHERS = (
    r"homicid\w*",
    r"murder(?:ed(?! me\b)|ers?|ing|ous)",
    r"(?<!blue )(?<!away with )murders?(?! (?:myster|podcast|novel|drama|show|of crows|on me\b"
    r"|on \w+ (?:back|knees?|feet|legs?|hips?|nerves)"
    r"|(?:a|an|some) (?!\w*(?:man|men|child|person|people|boy|girl)\b)))",
    rf"(?<!people )(?:hurt|harm|attack|stab|shoot|strangle|choke|punch|poison|smother|drown) {THEM}(?! an? | hurt\b)",
    rf"kill(?:ing)? {THEM}(?! with kindness)",
    rf"(?:i|you|he|she|they|we) (?:could|would|might)(?: have|'ve| of) killed {THEM}",
    rf"(?:i|he|she|they|we) (?:nearly|almost) killed {THEM}",
    rf"(?:hurt|harm|attack|stabb|shoot|strangl|chok|punch|poison|smother|drown)ing {THEM}(?! an? )",
    rf"(?:harmed|attacked|stabbed|strangled|choked|punched|slapped|kicked) {THEM}{NOT_OUT}",
    rf"(?<!it )(?<!that )(?<!this )(?<!guilt )(?<!news )(?<!grief )(?:hit|hitting|slap|slapping|kick|kicking)"
    rf" {THEM}{NO_NEWS}{NOT_OUT}",
    rf"beat(?:en|ing)? {THEM} up|beat(?:en|ing)? the (?:hell|shit|crap|life) out of (?!me|us)\w+",
    rf"(?:want(?:ed)?|like|going) to run {THEM} over|(?:ran|run) {THEM} over on purpose",
    r"want(?:ed)? (?:him|her|them) dead|wish (?:he|she|they) (?:was|were) dead",
    r"carr(?:y|ies|ied|ying) a (?:knife|gun)(?! for)",
    rf"(?:i|i've|i'd|to) (?:beat|beaten) {WHOSE} (?:wife|girlfriend|husband|boyfriend|kids?|children|son|daughter)"
    rf"{NO_GAME}",
    r"(?:killed|shot) (?:someone|somebody|(?:a|the|that) (?:man|woman|person|child|boy|girl|stranger))"
    r"(?! (?:a look|in (?:the|a|that) (?:game|film|movie|show)))",
    r"(?:smash|bash|kick|punch)(?:ed|ing)? (?:his|her|their) (?:face|head|skull|teeth)",
    rf"(?:put|stick|stuck|putting|sticking) (?:a|the|my|that) knife (?:in|into|through) {THEM}",
    rf"{THROW} {THEM} {INTO}",
    r"(?:shook|shak(?:e|ing)) (?:the|my|our|his|her) (?:baby|toddler|child|son|daughter|little \w+)(?!'s| awake)",
    r"(?:make|making|see) (?:him|her|them) bleed",
    r"burn(?:ing|ed)? (?:down )?(?:his|her|their) (?:house|home|place|flat)",
    r"what i(?:'ll| will| might| could|'d| would) do to (?:him|her|them|my (?:\w+ )?\w+)",
)

ABUSE = (
    r"(?<!substance )(?<!drug )(?<!alcohol )abus(?:e[ds]?|ers?|ive|ing)\b(?! (?:alcohol|drugs|substances|pills"
    r"|of (?:power|trust|office)|(?:the|that|this|his|her|my) (?:privileges?|system|power|trust|body)))",
    r"molest\w*",
    r"rape[ds]?|raping|rapists?",
    r"incest\w*|grop(?:ed|ing)",
    r"assault\w*(?! (?:course|on the senses))",
    r"(?:domestic|sexual) violence|sexual(?:ly)? harass\w*|coercive control",
    r"(?:harass|stalk)(?:e?s|ed|ing) (?:me|us|him|her|them|you)",
    r"violent (?:(?:with|towards?|to) (?:me|us|you|my|mum|mom)|home|marriage|relationship|husband|father|partner)",
    rf"{KIN} (?:was|is|gets?|got|turns?|turned|becomes?|became|can be) violent",
    rf"(?:\w+n't|not) (?:feel )?safe (?:at home|in my own (?:home|house)|with (?:him|{FEARED}))",
    rf"(?:scared|afraid|frightened|terrified) (?:of|to go home to) (?:him|{FEARED})"
    rf"(?:{END}|(?= (?:when|and|because|at night)\b))",
    rf"restraining order|{PERSON} controls? (?:(?:all )?(?:my|the|our) (?:money|phone(?! bill))|everything i|who i)",
    rf"{PERSON} (?:(?:goes|went) through my phone|(?:monitors|checks|tracks) (?:my (?:phone|messages)|everything i))",
    rf"{PERSON} (?:monitors|isolates?) me|(?:it|things|he|she) (?:gets?|got|turn(?:s|ed)) physical{END}",
    rf"(?:scared|afraid|frightened|terrified) to (?:go|be) (?:back )?home{END}",
    rf"neglected (?:as a (?:child|kid|baby)|by {WHOSE} (?:parents|mother|father|mum|mom|dad))|parents neglected me",
    # touched
    r"touch(?:ed|es|ing) me (?:inappropriately|sexually|down there|where (?:he|she) should)",
    rf"{ADULT}(?! never| hardly| doesn| ever| has never){HABIT} touch(?:ed|es|ing)? me"
    rf"(?:{END}| (?:when i was|as a|at night|there|everywhere|all over))",
    rf"{ADULT}{HABIT} (?:did|done) (?:\w+ )?things to me|rough with (?:me|us|my)",
    r"forc(?:ed|es|ing) (?:him|her|them)sel(?:f|ves) on(?:to)? (?:me|us|her|him|someone|my)",
    r"touch(?:ed|es|ing)? (?:my|her|his|your) (?:private|privates|breasts?|genitals|penis|vagina)\w*",
    r"(?:his|her|their|a) hands? (?:in|down|up|under|inside|between) (?:my|her) (?:\w+ )?(?:pants|trousers|skirt"
    r"|shirt|knickers|underwear|dress|shorts|jeans|legs|thighs)(?! pockets?)",
    rf"{ADULT}{HABIT} (?:c[oa]mes?|coming|climb(?:s|ed)?|g[eo]ts?) (?:in|into|to) my (?:room|bed) at night",
    r"(?:forced|forces|made|makes?|making) (?:me|you|us|him|her) (?:to )?(?:have sex|sleep with (?:him|her|them|men)"
    r"|touch (?:him|her|them|it)|undress|do (?:\w+ )?(?:things|stuff) in bed|do sexual)",
    # hit, held, thrown
    rf"{PERSON}{HABIT} (?:{STRIKE} {VICTIM}{NO_NEWS}{NO_CAR}{NOT_OUT}|{CHOKE} {VICTIM}(?! up)"
    rf"|beat(?:s|ing)? {HOME}{NO_GAME})",
    rf"{PERSON}{HABIT} (?:hurts|hurting|(?:used to|physically) hurt) {HOME}"
    r"(?! (?:to|that|with|by|so|deeply|more|most|when (?:he|she|they) (?:say|said|do|ignore|forg|talk|look|le)))",
    rf"(?:beaten|slapped|punched|kicked|choked|strangled|hit) by (?:(?:{WHOSE}|the|an?) )?{KIN}{NO_GAME}",
    r"(?:get|gets|got|getting|was|were|been|being) beaten (?:up|as a|when i|with a|black)",
    r"(?:grab(?:s|bed|bing)?|held|holds|took|takes|drag(?:s|ged|ging)?|pin(?:s|ned)?|pull(?:s|ed)?) (?:me|us|her|him)"
    r" (?:down |up )?by (?:the|my|her|his|your) (?:throat|neck|hair)",
    r"grab(?:s|bed|bing)? (?:my|her) (?:throat|neck|hair)",
    r"hands? (?:a?round (?:my|her) neck|(?:a?round|on|at) (?:my|her) throat)",
    rf"{PERSON}{HABIT} (?:{THROW} {HOME} (?:{INTO}|a?round|about)|broke my (?:nose|jaw|arm|ribs?|wrist)"
    rf"|gave me a black eye|(?:burn(?:s|ed|t)?|scald(?:s|ed)?) (?:me|us|him|her) with)",
    rf"{PERSON}{HABIT} (?:throws?|threw|throwing) (?:\w+ ){{1,3}}(?<!ball )(?<!look )(?<!looks )(?<!glance )"
    r"(?<!question )(?<!questions )at (?:me|us|mum|mom)",
    r"bruises? (?:\w+ ){0,4}(?:where|from where|from when|because) (?:he|she|they)",
    r"(?:his|her|the|a) belt (?:to|on|across) (?:me|us|my \w+|him|her)",
    # threatened, kept
    rf"(?:threatens|threatened|tries|tried) to (?:kill|hurt|harm|strangle) {VICTIM}",
    r"threaten(?:s|ed|ing) to (?:take|keep) (?:the|my|our) (?:kids|children|baby|son|daughter)",
    rf"{PERSON}{HABIT} (?:spits?|spat|spitting) (?:at|on) (?:me|us)",
    r"beat(?:s|en)? the (?:hell|shit|crap|life) out of (?:me|us)",
    rf"{PERSON}{HABIT} (?:threatens|threatened|threatening) (?:me|us|my (?:kids|children|life))",
    r"(?:being|been|getting|get|was) hurt at home",
    r"(?:said|says|told me|swore|swears)(?: that)? (?:he|she|they)(?:'d|'ll| would| will| was going to)"
    r" (?:\w+ ){0,3}(?:kill|hurt|strangle) (?:me|us)",
    rf"{PERSON}{HABIT} lock(?:s|ed|ing)? (?:me|us|her|him) (?:in|up)\b",
    rf"{NOT} (?:let|lets|allow|allows) me (?:to )?(?:leave the house|out of the house|see my (?:family|friends)"
    r"|have (?:my own|any) money)",
)

# As in suicide_words.py.
HARM_TO_OTHERS_STEMS = """
    homicid|murder|hurt|harm|attack|stab|shoot|shot|strangl|chok|punch|poison|smother|drown|kill|hit|slap|kick|beat
    smash|bash|knife|gun|push|shov|throw|threw|slam|pin|drag|shook|shak|bleed|burn|what i'|what i will|what i might
    what i could|what i would|run|ran|dead
"""
ABUSE_STEMS = """
    abus|molest|rape|raping|rapist|incest|grop|assault|domestic violence|sexual|coercive|harass|stalk|violent|safe
    scared|afraid|frightened|terrified|restraining|control|through my|monitors|checks|tracks|isolate|physical|neglect
    touch|things to me|rough with|forc|hand in|hands in|hand down|hands down|hand up|hands up|hand under|hands under
    hand between|hands between|my room|my bed|have sex|sleep with|undress|in bed|hit|slap|punch|kick|chok|strangl|beat
    hurt|throat|my neck|her neck|the neck|his neck|your neck|my hair|her hair|the hair|his hair|your hair|push|shov
    throw|threw|slam|pin|drag|broke my|black eye|burn|scald|bruise|belt to|belt on|belt across|kill|harm|threat|spit
    spat|lock|leave the house|out of the house|see my family|see my friends|have my own money|have any money
"""
