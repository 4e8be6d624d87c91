"""Pure rules: ids, time, kinds, validity. No I/O, no clock, no database."""
