"""PixCrawler turns keywords into image datasets people can trust.

cli, settings                                       the two ways in: `pixcrawler …` and Scrapy
spiders, pipelines, middlewares, extensions         the crawl process, one per run
scrapyd_node                                        what starts it
dispatcher, export, services, demo                  the processes around it
base_spiders, flow, crawling, local_ledger          what every crawl is made of
db, storage                                         PostgreSQL; files
items, imaging, duplicates, jobs, ledger, config    the vocabulary: pure
errors                                              one root
"""

__version__ = "0.1.0"
