"""The language all parts of Podium share: names, errors, frames and documents. Imports nothing of ours."""
