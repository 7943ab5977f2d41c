"""PixCrawler turns keywords into image datasets people can trust.

cli, settings                                       the two ways in: `pixcrawler …` and Scrapy
spiders, pipelines, middlewares, extensions         the crawl process, one per run
dispatcher, export, demo                            the processes around it
base_spiders, db, storage                           the shapes of sources; PostgreSQL; files
items, imaging, duplicates, jobs, ledger, config    the vocabulary: pure, no I/O but the environment and the local ledger
errors                                              one root
"""

__version__ = "0.1.0"
