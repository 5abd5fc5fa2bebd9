"""Published U-Net results, repeated: recipes, data sets, runs, tables.

``published.tsv`` holds the published numbers (from Papers with Code),
``recipes/*.toml`` how each is reproduced, ``measured.toml`` what was measured so far.
"""
