"""The pages in a real browser: headless Chromium walks from the map to SQL, as a visitor would."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from browsing import assert_sound, click, enabled_button, inside, link, texts, until
from catalog_fixture import LARGE, QUESTION, small_frames, small_parquet
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from service_server import served, tell

import catalog_ui
from sae.catalog.publish import build_candidate, publish
from sae.storage import Store

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1440,1100",
)
ROOT = Path(catalog_ui.__file__).parents[1]
HOSTILE = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script> **b** $x$"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER),
        reason="no chromium and chromedriver here: install Debian's chromium and chromium-driver to run this",
    ),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The running app, on the small catalog with one label (of feature 1) and one cluster made of markup.

    Beside it stands a service that answers with markup.
    """
    folder = tmp_path_factory.mktemp("app")
    store = Store(str(folder / "store"))
    frames = small_frames(store)
    hostile = pl.when(pl.col("index") == 1).then(pl.lit(HOSTILE)).otherwise(pl.col("label"))
    frames["labels"] = frames["labels"].with_columns(label=hostile)
    named = pl.when(pl.col("cluster_id") == 1).then(pl.lit(HOSTILE)).otherwise(pl.col("label"))
    frames["clusters"] = frames["clusters"].with_columns(label=named)
    publish(store, build_candidate(store, frames, small_parquet(store), {}))
    config = folder / "atlas.yaml"
    config.write_text(
        "store: store\nmodels: {world-lm: {source: world}}\ncorpora: {world: {source: world}}\n"
        "sites: [{model: world-lm, hookpoint: layers.3, corpora: [world]}]\n"
        "dictionaries: {large: {architecture: topk, expansion: 4, k: 8}}\n"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "catalog_ui" / "app.py"), f"--server.port={port}"]
    environment = os.environ | {"ATLAS_CONFIG": str(config), "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    environment.pop("ATLAS_STORE", None)
    with (folder / "log").open("w") as log, served({"/steer": _steered}) as url:
        tell(folder / ".atlas" / "state" / "service.json", url)
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait_until_healthy(f"http://localhost:{port}/_stcore/health", server, folder / "log")
            yield f"http://localhost:{port}"
        finally:
            server.terminate()
            server.wait(20)


def _steered(asked: dict) -> dict:
    held = [one | {"held_at": 36.0} for one in asked["features"]]
    shown = {"text": asked["text"], "unsteered": "a friend", "steered": HOSTILE, "logit_shift": -1.0}
    return {"dictionary_id": asked["dictionary_id"], "features": held, **shown}


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[WebDriver]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        yield driver
    finally:
        driver.quit()


def test_walk_from_map_to_sql(browser, address):
    browser.get(address)
    _map_shows_points_and_opens_a_feature(browser)
    _search_finds_a_feature(browser)
    _feature_shows_examples_and_leads_to_its_neighbours(browser)
    _audit_and_compare_follow_the_feature(browser)
    _attribution_answers_the_question(browser)
    _health_says_what_is_published(browser)
    _sql_reads_and_refuses_to_write(browser)
    errors = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == []


def test_deep_links_show_pictures_and_markup_as_text(browser, address):
    browser.get(f"{address}/feature?id={LARGE}:2")
    until(browser, lambda: inside(browser, ".passage img"))
    widths = [browser.execute_script("return arguments[0].naturalWidth", p) for p in inside(browser, ".passage img")]
    assert all(widths)
    browser.get(f"{address}/feature?id={LARGE}:1")

    until(browser, lambda: texts(browser, "h1.title") == [HOSTILE])
    assert_sound(browser)


def test_a_feature_leads_to_steering_and_the_answer_is_text(browser, address):
    browser.get(f"{address}/feature?id={LARGE}:1")
    click(browser, link(browser, "Steer"))
    until(browser, lambda: "/steering" in browser.current_url and f"id={LARGE}%3A1" in browser.current_url)
    until(browser, lambda: HOSTILE in browser.find_element(By.CSS_SELECTOR, "[data-testid=stMultiSelect]").text)
    assert_sound(browser)
    steer = until(browser, lambda: enabled_button(browser, "Steer"))
    click(browser, steer)

    until(browser, lambda: texts(browser, ".passage .tokens") == ["a friend", HOSTILE])
    until(browser, lambda: HOSTILE in texts(browser, "td.feature a"))
    assert_sound(browser)


def _map_shows_points_and_opens_a_feature(browser: WebDriver) -> None:
    canvas = until(browser, lambda: next(iter(inside(browser, "canvas")), None))
    until(browser, lambda: HOSTILE in texts(browser, ".name"))
    _click_a_point(browser, canvas)
    until(browser, lambda: inside(browser, ".passage"))
    click(browser, link(browser, "Open the feature"))
    until(browser, lambda: "/feature" in browser.current_url and "id=" in browser.current_url)
    until(browser, lambda: texts(browser, "h1.title"))
    assert_sound(browser)


def _search_finds_a_feature(browser: WebDriver) -> None:
    link(browser, "Search").click()
    box = until(browser, lambda: next(iter(browser.find_elements(By.CSS_SELECTOR, "input[aria-label^='Label']")), None))
    until(browser, lambda: len(inside(browser, "td.feature a")) > 10)
    box.send_keys("golden gate", Keys.ENTER)
    both = ["Golden Gate Bridge", "Golden Gate Bridge, San Francisco"]
    until(browser, lambda: sorted(texts(browser, "td.feature a")[:2]) == both)
    assert "q=golden" in browser.current_url
    assert_sound(browser)
    click(browser, next(a for a in inside(browser, "td.feature a") if a.text == both[1]))
    until(browser, lambda: "/feature" in browser.current_url and texts(browser, "h1.title"))


def _feature_shows_examples_and_leads_to_its_neighbours(browser: WebDriver) -> None:
    until(browser, lambda: texts(browser, "h1.title") == ["Golden Gate Bridge, San Francisco"])
    until(browser, lambda: [token for token in inside(browser, ".token") if token.get_attribute("style")])
    assert_sound(browser)
    until(browser, lambda: HOSTILE in texts(browser, "td.feature a"))
    click(browser, next(a for a in inside(browser, "td.feature a") if a.text == HOSTILE))
    until(browser, lambda: texts(browser, "h1.title") == [HOSTILE])
    assert "%3A1" in browser.current_url or f"{LARGE}:1" in browser.current_url
    assert_sound(browser)
    browser.back()
    until(browser, lambda: texts(browser, "h1.title") == ["Golden Gate Bridge, San Francisco"])


def _audit_and_compare_follow_the_feature(browser: WebDriver) -> None:
    click(browser, link(browser, "Follow it to the corpus"))
    until(browser, lambda: any(text.startswith("label label-human ←") for text in texts(browser, ".lead")))
    click(browser, until(browser, lambda: next((a for a in inside(browser, "a") if a.text == "a bridge"), None)))
    until(browser, lambda: any(text.startswith("label label-newer ←") for text in texts(browser, ".lead")))
    assert_sound(browser)
    link(browser, "Compare").click()
    until(browser, lambda: texts(browser, "h1.title") == ["Golden Gate Bridge, San Francisco", HOSTILE])
    assert_sound(browser)


def _health_says_what_is_published(browser: WebDriver) -> None:
    link(browser, "Health").click()
    until(browser, lambda: any(text.startswith("Catalog 000001-") for text in texts(browser, "h1.title")))
    until(browser, lambda: inside(browser, ".track .point"))
    assert_sound(browser)


def _attribution_answers_the_question(browser: WebDriver) -> None:
    link(browser, "Attribution").click()
    until(browser, lambda: texts(browser, "h1.title") == [QUESTION])
    assert "right" in texts(browser, ".chip")
    until(browser, lambda: len(inside(browser, "tbody tr")) == 5)
    click(browser, next(token for token in inside(browser, "button.token") if token.text == "Kobe"))
    until(browser, lambda: len(inside(browser, "tbody tr")) == 2)
    assert texts(browser, "td.feature a") == ["Kobe Bryant", "Lakers"]
    assert_sound(browser)


def _sql_reads_and_refuses_to_write(browser: WebDriver) -> None:
    link(browser, "SQL").click()
    editor = until(browser, lambda: next(iter(browser.find_elements(By.TAG_NAME, "textarea")), None))
    for query, shown in (
        ("select count(*) from features", "[data-testid=stDataFrame] canvas"),
        ("drop table features", "[data-testid=stText]"),
    ):
        editor.send_keys(Keys.CONTROL, "a")
        editor.send_keys(query)
        editor.send_keys(Keys.CONTROL, Keys.ENTER)
        until(browser, lambda shown=shown: browser.find_elements(By.CSS_SELECTOR, shown))
    until(browser, lambda: "Only reading is allowed" in browser.find_element(By.TAG_NAME, "body").text)
    assert_sound(browser)


def _click_a_point(browser: WebDriver, canvas: WebElement) -> None:
    """Move over the map until a point answers with its name, and click there."""
    place = browser.execute_script(
        """
        const canvas = arguments[0], box = canvas.getBoundingClientRect();
        const tip = canvas.parentElement.querySelector('.tip');
        for (let x = 5; x < box.width; x += 6) for (let y = 5; y < box.height; y += 6) {
          canvas.dispatchEvent(new PointerEvent('pointermove', {clientX: box.left + x, clientY: box.top + y}));
          if (tip.style.display === 'block') return [x - box.width / 2, y - box.height / 2];
        }
        """,
        canvas,
    )
    assert place, "no point of the map answers"
    ActionChains(browser).move_to_element_with_offset(canvas, round(place[0]), round(place[1])).click().perform()


def _wait_until_healthy(url: str, server: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"the app did not start: {log.read_text()}")
