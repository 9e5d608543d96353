"""The bytes of uploads."""
