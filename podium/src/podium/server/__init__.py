"""What both HTTP servers stand on: finding the handler of a request."""
