"""The page of results: what is in the file, and in a real browser that it loads, sorts, filters and draws, offline.

The browser's tests (marker browser) need Chromium and Playwright: apt-get install chromium, pip install playwright.
"""

import json
import re
import shutil
import subprocess
import sys
import time

import pytest

from studies import page, publish
from studies.page import charts

ROW = {
    "study": "dare", "dataset": "digits", "model": "alexnet", "method": "dare", "title": "DARE", "role": "method",
    "seeds": [0, 1], "device": "CPU", "commit": "c" * 40, "command": "python x.py </script><b>", "verified": True,
    "measures": {
        "clean": {"value": 90.0, "n": 100, "spread": 0.5, "published": 91.0, "interval": [84, 95]},
        "er/fgsm": {"value": None, "n": 100, "spread": None, "published": None},
    },
}  # fmt: skip


def content(path, name):
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', path.read_text(), re.DOTALL)
    return json.loads(found[1].replace("<\\/", "</"))


def test_a_line_a_measure_with_what_made_it(tmp_path):
    path = page.write([ROW], tmp_path / "page.html")
    one, other = content(path, "lines")
    assert one[:10] == ["dare", "digits", "alexnet", "dare", "clean", 90.0, 0.5, 91.0, 100, "0 1"]
    assert one[10] == "" and one[11]["command"] == ROW["command"] and one[11]["interval"] == [84, 95]
    assert other[5] is None
    text = path.read_text()
    assert "@@STYLE@@" not in text
    assert not re.search(r"<(script|link|img)[^>]*(src|href)=.http", text.split("</style>")[-1]), "nothing is fetched"


def test_every_chart_of_the_published_rows():
    made = list(charts.charts(publish.measured()))
    titles = " ".join(one["title"] for one in made)
    for part in ("Empirical Robustness", "transfer against white box", "BP-epochs"):
        assert part in titles
    assert json.dumps(made) and len({one["title"] for one in made}) == len(made)


def test_an_examples_grid_is_inside_the_file(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    text = page.write([ROW], tmp_path / "page.html", [("cell <1>", tmp_path / "a.png")]).read_text()
    assert 'src="data:image/png;base64,iVBORw=="' in text and "cell &lt;1&gt;" in text


def test_the_published_page_shows_adversarial_images(tmp_path):
    line = [sys.executable, str(publish.ROOT / "scripts" / "page.py"), "--out", str(tmp_path / "page.html")]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "examples-fgsm</figcaption>" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """The page of all published rows in Chromium, without a network: (page, its messages, path)."""
    from playwright import sync_api

    browser = shutil.which("chromium") or shutil.which("google-chrome")
    path = page.write(publish.measured(), tmp_path_factory.mktemp("page") / "page.html")
    with sync_api.sync_playwright() as driver:
        begun = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        context = begun.new_context(offline=True)
        one, said = context.new_page(), []
        one.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        one.on("pageerror", lambda error: said.append(str(error)))
        one.goto(path.as_uri())
        one.wait_for_function("window.page && window.page.ready", timeout=120_000)
        yield one, said, path
        begun.close()


@pytest.mark.browser
def test_it_loads_without_an_error_and_draws_every_chart(opened):
    one, said, _ = opened
    assert said == [] and one.evaluate("page.lines") == len(page.lines(publish.measured()))
    assert one.locator(".chart .main-svg").first.is_visible()
    assert one.evaluate("[...document.querySelectorAll('.chart')].every(c => c.querySelector('.main-svg'))")
    assert one.locator(".chart").count() == len(list(charts.charts(publish.measured())))


@pytest.mark.browser
def test_it_sorts_and_filters_and_the_address_keeps_the_filter(opened):
    one, _, path = opened
    one.locator("#results th", has_text=re.compile("^value$")).first.click()
    one.wait_for_function("document.querySelector('#results th.dt-ordering-asc')")
    values = [float(text) for text in one.locator("#results tbody tr td:nth-child(6)").all_inner_texts() if text]
    assert values == sorted(values)
    one.select_option("select[name=study]", "robust_training")
    shown = set(one.locator("#results tbody tr td:nth-child(1)").all_inner_texts())
    assert shown == {"robust_training"} and "study=robust_training" in one.url
    one.reload()
    one.wait_for_function("window.page && window.page.ready")
    assert set(one.locator("#results tbody tr td:nth-child(1)").all_inner_texts()) == {"robust_training"}
    one.goto(path.as_uri())
    one.wait_for_function("window.page && window.page.ready")


@pytest.mark.browser
def test_a_line_opens_by_keyboard(opened):
    one, _, _ = opened
    one.locator("#results tbody tr").first.focus()
    one.keyboard.press("Enter")
    assert one.locator("dl.facts").first.is_visible() and "command" in one.locator("dl.facts").first.inner_text()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_follows_the_colours(scheme, opened):
    one, _, _ = opened
    one.set_viewport_size({"width": 380, "height": 700})
    one.emulate_media(color_scheme=scheme)
    one.wait_for_function("document.documentElement.scrollWidth <= 381", timeout=10_000)
    dark = one.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 23, 26)"
    assert dark == (scheme == "dark")


@pytest.mark.browser
def test_5000_rows_are_built_and_sorted_in_time(opened, tmp_path):
    one, _, _ = opened
    clean = ROW["measures"]["clean"]
    measures = [{"clean": {**clean, "value": place * 7 % 991}} for place in range(5000)]
    rows = [{**ROW, "method": f"m{place}", "measures": one} for place, one in enumerate(measures)]
    begun = time.monotonic()
    path = page.write(rows, tmp_path / "page.html")
    assert time.monotonic() - begun < 20
    one.goto(path.as_uri())
    one.wait_for_function("window.page && window.page.ready", timeout=120_000)
    took = one.evaluate(
        "(() => { const t = performance.now(); page.table.order([5, 'asc']).draw(); return performance.now() - t })()"
    )
    print(f"5,000 rows sorted in {took:.0f} ms")
    assert took < 1000
