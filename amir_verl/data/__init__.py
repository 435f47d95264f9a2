"""Data preparation: published math sets and ranked responses as the parquet files that verl reads."""
