"""Migrations, oldest first; never changed once released."""
