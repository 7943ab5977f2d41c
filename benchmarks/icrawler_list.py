"""The crawl to compare with: icrawler's downloader. `icrawler_list.py LIST_FILE FOLDER`, in a Python that has it."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from icrawler.builtin import UrlListCrawler

THREADS = 32  # more gain nothing: they take turns at one core

if __name__ == "__main__":
    list_file, folder = sys.argv[1:]
    crawler = UrlListCrawler(downloader_threads=THREADS, storage={"root_dir": folder}, log_level=logging.WARNING)
    crawler.crawl(list_file, max_num=len(Path(list_file).read_text().split()))
