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
    ASYNCIO_EVENT_LOOP = "uvloop.Loop"  # a tenth of the time a crawl process takes

# Nothing listens, and nothing but the web is fetched.
TELNETCONSOLE_ENABLED = False
REMOTE_CONTROL_ENABLED = False
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

DOWNLOADER_MIDDLEWARES = {
    "pixcrawler.middlewares.local_page.LocalPageMiddleware": 10,  # first: answers what needs no network
    "pixcrawler.middlewares.backoff.BackoffMiddleware": 560,  # hears an answer before the retries at 550
    "pixcrawler.middlewares.keys.KeyMiddleware": 580,  # reads what is unpacked
    "pixcrawler.middlewares.unpack.UnpackMiddleware": 590,  # in the place of Scrapy's
    "pixcrawler.middlewares.cookies.CookiesMiddleware": 700,  # in the place of Scrapy's
    # Last, so that it sees what the others made of a request: every retry and every redirect.
    "pixcrawler.middlewares.firewall.FirewallMiddleware": 800,
    # Behind the firewall: what may not be fetched at all is not asked about.
    "pixcrawler.middlewares.optout.OptOutMiddleware": 900,
    "scrapy.downloadermiddlewares.cookies.CookiesMiddleware": None,
    # An image and an API's page need none of these.
    "scrapy.downloadermiddlewares.httpauth.HttpAuthMiddleware": None,
    "scrapy.downloadermiddlewares.httpcache.HttpCacheMiddleware": None,
    "scrapy.downloadermiddlewares.httpcompression.HttpCompressionMiddleware": None,  # unpack does it
    "scrapy.downloadermiddlewares.httpproxy.HttpProxyMiddleware": None,  # a proxy would do its own DNS
    "scrapy.downloadermiddlewares.offsite.OffsiteMiddleware": None,
    "scrapy.downloadermiddlewares.redirect.MetaRefreshMiddleware": None,
    "scrapy.downloadermiddlewares.robotstxt.RobotsTxtMiddleware": None,  # optout does it
    "scrapy.downloadermiddlewares.stats.DownloaderStats": None,  # writes every header out to know its length
}
SPIDER_MIDDLEWARES = {
    # The only callback is that of a local page; sources are asked and judged in base_spiders.
    "scrapy.spidermiddlewares.depth.DepthMiddleware": None,
    "scrapy.spidermiddlewares.httperror.HttpErrorMiddleware": None,
    "scrapy.spidermiddlewares.urllength.UrlLengthMiddleware": None,
}
ITEM_PIPELINES = {
    "pixcrawler.pipelines.rights.RightsPipeline": 50,
    "pixcrawler.pipelines.download.DownloadPipeline": 100,
    "pixcrawler.pipelines.validate.ValidatePipeline": 200,
    "pixcrawler.pipelines.deduplicate.DeduplicatePipeline": 300,
    "pixcrawler.pipelines.upload.UploadPipeline": 400,
    "pixcrawler.pipelines.record.RecordPipeline": 500,
}
EXTENSIONS = {
    "pixcrawler.extensions.progress.Progress": 100,
    "pixcrawler.extensions.measuring.Measuring": 110,  # behind the one that writes how a crawl ends
    # Switched off above; merely loading them takes as long as a tenth of a crawl's start.
    "scrapy.extensions.remote_control.RemoteControl": None,
    "scrapy.extensions.telnet.TelnetConsole": None,
    # Of no use here: pictures go to storage, and a host that wants less says so.
    "scrapy.extensions.feedexport.FeedExporter": None,
    "scrapy.extensions.memdebug.MemoryDebugger": None,
    "scrapy.extensions.spiderstate.SpiderState": None,
    "scrapy.extensions.throttle.AutoThrottle": None,
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
RETRY_GIVE_UP_LOG_LEVEL = "DEBUG"  # a dead picture is ordinary, and counted

# Pages that only a browser can show. What keeps it safe is in middlewares/chromium.py.
PLAYWRIGHT_ABORT_REQUEST = "pixcrawler.middlewares.chromium.unwanted"
PLAYWRIGHT_PROCESS_REQUEST_HEADERS = None  # the browser's own, so that all it sends is of a piece
PLAYWRIGHT_MAX_PAGES_PER_CONTEXT = 1  # two contexts take turns, and one that is thrown away has no other page
PLAYWRIGHT_DEFAULT_NAVIGATION_TIMEOUT = 30_000  # milliseconds; a heavy page on a slow line without its pictures
PLAYWRIGHT_DOWNLOAD_TIMEOUT = 5_000  # milliseconds until it is clear that a page came to nothing; none is downloaded
