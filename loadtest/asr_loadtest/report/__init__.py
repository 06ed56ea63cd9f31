"""A report for people and for programs: a table in the terminal, JSON, CSV, and a page with plots."""
