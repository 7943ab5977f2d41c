"""The node as a whole: refuses what would be unsafe, then builds Scrapyd's application with our parts."""

from __future__ import annotations

import configparser
import ipaddress
import sqlite3
import sys
from typing import Any

import scrapyd.app
from scrapy.utils.misc import load_object
from scrapyd.interfaces import IEnvironment
from twisted.application.internet import TimerService
from twisted.application.service import IServiceCollection
from twisted.logger import ILogObserver, Logger

from pixcrawler import logs
from pixcrawler.config import config as settings
from pixcrawler.config import node_variable
from pixcrawler.crawling import leave
from pixcrawler.errors import PixCrawlerError, UsageError
from pixcrawler.scrapyd_node.environment import CrawlEnvironment
from pixcrawler.scrapyd_node.jobstorage import JobStorage
from pixcrawler.scrapyd_node.json_log import JsonLog
from pixcrawler.scrapyd_node.keeper import LEFT_SECONDS
from pixcrawler.scrapyd_node.launcher import Launcher
from pixcrawler.scrapyd_node.poller import Poller
from pixcrawler.scrapyd_node.queue import PROJECT, SpiderQueue
from pixcrawler.scrapyd_node.webroot import Root

log = Logger()

# With one of Scrapyd's own in their place, slots leak, or whoever may schedule may run anything.
OURS = {"launcher": Launcher, "poller": Poller, "spiderqueue": SpiderQueue, "jobstorage": JobStorage, "webroot": Root}
COUNTS = ("max_proc", "jobs_to_keep", "finished_to_keep")
LARGEST_PORT = 65535


def application(config: Any) -> Any:
    """Scrapyd's application. Ends the process with status 2 and one line if the node may not or cannot start."""
    try:
        check(config)
        built = scrapyd.app.application(config)
    except PixCrawlerError as error:
        leave(error)
    except (OSError, sqlite3.Error) as error:
        leave(UsageError(f"scrapyd.conf: the node cannot start: {error}"))
    built.setComponent(IEnvironment, CrawlEnvironment(config))
    if settings().log_format == "json":
        logs.to_stderr(settings())
        built.setComponent(ILogObserver, JsonLog())
    _keep_what_is_left(built)
    if sys.platform != "linux":
        log.warn("Only Linux ends the crawls of a killed node; here they would have to be ended by hand")
    return built


def _keep_what_is_left(built: Any) -> None:
    launcher: Launcher = IServiceCollection(built, built).getServiceNamed("launcher")
    looking = TimerService(LEFT_SECONDS, lambda: launcher.keeper.copy_left(launcher.at_work))
    looking.setServiceParent(built)


def check(config: Any) -> None:
    """Raises `UsageError` naming what is wrong."""
    settings()
    try:
        config.items("scrapyd")  # reads every option
        _check_numbers(config)
        _check_parts(config)
        _check_access(config)
    except (configparser.Error, ValueError, ImportError, NameError) as error:
        raise UsageError(f"scrapyd.conf: {' '.join(str(error).split())}") from None


def _check_numbers(config: Any) -> None:
    port = option(config, "http_port")
    if not port.isdecimal() or int(port) > LARGEST_PORT:
        raise ValueError(f"http_port: no port is called {port!r}")
    for name in COUNTS:
        if not config.get(name).isdecimal() or config.getint(name) < 1:
            raise ValueError(f"{name}: must be 1 or more, not {config.get(name)!r}")
    if not config.getfloat("poll_interval") > 0:
        raise ValueError("poll_interval: must be more than 0 seconds")


def _check_parts(config: Any) -> None:
    for name, part in OURS.items():
        if not issubclass(load_object(config.get(name)), part):
            raise ValueError(f"{name}: must be {part.__module__}.{part.__name__}")
    if PROJECT not in dict(config.items("settings", default=[])):
        raise ValueError(f"[settings] must name {PROJECT}")


def _check_access(config: Any) -> None:
    username, password = option(config, "username"), option(config, "password")
    if ":" in username:
        raise ValueError("username: may have no colon")
    if bool(username) != bool(password):
        raise ValueError("username and password go together; one of them is missing")
    if option(config, "unix_socket_path"):  # then nothing listens on the network
        return
    address = option(config, "bind_address")
    if not address or option(config, "http_port") == "0":
        raise ValueError("neither an address and a port nor a unix socket to listen on")
    if not password and not is_loopback(address):
        raise ValueError(f"whoever reaches {address} could run crawls: set SCRAPYD_USERNAME and SCRAPYD_PASSWORD")


def option(config: Any, name: str) -> str:
    """An option that the environment may override, as Scrapyd reads it."""
    return node_variable(name) or str(config.get(name, ""))


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
