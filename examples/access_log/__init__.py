"""A web server's access log, shipped line by line, parsed and counted in handlers."""
