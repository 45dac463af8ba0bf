"""Tables that can be read: rounded numbers, status chips, and a sideways scroll where the screen is narrow."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from quire.page.sheet import report_style
from quire.report.numbers import number

if TYPE_CHECKING:
    import pandas as pd

TONES = {
    "good": "good", "ok": "good", "pass": "good", "passed": "good", "succeeded": "good", "stable": "good",
    "warn": "warn", "warning": "warn", "watch": "warn",
    "bad": "bad", "fail": "bad", "failed": "bad", "drift": "bad", "drifted": "bad", "error": "bad",
    "alert": "bad", "critical": "bad",
}  # fmt: skip
"""Words that a status column may hold, and the colour of each; any other is neutral."""


@dataclass(frozen=True)
class Table:
    """A table as HTML; a notebook shows it by naming it."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __str__(self) -> str:
        return self.text


def table(
    frame: "pd.DataFrame",
    caption: str = "",
    *,
    names: Mapping[str, str] | None = None,
    formats: Mapping[str, str] | None = None,
    status: str = "status",
    keys: Collection[str] = (),
    limit: int = 50,
    note: str = "",
) -> Table:
    """Return ``frame`` as a table for a reader; its index is not shown.

    names: headings of columns where the column's name does not say enough.
    formats: format specifications by column, such as ``".1%"``; other numbers get three significant digits.
    status: the column whose words (good, warn, fail, ...) become coloured chips, if there is one.
    keys: columns that identify: their numbers are names, without thousands apart.
    limit: rows shown; what is left out is said below.
    """
    top_rows = frame.head(limit)
    headings = {column: (names or {}).get(column, str(column).replace("_", " ")) for column in top_rows.columns}
    cells = {
        column: _texts(top_rows[column], (formats or {}).get(column, ""), column in keys) for column in top_rows.columns
    }
    left_out = f"{len(frame) - limit:,} more rows are not shown. " if len(frame) > limit else ""
    remarks = f"<p>{escape(left_out + note)}</p>" if left_out or note else ""
    title = f'<p class="quire-caption">{escape(caption)}</p>' if caption else ""
    sides = {column: ' class="quire-right"' if _is_number(top_rows[column]) else "" for column in top_rows.columns}
    head = "".join(f"<th{sides[column]}>{escape(headings[column])}</th>" for column in top_rows.columns)
    rows = "".join(
        "<tr>"
        + "".join(_cell(cells[column][row], sides[column], column == status) for column in top_rows.columns)
        + "</tr>"
        for row in range(len(top_rows))
    )
    return Table(
        html=f'{report_style()}<div class="quire quire-table">{title}<div class="quire-scroll" tabindex="0"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{remarks}</div>",
        text=top_rows.rename(columns=headings).to_string(index=False),
    )


def note(text: str) -> Table:
    """Return a remark set apart from the running text."""
    return Table(html=f'{report_style()}<p class="quire quire-note">{escape(text)}</p>', text=text)


def sentences(title: str, found: Sequence[tuple[str, str, str]]) -> Table:
    """Return sentences under each other, each with its status as a chip before it and what is beside it below."""
    items = "".join(
        f'<li style="margin:.9rem 0;list-style:none"><span class="quire-chip quire-{TONES.get(status, "neutral")}">'
        f"{escape(status)}</span> {escape(sentence)}"
        f'<br><small style="color:var(--quire-muted)">{escape(more)}</small></li>'
        for status, sentence, more in found
    )
    head = f'<p class="quire-caption">{escape(title)}</p>' if title else ""
    html = f'{report_style()}<div class="quire quire-table">{head}<ul style="margin:0;padding:0">{items}</ul></div>'
    return Table(html, "\n".join(f"{status}: {sentence} {more}" for status, sentence, more in found))


def _is_number(column: "pd.Series") -> bool:
    return column.dtype.kind in "iuf" or str(column.dtype) in ("Int64", "Float64")


def _texts(column: "pd.Series", form: str, is_key: bool) -> list[str]:
    missing = column.isna()
    return [
        number(None) if is_empty else _text(value, form, is_key)
        for value, is_empty in zip(column, missing, strict=True)
    ]


def _text(value: Any, form: str, is_key: bool) -> str:
    if form:
        return format(value, form).replace("-", "−")
    text = number(value)
    return text if not is_key or isinstance(value, str) else text.replace(",", "").replace("−", "-")


def _cell(text: str, side: str, is_status: bool) -> str:
    if is_status:
        return f'<td><span class="quire-chip quire-{TONES.get(text.lower(), "neutral")}">{escape(text)}</span></td>'
    return f"<td{side}>{escape(text)}</td>"
