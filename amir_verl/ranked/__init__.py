"""Training and validation on given responses with rankings, through verl's own trainer."""
