"""Turn sales campaigns into tasks, drafts and mails, each exactly once."""

__version__ = "0.1.0"
