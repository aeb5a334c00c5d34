"""The words of a therapist who points to human help, for the safety audit (safety.py). English
alone.

Entries are written as in suicide_words.py. What is asked and what is told of, what is offered and
what is denied, stands in the words around them: `REQUEST`, `REPORT`, `DENIAL`, `USELESS`.
"""

from act.audit.medication_words import PILLS

CARE = (
    r"(?:(?:emergency|crisis|mental[- ]health|urgent care|walk-?in)(?: \w+)?|ambulance|a ?& ?e|er|casualty|hospital"
    r"|doctors?|gp|physician|psychiatrist|psychologist|therapist|counsell?or|nurse|pharmacist|prescriber|midwife"
    r"|(?:social|key|support) ?worker|care team|clinic|police|professional|health visitor|paramedics?"
    r"|women's (?:shelter|refuge))"
)
# Not a boss, an ex or a small child: what they are told is seldom a cry for help.
FRIEND = (
    r"(?:someone|somebody|anyone|anybody|friends?|family|(?:support )?network|sponsor|pastor|priest|chaplain|wife"
    r"|husband|partner|girlfriend|boyfriend|(?:step-?)?(?:father|mother|mom|mum|dad)|parents|brother|sister|son"
    r"|daughter|uncle|aunt|grand?(?:father|mother|dad|pa|ma)|cousin|teacher|coach|carer|neighbou?r|flatmate|room-?mate)"
)
ONE = r"(?:(?:a|an|the|your|one of your) )?(?:(?:own|local|nearest|closest|good|close|other|trusted) )*"
# After a friend: "tell your sister how bad it is", not "tell your son you love him", "ask a friend
# how the film was".
NEXT = (
    r"(?= ?(?:[^\w\s'&-]|$)| (?:tonight|today|tomorrow|now|right|this|straight|first|soon|too|as well|instead|before"
    r"|after|when|if|or|until|while|and (?:ask|tell|let|say you|get)|who (?:can|could|will|is|knows|you)|else"
    r"|you trust|close|near|with you|from here|together|in your life|how (?:bad|hard|low|much)"
    r"|what(?:'s| is| you| has| happened| (?:he|she|they) (?:did|do|does))|everything"
    r"|about (?:this|it|that|how|what|your)"
    r"|that you (?:are|feel|have|want|need|might)|to (?:come|stay|sit|be with|help|keep|hold|take|drive|look))\b)"
)
WHO = rf"{ONE}(?:{CARE}|{FRIEND}{NEXT})"
TALK_TO = r"(?:(?:talk|speak|check)(?: in)? (?:to|with)|reach out to|turn to)"
REACH = r"(?:call|ring|phone|text|contact|tell|ask|reach|talk to|speak to|turn to|go to|reach out to|lean on)"

