"""The REST API: what commands and pages do, for programs.

It is an application of its own below `/api`: what goes wrong in it is a problem (RFC 9457), never a page. A module a
subject; each turns values of `sync` into models and back, and has no rule of its own.
"""
