"""Datasets as packages of Anki: what a dataset's rows mean as notes, and a writer of generation 1. Own code."""
