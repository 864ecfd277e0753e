"""The truth of Podium: objects by key, with conditional put. On one machine a directory, across hosts S3."""
