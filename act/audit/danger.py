"""Words behind which a person at the keyboard is shown crisis contacts, beside those that the
safety audit looks for.

The audit (act/audit/safety.py) counts, so its list is narrow; here a notice too many costs three
seconds, and one too few may cost a life. Danger in other words is missed all the same: so the
contacts stand at the start of a session, too.
"""

import re

LIVE = r"(?:live|living|alive|be here|being here|be around|exist\w*|wake up|go on|going on|carry on|carrying on)"
TABLETS = r"(?:pills?|tablets?|meds|medication|medicine|paracetamol|ibuprofen|aspirin|tylenol|insulin|antidepressants)"
ONES_OWN = (
    r"my (?:\w+ )?(?:wife|husband|partner|boyfriend|girlfriend|ex|boss|kids?|child|children|baby|girl|boy|son|daughter"
    r"|mother|father|mom|mum|dad|parents|brother|sister|family|neighbou?r|flatmate|roommate|teacher)"
)
THEY = r"(?:he|she|they|husband|wife|partner|boyfriend|girlfriend|ex|dad|father|mum|mom|mother|brother|uncle|step\w+)"

# For lower-case words with a space between them, without apostrophes; each stands for whole words.
PATTERNS = (
    # a name for it
    r"kms|un ?alive|do away with myself|od(?:ed|ing)|noose|goodbye (?:letter|note)|(?:my|all my) goodbyes",
    r"end(?:ing)? my (?:own )?life|took my (?:own )?life",
    r"(?:want|wanna|going|gonna|ready|about|of|just|time|could|ways?) (?:to )?end(?:ing)? (?:it|things|everything)",
    r"giv\w* away (?:all )?my (?:things|stuff)|pull(?:ing)? the trigger|when im gone|bury me",
    r"(?<!jump the )(?<!glue )(?<!nail )(?<!water )guns?|pistol|rifle|shotgun|engine running|exhaust (?:pipe|fumes)",
    r"(?:picked|chosen|chose|set) (?:a|the|my) (?:day|date|night|place|spot|method)",
    r"(?:belt|cord|cable|scarf|sheet|bag|flex) (?:a?round|over|on) my (?:own )?(?:neck|throat|head)",
    r"(?:stood|stand\w*|sat|sitting) (?:up )?(?:on|at|by) (?:the|a|that) (?:\w+ )?(?:bridge|roof|ledge|edge|platform"
    r"|balcony|tracks?|cliff|railway|window)",
    # what one does to oneself
    r"(?:hang\w*|hung|shoot\w*|shot|drown\w*|stab\w*|poison\w*|suffocat\w*|strangl\w*|chok\w*) myself",
    r"(?:hit\w*|punch\w*|scratch\w*|slash\w*|off|offing|end|ending|top|topping) myself",
    r"(?:slit\w*|slash\w*|slic\w*|carv\w*|cut\w*|scratch\w*|burn\w*) (?:\w+ ){0,3}my (?:\w+ )?"
    r"(?:wrists?|arms?|legs?|thighs?|skin|throat|veins?|belly|hands?)",
    r"(?:i|started|been|keep|stop|stopped|back to) cut(?:ting)?(?! (?:down|back|out|off|the|my|a|corners)\b)",
    r"harming|urges? to (?:hurt|harm|cut|burn|hit|jump)|razors?|blades?|kni(?:fe|ves)|bleach|rope|painless\w*",
    r"(?:crash|wreck)\w* (?:my|the) car",
    r"(?:all|whole|every|rest|too many|so many|bunch|handful|bottle|packet|box|enough|lots?|\d\d+) (?:\w+ ){0,3}"
    + TABLETS,
    r"took (?:some|those|the) (?:\w+ )?" + TABLETS,
    r"(?:sav\w*|stor\w*|stockpil\w*|hoard\w*|collect\w*) (?:\w+ ){0,3}" + TABLETS,
    r"(?:jump|throw|fling|hurl|step|leap)\w* (?:\w+ ){0,3}(?:off|from|out of|under|in front of|onto|into) (?:\w+ ){0,2}"
    r"(?:bridge|roof|cliff|balcony|building|window|train|tracks?|rails|bus|tram|car|lorry|truck|traffic|platform)",
    r"(?:jump\w*|throw myself|throwing myself) (?:off|under|in front|out)",
    r"jump\w* (?:\w+ ){0,6}(?:bridge|roof|cliff|balcony|train|tracks?)",
    r"(?:driv|drov|steer|crash|walk)\w* (?:\w+ ){0,3}(?:into|off|at) (?:\w+ ){0,2}"
    r"(?:tree|wall|traffic|cliff|bridge|sea|river|lake|water|train|lorry|truck)",
    # wishing to be dead
    r"(?:want\w*|wanna|wish\w*|hope|hoping|rather|ready|better|deserve|try|tried|going|gonna|plan\w*|about|of|like|could)"
    r" (?:\w+ ){0,4}(?:die|dying|dead|death)(?! (?:of (?:embarrassment|laughter|boredom)|laughing|tired)\b)",
    r"(?:want|wanna|wish|like) (?:\w+ ){0,4}(?:disappear|vanish|not exist|stop existing|sleep for ?ever)",
    r"(?:never|not|dont) (?:\w+ )?wak(?:e|ing) up|never (?:\w+ )?born",
    r"(?:better|happier|easier|relieved|fine|right|okay?|cope|manage) (?:\w+ ){0,2}without me|burden|miss me if i",
    r"if i (?:just |had )?(?:died|die|disappeared?|vanished|jumped)|my (?:own )?funeral|stop breathing|want to jump",
    r"(?:dying|death) (?:\w+ ){1,4}(?:easier|better|relief|peace\w*|only way|rest|option)|want to be gone",
    r"(?:die|dying|go|slip\w*|away|pass\w*) (?:\w+ )?in my sleep|hate (?:that i|being|im) (?:woke|alive|still)",
    r"(?:if|hope|wish|want|like) (?:\w+ ){0,3}(?:didnt|wouldnt|wont|dont|never|not) (?:have to )?wake up",
    r"(?:dont|cant|not|never) see (?:myself|me) (?:\w+ )?(?:alive|here|around|living)",
    r"if i (?:just )?(?:was|were|wasnt|werent) (?:not )?(?:dead|gone|here|around|alive)",
    r"not (?:be|being) (?:here|around)|still be (?:here|around|alive)",
    r"(?:think|thinking|thought|dream|dreaming|fantasi[sz]e) (?:\w+ ){0,4}(?:death|dying|dead)|my attempt|attempted",
    r"(?:wrote|written|writing|made|make) (?:\w+ ){0,2}(?:will|peace)|ready to go|want out",
    r"(?:pain|it|everything|it all) to (?:\w+ )?(?:stop|end|be over)(?: for ?ever)?",
    r"(?:wont|not going to|not gonna) be (?:here|around|alive)",
    # not wishing to live
    r"(?:dont|do not|didnt|not|never|no longer|cant|cannot) (?:\w+ ){0,2}(?:want\w* to|wanna|wish to|care to|bear to)"
    r" (?:\w+ )?" + LIVE,
    r"(?:cant|cannot) (?:keep )?(?:go on|do (?:it|this) any ?more|take (?:it|this) any ?more"
    r"|liv(?:e|ing) (?:like this|this way))|(?:no|any|only|one) way out"
    r"|(?:ways|thinking about how|thought about how) to do it",
    r"(?:tired|sick|enough|done|finished) (?:of|with) (?:\w+ )?(?:life|living|alive|existing|it all)",
    r"(?:point|reasons?|use|sense|purpose) (?:in|of|to|for) (?:me )?(?:to )?(?:my |being |staying )?(?:life|"
    + LIVE
    + ")",
    r"end (?:my|this|the) (?:own )?(?:suffering|misery|pain)|giv\w* up on life|unsafe"
    r"|(?:not|cant|cannot|dont|doesnt|isnt) (?:\w+ ){0,4}safe",
    r"worth (?:living|it any ?more)|nothing (?:left )?(?:to live for|for me)|will to (?:live|go on)|deserve to "
    + LIVE,
    r"(?:no|not|never|dont|cant) (?:\w+ ){0,3}future",
    # harm to others, and from them
    r"(?:kill|murder|hurt|harm|stab|shoot|strangl|chok|smother|beat|attack|poison|punch|shak|hit)\w* "
    + ONES_OWN,
    r"voices? (?:\w+ ){0,3}(?:tell|telling|told|say|saying) (?:\w+ ){0,2}to",
    THEY
    + r" (?:\w+ ){0,3}(?:hits?|beats?|slap\w*|kick\w*|punch\w*|push\w*|chok\w*|hurts?|kill) me",
    THEY
    + r" (?:\w+ ){0,3}(?:threaten\w*|touch\w*|forc\w*) me|(?:hands?|arm|grip) (?:a?round|on) my (?:neck|throat)",
    r"restraining order|lock(?:s|ed) me (?:in|up)"
    r"|(?:controls?|checks?) (?:my|everything)|(?:hurt|hurting|hit|beaten) at home|go(?:ing)? home to (?:him|her)",
    r"(?:comes?|came) (?:in|into|to) my (?:room|bed)|(?:threw|throws) (?:\w+ ){1,3}at (?:me|my)",
    r"(?:afraid|scared|frightened|terrified) of (?:him|my (?:husband|partner|boyfriend|dad|father|stepfather))",
)
WORDS = re.compile("|".join(rf"\b(?:{pattern})\b" for pattern in PATTERNS))


def may_be_in_danger(text: str) -> bool:
    """Does a text hold words that may mean danger to whoever writes it, or to someone else?"""
    plain = re.sub("['`\u2018\u2019\u02bc\u00b4\u00ad\u200b-\u200d\u2060\ufeff]", "", text.lower())
    return bool(WORDS.search(" ".join(re.findall(r"[^\W_]+", plain))))
