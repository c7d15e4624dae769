"""What a visitor does with the pages in a real browser: look inside the components, click, wait for something."""

from collections.abc import Callable

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

PATIENCE = 40
"""Seconds until something that does not come is a failure."""


def click(browser: WebDriver, element: WebElement) -> None:
    """Scroll an element into sight and click it."""
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()


def inside(browser: WebDriver, selector: str) -> list[WebElement]:
    """Elements inside the components, each of which has a shadow root."""
    return browser.execute_script(
        "return [...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')]"
        ".flatMap(host => [...(host.shadowRoot?.querySelectorAll(arguments[0]) ?? [])])",
        selector,
    )


def texts(browser: WebDriver, selector: str) -> list[str]:
    """The text of each element inside the components."""
    return browser.execute_script("return arguments[0].map(e => e.textContent)", inside(browser, selector))


def link(browser: WebDriver, text: str) -> WebElement:
    """A link by its last line: the name of its icon stands before it."""
    return until(
        browser,
        lambda: next((a for a in browser.find_elements(By.TAG_NAME, "a") if a.text.split("\n")[-1] == text), None),
    )


def enabled_button(browser: WebDriver, text: str) -> WebElement | None:
    """A button of that name that can be pressed; None while there is none."""
    buttons = browser.find_elements(By.TAG_NAME, "button")
    return next((b for b in buttons if b.text.split("\n")[-1] == text and b.is_enabled()), None)


def until(browser: WebDriver, found: Callable[[], object]) -> WebElement:
    """Wait for something to be there; stale elements are looked up again."""

    def look(_: WebDriver) -> object:
        assert_no_exception(browser)
        return found()

    wait = WebDriverWait(browser, PATIENCE, 0.1, ignored_exceptions=[StaleElementReferenceException])
    return wait.until(look)  # pyright: ignore[reportReturnType]


def assert_sound(browser: WebDriver) -> None:
    """No exception box, nothing of the hostile markup run or drawn."""
    assert_no_exception(browser)
    assert browser.execute_script("return window.hacked") is None
    assert not list(browser.find_elements(By.CSS_SELECTOR, "img[src='x'], img[onerror]"))
    assert not inside(browser, "img[src='x'], script, td b, td strong")


def assert_no_exception(browser: WebDriver) -> None:
    """No exception box stands on the page."""
    boxes = browser.find_elements(By.CSS_SELECTOR, "[data-testid=stException]")
    assert not boxes, boxes[0].text
