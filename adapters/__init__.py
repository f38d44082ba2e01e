"""Adapters: one folder a service, none knows another. `http` is what those that speak HTTP share."""
