"""Files that are broken on purpose, and what is still in them."""
