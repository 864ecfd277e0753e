"""The records of instances in the object store: who owns one, what it should be, and which requests made them."""
