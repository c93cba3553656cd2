"""From files and arrays of any kind to checked samples at the rate that a net wants."""
