"""One module per processor; each exports `processor`. Dropping a file in here registers it."""
