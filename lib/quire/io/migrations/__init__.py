"""Versions of the database's schema, applied forward when an older database is opened."""
