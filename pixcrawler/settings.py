"""Scrapy settings. What is not here has Scrapy's default; every number here has its reason beside it."""

import sys

from pixcrawler.config import config
from pixcrawler.crawling import IN_FLIGHT, leave
from pixcrawler.errors import UsageError

try:
    _config = config()
except UsageError as _error:
    leave(_error)

BOT_NAME = "pixcrawler"
SPIDER_MODULES = ["pixcrawler.spiders"]
COMMANDS_MODULE = "pixcrawler.commands"
SPIDER_LOADER_CLASS = "pixcrawler.crawling.Sources"
USER_AGENT = _config.user_agent
LOG_LEVEL = _config.log_level
LOG_VERSIONS: list[str] = []  # ten lines before the first word about the crawl
if _config.log_format == "json":
    ADDONS = {"pixcrawler.extensions.json_log.JsonLog": 0}

if sys.platform != "win32":
    ASYNCIO_EVENT_LOOP = "pixcrawler.event_loop.Loop"  # a tenth of the time a crawl process takes

# Nothing but the web is fetched.
DOWNLOAD_HANDLERS = {
    "http": "pixcrawler.middlewares.browser.BrowserDownloadHandler",
    "https": "pixcrawler.middlewares.browser.BrowserDownloadHandler",
    "data": None,
    "file": None,
    "ftp": None,
    "s3": None,
}
TWISTED_DNS_RESOLVER = "pixcrawler.middlewares.firewall.GuardedResolver"
DOWNLOAD_VERIFY_CERTIFICATES = True  # a licence is worth what its source is

# Scrapy's own parts are chosen in the `_BASE` settings: what is switched off in the others is imported all the same, a
# tenth of a crawl's start. An image and an API's page need none of those that are missing; what Scrapy has of cookies,
# robots.txt and compression we have in ways of our own, a proxy would do its own DNS, and DownloaderStats writes every
# header out to know its length.
DOWNLOADER_MIDDLEWARES_BASE = {
    "scrapy.downloadermiddlewares.downloadtimeout.DownloadTimeoutMiddleware": 350,
    "scrapy.downloadermiddlewares.defaultheaders.DefaultHeadersMiddleware": 400,
    "scrapy.downloadermiddlewares.useragent.UserAgentMiddleware": 500,
    "scrapy.downloadermiddlewares.retry.RetryMiddleware": 550,
    "scrapy.downloadermiddlewares.redirect.RedirectMiddleware": 600,
}
DOWNLOADER_MIDDLEWARES = {
    "pixcrawler.middlewares.local_page.LocalPageMiddleware": 10,  # first: answers what needs no network
    "pixcrawler.middlewares.backoff.BackoffMiddleware": 560,  # hears an answer before the retries at 550
    "pixcrawler.middlewares.keys.KeyMiddleware": 580,  # reads what is unpacked
    "pixcrawler.middlewares.unpack.UnpackMiddleware": 590,
    "pixcrawler.middlewares.cookies.CookiesMiddleware": 700,
    # Last, so that it sees what the others made of a request: every retry and every redirect.
    "pixcrawler.middlewares.firewall.FirewallMiddleware": 800,
    # Behind the firewall: what may not be fetched at all is not asked about.
    "pixcrawler.middlewares.optout.OptOutMiddleware": 900,
}
# The only callback is that of a local page; sources are asked and judged in base_spiders.
SPIDER_MIDDLEWARES_BASE = {
    "scrapy.spidermiddlewares.start.StartSpiderMiddleware": 25,
    "scrapy.spidermiddlewares.referer.RefererMiddleware": 700,
}
ITEM_PIPELINES = {
    "pixcrawler.pipelines.rights.RightsPipeline": 50,
    "pixcrawler.pipelines.download.DownloadPipeline": 100,
    "pixcrawler.pipelines.validate.ValidatePipeline": 200,
    "pixcrawler.pipelines.deduplicate.DeduplicatePipeline": 300,
    "pixcrawler.pipelines.upload.UploadPipeline": 400,
    "pixcrawler.pipelines.record.RecordPipeline": 500,
}
EXTENSIONS_BASE = {
    "scrapy.extensions.corestats.CoreStats": 0,
    "scrapy.extensions.logcount.LogCount": 0,
    "scrapy.extensions.memusage.MemoryUsage": 0,
    "scrapy.extensions.closespider.CloseSpider": 0,
    "scrapy.extensions.logstats.LogStats": 0,
}
EXTENSIONS = {
    "pixcrawler.extensions.progress.Progress": 100,
    "pixcrawler.extensions.measuring.Measuring": 110,  # behind the one that writes how a crawl ends
}

# A run has one callback, which yields every item: its workers must not be fewer than the items in flight.
CONCURRENT_ITEMS = IN_FLIGHT
CONCURRENT_REQUESTS_PER_DOMAIN = 8  # about what a browser opens; a host that wants less says so, and is heeded
DOWNLOAD_TIMEOUT = 20  # seconds; a picture of 25 MiB comes at 10 Mbit/s, a host that hangs holds its place no longer
DOWNLOAD_MAXSIZE = 25 * 2**20  # bytes; a JPEG of 50 megapixels, the most we decode, is smaller
DOWNLOAD_WARNSIZE = 0  # whatever is allowed is fine
REDIRECT_MAX_TIMES = 4  # http to https, to www, to a CDN, and one more
RETRY_TIMES = 1  # a hiccup passes; more only delays what other candidates can replace
RETRY_HTTP_CODES = [408, 500, 502, 503, 504, 522, 524]  # not 429: who says "too many" is not asked again at once
# Scrapy's, without those of handlers that are not in use: to name them is to import them, a twentieth of a start.
RETRY_EXCEPTIONS = [
    "scrapy.exceptions.CannotResolveHostError",
    "scrapy.exceptions.DownloadConnectionRefusedError",
    "scrapy.exceptions.DownloadFailedError",
    "scrapy.exceptions.DownloadTimeoutError",
    "scrapy.exceptions.ResponseDataLossError",
    OSError,
]
RETRY_GIVE_UP_LOG_LEVEL = "DEBUG"  # a dead picture is ordinary, and counted

# Pages that only a browser can show. What keeps it safe is in middlewares/chromium.py.
PLAYWRIGHT_ABORT_REQUEST = "pixcrawler.middlewares.chromium.unwanted"
PLAYWRIGHT_PROCESS_REQUEST_HEADERS = None  # the browser's own, so that all it sends is of a piece
PLAYWRIGHT_MAX_PAGES_PER_CONTEXT = 1  # two contexts take turns, and one that is thrown away has no other page
PLAYWRIGHT_DEFAULT_NAVIGATION_TIMEOUT = 30_000  # milliseconds; a heavy page on a slow line without its pictures
PLAYWRIGHT_DOWNLOAD_TIMEOUT = 5_000  # milliseconds until it is clear that a page came to nothing; none is downloaded
