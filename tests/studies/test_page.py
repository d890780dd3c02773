"""The page of results: what is in the file, and in a real browser that it loads, sorts, filters and remembers, offline.

The browser's tests (marker browser) need Chromium and Playwright: apt-get install chromium, pip install playwright.
"""

import html
import json
import re
import shutil
import subprocess
import sys
import time

import matplotlib.figure
import pytest

from reporting.tables import Table
from studies import page, publish

ROW = {
    "study": "dare", "dataset": "digits", "model": "alexnet", "method": "<b>dare</b>", "title": "DARE & more",
    "role": "method", "seeds": [0, 1], "device": "CPU", "commit": "c" * 40, "command": "python x.py </script><b>",
    "commands": {"train": "python 1_train.py"}, "verified": True,
    "measures": {
        "clean": {"value": 90.0, "n": 100, "spread": 0.5, "published": 91.0, "interval": [84, 95]},
        "er/fgsm": {"value": None, "n": 100, "spread": None, "published": None},
    },
}  # fmt: skip
RAISED = {
    **ROW, "method": "flat", "checks": [{"name": "gradient", "passed": False, "seen": "none", "expected": "some"}],
}  # fmt: skip


def content(path):
    """The table's cells, as they lie in the file."""
    [data] = re.findall(r'"data_json": (".*"),?\n', path.read_text(encoding="utf-8"))
    return [tuple(line) for line in json.loads(json.loads(data))]


def named(line):
    return dict(zip((*page.SHOWN, *page.HIDDEN), line, strict=True))


def test_a_line_a_measure_with_what_made_it():
    clean, er = map(named, page.lines([ROW]))
    assert clean == {
        "study": "dare", "data set": "digits", "model": "alexnet", "method": "<b>dare</b>", "measure": "clean",
        "value": "90.0", "sd": "0.5", "published": "91.0", "n": "100", "seeds": "0 1", "checks raised": "",
        "title": "DARE & more", "95 % interval": "84 to 95", "what the checks saw": "", "data verified": "yes",
        "device": "CPU", "commit": "c" * 40, "commands": "python 1_train.py && python x.py </script><b>",
    }  # fmt: skip
    assert er["measure"] == "er/fgsm" and (er["value"], er["published"], er["95 % interval"]) == ("", "", "")


def test_lines_of_raised_checks_are_marked():
    marked, sound = named(page.lines([RAISED])[0]), named(page.lines([ROW])[0])
    assert marked["checks raised"] == "† gradient" and sound["checks raised"] == ""
    assert "gradient (none; expected some)" in marked["what the checks saw"]


def test_text_of_a_row_is_no_part_of_the_page(tmp_path):
    path = page.write([ROW], tmp_path / "page.html", [("cell <1>", b"\x89PNG")])
    text = path.read_text(encoding="utf-8")
    assert named(content(path)[0])["method"] == "&lt;b&gt;dare&lt;/b&gt;"
    assert "</script><b>" not in text and "<b>dare" not in text
    assert 'src="data:image/png;base64,iVBORw=="' in text and "cell &lt;1&gt;" in text and "cell <1>" not in text


def test_all_published_rows_are_in_it_whole_and_nothing_is_fetched(tmp_path):
    rows = publish.measured()
    path = page.write(rows, tmp_path / "page.html")
    page_lines = content(path)
    assert len(page_lines) == len(page.lines(rows)) == sum(len(row["measures"]) for row in rows)
    place = (*page.SHOWN, *page.HIDDEN).index("commands")
    assert [line[place] for line in page_lines] == [html.escape(line[place]) for line in page.lines(rows)]
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"<(script|link|img|iframe)\b[^>]*\b(src|href)=[\"']?(https?:)?//", text)
    assert not re.search(r"\b(from|import)\s*\(?\s*[\"']https?:", text)


def test_it_opens_with_the_verdicts(tmp_path):
    table = Table("verdicts-dare", "DARE <1>", ("claim", "digits"), (("A & B", "holds"), ("C", "-")))
    text = page.write([ROW], tmp_path / "page.html", verdicts=[table]).read_text(encoding="utf-8")
    assert text.index("DARE &lt;1&gt;") < text.index('id="results"')
    assert f'<td style="background:{page.COLOURS["holds"]}">holds</td>' in text and "A &amp; B" in text


def test_a_figure_is_a_png():
    assert page.png(matplotlib.figure.Figure(figsize=(1, 1))).startswith(b"\x89PNG\r\n")


