"""Names that try to be part of the page: fifty of them are shown as they are, and nothing of them runs or breaks it.

The browser's test (marker browser) needs Chromium and Playwright, as tests/studies/test_page.py does.
"""

import shutil

import pytest

from reporting import text
from studies import page

TAGS = [
    "<img src=x onerror=ran()>", "<script>ran()</script>", "</script><script>ran()</script>", "<!--<script>", "-->",
    "<svg onload=ran()>", '"><img src=x onerror=ran()>', "'><img src=x onerror=ran()>", "</td></tr></table><b>",
    "<iframe srcdoc='<script>parent.ran()</script>'>", "<details open ontoggle=ran()>",
    "<a href=javascript:ran()>x</a>",
    "<style>*{display:none}</style>", "</textarea>", "</title><script>ran()</script>", "<![CDATA[", "]]>", "<?php ?>",
    "&lt;img src=x onerror=ran()&gt;", "&#60;b&#62;", "&amp;", "<b", "a<b>c", "<input autofocus onfocus=ran()>",
    "<math><mi xlink:href='javascript:ran()'>", "<body onload=ran()>", "<object data='javascript:ran()'>",
]  # fmt: skip
TEXTS = [
    "[x](javascript:ran())", "![x](x)", "|", "a|b", "\\", "\\\\", "\\u003cb\\u003e", "\\x3cb\\x3e", "\"", "'", "`",
    "``x`",
    "$\\frac", "${ran()}", "$table", "$$", "{{ran()}}", "<%= ran() %>", "\u05d0\u05d1", "__proto__", "constructor",
    "null", "NaN", "1e5", "=1+1", "%s%n", "x" * 3000,
]  # fmt: skip
NAMES = TAGS + TEXTS
BROKEN = ["a\nb", "a\u2028b", "a\u2029b", "\u202etxt.exe", "\u2066a\u2069", "a\u200fb", "a\x00b", "a\x1b[2Jb", "\ud800"]
ROW = {
    "study": "dare", "dataset": "digits", "model": "alexnet", "method": "dare", "title": "DARE", "role": "method",
    "seeds": [0], "device": "CPU", "commit": "c" * 40, "command": "python x.py", "commands": {}, "verified": True,
    "checks": None,
}  # fmt: skip


def rows(names):
    """One row a name, which stands wherever a row has text; a value of each that is no number."""
    for place, name in enumerate(names):
        value = [1.5, None, float("nan"), float("inf")][place % 4]
        measures = {name: {"value": value, "n": 10, "spread": float("nan"), "published": None, "interval": [0, value]}}
        checks = [{"name": name, "passed": False, "seen": name, "expected": name}]
        text = dict.fromkeys(("study", "dataset", "model", "method", "title", "device", "commit", "command"), name)
        yield {**ROW, **text, "checks": checks, "commands": {name: name}, "measures": measures}


def test_there_are_enough_names():
    assert len(set(NAMES)) >= 50


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_printed_is_shown_by_its_number(name, tmp_path):
    path = page.write(list(rows([name])), tmp_path / "page.html", [(name, b"\x89PNG")])
    assert not {*name} & {*path.read_text(encoding="utf-8")} - {*"ab[2Jtxt.e\n"}


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """The page of NAMES and BROKEN in Chromium: (page, its errors)."""
    from playwright import sync_api

    browser = shutil.which("chromium") or shutil.which("google-chrome")
    path = tmp_path_factory.mktemp("page") / "page.html"
    hostile_rows = list(rows(NAMES + BROKEN))
    page.write(hostile_rows, path, [(name, b"\x89PNG") for name in NAMES + BROKEN])
    with sync_api.sync_playwright() as driver:
        browser_process = driver.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        context = browser_process.new_context(offline=True, viewport={"width": 1400, "height": 900})
        tab, errors = context.new_page(), []
        tab.add_init_script("window.ran = () => { window.hasRun = true }")
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto(path.as_uri())
        tab.locator(".dtsp-panesContainer").wait_for(timeout=120_000)
        tab.locator("#results tbody td").first.wait_for()
        yield tab, errors
        browser_process.close()


HANDLERS = """() => [...document.querySelectorAll("main *")].filter(
    one => one.matches("iframe, details, object, math, textarea, main a[href^=javascript]") ||
           one.getAttributeNames().some(name => name.startsWith("on"))).map(one => one.outerHTML.slice(0, 200))"""


def check(tab, errors):
    """No script of a name ran, or could, and there are the page's own pictures alone."""
    assert tab.evaluate("window.hasRun") is None and errors == []
    assert tab.evaluate(HANDLERS) == []
    assert tab.locator("main img").count() == len(NAMES + BROKEN)


@pytest.mark.browser
def test_hostile_names_are_text_in_the_table(opened):
    tab, errors = opened
    check(tab, errors)
    cell_texts, place = set(), page.SHOWN.index("method") + 1
    following = tab.locator(".dt-paging-button.next:not(.disabled)")
    while True:
        cell_texts |= set(tab.locator(f"#results tbody tr td:nth-child({place})").all_text_contents())
        if not following.count():
            break
        following.click()
    assert {text.shown(name) for name in NAMES + BROKEN} == cell_texts
    check(tab, errors)


@pytest.mark.browser
def test_hostile_names_are_text_in_the_panes_and_in_hidden_columns(opened):
    tab, errors = opened
    pane = tab.locator(".dtsp-searchPane:not(.dtsp-hidden)").nth(page.PANES.index("method"))
    pane.locator(".dtsp-collapseButton").click()
    for name in NAMES[:3]:
        chosen = pane.locator(".dtsp-name", has_text=name).first
        chosen.hover()
        chosen.click()
        tab.wait_for_function("document.querySelector('.dt-info').innerText.includes('filtered')")
        tab.locator(".dtsp-clearAll").click()
        tab.wait_for_function("!document.querySelector('.dt-info').innerText.includes('filtered')")
    check(tab, errors)
    tab.locator(".dt-button", has_text="columns").first.click()
    hidden = tab.locator(".dt-button-collection .dt-button:not(.dt-button-active)")
    while hidden.count():
        hidden.first.click()
    tab.keyboard.press("Escape")
    check(tab, errors)