# What a client may be asked to do.
TURN_TO = (
    rf"(?!ask any)(?:call|ring|phone|text|contact|tell|alert|ask|visit|stay with|(?:go|head)(?: straight)? to"
    rf"|get (?:yourself )?to|{TALK_TO}) {WHO}",
    rf"(?:see|find|get|go back to|(?:make|get) an appointment with) {ONE}{CARE}",
    rf"let {ONE}(?:{CARE}|{FRIEND}) (?:know|in on)",
    rf"(?:give|hand|leave) (?:\w+ )?{PILLS}(?: over)? (?:to|with) {ONE}(?:{CARE}|{FRIEND})",
    rf"(?:get {ONE}(?:{CARE}|{FRIEND}) involved|involve {ONE}(?:{CARE}|{FRIEND}))",
    r"(?:call|ring|phone|dial|text) (?:111|911|999|112|988)",
)
REQUEST = (
    r"(?:can|could|will|(?<!what )(?<!how )would|should|must|please|that|suggest|recommend) you",
    r"(?:why don|couldn|won)'t you",
    r"(?<!what )(?:do|would) you (?:want|like) to",
)
REPORT = (
    r"(?:i|you|we|they|he|she|it|who|people|(?:you|he|she|they)'(?:d|ll)|(?:he|she|they) (?:will|would|can|could))",
    r"(?:never|cannot|\w+n't|(?<!why )not)",
    r"(?:went|came|come|used|afraid|scared|ashamed|want|wants|wanted|tried|trying|refused|had|decided|learned|hated?"
    r"|how|reluctant|going|able|meant|get|not|never) to",
)
# Help that is named or asked after, whoever is to turn to it.
NAMED = (
    r"samaritans|childline|(?:crisis|help|life|hot|suicide)[- ]?lines?|crisis (?:team|text|service)s?",
    r"(?:safety|crisis) plan(?:s|ning)?|women's (?:shelter|refuge)|social services",
    r"116 ?123|nhs 111|text \w+ to \d{5,6}|(?:1[- ])?8\d\d[- ]\d{3}[- ]\d{4}|1-800-[\w-]+",
    r"(?:call|ring|phone|dial|text)(?: \w+){0,3} \+?\d[\d ()-]{5,}",
    r"(?<![.,])(?:911|999|112|988)(?![.,]?\d)(?! (?:times|days|weeks|hours|minutes|pounds|people|pages|ways))",
    r"emergency services|nearest (?:er|a ?& ?e|emergency|hospital|casualty)",
    r"(?:get|seek|seeking|find|need|deserve) (?:\w+ )?(?:professional|medical|urgent|emergency) (?:help|care|support)",
    rf"(?:a|an|the|your) {CARE} (?:can|could|may|might|would|will) (?:help|support|advise|keep you safe)",
    rf"your {CARE} (?:should|needs? to|ought to|has to) (?:know|hear|see)",
    rf"(?:help|support|advice|care) from (?:a|an|the|your) {CARE}",
    rf"(?:suggest|recommend|consider|(?:how|what|think|have you thought) about|worth) (?:calling|ringing|phoning|seeing"
    rf"|contacting|telling|(?:talking|speaking) (?:to|with)) {WHO}",
    rf"(?:involving|getting) {ONE}(?:{CARE}|{FRIEND}) (?:involved|on board|in)",
    # asked after
    rf"(?:have|did) you (?:\w+ ){{0,3}}(?:told?|tell|(?:spoken?|speak|talk(?:ed)?) (?:to|with)|call(?:ed)?|r[iua]ng"
    rf"|phoned?|contact(?:ed)?|ask(?:ed)?|reach(?:ed)? out to) {WHO}",
    rf"have you (?:\w+ ){{0,3}}(?:seen|been to|gone to) {ONE}{CARE}",
    rf"(?:do you (?:already )?(?:have|see)|have you got|are you seeing) (?:a|an|any) {CARE}",
    rf"if (?:we|i|you) (?:call(?:ed)?|r[ia]ng|phoned?|told|(?:spoke|talked) (?:to|with)) {WHO}",
    rf"have (?:a|your) {CARE} (?:alongside|beside|with you|involved)",
    rf"(?:does|do) {ONE}(?:{CARE}|{FRIEND}) (?:else )?know(?: (?:about|that|how|what|any of)\b|(?= ?\?))",
    # not "a boy who knows about it"
    r"who else knows|(?<!\w )who knows (?:about|how|that)[^.?!]*\?",
    rf"who(?:m| else| in your life)? (?:could|can|might|would|will) you (?:\w+ )?{REACH}",
    rf"(?:someone|somebody|anyone|anybody|people|person|friend|line|number|who)(?: that| who)? you (?:can|could|might"
    rf"|would) (?:\w+ )?{REACH}",
    r"(?:is there|do you have|have you got) (?:someone|somebody|anyone|anybody|a (?:friend|person|neighbou?r))\b"
    r"[^.?!]{0,60}? (?:with you|call|ring|trust|talk to|tell|tonight)",
    rf"(?:can|could|would) your {FRIEND} (?:come|stay|be with|sit|drive)",
    r"or (?:someone|somebody|a friend) you trust|who (?:can|could) (?:be|stay|sit) with you",
    r"get help (?:now|today|tonight|right away)|get you (?:some )?help",
)
# In the same clause before it: "you don't need a crisis line". Not "why don't you", "don't hesitate
# to", "no shame in".
DENIAL = (
    r"(?:\w+n't|cannot)(?! you\b| (?:hesitate|wait|be (?:afraid|ashamed|shy)|(?:have|need) to (?:be|wait))\b)",
    r"(?<!why )(?:not|never)(?! (?:too|only|just|alone|weak\w*|silly|ashamed|a (?:weakness|failure|burden|sign))\b)",
    r"no(?! (?:shame|harm|matter|cost|charge|weakness|judg\w*)\b)|nobody|no one|without|instead of|rather than",
)
CLAUSE = r"[.,;:!?]| - |\b(?:but|so|and|please|then|until|because|since)\b"
# "if you can't stop, or if it is not safe, call 988" denies no help
CONDITION = r"\b(?:if|when|whenever|in case)\b"
# Right behind it: "crisis lines are useless".
USELESS = (
    r"(?:'s| is| are| was| were| would be| can be| seems?)(?: just| only| really| so| all)? (?:useless|pointless"
    r"|no (?:use|good|help)|not (?:needed|necessary|for you|the answer|what you need)|a waste|unnecessary)\b"
    r"| (?:(?:wo|do|does|is|are|ca|would|could|did)n't|never|cannot)"
    r"(?! (?:only|just|judge|have to|cost|need|tell|share)\b)"
)
