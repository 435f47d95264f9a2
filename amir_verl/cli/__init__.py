"""`amir-verl`: everything that is no bash script."""
