"""The links of the chain from a label to the corpus, each with what was verified of it."""
