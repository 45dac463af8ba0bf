"""The page in a real browser: filled in by keyboard, on a phone, without any request elsewhere."""

from pathlib import Path

import pytest

from quire.io import database

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture
def browser():
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="The browser test needs playwright: pip install playwright."
    )
    if not CHROMIUM.exists():
        pytest.skip("The browser test needs Chromium: apt install chromium.")
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-background-networking"]
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        yield started
        started.close()


@pytest.fixture
def server(start_server, promote, pipelines):
    promote(pipelines["linear"])
    return start_server()


def test_a_person_predicts_and_says_what_happened_by_keyboard_on_a_phone(browser, server, settings):
    page = browser.new_context(viewport={"width": 390, "height": 844}, java_script_enabled=False).new_page()
    elsewhere = []
    page.on("request", lambda request: request.url.startswith(server.url) or elsewhere.append(request.url))
    page.goto(server.url)
    for name, value in (("temp", "0.9"), ("hum", "0.2"), ("windspeed", "0.6")):  # what is there at first is typical
        page.locator(f"[name='f.{name}']").fill(value)
    page.keyboard.press("Enter")
    page.wait_for_selector(".outcome")
    assert page.locator(".figure").inner_text().strip()
    assert page.locator(".effects li").count() >= 3
    assert "set to its median" in page.content()
    page.get_by_label("What really happened?").fill("321")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Thank you")
    (kept,) = database.open(settings.database_url).predictions("demo").to_dict("records")
    assert kept["actual"] == 321
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert [url for url in elsewhere if not url.startswith("data:")] == []


def test_a_field_that_is_wrong_is_marked_and_nothing_is_predicted(browser, server):
    page = browser.new_context().new_page()
    page.goto(server.url)
    page.locator("form[action='/']").evaluate("form => form.noValidate = true")
    page.locator("[name='f.temp']").fill("7")
    page.get_by_role("button", name="Predict").click()
    page.wait_for_selector(".wrong")
    assert "from 0 to 1" in page.locator(".wrong small").inner_text()
    assert page.locator("[name='f.temp']").input_value() == "7"
    assert page.locator(".outcome").count() == 0
