"""Reads Anki's packages and collections of every generation. Own code: Anki's is under the AGPL."""
