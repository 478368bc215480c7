"""The ground that master, builder and web stand on: names, messages, settings, states, errors."""
