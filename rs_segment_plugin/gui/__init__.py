"""The dock: pages, pickers and the run panel; reaches the engine through Processing only."""
