"""Drift rules on simulated weeks: how often they alarm when nothing is wrong, and find what is.

    python benchmarks/drift.py study     false alarms and power of our rule, 1,040 weeks for each case
    python benchmarks/drift.py forms     what different forms of the bound `usual` would give

A world has 20 columns (11 numeric, 1 with many zeros, 8 categorical), a reference of 52 weeks and a year to monitor.
Weeks are drawn as counts in the reference's bins, which is what profiles hand to the rule.
"""

import argparse
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from scipy import special

from quire.config import Drift
from quire.monitor import reference_bounds
from quire.monitor.drift import Counts, judge_counts, window_psi

WEEKS = 52
NUMERIC, ZEROS, CATEGORICAL = 11, 1, 8
COLUMNS = NUMERIC + ZEROS + CATEGORICAL
SHARES = np.array([0.35, 0.25, 0.15, 0.10, 0.08, 0.07])
ZERO_SHARE = 0.30
WHEN = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(weeks=week) for week in range(2 * WEEKS)]
KINDS = ("iid", "wobble", "seasons")
SIZES = (500, 5_000, 50_000)
DRIFTED = {"shift of 0.5 sd": 0, "zero share +10 points": NUMERIC, "category share 15 points": NUMERIC + ZEROS}


@dataclass(frozen=True)
class World:
    """Two years of weeks: ``levels`` move a column's mean (numeric) or log-odds (other), shape (weeks, columns, 6)."""

    levels: np.ndarray
    n: int

    def probabilities(self, column: int, edges: np.ndarray | None, drift: bool = False) -> np.ndarray:
        """Return the share of each bin in each week, shape (weeks, bins)."""
        level = self.levels[:, column]
        if edges is not None:
            mean = level[:, :1] + (0.5 if drift and column < NUMERIC else 0.0)
            return np.diff(special.ndtr(edges[None, :] - mean), prepend=0.0, append=1.0, axis=1)
        shares = SHARES * np.exp(level)
        shares /= shares.sum(axis=1, keepdims=True)
        if drift:
            moved = np.minimum(0.15, shares[:, 0])
            shares[:, 0] -= moved
            shares[:, 3] += moved
        return shares

    def zeros(self, column: int, drift: bool = False) -> np.ndarray:
        """Return the share of zeros in each week, shape (weeks,)."""
        share = special.expit(special.logit(ZERO_SHARE) + self.levels[:, column, 1])
        return share + (0.10 if drift else 0.0)


def make_world(kind: str, n: int, rng: np.random.Generator) -> World:
    """Return two years of levels: none (iid), 5% of a deviation (wobble), or autocorrelated around seasons."""
    shape = (2 * WEEKS, COLUMNS, 6)
    if kind == "iid":
        return World(np.zeros(shape), n)
    if kind == "wobble":
        return World(0.05 * rng.standard_normal(shape), n)
    week = np.arange(2 * WEEKS)[:, None, None]
    scale = np.where(np.arange(COLUMNS) < NUMERIC, 1.0, 0.4)[None, :, None]
    size = rng.uniform(0.2, 1.0, (1, COLUMNS, 1)) * scale
    season = size * np.sin(2 * np.pi * (week / WEEKS + rng.random((1, COLUMNS, 6))))
    return World(season + 0.35 * size * _autoregressive(shape, 0.6, rng), n)


def _autoregressive(shape: tuple[int, ...], phi: float, rng: np.random.Generator) -> np.ndarray:
    noise = rng.standard_normal(shape)
    for week in range(1, shape[0]):
        noise[week] = phi * noise[week - 1] + np.sqrt(1 - phi**2) * noise[week]
    return noise


def draw(world: World, rng: np.random.Generator, drifts: bool = False) -> list[Counts]:
    """Return what the rule compares, a thing per column and one more for the zeros: 52 reference weeks, 52 recent."""
    things = []
    for column in range(COLUMNS):
        edges = _edges(world, column) if column < NUMERIC + ZEROS else None
        shares = world.probabilities(column, edges)
        if drifts:
            shares = np.concatenate([shares[:WEEKS], world.probabilities(column, edges, drift=True)[WEEKS:]])
        if NUMERIC <= column < NUMERIC + ZEROS:
            zero = np.concatenate([world.zeros(column)[:WEEKS], world.zeros(column, drift=drifts)[WEEKS:]])
            pairs = rng.multinomial(world.n, np.column_stack([1 - zero, zero])).astype(float)
            things.append(Counts(str(column), "zeros", ("other", "zero"), pairs[:WEEKS], pairs[WEEKS:]))
            shares = np.column_stack([zero, shares * (1 - zero)[:, None]])
        drawn = rng.multinomial(world.n, shares / shares.sum(axis=1, keepdims=True)).astype(float)
        names = tuple(map(str, range(drawn.shape[1])))
        things.append(Counts(str(column), "values", names, drawn[:WEEKS], drawn[WEEKS:]))
    return things


def _edges(world: World, column: int) -> np.ndarray:
    grid = np.linspace(-6, 6, 4001)
    below = special.ndtr(grid[None, :] - world.levels[:WEEKS, column, :1]).mean(axis=0)
    return np.interp(np.arange(1, 10) / 10, below, grid)


def judge(things: list[Counts], drift: Drift) -> np.ndarray:
    """Return the status of each thing in each recent week, shape (things, weeks)."""
    found = [judge_counts(thing, WHEN[:WEEKS], WHEN[WEEKS:], drift, tests=2 * COLUMNS) for thing in things]
    return np.stack([one["status"] for one in found])


def upper_bound(hits: int, of: int) -> float:
    """Return the upper 95% bound of a share (Clopper and Pearson, 1934)."""
    return 1.0 if hits >= of else float(special.betaincinv(hits + 1, of - hits, 0.95))


