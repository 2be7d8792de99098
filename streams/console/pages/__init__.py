"""A module a page: from what is known to HTML. Pure: no request, no clock, no server."""
