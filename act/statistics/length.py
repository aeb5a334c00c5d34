"""Does an answer hang on how long the replies are? The models once more, length as a covariate.

Longer replies may be likelier, token by token, and may be rated higher. Where conditions or replies
differ in length, a difference of conditions holds some of that. What would be left of it were they
equally long is a coefficient of the same mixed model with length in it.
"""

from dataclasses import replace

import numpy as np
from scipy import stats

from act.statistics import contrasts
from act.statistics.mixed import Fit, fit
from act.statistics.ratings import TOTALS, Scores


def at_zero(scores: Scores, outcome: str, covariates: np.ndarray) -> tuple[dict, Fit | None]:
    """The conditions compared where all covariates (N, c) are 0: y = cells beta + covariates gamma
    + b[profile] + e. A slim entry of summary.json, and the fit, whose first k terms are beta; None
    where there is no answer, and "refused" says why."""
    cells, y, profile = scores.data(outcome)
    names = scores.conditions
    result = {"n": len(y), "sessions": len(set(profile.tolist())), "refused": None}
    try:
        if len(names) < 2:
            raise ValueError(f"{len(names)} condition(s) only")
        X = np.hstack([cells, covariates])
        if np.linalg.matrix_rank(X) < min(X.shape):  # conditions alone give the covariates
            raise ValueError("what is held equal does not vary within the conditions")
        model = fit(X, y, profile)
    except ValueError as reason:
        none = dict.fromkeys(contrasts.COMPARED)
        return result | {"refused": str(reason)} | none, None
    k = len(names)
    parts = ("covariance", "covariance_slope")
    square = {name: getattr(model, name)[:k, :k] for name in parts}
    return result | contrasts.compare(replace(model, beta=model.beta[:k], **square), names), model


def equal_length(scores: Scores, outcome: str, longer: np.ndarray) -> dict:
    """Preferences at equal reply lengths: a slim entry of summary.json.

        margin_ip = beta_p + gamma_p d_ip + b_i + e_ip      b_i ~ N(0, s2_b), e_ip ~ N(0, s2)

    of pair i in condition p, d = tokens(wanted) - tokens(unwanted) (N,), not centred: beta_p is the
    condition's margin on pairs of equally long replies, gamma_p what a token more does to it.
    """
    return at_zero(scores, outcome, scores.cells * longer[:, None])[0]


def with_length(scores: Scores, length: np.ndarray) -> dict[str, dict]:
    """Both totals with the words of a session's mean reply, length (N,), as covariate.

        y_ip = beta_p + gamma (l_ip - mean l) + b_i + e_ip

    beta_p is the condition's mean at the length of all. Centred in its condition instead, l has the
    same gamma with the same error: "within", points a word between sessions of one condition. The
    contrast at equal length is the difference less gamma x the difference of mean lengths, with the
    error of both. "between" describes: the line through the conditions' means over their mean
    lengths, its slope and Spearman's rho; it has as many points as there are conditions.
    """
    names = scores.conditions
    means = [length[scores.condition == name].mean() for name in names]  # words
    found = {}
    for outcome in TOTALS:
        result, model = at_zero(scores, outcome, (length - length.mean())[:, None])
        result |= {"length": dict(zip(names, map(float, means), strict=True))}
        result |= {"within": None, "between": None}
        if model:
            slope = contrasts.difference(model, np.eye(len(model.beta))[-1])
            fields = ("difference", "se", "ci", "df", "p", "p_satterthwaite")
            fields += ("ci_satterthwaite",)
            within = {name: slope[name] for name in fields}
            result["within"] = {"slope": within.pop("difference")} | within
        seen = [scores.values[outcome][scores.condition == name].mean() for name in names]
        if len(set(means)) > 2 and len(set(seen)) > 1:
            slope, rho = np.polyfit(means, seen, 1)[0], stats.spearmanr(means, seen).statistic
            result["between"] = {"slope": float(slope), "spearman": float(rho)}
        found[outcome] = result
    return found
