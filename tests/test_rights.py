"""What sources say becomes a licence; what is not understood stays unknown; and nothing gets freer on the way."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pixcrawler.errors import UsageError
from pixcrawler.rights import FLICKR, STATEMENTS, Licence, Policy, allows, licence_of, normalise, parse_policy

CC = "https://creativecommons.org"
KNOWN = {
    # Addresses
    f"{CC}/licenses/by/4.0/": "CC-BY-4.0",
    "http://creativecommons.org/licenses/by/4.0": "CC-BY-4.0",
    "http://www.creativecommons.org/licenses/by-nc/2.0/": "CC-BY-NC-2.0",
    "//creativecommons.org/licenses/by-sa/2.0/": "CC-BY-SA-2.0",
    "creativecommons.org/licenses/by-nd/4.0": "CC-BY-ND-4.0",
    "HTTPS://CreativeCommons.org/Licenses/BY-SA/4.0/": "CC-BY-SA-4.0",
    f"{CC}/licenses/by-sa/3.0/de/deed.en": "CC-BY-SA-3.0-DE",
    f"{CC}/licenses/by/3.0/igo/legalcode": "CC-BY-3.0-IGO",
    f"{CC}/licenses/by/2.5/scotland/": "CC-BY-2.5-SCOTLAND",
    f"{CC}/licenses/by/4.0/deed.zh-hans": "CC-BY-4.0",
    f"{CC}/licenses/by/4.0/legalcode.txt": "CC-BY-4.0",
    f"{CC}/licenses/by-nc-nd/2.5/legalcode.de": "CC-BY-NC-ND-2.5",
    f"{CC}/licenses/by-sa/4.0/?ref=chooser-v1": "CC-BY-SA-4.0",
    f"{CC}/licenses/by-sa/4.0#deed": "CC-BY-SA-4.0",
    f"<{CC}/licenses/by/4.0/>.": "CC-BY-4.0",
    f"{CC}/licenses/by/": "CC-BY",
    f"{CC}/licenses/by-nd-nc/1.0/": "CC-BY-NC-ND-1.0",
    f"{CC}/licenses/nc-sampling+/1.0/": "CC-NC-SAMPLING+-1.0",
    f"{CC}/licenses/publicdomain/": "CC-PDDC",
    f"{CC}/publicdomain/certification/1.0/us/": "CC-PDDC",
    "http://creativecommons.org/publicdomain/zero/1.0/": "CC0-1.0",
    f"{CC}/publicdomain/zero/1.0/deed.fr": "CC0-1.0",
    f"{CC}/publicdomain/mark/1.0/.": "PDM-1.0",
    "http://rightsstatements.org/vocab/InC/1.0/": "InC-1.0",
    "https://rightsstatements.org/page/NoC-US/1.0/?language=en": "NoC-US-1.0",
    "http://rightsstatements.org/vocab/InC-EDU/1.0/": "InC-EDU-1.0",
    "http://www.europeana.eu/rights/rr-f/": "All-Rights-Reserved",
    "http://www.europeana.eu/rights/out-of-copyright-non-commercial/": "NoC-NC-1.0",
    "https://unsplash.com/license": "Unsplash",
    "https://www.pexels.com/license/": "Pexels",
    "https://pixabay.com/service/license-summary/": "Pixabay",
    "https://www.usa.gov/government-copyright": "US-Government",
    "https://www.flickr.com/commons/usage/": "Flickr-Commons",
    "http://www.gnu.org/copyleft/fdl.html": "GFDL",
    # Openverse
    "by": "CC-BY",
    "by 2.0": "CC-BY-2.0",
    "by-nc-sa 4.0": "CC-BY-NC-SA-4.0",
    "cc0": "CC0-1.0",
    "cc0 1.0": "CC0-1.0",
    "pdm": "PDM-1.0",
    "pdm 1.0": "PDM-1.0",
    "sampling+ 1.0": "CC-SAMPLING+-1.0",
    # Wikimedia Commons: templates, short names, terms
    "Cc-by-sa-4.0": "CC-BY-SA-4.0",
    "cc-by-sa-3.0-de": "CC-BY-SA-3.0-DE",
    "Cc-by-sa-4.0,3.0,2.5,2.0,1.0": "CC-BY-SA",  # any of them
    "CC BY-SA 3.0 de": "CC-BY-SA-3.0-DE",
    "Creative Commons Attribution-Share Alike 3.0 de": "CC-BY-SA-3.0-DE",
    "self|cc-by-sa-4.0": "CC-BY-SA-4.0",
    "CC SA 1.0": "CC-SA-1.0",
    "Cc-zero": "CC0-1.0",
    "pd": "Public-Domain",
    "PD-old-100": "Public-Domain",
    "PD-Art": "Public-Domain",
    "PD-USGov": "US-Government",
    "PD-USGov-NASA": "US-Government",
    "GFDL": "GFDL",
    "GFDL-1.2": "GFDL-1.2",
    # Words
    "CC BY 2.0": "CC-BY-2.0",
    "cc_by_2.0": "CC-BY-2.0",
    "CC-BY-4": "CC-BY-4.0",
    "CC BY v4.0": "CC-BY-4.0",
    "Attribution 4.0 International (CC BY 4.0)": "CC-BY-4.0",
    "Creative Commons Attribution-NonCommercial-NoDerivs 2.0 Generic": "CC-BY-NC-ND-2.0",
    "Creative Commons — Attribution Non Commercial No Derivative Works 3.0 Unported": "CC-BY-NC-ND-3.0",
    "This work is licensed under a Creative Commons Attribution 3.0 Unported License.": "CC-BY-3.0",
    f"CC BY 4.0 ({CC}/licenses/by/4.0/)": "CC-BY-4.0",
    f"Licensed under {CC}/licenses/by/4.0/": "CC-BY-4.0",
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
    "Creative Commons Zero v1.0 Universal": "CC0-1.0",
    "Public Domain": "Public-Domain",
    "Public Domain Mark 1.0": "PDM-1.0",
    "United States Government Work": "US-Government",
    "No known copyright restrictions": "Flickr-Commons",
    "GNU Free Documentation License": "GFDL",
    "Unsplash License": "Unsplash",
    "Pexels License": "Pexels",
    "Pixabay License": "Pixabay",
    "Pixabay Content License": "Pixabay",
    "© All rights reserved": "All-Rights-Reserved",
    "CC BY 4.0. All Rights Reserved.": "All-Rights-Reserved",
}
UNKNOWN = (
    *("", " ", "?", "free", "royalty free", "Creative Commons", "license", "Attribution", "Attribution License"),
    *(
        "No CC BY",
        "not CC BY 4.0",
        "CC BY 4.0 or ask me",
        "CC BY unless sold",
        "CC BY 4.0 ただし非営利",
        "CC BY-ΝC 4.0",
    ),
    *(
        "CC BY-N\u200bC 4.0",
        "CC BY 5.0",
        "CC BY 3.0 xx",
        "by-nd-sa 4.0",
        "CC NC 4.0",
        "nc",
        "nd",
        "sa",
        "BY SA & friends",
    ),
    *(
        "4",
        "0",
        "10",
        "1.0",
        "CC 1.0",
        "CC0 / CC BY",
        "GFDL / CC BY-SA 3.0",
        "CC0 2.0",
        "PDM 3.0",
        "pd 1.0",
        "public domain in Mars",
    ),
    *("© 2019 Jane Doe", "Copyright Jane Doe", "Some rights reserved", "fair use", "editorial use only", "PD-NC"),
    *("Unsplash+ License", "Getty Images", "https://example.org/license", "https://unsplash.com/plus/license"),
    *(
        "http://[bad",
        "https://creativecommons.org",
        f"{CC}/licenses/by/4.0/88x31.png",
        f"{CC}/licenses/devnations/2.0/",
    ),
    *(
        "https://creativecommons.org@evil.example/licenses/by/4.0/",
        "https://evil.example/creativecommons.org/licenses/by/4.0/",
    ),
    *(
        "https://creativecommons.org.evil.example/licenses/by/4.0/",
        f"{CC}/licenses/by/4.0/?nc",
        "CC BY 4.0 " + "x" * 600,
    ),
)
FREEDOMS = ("commercial", "derivatives", "public_domain")
LICENCES = sorted({normalise(text) for text in (*KNOWN, *STATEMENTS)} - {None}, key=lambda licence: licence.id)

nothing_special = st.text(max_size=20)
PIECES = (
    *("cc", "by", "nc", "nd", "sa", "zero", "CC0", "pd", "mark", "attribution", "NonCommercial", "No Derivs", "gfdl"),
    *("sampling+", "share alike", "license", "4.0", "3.0", "1.0", "de", "no", "not", "public domain", "unsplash"),
    *(" ", "-", "/", "_", ",", "+", f"{CC}/licenses/", f"{CC}/publicdomain/", "https://", "PD-old"),
    "all rights reserved",
)
pieces = st.sampled_from(PIECES)
texts = st.one_of(
    st.sampled_from([*KNOWN, *UNKNOWN, *STATEMENTS]),
    st.lists(st.one_of(pieces, nothing_special), max_size=8).map(" ".join),
    st.lists(st.one_of(pieces, nothing_special), max_size=8).map("-".join),
    st.lists(pieces, max_size=8).map("".join),
)


@pytest.mark.parametrize("text", KNOWN)
def test_what_sources_say(text: str) -> None:
    licence = normalise(text)
    assert licence is not None
    assert licence.id == KNOWN[text]


@pytest.mark.parametrize("text", UNKNOWN)
def test_what_is_not_understood_is_unknown(text: str) -> None:
    assert normalise(text) is None


def test_numbers_are_flickrs_alone() -> None:
    ids = [normalise(str(number), "flickr") for number in range(17)]
    assert [licence and licence.id for licence in ids] == list(FLICKR.values())
    assert normalise("17", "flickr") is None
    assert licence_of("4", None, "openverse") is None
    assert licence_of("4", None, "flickr") == normalise("CC BY 2.0")


@pytest.mark.parametrize(
    ("text", "grants"),
    [
        ("CC0", "commercial derivatives public_domain"),
        ("PDM", "commercial derivatives public_domain"),
        ("PD-USGov", "commercial derivatives public_domain"),
        ("CC BY 4.0", "commercial derivatives attribution"),
        ("CC BY-SA 4.0", "commercial derivatives attribution share_alike"),
        ("CC BY-ND 4.0", "commercial attribution"),
        ("CC BY-NC 4.0", "derivatives attribution"),
        ("CC BY-NC-SA 4.0", "derivatives attribution share_alike"),
        ("CC BY-NC-ND 4.0", "attribution"),
        ("CC SA 1.0", "commercial derivatives share_alike"),
        ("sampling+ 1.0", "derivatives attribution"),
        ("GFDL", "commercial derivatives attribution share_alike"),
        ("Unsplash License", "commercial derivatives"),
        ("No known copyright restrictions", "commercial derivatives"),
        ("InC-NC-1.0", ""),
        ("NoC-US-1.0", ""),
        ("CNE-1.0", "reserved"),
        ("All rights reserved", "reserved"),
    ],
)
def test_what_licences_grant_and_ask(text: str, grants: str) -> None:
    licence = normalise(text)
    names = (*FREEDOMS, "attribution", "share_alike", "reserved")
    assert {name for name in names if getattr(licence, name)} == set(grants.split())


def test_a_licence_is_named_and_has_its_text() -> None:
    licence = normalise("cc-by-sa-3.0-de")
    assert licence == Licence(
        id="CC-BY-SA-3.0-DE",
        family="CC-BY-SA",
        name="CC BY-SA 3.0 DE",
        version="3.0",
        url=f"{CC}/licenses/by-sa/3.0/de/",
        commercial=True,
        derivatives=True,
        share_alike=True,
        attribution=True,
    )
    assert normalise("by-nc-nd 1.0").url == f"{CC}/licenses/by-nd-nc/1.0/"  # type: ignore[union-attr]  # its real one


@pytest.mark.parametrize(
    ("said", "url", "expected"),
    [
        (None, None, None),
        ("", "  ", None),
        ("by 4.0", None, "CC-BY-4.0"),
        (None, f"{CC}/licenses/by/4.0/", "CC-BY-4.0"),
        ("by 4.0", f"{CC}/licenses/by/4.0/", "CC-BY-4.0"),
        ("by", f"{CC}/licenses/by/4.0/", "CC-BY-4.0"),  # the one that says more
        ("CC BY-SA 3.0", f"{CC}/licenses/by-sa/3.0/de/", "CC-BY-SA-3.0-DE"),
        ("by 2.0", f"{CC}/licenses/by/4.0/", "CC-BY"),  # which version is not known
        ("CC BY-SA 3.0 us", f"{CC}/licenses/by-sa/3.0/de/", "CC-BY-SA"),
        ("by", f"{CC}/licenses/by-nc/4.0/", "CC-BY-NC-4.0"),  # the stricter one
        ("by-nc-nd 2.0", f"{CC}/licenses/by/2.0/", "CC-BY-NC-ND-2.0"),
        ("by-sa 4.0", f"{CC}/licenses/by-nd/4.0/", None),  # neither is
        ("Unsplash License", "https://www.pexels.com/license/", None),
        ("cc0", f"{CC}/licenses/by/4.0/", "CC-BY-4.0"),
        ("All rights reserved", f"{CC}/publicdomain/zero/1.0/", "All-Rights-Reserved"),
        ("Public domain", f"{CC}/publicdomain/mark/1.0/", "PDM-1.0"),
        ("cc0", f"{CC}/publicdomain/mark/1.0/", "Public-Domain"),
        ("Attribution License", f"{CC}/licenses/by/2.0/", "CC-BY-2.0"),  # an unknown name of a known licence
        ("Namensnennung 4.0", f"{CC}/licenses/by/4.0/deed.de", "CC-BY-4.0"),
        ("by 4.0", "https://example.org/about", "CC-BY-4.0"),
        ("not for commercial use", f"{CC}/licenses/by/4.0/", None),
        ("editorial use only", f"{CC}/licenses/by/4.0/", None),
        ("CC BY 4.0", "https://example.org/terms/no-derivatives", None),
    ],
)
def test_two_statements_make_one(said: str | None, url: str | None, expected: str | None) -> None:
    licence = licence_of(said, url)
    assert (licence.id if licence else None) == expected


# Properties


@given(texts)
def test_its_own_words_mean_the_same_licence(text: str) -> None:
    licence = normalise(text)
    if licence:
        assert normalise(licence.id) == licence
        assert normalise(licence.url) == (licence if licence.url else None)
        assert licence_of(licence.id, licence.url) == licence


@given(texts)
@example("nc")
@example(f"{CC}/licenses/by/4.0/?nc")
@example("PD-old-nd")
def test_what_forbids_is_never_lost(text: str) -> None:
    licence = normalise(text)
    tokens = re.split(r"[^a-z0-9]+", text.lower())
    if licence and ("nc" in tokens or "noncommercial" in tokens):
        assert not licence.commercial
    if licence and ("nd" in tokens or "noderivs" in tokens or "noderivatives" in tokens):
        assert not licence.derivatives
    if "all rights reserved" in text.lower() and licence:
        assert licence.reserved


@given(st.sampled_from(LICENCES), st.text(min_size=1, max_size=30))
def test_a_word_more_never_frees(licence: Licence, more: str) -> None:
    for text in (f"{licence.id} {more}", f"{more} {licence.name}", f"{licence.url or licence.id} {more}"):
        found = normalise(text)
        assert found is None or freedoms(found) <= freedoms(licence) | freedoms(normalise(more))


@given(texts, texts)
def test_two_statements_grant_no_more_than_either(said: str, url: str) -> None:
    both, claims = licence_of(said, url), [normalise(said), normalise(url)]
    for claim in claims:
        if both and claim:
            assert freedoms(both) <= freedoms(claim)
    if claims == [None, None]:
        assert both is None


@given(texts, texts, st.sampled_from(Policy))
def test_a_policy_lets_in_what_it_says(said: str, url: str, policy: Policy) -> None:
    licence = licence_of(said, url)
    if not allows(policy, licence):
        assert policy is not Policy.ANY
        return
    assert licence is not None or policy is Policy.ANY
    assert policy is not Policy.COMMERCIAL or (licence and licence.commercial)
    assert policy is not Policy.DERIVATIVES or (licence and licence.derivatives)
    assert policy is not Policy.PUBLIC_DOMAIN or (licence and licence.public_domain)
    assert policy is not Policy.KNOWN or (licence and not licence.reserved)


def freedoms(licence: Licence | None) -> set[str]:
    return {name for name in FREEDOMS if getattr(licence, name, False)}


# Policies


@pytest.mark.parametrize(
    ("policy", "let_in"),
    [
        ("any", {"CC0", "CC BY", "CC BY-NC", "CC BY-ND", "Pexels", "InC-NC-1.0", "all rights reserved", "unknown"}),
        ("known", {"CC0", "CC BY", "CC BY-NC", "CC BY-ND", "Pexels", "InC-NC-1.0"}),
        ("commercial", {"CC0", "CC BY", "CC BY-ND", "Pexels"}),
        ("derivatives", {"CC0", "CC BY", "CC BY-NC", "Pexels"}),
        ("public-domain", {"CC0"}),
    ],
)
def test_policies(policy: str, let_in: set[str]) -> None:
    stated = ("CC0", "CC BY", "CC BY-NC", "CC BY-ND", "Pexels", "InC-NC-1.0", "all rights reserved", "unknown")
    assert {text for text in stated if allows(parse_policy(policy), normalise(text))} == let_in


@pytest.mark.parametrize("value", ["", "ANY", "free", "public domain", None, 7, ["any"], {"any": 1}, "x" * 10_000])
def test_an_unknown_policy_is_refused_in_one_line(value: object) -> None:
    with pytest.raises(UsageError, match=r"^rights: expected any, known, commercial, derivatives, public-domain, got "):
        parse_policy(value)
