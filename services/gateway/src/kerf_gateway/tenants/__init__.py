"""Tenants as a whole: their deletion."""
