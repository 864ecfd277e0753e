"""`podium instances`: one file per verb."""