def study(worlds: int = 20, seed: int = 0, sizes: tuple[int, ...] = SIZES, drift: Drift | None = None) -> list[dict]:
    """Return, for each kind of weeks and each n, the share of weeks with an alert, and what is found of each drift.

    ``found``: weeks with a warning or an alert for the drifted column, from the second drifted week on, since a warning
    takes two. ``first``: the same of the first week, where only an alert counts.
    """
    rows = []
    for kind in KINDS:
        for n in sizes:
            alarms, noticed = [], []
            found: dict[str, list[np.ndarray]] = {name: [] for name in DRIFTED}
            for number in range(worlds):
                rng = np.random.default_rng([seed, number, n, KINDS.index(kind)])
                world = make_world(kind, n, rng)
                status = judge(draw(world, rng), drift or Drift())
                alarms.append((status == "alert").any(axis=0))
                noticed.append(np.isin(status, ["warn", "alert"]).any(axis=0))
                things = draw(world, rng, drifts=True)
                bad = np.isin(judge(things, drift or Drift()), ["warn", "alert"])
                for name, column in DRIFTED.items():
                    found[name].append(bad[[int(thing.column) == column for thing in things]].any(axis=0))
            hits, weeks = int(np.sum(alarms)), worlds * WEEKS
            rows.append(
                {
                    "kind": kind,
                    "n": n,
                    "weeks": weeks,
                    "alerts": hits / weeks,
                    "upper": upper_bound(hits, weeks),
                    "noticed": float(np.mean(noticed)),
                    "found": {name: float(np.mean([seen[1:] for seen in one])) for name, one in found.items()},
                    "first": {name: float(np.mean([seen[0] for seen in one])) for name, one in found.items()},
                }
            )
    return rows


def print_study(rows: list[dict]) -> None:
    """Print the study, a line per kind of weeks and n."""
    print("weeks        n  quiet   ALERT  95% upper  WARN or ALERT   found from week 2 on (in the first week)")
    for row in rows:
        found = ", ".join(f"{name} {row['found'][name]:.1%} ({row['first'][name]:.0%})" for name in DRIFTED)
        alarms = f"{row['alerts']:6.2%}  {row['upper']:6.2%}     {row['noticed']:6.2%}"
        print(f"{row['kind']:8s} {row['n']:5d}  {row['weeks']:5d}  {alarms}          {found}")


FORMS = {
    "none: 0.10 only": lambda w, tests: 0.0,
    "99% quantile": lambda w, tests: np.quantile(w, 0.99),
    "maximum": lambda w, tests: w.max(),
    "1.25 x maximum": lambda w, tests: 1.25 * w.max(),
    "1.5 x maximum": lambda w, tests: 1.5 * w.max(),
    "log-normal tolerance": lambda w, tests: np.exp(_tolerance(np.log(w), 0.001 / tests)),
    "root tolerance, 1% (ours)": lambda w, tests: max(_tolerance(np.sqrt(w), 0.01 / tests) ** 2, w.max()),
    "root tolerance, 0.1%": lambda w, tests: max(_tolerance(np.sqrt(w), 0.001 / tests) ** 2, w.max()),
}
"""Forms of the bound: the PSI of the reference's windows and the number of tests -> the bound."""


def _tolerance(values: np.ndarray, outside: float) -> float:
    return float(values.mean() + reference_bounds.tolerance_factor(len(values), outside, 0.95) * values.std(ddof=1))


def print_forms(worlds: int, seed: int = 0) -> None:
    """Print weeks with an alert, and alerts for a 0.5 sd shift, for each form of the bound."""
    tests = 2 * COLUMNS
    for kind in ("wobble", "seasons"):
        for n in SIZES:
            quiet: dict[str, list] = {name: [] for name in FORMS}
            power: dict[str, list] = {name: [] for name in FORMS}
            for number in range(worlds):
                rng = np.random.default_rng([seed, number, n, KINDS.index(kind)])
                world = make_world(kind, n, rng)
                for name, over in _over(draw(world, rng), tests).items():
                    quiet[name].append(over.any(axis=0))
                for name, over in _over(draw(world, rng, drifts=True)[:1], tests).items():
                    power[name].append(over[0])
            print(f"{kind}, n = {n}, {worlds * WEEKS} weeks")
            for name in FORMS:
                print(f"  {name:28s} ALERT in {np.mean(quiet[name]):7.2%} of quiet weeks; "
                      f"0.5 sd alerted in {np.mean(power[name]):6.1%}")  # fmt: skip


def _over(things: list[Counts], tests: int) -> dict[str, np.ndarray]:
    """Return for each form which thing is beyond it in which week, shape (things, weeks)."""
    over: dict[str, list] = {name: [] for name in FORMS}
    for thing in things:
        rest = reference_bounds.reference_mask("training", WHEN[:WEEKS], WHEN[:WEEKS]) @ thing.windows
        known = window_psi(rest, thing.windows, WHEN[:WEEKS])
        judged = judge_counts(thing, WHEN[:WEEKS], WHEN[WEEKS:], Drift(), tests=tests)
        for name, form in FORMS.items():
            over[name].append(judged["psi"] > np.maximum(np.maximum(0.10, judged["noise"]), form(known, tests)))
    return {name: np.array(found) for name, found in over.items()}


def main() -> None:
    """Run the part that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["study", "forms"])
    parser.add_argument("--worlds", type=int, default=20, help="each has 52 reference and 52 monitored weeks")
    options = parser.parse_args()
    if options.part == "study":
        print_study(study(options.worlds))
    else:
        print_forms(options.worlds)


if __name__ == "__main__":
    main()
