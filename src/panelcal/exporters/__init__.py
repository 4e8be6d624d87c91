"""The legacy world's files: text arrays, DCS files, their names, and the calib directory."""
