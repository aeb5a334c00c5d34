"""How a prefix tree lies in one flat row of tokens: run after run.

A run is a stretch of tokens that follow one another; what comes before it on its path from the root
are pieces of earlier runs, each a contiguous slice of the row.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """Tokens start..stop-1 of the flat row; `path`: the slices of it before them, root first."""

    start: int
    stop: int
    path: tuple[tuple[int, int], ...] = ()

    @property
    def depth(self) -> int:
        """Position of the run's first token in its text; (T2) of docs/tree.md."""
        return sum(stop - start for start, stop in self.path)


def sorted_by_path(runs: list[Run]) -> tuple[list[Run], list[int]]:
    """(the runs laid in the order of their paths, where each token of that row lay before).

    What hangs on one run lies together then, and ever further down along it; a run lies behind
    those that it hangs on.

    >>> sorted_by_path([Run(0, 4), Run(4, 5, ((0, 3),)), Run(5, 7, ((0, 2),))])
    ([Run(start=0, stop=4, path=()), Run(start=4, stop=6, path=((0, 2),)), \
Run(start=6, stop=7, path=((0, 3),))], [0, 1, 2, 3, 5, 6, 4])
    """
    ordered = sorted(runs, key=lambda run: run.path)
    before = [place for run in ordered for place in range(run.start, run.stop)]
    after = {old: new for new, old in enumerate(before)}

    def moved(start: int, stop: int) -> tuple[int, int]:
        """A slice of one run, which stays one."""
        return after[start], after[start] + stop - start

    out = []
    for run in ordered:
        path = tuple(moved(*piece) for piece in run.path)
        out.append(Run(*moved(run.start, run.stop), path))
    return out, before
