"""The contact sheet, opened from disk in a real Chromium. Whatever a test does, the page stays silent and offline."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import lxml.html
import pytest
from chromium import ACCESSIBILITY, ARTEFACTS, needs_chromium
from hypothesis import given, settings
from hypothesis import strategies as st
from npm import install
from pictures import encoded, photo
from playwright.sync_api import Browser, Locator, Page, expect

from pixcrawler.export.contact_sheet import INDEX, PAGE, ContactSheet
from pixcrawler.export.dataset import DatasetImage
from pixcrawler.export.markdown import one_line

KEYWORDS = ("red panda", "猫", "<b>otter</b>")
CREATORS = ("Zoë Berg", "Ida Lund", "")
SIZE = (240, 180)  # pixels
BODIES = [encoded(photo(seed, SIZE)) for seed in range(10)]
PICTURES = 2 * PAGE + 1
HOSTILE_PLACE = 4


def described(make: Any, number: int) -> DatasetImage:
    image: DatasetImage = make.entry(
        number,
        BODIES[number % 10],
        keyword=KEYWORDS[number % 3],
        source=("openverse", "urls")[number % 2],
        title=f"Café no. {number}" if number % 5 else "",
        creator=CREATORS[number % 7 % 3],
        creator_url="https://people.example/zoe",
        attribution="Credit her.",
        width=SIZE[0],
        height=SIZE[1],
    )
    if number == HOSTILE_PLACE + 1:
        said = dict.fromkeys(("title", "creator", "license", "attribution"), make.hostile)
        return replace(image, license_id="", page_url="javascript:document.title='run'", **said)
    return image


@pytest.fixture(scope="module")
def shown(make: Any) -> list[DatasetImage]:
    return [described(make, n) for n in range(1, PICTURES + 1)]


@pytest.fixture(scope="module")
def address(make: Any, shown: list[DatasetImage], tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("dataset")
    with ContactSheet(folder / INDEX, make.dataset(PICTURES, keywords=KEYWORDS), PICTURES) as sheet:
        for number, image in enumerate(shown, 1):
            path = folder / place(image)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(BODIES[number % 10])
            sheet.add(place(image), image)
    return (folder / INDEX).as_uri()


def place(image: DatasetImage) -> str:
    """Some in splits, some not."""
    split = "train/" if image.position % 2 else ""
    return f"{split}keyword_{KEYWORDS.index(image.keyword)}/{image.position:06d}_{image.sha256[:12]}.jpg"


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page, ready. At the end it must have said nothing, opened nothing and asked for nothing but its pictures."""
    with browser.new_context(viewport={"width": 1200, "height": 800}) as context:
        page = context.new_page()
        complaints: list[str] = []
        requests: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
        context.on("request", lambda request: requests.append(request.url))
        page.goto(address)
        expect(page.get_by_role("search")).to_be_visible()
        yield page
        folder = address.removesuffix(INDEX)
        assert complaints == []
        assert [url for url in requests if not url.startswith((folder, "data:"))] == []
        assert requests[0] == address
        assert len(requests) > 1
        assert page.title() == "Pandas | and *trains*"


def tiles(page: Page) -> Locator:
    return page.locator("#grid li")


def count(page: Page) -> Locator:
    return page.get_by_role("status")


@needs_chromium
def test_the_first_page_needs_no_script(make: Any, browser: Browser, address: str) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(address)
        expect(tiles(page)).to_have_count(PAGE)
        expect(count(page)).to_have_text(f"The first {PAGE} of 1,001 pictures")
        expect(tiles(page).nth(HOSTILE_PLACE)).to_contain_text(one_line(make.hostile))
        expect(page.get_by_role("row", name="near duplicate")).to_contain_text("5")
        expect(page.get_by_role("search")).to_be_hidden()


