"""Finds the configuration of one repository that serves a load best: settings, trials on a copy, evidence."""
