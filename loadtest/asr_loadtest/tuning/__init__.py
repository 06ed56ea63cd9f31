"""The configuration of a repository that serves a load best: settings, their measurement on a copy, evidence."""
