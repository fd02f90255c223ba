"""Agents: their application, what staff decide about it, their clients and commissions."""
