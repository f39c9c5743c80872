"""INT8 quantisation: calibration, fake quantisation, and adaptation of weights."""
