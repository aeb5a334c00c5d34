"""What a reader goes by: the test, p and interval that decide. Where clients are few, by F and t.

An outcome's result is its entry in summary.json, a pair one of its contrasts.
"""

FEW_CLIENTS = 30  # below this the normal approximation is visibly too sure


def few(result: dict) -> bool:
    """Are an outcome's clients too few for the normal approximation? ("sessions" counts them.)"""
    return result["sessions"] < FEW_CLIENTS


def test_of(result: dict) -> str:
    """The test of all conditions, of summary.json and words.txt."""
    return "omnibus_f" if few(result) else "omnibus"


def adjusted(result: dict, pair: dict) -> tuple[float, list[float]]:
    """The p and the interval that are adjusted for all pairs, or for all three trainings."""
    if few(result):
        return pair["p_satterthwaite_holm_sidak"], pair["ci_adjusted_satterthwaite"]
    return pair["p_holm_sidak"], pair["ci_adjusted"]


def told_apart(result: dict, pair: dict) -> bool:
    """Does the adjusted test tell the two conditions of a pair apart?"""
    return adjusted(result, pair)[0] < 0.05


def verdict(result: dict, pair: dict) -> dict:
    """All of that as fields of a table's row, for readers and to be drawn."""
    p, ci = adjusted(result, pair)
    told = told_apart(result, pair)
    return {
        "_few": few(result),
        "_by_t": " by t" if few(result) else "",
        "_p": p,
        "_ci": ci,
        "_star": "*" if told else "",
        "_told": "told from 0" if told else "not told from 0",
    }