@needs_chromium
def test_filters_show_what_is_asked_for(page: Page, shown: list[DatasetImage]) -> None:
    def expect_those(found: list[DatasetImage]) -> None:
        expect(count(page)).to_have_text(f"{len(found)} of 1,001 pictures")
        expect(tiles(page)).to_have_count(min(PAGE, len(found)))
        first = tiles(page).first.get_by_role("link")
        expect(first).to_have_attribute("href", place(found[0]))

    page.get_by_label("Keyword").select_option("<b>otter</b> (334)")
    otters = [image for image in shown if image.keyword == KEYWORDS[2]]
    expect_those(otters)
    page.get_by_label("Source").select_option(label="urls (501)")
    page.get_by_label("Licence").select_option(label="CC BY 4.0 (500)")
    expect_those([image for image in otters if (image.source, image.license_id) == ("urls", "CC-BY-4.0")])
    page.get_by_label("Title or creator").fill("BERG cafe")
    wanted = [image for image in otters if image.source == "urls" and image.license_id == "CC-BY-4.0"]
    expect_those([image for image in wanted if image.title and image.creator == CREATORS[0]])
    page.get_by_label("Title or creator").fill("no such picture")
    expect(tiles(page)).to_have_count(0)
    page.get_by_role("button", name="Show all").click()
    expect(count(page)).to_have_text("1,001 pictures")
    expect(tiles(page)).to_have_count(PAGE)


@needs_chromium
def test_pages_lead_to_every_picture(page: Page, shown: list[DatasetImage]) -> None:
    pages = page.get_by_role("navigation", name="Pages", exact=True)
    pages.get_by_role("button", name="Next page").click()
    expect(tiles(page).first.get_by_role("link")).to_have_attribute("href", place(shown[PAGE]))
    pages.get_by_label("Page").select_option("1,001–1,001")
    expect(tiles(page)).to_have_count(1)
    expect(pages.get_by_role("button", name="Next page")).to_be_disabled()
    tiles(page).first.get_by_role("link").click()
    expect(page.get_by_role("dialog")).to_contain_text(shown[-1].sha256)
    page.keyboard.press("ArrowLeft")  # to the page before
    page.keyboard.press("Escape")
    expect(tiles(page)).to_have_count(PAGE)
    expect(tiles(page).last.get_by_role("link")).to_be_focused()
    page.get_by_label("Title or creator").fill("cafe")
    expect(pages.get_by_label("Page")).to_have_value("0")


@needs_chromium
def test_a_picture_is_shown_with_all_that_is_known_of_it(page: Page, shown: list[DatasetImage]) -> None:
    image = shown[0]
    tiles(page).first.get_by_role("link").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_have_accessible_name("Café no. 1")
    expect(dialog.get_by_role("img")).to_have_js_property("naturalWidth", SIZE[0])
    for fact in ("1 of 1,001", image.keyword, "Credit her.", "urls", "240 × 180 pixels", image.sha256):
        expect(dialog).to_contain_text(fact)
    links = {
        "Ida Lund": image.creator_url,
        "CC BY 4.0": "https://creativecommons.org/licenses/by/4.0/",
        image.page_url: image.page_url,
        image.original_url: image.original_url,
        place(image): place(image),
    }
    for text, leads_to in links.items():
        expect(dialog.get_by_role("link", name=text, exact=True)).to_have_attribute("href", leads_to)
    dialog.get_by_role("button", name="Next").click()
    expect(dialog).to_contain_text(shown[1].sha256)
    dialog.get_by_role("button", name="Close").click()
    expect(page.get_by_role("dialog")).to_have_count(0)


@needs_chromium
def test_a_hostile_text_is_only_shown(make: Any, page: Page) -> None:
    scripts = page.locator("script").count()
    tiles(page).nth(HOSTILE_PLACE).get_by_role("link").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_have_text(one_line(make.hostile))
    expect(dialog).to_contain_text("javascript:document.title='run'")
    assert dialog.locator("a[href^='javascript:']").count() == 0
    assert page.locator("script").count() == scripts
    assert page.locator("li b").count() == 0