@pytest.mark.slow
def test_the_published_page_shows_figures_and_adversarial_images(tmp_path):
    line = [sys.executable, str(publish.ROOT / "scripts" / "page.py"), "--out", str(tmp_path / "page.html")]
    completed = subprocess.run(line, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "examples-fgsm</figcaption>" in text and len(text) < 20e6
    for part in ("robustness", "transfer-worst@", "er-by-attack", "BP-epochs", "guided", "hardening"):
        assert re.search(f"<figcaption>[^<]*{part}", text), part


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """The page of all published rows in Chromium, without a network: (page, its errors, what it asked for, path)."""
    from playwright import sync_api

    browser = shutil.which("chromium") or shutil.which("google-chrome")
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    path = page.write(publish.measured(), tmp_path_factory.mktemp("page") / "page.html")
    with sync_api.sync_playwright() as driver:
        browser_process = driver.chromium.launch(executable_path=browser, args=options)
        context = browser_process.new_context(offline=True, viewport={"width": 1400, "height": 900})
        tab, errors, requests = context.new_page(), [], []
        tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        context.on("request", lambda request: requests.append(request.url))
        tab.goto(path.as_uri())
        ready(tab)
        yield tab, errors, requests, path
        browser_process.close()


def ready(tab):
    tab.locator(".dtsp-panesContainer").wait_for(timeout=120_000)
    tab.locator("#results tbody td").first.wait_for()


def column(tab, name):
    """The cells of a shown column on the table's page."""
    place = page.SHOWN.index(name) + 1
    return tab.locator(f"#results tbody tr td:nth-child({place})").all_inner_texts()


def count(tab):
    return tab.locator(".dt-info").inner_text()


def choose(tab, pane, value):
    """Choose a value in a filter pane, opening it first."""
    place = tab.locator(".dtsp-searchPane:not(.dtsp-hidden)").nth(page.PANES.index(pane))
    if place.locator(".dtsp-nameCont").first.is_hidden():
        place.locator(".dtsp-collapseButton").click()
    place.locator(".dtsp-name", has_text=re.compile(f"^{value}$")).first.click()


@pytest.mark.browser
def test_it_loads_without_an_error_and_asks_for_nothing(opened):
    tab, errors, requests, path = opened
    assert errors == [] and all(url.startswith(("blob:", "data:", path.as_uri())) for url in requests)
    assert f"of {len(page.lines(publish.measured())):,} entries" in count(tab)


@pytest.mark.browser
def test_it_filters_and_sorts_and_remembers_both(opened):
    tab, errors, _, _ = opened
    every = count(tab)
    choose(tab, "study", "robust_training")
    tab.wait_for_function("document.querySelector('.dt-info').innerText.includes('filtered')")
    tab.locator("#results th", has_text=re.compile("^value$")).first.click()
    tab.locator("#results th.dt-ordering-asc").first.wait_for()

    def check():
        assert set(column(tab, "study")) == {"robust_training"}
        values = [float(text) for text in column(tab, "value") if text]
        assert values and values == sorted(values)
        return count(tab)

    chosen = check()
    tab.reload()
    ready(tab)
    assert check() == chosen != every
    tab.locator(".dtsp-clearAll").click()
    tab.wait_for_function("!document.querySelector('.dt-info').innerText.includes('filtered')")
    assert count(tab) == every and errors == []


@pytest.mark.browser
def test_a_button_shows_what_made_a_line(opened):
    tab, errors, _, _ = opened
    tab.locator(".dt-button", has_text=re.compile("^columns")).click()
    tab.locator(".dt-button", has_text=re.compile("^commands$")).click()
    commands = tab.locator("#results th", has_text=re.compile("^commands$")).first
    assert commands.is_visible() and "python scripts/" in tab.locator("#results tbody tr").first.inner_text()
    tab.keyboard.press("Escape")
    assert errors == []


@pytest.mark.browser
def test_it_fits_a_phone(opened):
    tab, _, _, _ = opened
    tab.set_viewport_size({"width": 380, "height": 700})
    tab.wait_for_function("document.documentElement.scrollWidth <= 381", timeout=10_000)
    tab.set_viewport_size({"width": 1400, "height": 900})


@pytest.mark.browser
def test_text_of_a_row_is_shown_as_it_is(opened, tmp_path):
    tab, errors, _, _ = opened
    tab.goto(page.write([ROW, RAISED], tmp_path / "page.html").as_uri())
    ready(tab)
    assert set(column(tab, "method")) == {"<b>dare</b>", "flat"}
    assert set(column(tab, "checks raised")) == {"", "† gradient"} and errors == []
    choose(tab, "method", "<b>dare</b>")
    tab.wait_for_function("document.querySelector('.dt-info').innerText.includes('filtered')")
    assert set(column(tab, "method")) == {"<b>dare</b>"}


@pytest.mark.browser
def test_5000_lines_are_built_and_sorted_in_time(opened, tmp_path):
    tab, _, _, _ = opened
    clean = ROW["measures"]["clean"]
    measures = [{"clean": {**clean, "value": place * 7 % 991}} for place in range(5000)]
    started_at = time.monotonic()
    path = page.write([{**ROW, "method": f"m{place}", "measures": each} for place, each in enumerate(measures)],
                      tmp_path / "page.html")  # fmt: skip
    assert time.monotonic() - started_at < 20
    tab.goto(path.as_uri())
    ready(tab)
    started_at = time.monotonic()
    tab.locator("#results th", has_text=re.compile("^value$")).first.click()
    tab.locator("#results th.dt-ordering-asc").first.wait_for()
    took = time.monotonic() - started_at
    print(f"5,000 lines sorted in {took:.2f} s")
    assert took < 3 and set(column(tab, "value")) == {"0", "1", "2", "3", "4"}
