"""Webhooks: what happens goes to an outbox with the change itself, and is sent from there until somebody takes it."""
