"""The legacy world's files: text arrays, their names, and the calib directory."""
