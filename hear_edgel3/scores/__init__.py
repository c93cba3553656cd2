"""How good guesses are: scores of classes and numbers, with intervals, confusions, calibration and thresholds."""
