"""Millrace, the product: words, rules, storage and HTTP. It never imports `workers`."""

__version__ = "0.1.0"
