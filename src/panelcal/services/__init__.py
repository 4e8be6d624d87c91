"""What panelcal does: one module a verb, one unit of work a call."""
