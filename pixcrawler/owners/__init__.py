"""What owners do with what is theirs, whether they ask over HTTP or on a command line.

keys       API keys: made, shown once
projects   what jobs are kept in: named, changed, put out of sight
"""