@needs_chromium
def test_what_gets_into_the_page_cannot_run(browser: Browser, address: str) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        refused: list[str] = []
        page.on("console", lambda message: refused.append(message.text))
        page.evaluate("""() => document.body.insertAdjacentHTML('beforeend',
            '<img src="no-such-picture" onerror="document.title=1"><iframe src="data:text/html,x"></iframe>')""")
        page.evaluate("() => document.body.append(Object.assign(document.createElement('script'), {text: 'x = 1'}))")
        page.wait_for_function("() => document.images[document.images.length - 1].complete")
        assert page.title() == "Pandas | and *trains*"
        assert page.evaluate("() => typeof x") == "undefined"
        assert sum("Content Security Policy" in text for text in refused) >= 2


@needs_chromium
def test_keys_are_enough(page: Page) -> None:
    links = tiles(page).get_by_role("link")
    links.first.focus()
    columns = len(page.locator("#grid").evaluate("grid => getComputedStyle(grid).gridTemplateColumns").split())
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(links.nth(columns + 1)).to_be_focused()
    outline = links.nth(columns + 1).evaluate("link => getComputedStyle(link).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text(f"{columns + 2} of 1,001")
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("dialog")).to_contain_text(f"{columns + 1} of 1,001")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(links.nth(columns)).to_be_focused()


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_people_from_using_it(page: Page, scheme: Any) -> None:
    install(ACCESSIBILITY)
    axe = (ACCESSIBILITY / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    page.emulate_media(color_scheme=scheme)
    page.get_by_label("Title or creator").fill("lund no. 11")  # few: what is wrong with one is wrong with all
    expect(count(page)).to_contain_text("of 1,001")
    page.evaluate(axe)
    for part in ("page", "picture"):
        if part == "picture":
            tiles(page).first.get_by_role("link").click()
        page.screenshot(path=ARTEFACTS / f"contact-sheet-{part}-{scheme}.png")
        found = page.evaluate("() => axe.run()")
        assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found["violations"]] == []


@needs_chromium
def test_it_fits_a_small_screen(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 640})
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    tiles(page).nth(HOSTILE_PLACE).get_by_role("link").click()
    expect(page.get_by_role("button", name="Close")).to_be_in_viewport()
    page.screenshot(path=ARTEFACTS / "contact-sheet-narrow.png")


ANY_TEXT = st.one_of(st.text(st.characters(), max_size=40), st.text("<>&\"'/!-script\n]$", max_size=30))


@settings(max_examples=50)
@given(title=ANY_TEXT, creator=ANY_TEXT, name=ANY_TEXT)
def test_any_text_comes_out_as_it_is(
    make: Any, title: str, creator: str, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("sheet") / INDEX
    image = make.entry(1, b"", title=title, creator=creator, keyword=KEYWORDS[0])
    with ContactSheet(path, make.dataset(1, name=name, keywords=KEYWORDS), 1) as sheet:
        sheet.add("red_panda/1.jpg", image)
    document = lxml.html.document_fromstring(path.read_bytes(), parser=lxml.html.HTMLParser(encoding="utf-8"))
    record = json.loads(document.get_element_by_id("records").text_content())
    assert (record["title"], record["creator"]) == (one_line(title), one_line(creator))
    (tile,) = document.get_element_by_id("grid").iterchildren("li")
    assert tile.findtext(".//p") == (one_line(title) or "untitled")
    assert [child.tag for child in tile] == ["a", "p", "p"]
    assert document.findtext(".//h1") == one_line(name or "Dataset of job 7")
    assert len(document.findall(".//script")) == 3


def test_it_grows_on_disk_not_in_memory(make: Any, tmp_path: Path) -> None:
    with ContactSheet(tmp_path / INDEX, make.dataset(3 * PAGE, keywords=KEYWORDS), 3 * PAGE) as sheet:
        for n in range(1, PAGE + 1):
            sheet.add(f"red_panda/{n}.jpg", make.entry(n, b"", keyword=KEYWORDS[0]))
        tracemalloc.start()
        try:
            for n in range(PAGE + 1, 3 * PAGE + 1):
                sheet.add(f"red_panda/{n}.jpg", make.entry(n, b"", keyword=KEYWORDS[0], title=f"{n}"))
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert kept < PAGE * 100  # bytes: far less than the lines
