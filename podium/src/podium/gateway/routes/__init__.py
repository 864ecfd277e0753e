"""The routes a gateway answers itself."""
