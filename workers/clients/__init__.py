"""One module per outside service, by httpx."""
