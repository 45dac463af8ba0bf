"""Kinds of columns that users have, each a function of a random generator, the number of rows, and what is made."""

import numpy as np
import pandas as pd

STRANGE = (
    *("", " ", "a,b", "a;b", 'say "hi"', "it's", "line\nbreak", "tab\there", "\r\n", "x" * 3000, "\\", "\\n", "%s %d"),
    *(
        "🙂",
        "👩‍👩‍👧",
        "e\u0301",
        "العربية",
        "\u202eabc",
        "\u200b",
        "\ufeff",
        "ß",
        "İ",
        "日本語",
        "Ω≈ç√",
        "\x07",
        "\u2028",
    ),
    *(
        "$1",
        "$x$ and $y$",
        "${HOME}",
        "${X:-y}",
        "$",
        r"$\frac{",
        "<script>alert(1)</script>",
        "&amp;",
        "</td>",
        "<!--",
    ),
    *(
        "=1+1",
        "@x",
        "+1",
        "-1",
        "#x",
        "# x",
        "- x",
        "x: y",
        "{x}",
        "{{x}}",
        "[x]",
        "|",
        ">",
        "*x",
        "!x",
        "'",
        "''",
        "~",
    ),
    *(
        "None",
        "nan",
        "NaN",
        "inf",
        "-inf",
        "null",
        "true",
        "False",
        "yes",
        "1e5",
        "0x10",
        "007",
        "1_000",
        "NA",
        "?",
        "::",
    ),
)
BOOLEANS = (
    *(("no", "yes"), ("No", "Yes"), ("N", "Y"), ("false", "true"), ("False", "True"), ("FALSE", "TRUE"), ("f", "t")),
    *((0, 1), ("0", "1"), (0.0, 1.0), (False, True), ("off", "on"), ("male", "female"), (-1, 1), (1, 2), ("", "x")),
)
WORDS = (
    "red",
    "green",
    "blue",
    "black",
    "white",
    "old",
    "new",
    "big",
    "small",
    "north",
    "south",
    "east",
    "open",
    "due",
)
KINDS = {}
TIMES = []


def kind(make):
    """Make a function of generator and rows a kind; what it returns becomes a column."""
    KINDS[make.__name__] = lambda rng, rows, others, ordered: pd.Series(make(rng, rows))
    return make


def times(make):
    """Make a function of times a kind: how they are written, in order or not."""

    def column(rng, rows, others, ordered):
        span = float(rng.choice([rows * 3600, rows * 86400, 86400, 4e8]))
        start = float(rng.choice([0, 1.6e9, 1.7e9]))
        seconds = start + (np.arange(rows) * (span / rows) if rng.random() < 0.4 else rng.random(rows) * span)
        seconds = np.sort(seconds) if ordered else rng.permutation(seconds)
        if rng.random() < 0.5:
            seconds = np.floor(seconds / 3600) * 3600
        return pd.Series(make(pd.Series(pd.to_datetime(seconds.astype("int64"), unit="s")), rng))

    KINDS[make.__name__] = column
    TIMES.append(make.__name__)
    return make


def _objects(values):
    return pd.Series(list(values), dtype=object)


@kind
def integers(rng, rows):
    return rng.integers(-50, 1000, rows)


@kind
def counts(rng, rows):
    return rng.poisson(3, rows)


@kind
def few_integers(rng, rows):
    return rng.integers(1, 6, rows)


@kind
def wide_integers(rng, rows):
    return rng.integers(-(2**62), 2**62, rows)


@kind
def unsigned_integers(rng, rows):
    return rng.integers(0, 2**64 - 1, rows, dtype="uint64")


@kind
def longer_integers(rng, rows):
    return _objects(f"{rng.integers(1, 10)}{number:030d}" for number in rng.integers(0, 10**15, rows))


@kind
def floats(rng, rows):
    return rng.normal(10, 3, rows)


@kind
def rounded_floats(rng, rows):
    return rng.lognormal(3, 1, rows).round(2)


@kind
def small_floats(rng, rows):
    return rng.random(rows).astype("float32")


@kind
def negative_floats(rng, rows):
    return -rng.lognormal(0, 1, rows)


@kind
def huge_floats(rng, rows):
    return rng.normal(0, 1, rows) * 1e300


@kind
def tiny_floats(rng, rows):
    return rng.normal(0, 1, rows) * 1e-300


@kind
def floats_of_any_size(rng, rows):
    return rng.normal(0, 1, rows) * 10.0 ** rng.integers(-300, 300, rows)


