"""Pages of reports, opened in a browser as somebody would see them."""

from pathlib import Path

from selenium import webdriver

PHONE = 360  # pixels; narrower than most phones
WIDEST_PHONE = 480


def open_page(
    browser: webdriver.Chrome, path: Path, *, width: int, scheme: str = "light", media: str = "screen"
) -> None:
    """Open a page at a width, in a scheme, on a medium."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width <= WIDEST_PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(path.as_uri())
