"""The web app of `connector serve`: pages over the same services as the commands.

It is a room like `cli`: it shows what `sync` does, and has no rule of its own. Pages are Jinja2 templates of this
package; nothing is fetched from elsewhere, and nothing runs in the browser.
"""
