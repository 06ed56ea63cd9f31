"""Files that are broken on purpose, and a reader of what is left in them."""
