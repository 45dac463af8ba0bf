"""The style sheets."""

import re

from quire.page.sheet import read_sheet, report_style


def test_what_a_notebook_shows_only_styles_what_is_ours():
    """Outputs stand in JupyterLab and Voila, whose own elements must not change."""
    rules = re.sub(r"@media[^{]*\{", "", read_sheet("report"))
    selectors = [part.strip() for rule in re.findall(r"([^{}]+)\{", rules) for part in rule.split(",")]
    assert selectors
    assert all(part.startswith(".quire") for part in selectors), [p for p in selectors if not p.startswith(".quire")]


def test_braces_are_in_balance_and_comments_are_gone():
    for name in ("style", "report"):
        sheet = read_sheet(name)
        assert sheet.count("{") == sheet.count("}")
        assert "/*" not in sheet


def test_the_style_of_outputs_fits_in_each_of_them():
    assert len(report_style()) < 8000
