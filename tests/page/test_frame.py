"""The page around an executed notebook."""

import re

from quire.page.frame import headings, report
from quire.page.sheet import report_style

BODY = (
    '<h1 id="50">50 · Evaluate<a class="anchor-link" href="#50">¶</a></h1>'
    '<h2 id="answer">Answer<a href="#answer">¶</a></h2>'
    f'{report_style()}<h3 id="it-wins">It wins &amp; <em>stays</em></h3><h3>No id</h3><h4 id="deep">Deep</h4>'
)


def test_headings_are_those_that_can_be_jumped_to():
    found = [(heading.level, heading.anchor, heading.text) for heading in headings(BODY)]
    assert found == [(1, "50", "50 · Evaluate"), (2, "answer", "Answer"), (3, "it-wins", "It wins & stays")]


def test_the_contents_list_the_messages_of_the_charts():
    page = report(BODY)
    assert '<a href="#answer">Answer</a>' in page
    assert '<a href="#it-wins">It wins &amp; stays</a>' in page
    assert "<title>50 · Evaluate · Quire</title>" in page


def test_the_style_stands_once():
    page = report(BODY + report_style())
    assert page.count(".quire-banner {") == 1
    assert page.count("<style>") == 1


def test_the_foot_says_where_it_comes_from_escaped():
    page = report(BODY, provenance={"Run": "r1", "Commit": "<script>"})
    assert "<dt>Run</dt><dd>r1</dd>" in page
    assert "<dd>&lt;script&gt;</dd>" in page


def test_it_asks_nobody_for_anything():
    assert re.findall(r'(?:src|href)="(?!#|\.\./|data:)([^"]+)"', report(BODY)) == []