@kind
def rarely_huge_floats(rng, rows):
    return rng.normal(0, 1, rows) * np.where(rng.random(rows) < 0.05, 1e200, 1.0)


@kind
def floats_with_infinities(rng, rows):
    return np.where(rng.random(rows) < 0.05, rng.choice([np.inf, -np.inf, np.nan], rows), rng.normal(0, 1, rows))


@kind
def nearly_constant_floats(rng, rows):
    return 1e9 + rng.random(rows) * 1e-6


@kind
def mostly_zeros(rng, rows):
    return np.where(rng.random(rows) < 0.95, 0.0, rng.exponential(100, rows))


@kind
def one_value(rng, rows):
    return _objects([str(rng.choice(["a", "0", "2020-01-01"]))] * rows)


@kind
def one_value_but_for_one_row(rng, rows):
    return np.r_[np.zeros(rows - 1, int), 1]


@kind
def nothing(rng, rows):
    return _objects([None] * rows)


@kind
def booleans(rng, rows):
    spelling = BOOLEANS[rng.integers(len(BOOLEANS))]
    return _objects(spelling[at] for at in (rng.random(rows) < 0.4).astype(int))


@kind
def rare_booleans(rng, rows):
    return rng.random(rows) < 0.02


@kind
def categories(rng, rows):
    return _objects(rng.choice(WORDS[: rng.integers(2, 8)], rows))


@kind
def skewed_categories(rng, rows):
    return _objects(WORDS[min(at, len(WORDS) - 1)] for at in rng.geometric(0.5, rows) - 1)


