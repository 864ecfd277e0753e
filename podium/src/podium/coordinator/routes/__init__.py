"""The routes a coordinator answers: instances with their public bodies, and what only our own parts may ask."""
