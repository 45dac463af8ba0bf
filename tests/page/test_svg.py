"""Charts that follow the page."""

from quire.page.svg import natural_width, themed

DRAWN = """<?xml version="1.0"?><!DOCTYPE svg>
<svg width="576pt" height="216pt" viewBox="0 0 576 216" xmlns="http://www.w3.org/2000/svg">
<metadata><date>today</date></metadata><text style="fill: #1F2933">ink</text><path style="stroke: #dde2e7"/></svg>"""


def test_ink_follows_the_text_around_it_and_the_grid_the_page():
    inline = themed(DRAWN)
    assert "fill: currentColor" in inline
    assert "stroke: var(--quire-line, #dde2e7)" in inline


def test_what_is_no_use_in_a_page_is_left_out():
    inline = themed(DRAWN)
    assert inline.startswith("<svg")
    assert "metadata" not in inline
    assert 'width="576pt"' not in inline
    assert 'viewBox="0 0 576 216"' in inline


def test_a_title_is_read_out_and_escaped():
    assert 'role="img" aria-label="a &lt; &quot;b&quot; &amp; c"' in themed(DRAWN, title='a < "b" & c')
    assert 'aria-hidden="true"' in themed(DRAWN)


def test_the_width_it_was_drawn_at_is_known():
    assert natural_width(DRAWN) == 768
    assert natural_width('<svg viewBox="0 0 300 20"></svg>') == 300
    assert natural_width('<svg width="120" height="2"></svg>') == 120
