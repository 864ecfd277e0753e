"""The files of an instance. Today a plain directory; Chronicle fills the same port."""
