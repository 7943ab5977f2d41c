"""Cookies of sources' pages, as Scrapy keeps them; which domains may share them is known without asking anybody."""

from __future__ import annotations

from scrapy.downloadermiddlewares import cookies
from tldextract import TLDExtract

# Scrapy's own would fetch the list of public suffixes at the first cookie: past the firewall, and while all else waits.
cookies._split_domain = TLDExtract(include_psl_private_domains=True, suffix_list_urls=(), cache_dir=None)


class CookiesMiddleware(cookies.CookiesMiddleware):
    """For questions to a source; all other requests say `dont_merge_cookies`."""
