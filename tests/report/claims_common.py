"""What the claims share: rows as plain Python, and names as charts cut them."""

from quire.report.labels import label_text


def records(frame):
    return frame.to_dict("records")


def known(values):
    return [float(one) for one in values if one is not None and one == one]


def plural(count, word):
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def named(message, name):
    return label_text(name) in message
