"""A chart under the sentence that it proves."""

import re

import numpy as np
from matplotlib import pyplot

from quire import report
from quire.report.charts import MOST_POINTS, points


def chart(message="It rises, by 2 < 3", values=(1, 2, 3), how="Read it."):
    fig, ax = report.figure()
    ax.plot(list(values), color=report.INK)
    return report.Chart(message, fig, how)


def test_the_message_is_a_heading_that_can_be_jumped_to():
    html = chart().html()
    assert '<h3 id="it-rises-by-2-3">It rises, by 2 &lt; 3</h3>' in html
    assert "<figcaption>Read it.</figcaption>" in html


def test_the_picture_is_inline_and_says_its_message_to_a_screen_reader():
    html = chart().html()
    assert 'role="img" aria-label="It rises, by 2 &lt; 3"' in html
    assert "currentColor" in html
    assert report.INK not in html


def test_the_same_chart_is_the_same_bytes():
    assert chart().html() == chart().html()


def test_two_charts_on_a_page_do_not_take_each_others_parts():
    one, two = (set(re.findall(r'(?:url\(|href=")#(\w+)', chart(message).html())) for message in ("One", "Two"))
    assert one
    assert not one & two


def test_very_many_points_become_a_picture_of_dots():
    heavy = chart(values=np.arange(MOST_POINTS + 1))
    assert points(heavy.figure) == MOST_POINTS + 1
    assert '<img alt="It rises, by 2 &lt; 3" src="data:image/png;base64,' in heavy.html()
    assert "<svg" not in heavy.html()


def test_a_scatter_counts_each_of_its_points():
    fig, ax = report.figure()
    ax.scatter(range(50), range(50))
    assert points(fig) >= 50


def test_a_figure_of_pyplot_is_closed_so_that_it_is_not_shown_twice():
    fig, _ = pyplot.subplots()
    assert fig.number in pyplot.get_fignums()
    report.Chart("x", fig)
    assert fig.number not in pyplot.get_fignums()


def test_without_html_it_is_its_message():
    assert chart()._repr_mimebundle_()["text/plain"] == "It rises, by 2 < 3\nRead it."
