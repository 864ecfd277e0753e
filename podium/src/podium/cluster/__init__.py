"""Discovery: which coordinators there are and who owns what. A cache of the records, rebuilt whenever it is lost."""
