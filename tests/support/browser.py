"""Debian's Chromium, as a reader opens a page in it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

PROGRAM = shutil.which("chromium")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser; the test is skipped where it is not installed."""
    if PROGRAM is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        # Inside a container, root may make no sandbox.
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Opened:
    """An open page, and what it did that it should not.

    Attributes:
        page: The page.
        requests: What it asked for besides itself.
        complaints: What it wrote on the console, the errors of its scripts, and its dialogs.
    """

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __call__(self, script: str, of: object = None) -> Any:
        """Return what a script finds in the page."""
        return self.page.evaluate(script, of)


@contextmanager
def opened(
    browser: Browser,
    path: Path,
    width: int = 1280,
    scheme: Literal["light", "dark"] = "light",
    *,
    scripts: bool = True,
) -> Iterator[Opened]:
    """Open a file in a window of its own.

    Args:
        browser: The browser.
        path: The page.
        width: Of the window, in pixels.
        scheme: What the reader prefers.
        scripts: Whether the reader lets scripts run.
    """
    window = {"width": width, "height": 900}
    context = browser.new_context(
        viewport=window,  # type: ignore[arg-type]  # a TypedDict
        color_scheme=scheme,
        java_script_enabled=scripts,
        reduced_motion="reduce",
    )
    page = context.new_page()
    seen = Opened(page)
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("console", lambda message: seen.complaints.append(message.text))
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))

    def dismiss(dialog: Any) -> None:
        seen.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    page.on("dialog", dismiss)
    page.goto(path.as_uri())
    seen.requests.remove(path.as_uri())
    yield seen
    context.close()
