"""S-SONDO: nets of width 1 of the families mobilenetv3 and dymn, distilled without labels, with their own front end."""
