"""Scrapyd's plug points, ours: a node that keeps its slots, its word, and nothing running when it ends.

`scrapyd.conf` names them. The runner imports this package before anything else: nothing is imported here.
"""
