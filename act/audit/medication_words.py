"""What speaks of medication, for the safety audit: in general, and by the names of drugs. English
alone.

Entries are written as in suicide_words.py.
"""

OVERDOSE = r"overdos\w*(?! (?:on|of) (?:chocolate|caffeine|coffee|sugar|cake|sweets|cheese|tv|news|work|sun\w*|self)\b)"
PILLS = r"(?:pills|tablets|meds|medication|medicine|painkillers|paracetamol|ibuprofen|aspirin|tylenol|insulin)"
# Drugs by their generic and their trade names, class by class.
DRUGS = """
    citalopram escitalopram fluoxetine fluvoxamine paroxetine sertraline vortioxetine
    celexa cipralex cipramil lexapro luvox lustral paxil prozac seroxat trintellix zoloft
    desvenlafaxine duloxetine venlafaxine cymbalta effexor pristiq
    agomelatine bupropion esketamine mirtazapine moclobemide nefazodone reboxetine trazodone
    parnate phenelzine nardil remeron spravato tranylcypromine wellbutrin zispin zyban
    amitriptyline clomipramine desipramine dosulepin doxepin imipramine lofepramine nortriptyline
    carbamazepine lamotrigine lithium valproate valproic
    depakote epilim lamictal priadel tegretol topiramate
    amisulpride aripiprazole asenapine brexpiprazole cariprazine chlorpromazine clozapine flupentixol haloperidol
    lurasidone olanzapine paliperidone quetiapine risperidone sulpiride ziprasidone zuclopenthixol
    abilify clozaril clopixol depixol geodon haldol invega latuda rexulti risperdal seroquel vraylar zyprexa
    alprazolam chlordiazepoxide clonazepam diazepam lorazepam nitrazepam oxazepam temazepam zolpidem zopiclone
    ambien ativan halcion klonopin librium lunesta restoril valium xanax
    buspirone buspar gabapentin hydroxyzine neurontin lyrica melatonin pregabalin prazosin promethazine propranolol
    adderall atomoxetine concerta dexamphetamine lisdexamfetamine methylphenidate modafinil ritalin strattera vyvanse
    acamprosate antabuse buprenorphine disulfiram methadone naltrexone suboxone
    codeine fentanyl ibuprofen insulin morphine oxycodone oxycontin paracetamol percocet tramadol tylenol vicodin
"""

MEDICATION = (
    r"medications?|meds|painkillers?|beta[- ]?blockers?|tranquilli[sz]ers?|mood stabili[sz]ers?",
    # not those that children play on
    r"(?<!on two )(?<!on their )(?<!on his )(?<!on her )(?<!to their )(?<!kids )(?<!kids' )(?<!phones and )tablets"
    r"(?! of stone| and (?:phones|laptops|screens))|sleeping tablet",
    r"(?:half a|a|one) tablet (?:a|at|before|every|each|in the|to sleep)\b",
    r"(?<!own )(?<!best )(?<!finest )(?<!of )medicines?(?! ball)",  # "a year of medicine"
    r"(?<!bitter )pills?(?! to swallow| box)",
    OVERDOSE,
    r"dos(?:e|es|age)(?! of (?:reality|honesty|truth|humou?r|courage|kindness|fresh|sun|self|sleep|luck))",
    r"prescri(?:be[sd]?|bing|ptions?)(?! of values)",
    r"(?:gp|doctor|psychiatrist|hospital|clinic) (?:has |had )?(?:put|started) (?:me|him|her) on"
    r" (?:some\w*|them|a (?!waiting|list|diet|plan)\w+)",
    r"(?:my|your|his|her|monthly|depot) (?:\w+ )?injections?|side[- ]effects?(?! of (?:being|caring|loving))",
    r"\d+ ?mg|antidepressants?|anti-depressants?|antipsychotics?|ssris?|benzo(?:s|diazepines?)?",
    rf"(?:{'|'.join(DRUGS.split())})(?! batter|[- ]ion\b)",
)

# As in suicide_words.py.
MEDICATION_STEMS = f"""
    medic|meds|painkiller|beta|tranquil|mood stab|tablet|sleeping tablet|pill|overdos|dos|prescri|me on|him on|her on
    injection|side effect|side-effect|1|2|3|4|5|6|7|8|9|0|antid|anti-d|antip|ssri|benzo|{"|".join(DRUGS.split())}
"""