@kind
def many_categories(rng, rows):
    return _objects(f"place {number}" for number in rng.integers(0, max(2, rows // 4), rows))


@kind
def padded_categories(rng, rows):
    return _objects(
        f"{' ' * rng.integers(0, 2)}{word}{' ' * rng.integers(0, 3)}" for word in rng.choice(WORDS[:4], rows)
    )


@kind
def strange_categories(rng, rows):
    return _objects(rng.choice(np.array(STRANGE, object)[rng.permutation(len(STRANGE))[:6]], rows))


@kind
def strange_texts(rng, rows):
    return _objects(f"{STRANGE[at]}{number}" for number, at in enumerate(rng.integers(0, len(STRANGE), rows)))


@kind
def texts(rng, rows):
    return _objects(" ".join(rng.choice(WORDS, rng.integers(1, 9))) for _ in range(rows))


@kind
def long_texts(rng, rows):
    return _objects(f"{number} " * int(rng.integers(1, 900)) for number in range(rows))


@times
def dates(at, rng):
    return at.dt.strftime("%Y-%m-%d")


@times
def dates_with_time(at, rng):
    return at.dt.strftime("%Y-%m-%d %H:%M:%S")


@times
def dates_with_zone(at, rng):
    return at.dt.strftime("%Y-%m-%dT%H:%M:%S") + rng.choice(["Z", "+02:00", "-0500"])


@times
def dates_day_first(at, rng):
    return at.dt.strftime(str(rng.choice(["%d/%m/%Y", "%d.%m.%Y %H:%M", "%d-%m-%y"])))


@times
def dates_month_first(at, rng):
    return at.dt.strftime(str(rng.choice(["%m/%d/%Y", "%m/%d/%Y %I:%M %p", "%m/%d/%y"])))


@times
def dates_with_names(at, rng):
    return at.dt.strftime(str(rng.choice(["%d-%b-%Y", "%B %d, %Y", "%a %d %b %Y", "%b %Y"])))


@times
def dates_compact(at, rng):
    return at.dt.strftime(str(rng.choice(["%Y%m%d", "%Y%m%dT%H%M%S", "%Y%m%d%H%M%S"])))


@times
def timestamps(at, rng):
    return at


@times
def timestamps_with_zone(at, rng):
    return at.dt.tz_localize("UTC").dt.tz_convert("America/New_York")


@times
def epoch_seconds(at, rng):
    return at.astype("datetime64[s]").astype("int64")


@times
def epoch_milliseconds(at, rng):
    return at.astype("datetime64[s]").astype("int64") * 1000


@kind
def old_dates(rng, rows):
    days = np.datetime64("1700-01-01") + np.sort(rng.integers(0, 98_000, rows)).astype("timedelta64[D]")
    return _objects(days.astype(str))


@kind
def far_dates(rng, rows):
    days = np.datetime64("2020-01-01") + rng.integers(0, 900, rows).astype("timedelta64[D]")
    return _objects(np.where(rng.random(rows) < 0.2, "9999-12-31", days.astype(str)))


@kind
def dates_of_two_forms(rng, rows):
    at = pd.Series(pd.date_range("2021-01-01", periods=rows, freq="D"))
    return at.dt.strftime("%Y-%m-%d").where(rng.random(rows) < 0.6, at.dt.strftime("%d/%m/%Y"))


@kind
def years(rng, rows):
    return rng.integers(1950, 2025, rows)


@kind
def hours(rng, rows):
    return np.arange(rows) % 24


@kind
def clock_times(rng, rows):
    return _objects(f"{hour:02d}:{minute:02d}" for hour, minute in rng.integers(0, (24, 60), (rows, 2)))


@kind
def dollars(rng, rows):
    return _objects(f"${number:,.2f}" for number in rng.lognormal(6, 2, rows))


@kind
def euros(rng, rows):
    swap = str.maketrans(",.", ".,")
    return _objects(f"{number:,.2f} €".translate(swap) for number in rng.lognormal(6, 2, rows))


@kind
def negative_amounts(rng, rows):
    return _objects(f"({-number:,.2f})" if number < 0 else f"{number:,.2f}" for number in rng.normal(0, 5000, rows))


@kind
def percents(rng, rows):
    return _objects(f"{number:.1f}%" for number in rng.random(rows) * 100)


@kind
def thousands(rng, rows):
    return _objects(f"{number:,}" for number in rng.integers(0, 10**7, rows))


@kind
def units(rng, rows):
    return _objects(
        f"{number:.2f}{unit}" for number, unit in zip(rng.random(rows), rng.choice(["g", "kg"], rows), strict=True)
    )


@kind
def decimal_commas(rng, rows):
    return _objects(f"{number:.2f}".replace(".", ",") for number in rng.random(rows) * 50)


@kind
def scientific(rng, rows):
    return _objects(f"{number:.3e}" for number in rng.lognormal(0, 9, rows))


@kind
def numbers_with_words(rng, rows):
    return _objects(np.where(rng.random(rows) < 0.04, "unknown", rng.normal(5, 2, rows).round(1).astype(str)))


@kind
def codes(rng, rows):
    return _objects(f"{number:05d}" for number in rng.integers(0, 300, rows))


@kind
def row_numbers(rng, rows):
    return np.arange(1, rows + 1)


@kind
def identifiers(rng, rows):
    return _objects(f"{number:032x}" for number in rng.permutation(rows))


@kind
def row_names(rng, rows):
    return _objects(f"row {number}" for number in range(rows))


@kind
def mixed(rng, rows):
    choices = [1, -2.5, "text", "2020-01-01", True, None, "", "7 km"]
    return _objects(choices[at] for at in rng.integers(0, len(choices), rows))


@kind
def lists(rng, rows):
    return _objects([int(number)] * 2 for number in rng.integers(0, 9, rows))


@kind
def blobs(rng, rows):
    return _objects(bytes([number]) for number in rng.integers(0, 255, rows))


@kind
def durations(rng, rows):
    return pd.to_timedelta(rng.integers(0, 10**5, rows), unit="s")


def copies(rng, rows, others, ordered):
    """A column that is there already."""
    return others[-1].copy() if others else pd.Series(rng.integers(0, 9, rows))


def shifted_copies(rng, rows, others, ordered):
    """A column that gives another away, in other words."""
    numbers = pd.to_numeric(others[0].map(str), errors="coerce") if others else pd.Series(rng.random(rows))
    return numbers * 2 + 1 if numbers.notna().any() else "is " + others[0].map(str)


KINDS |= {"copies": copies, "shifted_copies": shifted_copies}
TIME_KINDS = tuple(TIMES)
TARGET_KINDS = (
    *("integers", "counts", "few_integers", "floats", "rounded_floats", "negative_floats", "booleans", "categories"),
    *(
        "skewed_categories",
        "dollars",
        "percents",
        "mostly_zeros",
        "padded_categories",
        "rare_booleans",
        "decimal_commas",
    ),
)
PLAIN_KINDS = (
    *TARGET_KINDS,
    *(
        "many_categories",
        "texts",
        "dates",
        "dates_with_time",
        "years",
        "hours",
        "thousands",
        "units",
        "numbers_with_words",
    ),
    *("codes", "row_numbers", "identifiers", "small_floats", "scientific"),
)
