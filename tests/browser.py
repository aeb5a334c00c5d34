"""A real browser for the pages' tests: Chromium, headless, where the machine has one."""

import shutil
from contextlib import contextmanager

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
in_a_browser = pytest.mark.skipif(
    not CHROMIUM, reason="no Chromium on this machine (Debian: apt install chromium)"
)


@contextmanager
def chromium():
    """A running browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@contextmanager
def browser(size=(1280, 900)):
    """A browser of its own with a window of `size` pixels."""
    with chromium() as running:
        yield running.new_context(
            viewport={"width": size[0], "height": size[1]}, accept_downloads=True
        )


def watched(context, path):
    """A page whose requests and errors are counted; (page, requests, errors)."""
    page, requests, errors = context.new_page(), [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.goto(path.as_uri())
    return page, requests, errors
