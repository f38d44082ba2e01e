"""Local servers for Salesforce, Gmail and Microsoft Graph, and the people outside who act in them."""

from adapters.sandbox.app import Sandbox
from adapters.sandbox.hostile import Hostility, Trouble

__all__ = ["Hostility", "Sandbox", "Trouble"]
